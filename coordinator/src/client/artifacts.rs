//! The files that a study's results refer to, by names for people.

use std::fmt;

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use reprise_domain::measure::ArtifactRef;
use reprise_domain::record::{Task, TaskFilter, TaskStateKind};
use reprise_domain::{Digest, Stage, StudyName, TaskKey, TaskResult};
use reprise_proto::status::ApiError;
use serde::Serialize;

use super::Client;

/// Tasks that are asked for at once.
const AT_ONCE: usize = 16;

/// A file of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedFile {
    /// Its name, such as `pretrain-arch2vec-seed1/embedding`.
    pub name: String,
    /// BLAKE3 of its content.
    pub digest: Digest,
    /// Its size in bytes.
    pub bytes: u64,
    /// The task whose result it is of.
    pub task: TaskKey,
}

impl Client {
    /// Files of the finished tasks of a study in the order of its plan. With `of`, only
    /// those of tasks whose name is a beginning of it.
    pub async fn files(
        &mut self,
        study: &StudyName,
        of: Option<&str>,
    ) -> Result<impl Stream<Item = Result<NamedFile, ApiError>> + use<>, ApiError> {
        let stages = self.status(study).await?.stages.into_iter();
        let stages = stages.map(|status| status.stage).filter(|stage| {
            let is_asked_for = of.is_none_or(|name| name.starts_with(&beginning(stage)));
            has_files(stage) && is_asked_for
        });
        let (client, study, of) = (self.clone(), study.clone(), of.map(str::to_owned));
        let tasks = stream::iter(stages.collect::<Vec<_>>())
            .map(move |stage| tasks(client.clone(), study.clone(), stage))
            .flatten();
        let wanted = tasks.try_filter(move |task| {
            let is_wanted = of
                .as_ref()
                .is_none_or(|name| name.starts_with(&folder(task)));
            std::future::ready(is_wanted)
        });
        let client = self.clone();
        let files = wanted
            .map_ok(move |task| {
                let mut client = client.clone();
                async move { client.files_of(task).await }
            })
            .try_buffered(AT_ONCE)
            .map_ok(|files| stream::iter(files.into_iter().map(Ok)))
            .try_flatten();
        Ok(files.boxed())
    }

    async fn files_of(&mut self, task: Task) -> Result<Vec<NamedFile>, ApiError> {
        let detail = self.task(&task.key.to_string()).await?;
        // A task that was opened again meanwhile has no files.
        let result = detail.result.as_ref();
        Ok(result.map_or_else(Vec::new, |result| named(&task, result)))
    }
}

/// The finished tasks of a stage, page by page.
fn tasks(
    client: Client,
    study: StudyName,
    stage: Stage,
) -> impl Stream<Item = Result<Task, ApiError>> + Send {
    let filter = TaskFilter {
        states: vec![TaskStateKind::Finished],
        stage: Some(stage.to_string()),
        ..TaskFilter::default()
    };
    let state = (client, study, filter, Some(None));
    let pages = stream::try_unfold(state, |(mut client, study, filter, token)| async move {
        let Some(token) = token else {
            return Ok(None);
        };
        let page = client.tasks(&study, &filter, token).await?;
        let next = page.next.map(Some);
        let tasks = stream::iter(page.entries.into_iter().map(Ok));
        Ok::<_, ApiError>(Some((tasks, (client, study, filter, next))))
    });
    // Stages of the same name are told apart by what they are.
    let of_stage = move |task: &Task| std::future::ready(task.stage == stage);
    pages.try_flatten().try_filter(of_stage).boxed()
}

/// Whether results of a stage refer to files.
const fn has_files(stage: &Stage) -> bool {
    match stage {
        Stage::Pretrain { .. } | Stage::Experiment { .. } => true,
        Stage::Search { .. } | Stage::Evaluate | Stage::Noop => false,
    }
}

/// What the names of a stage's files begin with.
fn beginning(stage: &Stage) -> String {
    format!("{}-seed", Slug(&stage.to_string()))
}

/// What the names of a task's files begin with.
fn folder(task: &Task) -> String {
    format!("{}{}/", beginning(&task.stage), task.seed)
}

/// The files of a task's result with their names.
fn named(task: &Task, result: &TaskResult) -> Vec<NamedFile> {
    let folder = folder(task);
    let file = |name: &str, content: ArtifactRef| NamedFile {
        name: format!("{folder}{name}"),
        digest: content.digest,
        bytes: content.bytes,
        task: task.key,
    };
    match result {
        TaskResult::Pretrain(result) => vec![
            file("checkpoint", result.checkpoint),
            file("embedding", result.embedding),
        ],
        TaskResult::Program(result) => {
            let series = result.series.map(|series| file("series", series));
            let left = result.artifacts.iter();
            let left = left.map(|left| file(&format!("artifacts/{}", left.path), left.content()));
            series.into_iter().chain(left).collect()
        }
        TaskResult::Search(_) | TaskResult::Evaluate(_) | TaskResult::Noop => Vec::new(),
    }
}

/// A text as a part of a name that needs no quotes in a shell.
struct Slug<'a>(&'a str);

impl fmt::Display for Slug<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        self.0.chars().try_for_each(|character| {
            let shown = if is_plain(character) { character } else { '-' };
            fmt::Write::write_char(f, shown)
        })
    }
}

#[cfg(test)]
mod tests {
    use reprise_domain::program::{NamedArtifact, ProgramResult, Scalar};
    use reprise_domain::record::TaskState;
    use reprise_domain::{Factor, ModelName, PretrainResult};

    use super::*;

    fn task(stage: Stage) -> Task {
        Task {
            key: TaskKey(Digest::from_bytes([7; 32])),
            title: String::new(),
            stage,
            stage_index: 0,
            seed: 3,
            pretrain_seed: None,
            state: TaskState::Finished,
            attempts: 1,
        }
    }

    fn content(byte: u8) -> ArtifactRef {
        ArtifactRef {
            digest: Digest::from_bytes([byte; 32]),
            bytes: u64::from(byte),
        }
    }

    fn names(files: &[NamedFile]) -> Vec<&str> {
        files.iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn files_are_named_by_stage_and_seed() {
        let pretrain = task(Stage::Pretrain {
            entry: 0,
            model: ModelName::Arch2vec,
            label: None,
            level: Vec::new(),
        });
        let result = TaskResult::Pretrain(PretrainResult {
            epochs: Vec::new(),
            checkpoint: content(1),
            embedding: content(2),
        });
        let files = named(&pretrain, &result);
        assert_eq!(
            names(&files),
            [
                "pretrain-arch2vec-seed3/checkpoint",
                "pretrain-arch2vec-seed3/embedding"
            ]
        );
        assert_eq!((files[1].digest, files[1].bytes), (content(2).digest, 2));
        let program = task(Stage::Experiment {
            experiment: "port".to_owned(),
            level: vec![Factor {
                name: "size".to_owned(),
                value: Scalar::Text("a/b c".to_owned()),
            }],
        });
        let result = TaskResult::Program(ProgramResult {
            metrics: std::collections::BTreeMap::new(),
            steps: 1,
            series: Some(content(1)),
            artifacts: vec![NamedArtifact {
                path: "out/model.bin".to_owned(),
                digest: content(2).digest,
                bytes: 2,
            }],
        });
        assert_eq!(
            names(&named(&program, &result)),
            [
                "port-size-a-b-c-seed3/series",
                "port-size-a-b-c-seed3/artifacts/out/model.bin"
            ]
        );
    }
}
