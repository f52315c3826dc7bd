//! What clients read of studies, put together from the engine's memory and the
//! store, outside the engine's loop.
//!
//! A study may have a million tasks: it is read in pages, and what is read is sent
//! on before the next page is asked for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use reprise_core::lifecycle::{TaskEntry, TaskPage};
use reprise_domain::record::{
    ArchivedResult, AttemptRecord, AttemptState, Outcome, Task, TaskDetail, TaskFilter, TaskRecord,
};
use reprise_domain::status::{FailureGroup, Failures, StudyStatus};
use reprise_domain::{Capability, Digest, FailureClass, StudyName, TaskKey};
use reprise_proto::status::{ApiError, ErrorCode};

use crate::engine::{Handle, Standing, Unavailable};
use crate::store::{Reader, StoreError, StoredResult};

/// Tasks that are read at once: few, since workers wait while the engine looks them up.
const CHUNK: usize = 500;

/// Pages of records that are read ahead of what is sent: each answer of the engine
/// comes after a turn, which under load takes some ten milliseconds.
const AHEAD: usize = 4;

/// Causes of failure that are told apart, and those that are told.
const CAUSES: usize = 100;
const COUNTED_CAUSES: usize = 10_000;

/// Least number of hexadecimal digits by which a task or a worker is looked up.
const LEAST_DIGITS: usize = 4;

/// Reads studies.
#[derive(Debug, Clone)]
pub struct Reading {
    engine: Handle,
    store: Arc<dyn Reader>,
}

/// A task with what is stored of it if it has finished.
type Stored = (TaskEntry, Option<StoredResult>);

/// A page of tasks, and where the next one begins.
pub type Tasks = (Vec<Task>, Option<Position>);

/// A place in a study's plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The study's digest.
    pub digest: Digest,
    /// Number of the task in its plan, from 0.
    pub place: usize,
}

impl Reading {
    /// Reads by an engine's memory and a store's reader.
    pub fn new(engine: Handle, store: Arc<dyn Reader>) -> Self {
        Self { engine, store }
    }

    /// Where a study stands, without its failures.
    pub async fn standing(&self, study: &StudyName) -> Result<Standing, ApiError> {
        let standing = self.engine.standing(study.clone()).await;
        standing.map_err(unavailable)?.ok_or_else(|| unknown(study))
    }

    /// Where a study stands.
    pub async fn status(&self, study: &StudyName) -> Result<StudyStatus, ApiError> {
        let Standing {
            study: summary,
            stages,
            workers_connected,
            unserved,
        } = self.standing(study).await?;
        Ok(StudyStatus {
            failures: self.failures(study).await?,
            study: summary,
            stages,
            workers_connected,
            unserved,
        })
    }

    /// All failed tasks of a study by equal cause.
    async fn failures(&self, study: &StudyName) -> Result<Failures, ApiError> {
        let mut groups: HashMap<(FailureClass, String), (u64, TaskKey)> = HashMap::new();
        let mut other_tasks = 0;
        let mut from = Some(0);
        while let Some(position) = from {
            let page = self.engine.failures(study.clone(), position).await;
            let page = page.map_err(unavailable)?.ok_or_else(|| unknown(study))?;
            for (key, class, message) in page.tasks {
                let is_full = groups.len() >= COUNTED_CAUSES;
                match groups.get_mut(&(class, message.clone())) {
                    Some((tasks, _)) => *tasks += 1,
                    None if is_full => other_tasks += 1,
                    None => drop(groups.insert((class, message), (1, key))),
                }
            }
            from = page.next;
        }
        let mut causes: Vec<_> = groups.into_iter().collect();
        // The most frequent first; of equally frequent ones an order that is the same
        // each time.
        causes.sort_by(|(cause, (tasks, _)), (other, (more, _))| {
            (more, &cause.1).cmp(&(tasks, &other.1))
        });
        let rest = causes.split_off(causes.len().min(CAUSES));
        other_tasks += rest.iter().map(|(_, (tasks, _))| tasks).sum::<u64>();
        let mut told = Vec::with_capacity(causes.len());
        for ((class, message), (tasks, example)) in causes {
            let spec = self.engine.task_spec(example).await.map_err(unavailable)?;
            told.push(FailureGroup {
                class,
                message,
                tasks,
                example,
                example_title: spec.map_or_else(String::new, |spec| spec.to_string()),
            });
        }
        Ok(Failures {
            groups: told,
            other_tasks,
        })
    }

    /// Tasks of a study that a filter lets through, about as many as asked for.
    pub async fn tasks(
        &self,
        study: &StudyName,
        from: Option<Position>,
        most: usize,
        filter: TaskFilter,
    ) -> Result<Tasks, ApiError> {
        let page = self.page(study, from, most, filter).await?;
        let next = next(&page);
        let tasks = page.tasks.into_iter().map(|entry| entry.task);
        Ok((tasks.collect(), next))
    }

    /// Every task of a study in plan order, page by page, with the results of those
    /// that have finished. Ends with an error at a result that cannot be read.
    pub fn records(
        &self,
        study: StudyName,
    ) -> impl Stream<Item = Result<Vec<TaskRecord>, ApiError>> + use<> {
        let state = (self.clone(), self.stored(study), HashSet::new());
        let pages = stream::try_unfold(state, |(reading, mut pages, mut told)| async move {
            let Some(page) = pages.try_next().await? else {
                return Ok(None);
            };
            let mut records = Vec::with_capacity(page.len());
            for (entry, stored) in page {
                // A million results may name one worker: it is described once.
                let named = stored.as_ref().and_then(|stored| stored.provenance);
                let made_with = match (&stored, named.filter(|named| !told.contains(named))) {
                    (Some(stored), Some(_)) => reading.made_by(stored).await,
                    _ => None,
                };
                told.extend(named.filter(|_| made_with.is_some()));
                records.push(TaskRecord {
                    outcome: stored.map(outcome),
                    task: entry.task,
                    spec: entry.spec,
                    made_with,
                });
            }
            Ok(Some((records, (reading, pages, told))))
        });
        pages.boxed()
    }

    /// What is stored of each finished task of a study, in plan order and page by page.
    /// Ends as [`Self::records`] does.
    pub fn archived(
        &self,
        study: StudyName,
    ) -> impl Stream<Item = Result<Vec<ArchivedResult>, ApiError>> + use<> {
        let store = Arc::clone(&self.store);
        let state = (self.stored(study), HashSet::new());
        stream::try_unfold(state, move |(mut pages, mut told)| {
            let store = Arc::clone(&store);
            async move {
                let Some(page) = pages.try_next().await? else {
                    return Ok(None);
                };
                let mut archived = Vec::with_capacity(page.len());
                for (entry, stored) in page {
                    let Some(stored) = stored else {
                        continue;
                    };
                    let provenance = match stored.provenance.filter(|named| told.insert(*named)) {
                        Some(named) => store.provenance(named).await,
                        None => Ok(None),
                    };
                    archived.push(ArchivedResult {
                        task: entry.task.key,
                        stored,
                        provenance: provenance.map_err(|error| damaged(&error))?,
                    });
                }
                Ok(Some((archived, (pages, told))))
            }
        })
    }

    /// Every task of a study in plan order, page by page, with what is stored of those
    /// that have finished.
    fn stored(&self, study: StudyName) -> BoxStream<'static, Result<Vec<Stored>, ApiError>> {
        let (reading, of) = (self.clone(), study.clone());
        let pages = stream::try_unfold(Some(None), move |from| {
            let (reading, study) = (reading.clone(), of.clone());
            async move {
                let Some(from) = from else {
                    return Ok(None);
                };
                let all = TaskFilter::default();
                let page = reading.page(&study, from, CHUNK, all).await?;
                let after = next(&page).map(Some);
                Ok::<_, ApiError>(Some((page.tasks, after)))
            }
        });
        let reading = self.clone();
        pages
            .map_ok(move |tasks| {
                let (reading, study) = (reading.clone(), study.clone());
                async move { reading.with_results(&study, tasks).await }
            })
            .try_buffered(AHEAD)
            .boxed()
    }

    /// A task with its attempts.
    pub async fn detail(&self, key: TaskKey) -> Result<TaskDetail, ApiError> {
        let entry = self.engine.task_entry(key).await.map_err(unavailable)?;
        let (entry, studies) = entry.ok_or_else(|| no_task(&key.to_string()))?;
        let stored = match entry.result {
            Some(digest) => Some(self.result(&entry, digest).await?),
            None => None,
        };
        let mut attempts = self
            .store
            .attempts(key)
            .await
            .map_err(|error| damaged(&error))?;
        attempts.retain(|known| {
            stored
                .as_ref()
                .is_none_or(|stored| known.number != stored.attempt)
        });
        let mut provenance = None;
        if let Some(stored) = stored.as_ref() {
            provenance = self.made_by(stored).await;
            attempts.extend(winner(stored, provenance.as_ref()));
        }
        for (held, offer) in self.engine.held(key).await.map_err(unavailable)? {
            attempts.retain(|known| known.number != held.attempt.number);
            attempts.push(AttemptRecord {
                number: held.attempt.number,
                worker: held.worker,
                host: offer.host.clone(),
                device: offer.device.to_string(),
                program: offer.program(),
                started_at_ms: Some(held.since.0),
                ended_at_ms: None,
                state: AttemptState::Running,
            });
        }
        attempts.sort_by_key(|attempt| attempt.number);
        Ok(TaskDetail {
            task: entry.task,
            spec: entry.spec,
            studies,
            attempt_records: attempts,
            usage: stored.as_ref().map(|stored| stored.usage),
            result: stored.map(|stored| stored.result),
            disputed: entry.disputed,
            provenance,
        })
    }

    /// What a result was made with; nothing where that is not known. A record that is
    /// damaged is as good as none, and is logged.
    async fn made_by(&self, stored: &StoredResult) -> Option<Capability> {
        let record = match self.store.provenance(stored.provenance?).await {
            Ok(record) => record?,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "what a result was made with cannot be read");
                return None;
            }
        };
        serde_json::from_str(&record).ok()
    }

    /// The one task whose key begins so.
    pub async fn find(&self, beginning: &str) -> Result<TaskKey, ApiError> {
        let is_key = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        if beginning.len() < LEAST_DIGITS || !beginning.bytes().all(is_key) {
            let shown: String = beginning.chars().take(80).collect();
            return Err(ApiError::new(
                ErrorCode::InvalidRequest,
                format_args!(
                    "`{shown}` is not a task: expected its key, or at least {LEAST_DIGITS} \
                     hexadecimal digits from the beginning of it"
                ),
            )
            .hint("`reprise tasks STUDY` lists the tasks of a study with their keys"));
        }
        let found = self.engine.matches(beginning.to_owned()).await;
        match found.map_err(unavailable)?.as_slice() {
            [key] => Ok(*key),
            [] => Err(no_task(beginning)),
            _ => Err(ApiError::new(
                ErrorCode::InvalidRequest,
                format_args!("the keys of several tasks begin with `{beginning}`"),
            )
            .hint("give more digits of the key")),
        }
    }

    async fn page(
        &self,
        study: &StudyName,
        from: Option<Position>,
        most: usize,
        filter: TaskFilter,
    ) -> Result<TaskPage, ApiError> {
        let place = from.map_or(0, |from| from.place);
        let page = self
            .engine
            .task_page(study.clone(), place, most, filter)
            .await;
        let page = page.map_err(unavailable)?.ok_or_else(|| unknown(study))?;
        if from.is_some_and(|from| from.digest != page.digest) {
            return Err(ApiError::new(
                ErrorCode::Unavailable,
                format_args!("study `{study}` was replaced while it was read"),
            )
            .hint("read it again from the beginning"));
        }
        Ok(page)
    }

    async fn with_results(
        &self,
        study: &StudyName,
        entries: Vec<TaskEntry>,
    ) -> Result<Vec<Stored>, ApiError> {
        let finished = entries.iter();
        let wanted: Vec<_> = finished
            .filter_map(|entry| Some((entry.task.key, entry.result?)))
            .collect();
        let results = match self.store.results(&wanted).await {
            Ok(results) => results,
            Err(error) => return Err(self.which(study, &entries, error).await),
        };
        let mut results = results.into_iter();
        let stored = entries.into_iter().map(|entry| {
            let stored = entry.result.and_then(|_| results.next());
            (entry, stored)
        });
        Ok(stored.collect())
    }

    /// Which of several results cannot be read, and how to come by it again.
    async fn which(&self, study: &StudyName, entries: &[TaskEntry], error: StoreError) -> ApiError {
        for entry in entries {
            if let Some(digest) = entry.result
                && let Err(error) = self.result(entry, digest).await
            {
                return error;
            }
        }
        let error = damaged(&error);
        let message = format!("read results of study `{study}`: {}", error.message);
        ApiError { message, ..error }
    }

    async fn result(&self, entry: &TaskEntry, digest: Digest) -> Result<StoredResult, ApiError> {
        let key = entry.task.key;
        let read = self.store.results(&[(key, digest)]).await;
        if read.is_err() {
            let now = self.engine.task_entry(key).await.map_err(unavailable)?;
            if now.and_then(|(entry, _)| entry.result) != Some(digest) {
                return Err(ApiError::new(
                    ErrorCode::Unavailable,
                    format_args!("task `{key}` was opened again while it was read"),
                )
                .hint("read it again from the beginning"));
            }
        }
        let read = read.map_err(|error| {
            let error = damaged(&error);
            ApiError {
                message: format!(
                    "the result of `{}` (task `{key}`) cannot be read: {}",
                    entry.task.title, error.message
                ),
                ..error
            }
            .hint(format_args!(
                "restore a backup of the journal, or `reprise invalidate {}` to run the task again",
                key.0.short()
            ))
        })?;
        let first = read.into_iter().next();
        first.ok_or_else(|| ApiError::new(ErrorCode::Internal, "a reader gave no result"))
    }
}

/// The attempt that finished a task, if its result tells of it.
fn winner(stored: &StoredResult, made_by: Option<&Capability>) -> Option<AttemptRecord> {
    let known = |ms: u64| Some(ms).filter(|ms| *ms > 0);
    Some(AttemptRecord {
        number: known(u64::from(stored.attempt))? as u32,
        worker: stored.worker?,
        host: stored.host.clone(),
        device: made_by.map_or_else(String::new, |made_by| made_by.device.to_string()),
        program: made_by.map_or_else(String::new, Capability::program),
        started_at_ms: known(stored.started_ms),
        ended_at_ms: known(stored.ended_ms),
        state: AttemptState::Finished,
    })
}

fn outcome(stored: StoredResult) -> Outcome {
    Outcome {
        result: stored.result,
        usage: stored.usage,
        host: stored.host,
        worker: stored.worker,
        provenance: stored.provenance,
    }
}

fn next(page: &TaskPage) -> Option<Position> {
    page.next.map(|place| Position {
        digest: page.digest,
        place,
    })
}

/// What a store says of damage. A coordinator that is stopping closes its store:
/// that is told apart by who asks it again.
fn damaged(error: &StoreError) -> ApiError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    ApiError::new(ErrorCode::Corrupt, text)
}

fn no_task(named: &str) -> ApiError {
    ApiError::new(
        ErrorCode::NotFound,
        format_args!("there is no task `{named}`"),
    )
    .hint("`reprise tasks STUDY` lists the tasks of a study with their keys")
}

/// There is no such study.
pub fn unknown(study: &StudyName) -> ApiError {
    ApiError::new(
        ErrorCode::NotFound,
        format_args!("there is no study `{study}`"),
    )
    .hint("`reprise list` names the studies of this coordinator")
}

/// The engine is stopping.
pub fn unavailable(error: Unavailable) -> ApiError {
    ApiError::new(ErrorCode::Unavailable, error)
}
