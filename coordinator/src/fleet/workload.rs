//! How much work there is, from the status of the coordinator's studies.

use std::collections::HashMap;

use reprise_domain::status::{StageStatus, StudyState, StudyStatus};

/// The work of all studies together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Workload {
    /// Tasks that a worker has.
    pub running: u64,
    /// Tasks that a worker could have now, those that run included.
    pub runnable: u64,
    /// Tasks that have not ended, whatever they wait for.
    pub remaining: u64,
}

impl Workload {
    /// Adds the work of a study.
    pub fn add(&mut self, study: &StudyStatus) {
        let total = study.total();
        match study.state {
            StudyState::Done | StudyState::Cancelled => {}
            StudyState::Paused => {
                self.running += total.running;
                self.runnable += total.running;
                self.remaining += total.remaining();
            }
            StudyState::Running => {
                self.running += total.running;
                self.runnable += runnable(study);
                self.remaining += total.remaining();
            }
        }
    }
}

/// Tasks of a running study that are not known to wait for another one: searches
/// of an embedding need the pretraining of their seed.
fn runnable(study: &StudyStatus) -> u64 {
    let inputs = inputs(study);
    study
        .stages
        .iter()
        .map(|stage| match inputs.get(&stage.stage) {
            Some(input) => startable(stage, input),
            None => stage.remaining(),
        })
        .sum()
}

/// The tasks that run or may start, of a stage whose tasks take the results of
/// `input` in turn.
fn startable(stage: &StageStatus, input: &StageStatus) -> u64 {
    let a_result = stage.planned.div_ceil(input.planned.max(1));
    let fed = a_result.saturating_mul(input.finished);
    fed.saturating_sub(stage.finished)
        .max(stage.running)
        .min(stage.remaining())
}

/// The pretraining stage that each search stage waits for, by the search's name.
fn inputs(study: &StudyStatus) -> HashMap<String, &StageStatus> {
    let Some(search) = &study.spec.search else {
        return HashMap::new();
    };
    let mut inputs = HashMap::new();
    for method in &search.methods {
        let Some(model) = method.encoding else {
            continue;
        };
        let name = format!("pretrain {model}");
        let Some(input) = study.stages.iter().find(|stage| stage.stage == name) else {
            continue;
        };
        for entry in &search.datasets {
            inputs.insert(format!("{} on {}", method.label, entry.dataset), input);
        }
    }
    inputs
}

#[cfg(test)]
mod tests {
    use reprise_domain::BenchmarkRef;
    use reprise_study::BenchmarkSource;

    use super::*;

    const STUDY: &str = "version: 1
name: small
space: nasbench201
benchmark: {builtin: nasbench201-digits}
pretrain:
  - {model: arch2vec, seeds: 1..2, epochs: 1, batch: 32}
search:
  datasets: [digits]
  budget: {queries: 24}
  seeds: 1..10
  methods:
    - {name: random}
    - {name: dngo, encoding: arch2vec}
";

    fn stage(name: &str, planned: u64, finished: u64, running: u64) -> StageStatus {
        StageStatus {
            stage: name.to_owned(),
            planned,
            finished,
            running,
            ..StageStatus::default()
        }
    }

    fn status(state: StudyState, stages: Vec<StageStatus>) -> anyhow::Result<StudyStatus> {
        let file = reprise_study::parse("study.yaml", STUDY)?;
        let digest = reprise_data::digest(&[]);
        let benchmark = match file.benchmark() {
            Some(&BenchmarkSource::Builtin(name)) => Some(BenchmarkRef::Builtin { name, digest }),
            _ => None,
        };
        let spec = file.resolve(benchmark)?;
        Ok(StudyStatus {
            name: spec.name.clone(),
            digest,
            state,
            stages,
            failures: Vec::new(),
            workers: 0,
            spec,
        })
    }

    fn check(state: StudyState, pretrained: (u64, u64), searched: (u64, u64), expected: [u64; 3]) {
        let study = status(
            state,
            vec![
                stage("pretrain arch2vec", 2, pretrained.0, pretrained.1),
                stage("random on digits", 10, 10, 0),
                stage("arch2vec-dngo on digits", 10, searched.0, searched.1),
            ],
        )
        .unwrap();
        let mut load = Workload::default();
        load.add(&study);
        assert_eq!([load.running, load.runnable, load.remaining], expected);
    }

    #[test]
    fn searches_count_when_their_embedding_is_there() {
        check(StudyState::Running, (0, 2), (0, 0), [2, 2, 12]);
        check(StudyState::Running, (1, 1), (0, 0), [1, 6, 11]);
        check(StudyState::Running, (1, 1), (4, 1), [2, 2, 7]);
        check(StudyState::Running, (2, 0), (4, 2), [2, 6, 6]);
    }

    #[test]
    fn paused_studies_need_only_what_runs_and_ended_ones_nothing() {
        check(StudyState::Paused, (2, 0), (4, 2), [2, 2, 6]);
        check(StudyState::Cancelled, (2, 0), (4, 2), [0, 0, 0]);
    }
}
