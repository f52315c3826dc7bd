//! What a plan will take: how many of its tasks are left, and how long these run by
//! what was measured, else by the rates of the benchmarks. Pure: where finished tasks
//! are looked up is [`known`]'s caller's.
//!
//! Where there is no rate there is no estimate, and never zero.

pub mod known;
mod rates;

use reprise_core::plan::{Plan, PlannedTask};
use reprise_domain::{Stage, TaskSpec};
use serde::Serialize;

use known::Known;

const HOUR: f64 = 3600.0;

/// Where an estimate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Finished tasks that differ in their seeds only.
    Measured,
    /// The rates of the benchmarks.
    Rates,
    /// Nothing is left to run.
    Cached,
    /// There is none.
    None,
}

impl Source {
    /// The source as tables have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Rates => "rates",
            Self::Cached => "cached",
            Self::None => "no estimate",
        }
    }
}

/// What a stage will take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageOutlook {
    /// Its name, for people.
    pub name: String,
    /// Which stage.
    #[serde(flatten)]
    pub stage: Stage,
    /// Its tasks.
    pub tasks: u64,
    /// Those that are finished already.
    pub cached: u64,
    /// Those that will run.
    pub left: u64,
    /// Where the hours come from.
    pub source: Source,
    /// Finished tasks that were measured.
    pub measured_tasks: u64,
    /// Hours of one core that those left take together, if they run on processors.
    pub core_hours: Option<f64>,
    /// Hours of a graphics card that they take instead of the core hours, if they run on
    /// one; of programs that need cards, beside the core hours.
    pub gpu_hours: Option<f64>,
}

/// What a study will take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outlook {
    /// Its stages, in plan order.
    pub stages: Vec<StageOutlook>,
    /// All tasks.
    pub tasks: u64,
    /// Those that are finished already.
    pub cached: u64,
    /// Those that will run.
    pub left: u64,
    /// Core hours of the stages that have an estimate; nothing where none has.
    pub core_hours: Option<f64>,
    /// Tasks without an estimate, which are not in the hours.
    pub tasks_without_estimate: u64,
}

impl Outlook {
    /// What `plan` takes where `known` is finished.
    pub fn of(plan: &Plan, known: &Known) -> Self {
        // Each with its first task, which the others are like.
        let mut stages: Vec<(TaskSpec, StageOutlook)> = Vec::new();
        for task in plan.tasks() {
            // Tasks of a stage follow each other.
            if stages
                .last()
                .is_none_or(|(_, last)| last.stage != task.stage)
            {
                stages.push((task.spec.clone(), begun(&task)));
            }
            if let Some((_, outlook)) = stages.last_mut() {
                outlook.tasks += 1;
                if known.is_finished(task.key) {
                    outlook.cached += 1;
                } else {
                    outlook.left += 1;
                }
            }
        }
        let stages: Vec<_> = stages
            .into_iter()
            .map(|(example, outlook)| finished(&example, outlook, known))
            .collect();
        let sum = |of: fn(&StageOutlook) -> u64| stages.iter().map(of).sum();
        let hours = stages.iter().filter_map(|stage| stage.core_hours);
        let without = stages.iter().filter(|stage| stage.source == Source::None);
        Self {
            tasks: sum(|stage| stage.tasks),
            cached: sum(|stage| stage.cached),
            left: sum(|stage| stage.left),
            core_hours: hours.reduce(|sum, hours| sum + hours),
            tasks_without_estimate: without.map(|stage| stage.left).sum(),
            stages,
        }
    }
}

fn begun(task: &PlannedTask) -> StageOutlook {
    StageOutlook {
        name: task.stage.to_string(),
        stage: task.stage.clone(),
        tasks: 0,
        cached: 0,
        left: 0,
        source: Source::None,
        measured_tasks: 0,
        core_hours: None,
        gpu_hours: None,
    }
}

/// A stage with its hours, by what tasks like `example` take.
fn finished(example: &TaskSpec, outlook: StageOutlook, known: &Known) -> StageOutlook {
    let left = outlook.left as f64;
    let needs = match example {
        TaskSpec::Program(spec) => (f64::from(spec.needs.cores), spec.needs.gpus),
        _ => (1.0, 0),
    };
    if outlook.left == 0 {
        return StageOutlook {
            source: Source::Cached,
            core_hours: Some(0.0),
            ..outlook
        };
    }
    if let Some(measured) = known.measured(example) {
        let hours = left * measured.seconds / measured.tasks as f64 / HOUR;
        return StageOutlook {
            source: Source::Measured,
            measured_tasks: measured.tasks,
            core_hours: Some(hours * needs.0),
            gpu_hours: (needs.1 > 0).then(|| hours * f64::from(needs.1)),
            ..outlook
        };
    }
    let core = rates::core_seconds(example);
    StageOutlook {
        source: core.map_or(Source::None, |_| Source::Rates),
        core_hours: core.map(|seconds| left * seconds / HOUR),
        gpu_hours: rates::card_seconds(example, outlook.left).map(|all| all / HOUR),
        ..outlook
    }
}

#[cfg(test)]
mod tests {
    use reprise_core::plan::plan;

    use super::*;

    const STUDY: &str = "version: 1
name: sizes
space: nasbench201
pretrain: [{model: arch2vec, seeds: 1..4, sizes: {latent: [8, 16]}}]
experiments:
  - {name: port, command: [train, '{seed}'], metrics: [loss], seeds: 1..3, needs: {cores: 2, gpus: 1}}
";

    fn planned() -> Plan {
        let file = reprise_study::parse("study.yaml", STUDY).unwrap();
        plan(&file.resolve(None).unwrap(), &|_| Vec::new()).unwrap()
    }

    #[test]
    fn what_is_not_known_is_not_zero() {
        let outlook = Outlook::of(&planned(), &Known::default());
        let [small, large, port] = &outlook.stages[..] else {
            panic!("{outlook:?}");
        };
        assert_eq!(small.name, "pretrain arch2vec latent=8");
        assert_eq!((small.tasks, small.cached, small.left), (4, 0, 4));
        assert_eq!(small.source, Source::Rates);
        assert!(small.core_hours.unwrap() > 0.0 && small.gpu_hours.unwrap() > 0.0);
        assert_eq!(
            small.core_hours, large.core_hours,
            "the latent size costs nothing"
        );
        assert_eq!((port.source, port.core_hours), (Source::None, None));
        assert_eq!(outlook.tasks_without_estimate, 3);
        let both = small.core_hours.unwrap() * 2.0;
        assert!((outlook.core_hours.unwrap() - both).abs() < 1e-12);
    }

    #[test]
    fn finished_tasks_are_cached_and_measured() {
        let plan = planned();
        let mut known = Known::default();
        for task in plan.tasks().take(2) {
            known.add(task.key, &task.spec, 90.0);
        }
        let port = plan.tasks().nth(8).unwrap();
        known.add(port.key, &port.spec, 1800.0);
        let outlook = Outlook::of(&plan, &known);
        let [small, large, port] = &outlook.stages[..] else {
            panic!("{outlook:?}");
        };
        assert_eq!((small.cached, small.left, small.measured_tasks), (2, 2, 2));
        assert_eq!(small.source, Source::Measured);
        assert!((small.core_hours.unwrap() - 180.0 / 3600.0).abs() < 1e-12);
        assert_eq!(large.source, Source::Rates, "another size is another task");
        assert!((port.core_hours.unwrap() - 2.0).abs() < 1e-12, "two cores");
        assert!((port.gpu_hours.unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(outlook.tasks_without_estimate, 0);
    }
}
