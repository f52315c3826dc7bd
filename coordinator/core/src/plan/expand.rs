//! Unfolds a study's sweeps into tasks.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use reprise_domain::study::{
    ArchSelection, EvaluatePlan, ExperimentPlan, MethodPlan, NoopPlan, Pairing, PretrainPlan,
    SearchPlan, Seeds, StudySpec,
};
use reprise_domain::{
    ArchIndex, EncodingName, EvaluateSpec, Factor, NoopSpec, PretrainSpec, ProgramSpec, SearchSpec,
    Seed, SpaceName, TaskKey, TaskSpec,
};

use super::tasks::{Builder, PlannedKeys};
use super::{Plan, PlanError, PlannedTask, Stage, task_key};

/// The most tasks of one study, about a fifth of a gigabyte of them.
pub const MAX_TASKS: usize = 1_000_000;

/// The most stages of one study: the rows of its progress display, and a bound of
/// the work of counting.
pub const MAX_STAGES: usize = 1000;

/// Unfolds `study`. `architectures` lists the indices that a selection stands
/// for, in the space's order.
pub fn plan(
    study: &StudySpec,
    architectures: &dyn Fn(&ArchSelection) -> Vec<ArchIndex>,
) -> Result<Plan, PlanError> {
    let search = study.search.as_ref();
    let searched = search.map_or(0, |search| {
        search.methods.len().saturating_mul(search.datasets.len())
    });
    let levels = study.experiments.iter().map(ExperimentPlan::levels);
    let stages = study.pretrain.len().saturating_add(searched);
    let stages = levels.fold(stages, usize::saturating_add);
    if stages > MAX_STAGES {
        return Err(PlanError::TooManyStages {
            stages,
            limit: MAX_STAGES,
        });
    }
    let mut expansion = Expansion {
        study,
        plan: Builder::default(),
        pretrained: HashMap::new(),
    };
    for (entry, pretrain) in study.pretrain.iter().enumerate() {
        expansion.pretrain(entry, pretrain)?;
    }
    if let Some(search) = search {
        expansion.search(search)?;
    }
    if let Some(evaluate) = &study.evaluate {
        expansion.evaluate(evaluate, &architectures(&evaluate.architectures))?;
    }
    if let Some(noop) = study.noop {
        expansion.noop(noop)?;
    }
    if let Some(name) = first_repeated(study.experiments.iter().map(|plan| &plan.name)) {
        let name = name.clone();
        return Err(PlanError::RepeatedExperiment { name });
    }
    for plan in &study.experiments {
        expansion.experiment(plan)?;
    }
    expansion.finish()
}

/// The tasks so far.
struct Expansion<'a> {
    study: &'a StudySpec,
    plan: Builder,
    /// Keys of the pretraining tasks of each entry, in seed order, by its title.
    pretrained: HashMap<String, Vec<TaskKey>>,
}

impl Expansion<'_> {
    fn pretrain(&mut self, entry: usize, plan: &PretrainPlan) -> Result<(), PlanError> {
        let stage = Stage::Pretrain {
            entry,
            model: plan.model,
            label: plan.name.clone(),
            level: plan.level.clone(),
        };
        check_seeds(&plan.seeds, &stage.to_string())?;
        self.reserve([plan.seeds.len()])?;
        let space = self.space("`pretrain`")?;
        let mut keys = Vec::with_capacity(plan.seeds.len());
        for seed in plan.seeds.iter() {
            let spec = PretrainSpec {
                space,
                model: plan.model,
                sizes: plan.sizes,
                epochs: plan.epochs,
                batch: plan.batch,
                learning_rate: plan.learning_rate,
                clip: plan.clip,
                latent_points: plan.latent_points,
                quirks: plan.quirks.unwrap_or(self.study.quirks.pretrain),
                seed,
            };
            keys.push(self.push(TaskSpec::Pretrain(spec), stage.clone()));
        }
        let title = plan.title();
        match self.pretrained.insert(title.clone(), keys) {
            None => Ok(()),
            Some(_) => Err(PlanError::RepeatedEntry { title }),
        }
    }

    fn search(&mut self, plan: &SearchPlan) -> Result<(), PlanError> {
        check_seeds(&plan.seeds, "search")?;
        if let Some(dataset) = first_repeated(plan.datasets.iter().map(|entry| entry.dataset)) {
            return Err(PlanError::RepeatedDataset { dataset });
        }
        let labels: Vec<String> = plan.methods.iter().map(MethodPlan::title).collect();
        if let Some(label) = first_repeated(labels.iter()) {
            return Err(PlanError::RepeatedLabel {
                label: label.clone(),
            });
        }
        let space = self.space("`search`")?;
        for (method, label) in plan.methods.iter().zip(&labels) {
            let encodings = self.encodings(label, method.encoding.as_deref())?;
            let trials = self.trials(plan, &encodings)?;
            for entry in &plan.datasets {
                let stage = Stage::Search {
                    method: method.label.clone(),
                    dataset: entry.dataset,
                    level: method.level.clone(),
                };
                for &(seed, encoding) in &trials {
                    let spec = SearchSpec {
                        space,
                        dataset: entry.dataset,
                        benchmark: plan.benchmark,
                        method: method.method,
                        encoding,
                        budget: entry.budget,
                        quirks: method.quirks.unwrap_or(self.study.quirks.search),
                        seed,
                    };
                    self.push(TaskSpec::Search(spec), stage.clone());
                }
            }
        }
        Ok(())
    }

    /// The seed of every trial of a method on a data set, and what it sees.
    fn trials(
        &mut self,
        plan: &SearchPlan,
        encodings: &[EncodingName],
    ) -> Result<Vec<(Seed, EncodingName)>, PlanError> {
        let rounds = match plan.pairing {
            Pairing::InTurn => 1,
            Pairing::Crossed => encodings.len(),
        };
        self.reserve([plan.datasets.len(), plan.seeds.len(), rounds])?;
        let mut trials = Vec::with_capacity(plan.seeds.len() * rounds);
        for round in 0..rounds {
            // All seeds of an embedding follow each other, which is how a plan is kept in
            // the fewest bytes.
            trials.extend(plan.seeds.iter().enumerate().map(|(position, seed)| {
                let encoding = match plan.pairing {
                    Pairing::InTurn => encodings[position % encodings.len()],
                    Pairing::Crossed => encodings[round],
                };
                (seed, encoding)
            }));
        }
        Ok(trials)
    }

    /// What the trials of a method see, to be dealt out in turn; never empty.
    fn encodings(&self, label: &str, entry: Option<&str>) -> Result<Vec<EncodingName>, PlanError> {
        let Some(entry) = entry else {
            return Ok(vec![EncodingName::Discrete]);
        };
        let keys =
            self.pretrained
                .get(entry)
                .ok_or_else(|| PlanError::EncodingWithoutPretrain {
                    label: label.to_owned(),
                    entry: entry.to_owned(),
                })?;
        Ok(keys
            .iter()
            .map(|&pretrain| EncodingName::Embedding { pretrain })
            .collect())
    }

    fn evaluate(
        &mut self,
        plan: &EvaluatePlan,
        architectures: &[ArchIndex],
    ) -> Result<(), PlanError> {
        check_seeds(&plan.seeds, "evaluate")?;
        self.reserve([architectures.len(), plan.seeds.len()])?;
        let space = self.space("`evaluate`")?;
        for &arch in architectures {
            for seed in plan.seeds.iter() {
                let spec = EvaluateSpec {
                    space,
                    arch,
                    dataset: plan.dataset,
                    recipe: plan.recipe,
                    seed,
                };
                self.push(TaskSpec::Evaluate(spec), Stage::Evaluate);
            }
        }
        Ok(())
    }

    fn noop(&mut self, plan: NoopPlan) -> Result<(), PlanError> {
        self.reserve([plan.tasks as usize])?;
        for seed in 1..=u64::from(plan.tasks) {
            let spec = NoopSpec {
                seed: Seed(seed),
                hold_ms: plan.hold_ms,
                failures: plan.failures,
            };
            self.push(TaskSpec::Noop(spec), Stage::Noop);
        }
        Ok(())
    }

    /// Every combination of the factors' values, the last factor's first, with every
    /// seed.
    fn experiment(&mut self, plan: &ExperimentPlan) -> Result<(), PlanError> {
        check_seeds(&plan.seeds, &format!("experiment `{}`", plan.name))?;
        self.reserve([plan.levels(), plan.seeds.len()])?;
        let mut metrics: Vec<String> = plan.metrics.iter().map(|m| m.name.clone()).collect();
        metrics.sort_unstable();
        for place in 0..plan.levels() {
            let level = level(plan, place);
            let parameters = level.iter().cloned();
            let mut spec = ProgramSpec {
                command: plan.command.clone(),
                files: plan.files.clone(),
                parameters: parameters
                    .map(|Factor { name, value }| (name, value))
                    .collect(),
                metrics: metrics.clone(),
                needs: plan.needs,
                limits: plan.uses,
                seed: Seed(0),
            };
            let stage = Stage::Experiment {
                experiment: plan.name.clone(),
                level,
            };
            for seed in plan.seeds.iter() {
                spec.seed = seed;
                self.push(TaskSpec::Program(spec.clone()), stage.clone());
            }
        }
        Ok(())
    }

    fn space(&self, section: &'static str) -> Result<SpaceName, PlanError> {
        self.study.space.ok_or(PlanError::NoSpace { section })
    }

    /// Checks the number of tasks before any of them takes memory.
    fn reserve<const N: usize>(&mut self, factors: [usize; N]) -> Result<(), PlanError> {
        let added = factors.into_iter().try_fold(1, usize::checked_mul);
        match added.and_then(|added| added.checked_add(self.plan.len())) {
            Some(total) if total <= MAX_TASKS => {
                self.plan.reserve(total - self.plan.len());
                Ok(())
            }
            _ => Err(PlanError::TooManyTasks { limit: MAX_TASKS }),
        }
    }

    fn push(&mut self, spec: TaskSpec, stage: Stage) -> TaskKey {
        let key = task_key(&spec);
        self.plan.push(&PlannedTask { key, spec, stage });
        key
    }

    fn finish(self) -> Result<Plan, PlanError> {
        let plan = self.plan.finish();
        if plan.is_empty() {
            return Err(PlanError::NoTasks);
        }
        let mut seen = PlannedKeys::none_of(&plan);
        for (place, task) in plan.tasks().enumerate() {
            if let Some(first) = seen.find(task.key) {
                return Err(PlanError::RepeatedTask {
                    title: task.spec.to_string(),
                    first: first.stage,
                    second: task.stage,
                });
            }
            seen.insert(place);
        }
        Ok(plan)
    }
}

/// One of the combinations of the factors' values.
fn level(plan: &ExperimentPlan, mut place: usize) -> Vec<Factor> {
    let mut level: Vec<Factor> = Vec::with_capacity(plan.grid.len());
    for factor in plan.grid.iter().rev() {
        let count = factor.values.len();
        level.push(Factor {
            name: factor.name.clone(),
            value: factor.values[place % count].clone(),
        });
        place /= count;
    }
    level.reverse();
    level
}

fn check_seeds(seeds: &Seeds, sweep: &str) -> Result<(), PlanError> {
    if seeds.is_empty() {
        return Err(PlanError::NoSeeds {
            sweep: sweep.to_owned(),
        });
    }
    match first_repeated(seeds.iter()) {
        None => Ok(()),
        Some(seed) => Err(PlanError::RepeatedSeed {
            sweep: sweep.to_owned(),
            seed,
        }),
    }
}

fn first_repeated<T: Eq + Hash + Copy>(items: impl Iterator<Item = T>) -> Option<T> {
    let mut seen = HashSet::new();
    items.into_iter().find(|&item| !seen.insert(item))
}
