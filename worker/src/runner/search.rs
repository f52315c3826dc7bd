//! Runs one search trial against a benchmark table or real training.

use std::collections::HashMap;
use std::sync::Arc;

use reprise_data::Benchmark;
use reprise_domain::protocol::SearchQuirks;
use reprise_domain::{
    ArchIndex, BenchmarkRef, Budget, Dataset, EncodingName, EvaluateResult, EvaluateSpec, Recipe,
    SearchResult, SearchSpec, Seconds, Seed, SpaceName, TaskKey, TaskResult,
};
use reprise_model::embed;
use reprise_search::embedding::Embedding;
use reprise_search::method;
use reprise_search::space::{self, SearchSpace};
use reprise_search::trial::{Guiding, Oracle, OracleError, Reported, TrialError, run_trial};

use super::{Done, RunError, Runner, evaluate};
use crate::progress::Progress;
use crate::slots::{Assignment, Cancel};
use crate::torch::Lease;

impl Runner {
    pub(super) fn search(
        &self,
        spec: &SearchSpec,
        assignment: &Assignment,
        cancel: &Cancel,
    ) -> Result<Done, RunError> {
        let space = space::shared(spec.space);
        let embedding = match spec.encoding {
            EncodingName::Discrete => None,
            EncodingName::Embedding { pretrain } => {
                let inputs = &assignment.inputs;
                Some(self.embedding(pretrain, inputs, space.as_ref(), cancel)?)
            }
        };
        let mut method = method::build(spec, space, embedding)
            .map_err(|error| RunError::impossible("set the search method up")(error.into()))?;
        let oracle: Box<dyn Oracle> = match spec.benchmark {
            BenchmarkRef::Table { digest } => Box::new(TableOracle {
                table: self.benchmarks.table(digest, &self.artifacts, cancel)?,
                dataset: spec.dataset,
                quirks: spec.quirks,
            }),
            BenchmarkRef::Builtin { name, digest } => Box::new(TableOracle {
                table: self.benchmarks.builtin(name, digest, cancel)?,
                dataset: spec.dataset,
                quirks: spec.quirks,
            }),
            BenchmarkRef::Train { recipe } => Box::new(TrainingOracle {
                space: spec.space,
                dataset: spec.dataset,
                recipe,
                trained: HashMap::new(),
                lease: self.lease()?,
                cancel: cancel.clone(),
            }),
        };
        let mut oracle = Counting {
            oracle,
            budget: spec.budget,
            queries: 0,
            spent: Seconds::ZERO,
            progress: &assignment.progress,
        };
        let mut keep_going = |_| !cancel.is_cancelled();
        let trajectory = run_trial(spec.budget, method.as_mut(), &mut oracle, &mut keep_going)
            .map_err(|error| match error {
                TrialError::Stopped(_) => RunError::Stopped,
                _ if cancel.is_cancelled() => RunError::Stopped,
                error => RunError::failed("run the search")(error.into()),
            })?;
        Ok(Done {
            result: TaskResult::Search(SearchResult { trajectory }),
            training: None,
        })
    }

    fn embedding(
        &self,
        pretrain: TaskKey,
        inputs: &[(TaskKey, TaskResult)],
        space: &dyn SearchSpace,
        cancel: &Cancel,
    ) -> Result<Arc<Embedding>, RunError> {
        let result = inputs.iter().find(|(key, _)| *key == pretrain);
        let Some((_, TaskResult::Pretrain(result))) = result else {
            let missing =
                format!("the assignment does not hold the result of pretraining `{pretrain}`");
            return Err(RunError::failed("find the embedding")(missing.into()));
        };
        let digest = result.embedding.digest;
        self.embeddings.get(digest, cancel, || {
            let content = self.artifacts.fetch(digest, cancel)?;
            embed::from_safetensors(&content, space.len())
                .map(Arc::new)
                .map_err(|error| RunError::failed("read the embedding")(error.into()))
        })
    }
}

/// Says how far a trial is with each query that it answers.
struct Counting<'a> {
    oracle: Box<dyn Oracle>,
    budget: Budget,
    queries: u64,
    spent: Seconds,
    progress: &'a Progress,
}

/// Parts that a budget of simulated seconds is counted in.
const PARTS: u64 = 1000;

impl Oracle for Counting<'_> {
    fn guiding(&mut self, arch: ArchIndex) -> Result<Guiding, OracleError> {
        let answer = self.oracle.guiding(arch)?;
        match self.budget {
            Budget::Queries(most) => {
                self.queries += 1;
                self.progress.set(self.queries, u64::from(most));
            }
            Budget::Simulated(most) => {
                self.spent = self.spent + answer.cost;
                let share = (self.spent.get() / most.get()).min(1.0);
                self.progress.set((share * PARTS as f64) as u64, PARTS);
            }
        }
        Ok(answer)
    }

    fn reported(&self, arch: ArchIndex) -> Result<Reported, OracleError> {
        self.oracle.reported(arch)
    }
}

/// Answers from a table.
struct TableOracle {
    table: Arc<dyn Benchmark>,
    dataset: Dataset,
    quirks: SearchQuirks,
}

impl Oracle for TableOracle {
    fn guiding(&mut self, arch: ArchIndex) -> Result<Guiding, OracleError> {
        Ok(self.table.guiding(self.dataset, arch, self.quirks)?)
    }

    fn reported(&self, arch: ArchIndex) -> Result<Reported, OracleError> {
        Ok(self.table.reported(self.dataset, arch)?)
    }
}

/// Trains what is asked for, each architecture once.
///
/// The cost charged is computed from the architecture's operations, not measured:
/// a trial's numbers must not depend on the machine (INV-7).
struct TrainingOracle {
    space: SpaceName,
    dataset: Dataset,
    recipe: Recipe,
    trained: HashMap<ArchIndex, EvaluateResult>,
    /// The child that trains; one for the whole trial.
    lease: Lease,
    cancel: Cancel,
}

/// Every trial sees an architecture trained with this seed.
const TRAINING_SEED: Seed = Seed(1);

/// Operations that a simulated second stands for.
const FLOPS_PER_SECOND: f64 = 1e6;

impl Oracle for TrainingOracle {
    fn guiding(&mut self, arch: ArchIndex) -> Result<Guiding, OracleError> {
        let result = if let Some(result) = self.trained.get(&arch) {
            *result
        } else {
            let spec = EvaluateSpec {
                space: self.space,
                arch,
                dataset: self.dataset,
                recipe: self.recipe,
                seed: TRAINING_SEED,
            };
            let (result, _) = evaluate::train(&mut self.lease, &spec, None, &self.cancel)?;
            self.trained.insert(arch, result);
            result
        };
        let cost = Seconds::new(result.flops as f64 / FLOPS_PER_SECOND)?;
        Ok(Guiding {
            validation: result.validation,
            cost,
        })
    }

    fn reported(&self, arch: ArchIndex) -> Result<Reported, OracleError> {
        let result = self
            .trained
            .get(&arch)
            .ok_or("an architecture is reported that was not bought")?;
        Ok(Reported {
            validation: result.validation,
            test: result.test,
        })
    }
}
