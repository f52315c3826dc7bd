//! The tasks of a study in little memory. In a journal they stand one by one; here
//! what they share is kept once.

use std::collections::HashMap;
use std::fmt;

use hashbrown::HashTable;
use reprise_domain::{ArchIndex, Seed, TaskKey, TaskSpec};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::key::hash;
use super::sweep::{arch, blank, filled};
use super::{PlannedTask, Stage};

/// The tasks of a study.
///
/// The order is the order of work: every task comes after the tasks whose
/// artifacts it reads, and what unblocks others comes first. No key occurs twice.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan(Box<Tables>);

#[derive(Debug, Clone, PartialEq, Default)]
struct Tables {
    rows: Vec<Row>,
    stages: Vec<Stage>,
    /// Specs without what differs from task to task.
    sweeps: Vec<TaskSpec>,
    /// Tasks that others read.
    inputs: Vec<TaskKey>,
}

/// A task, by its places in the other tables.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Row {
    key: TaskKey,
    seed: Seed,
    sweep: u32,
    stage: u32,
    aspect: Aspect,
}

/// What a spec has beside its sweep and its seed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Aspect {
    Plain,
    Arch(ArchIndex),
    Input(u32),
}

impl Plan {
    /// How many tasks it has.
    pub fn len(&self) -> usize {
        self.0.rows.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.rows.is_empty()
    }

    /// The tasks in order.
    pub fn tasks(&self) -> impl ExactSizeIterator<Item = PlannedTask> {
        (0..self.0.rows.len()).map(|place| self.task(place))
    }

    fn task(&self, place: usize) -> PlannedTask {
        let row = self.0.rows[place];
        let (arch, input) = match row.aspect {
            Aspect::Plain => (None, None),
            Aspect::Arch(arch) => (Some(arch), None),
            Aspect::Input(input) => (None, Some(self.0.inputs[input as usize])),
        };
        PlannedTask {
            key: row.key,
            spec: filled(&self.0.sweeps[row.sweep as usize], row.seed, arch, input),
            stage: self.0.stages[row.stage as usize].clone(),
        }
    }
}

impl FromIterator<PlannedTask> for Plan {
    fn from_iter<I: IntoIterator<Item = PlannedTask>>(tasks: I) -> Self {
        let mut builder = Builder::default();
        for task in tasks {
            builder.push(&task);
        }
        builder.finish()
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.tasks())
    }
}

impl<'de> Deserialize<'de> for Plan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tasks;

        impl<'de> Visitor<'de> for Tasks {
            type Value = Plan;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("planned tasks")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut tasks: A) -> Result<Plan, A::Error> {
                let mut builder = Builder::default();
                while let Some(task) = tasks.next_element()? {
                    builder.push(&task);
                }
                Ok(builder.finish())
            }
        }

        deserializer.deserialize_seq(Tasks)
    }
}

/// A plan in the making.
#[derive(Debug, Default)]
pub(super) struct Builder {
    plan: Tables,
    inputs: HashMap<TaskKey, u32>,
}

impl Builder {
    pub(super) fn len(&self) -> usize {
        self.plan.rows.len()
    }

    pub(super) fn reserve(&mut self, more: usize) {
        self.plan.rows.reserve_exact(more);
    }

    pub(super) fn push(&mut self, task: &PlannedTask) {
        let plan = &mut self.plan;
        let aspect = match (task.spec.inputs().first(), arch(&task.spec)) {
            (Some(input), _) => Aspect::Input(*self.inputs.entry(*input).or_insert_with(|| {
                plan.inputs.push(*input);
                plan.inputs.len() as u32 - 1
            })),
            (None, Some(arch)) => Aspect::Arch(arch),
            (None, None) => Aspect::Plain,
        };
        plan.rows.push(Row {
            key: task.key,
            seed: task.spec.seed(),
            sweep: place(&mut plan.sweeps, &blank(&task.spec)),
            stage: place(&mut plan.stages, &task.stage),
            aspect,
        });
    }

    pub(super) fn finish(self) -> Plan {
        Plan(Box::new(self.plan))
    }
}

/// Position of a value, added at need. Tasks of a stage follow each other, so it
/// is the last one nearly always.
fn place<T: PartialEq + Clone>(known: &mut Vec<T>, value: &T) -> u32 {
    let place = known.iter().rposition(|known| known == value);
    let place = place.unwrap_or_else(|| {
        known.push(value.clone());
        known.len() - 1
    });
    place as u32
}

/// Keys of a plan, to be looked up: those of the tasks up to some point.
#[derive(Debug)]
pub(crate) struct PlannedKeys<'a> {
    plan: &'a Plan,
    places: HashTable<u32>,
}

impl<'a> PlannedKeys<'a> {
    /// No keys of `plan` yet.
    pub(crate) fn none_of(plan: &'a Plan) -> Self {
        Self {
            plan,
            places: HashTable::with_capacity(plan.len()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The first task of this key.
    pub(crate) fn find(&self, key: TaskKey) -> Option<PlannedTask> {
        let same = |place: &u32| self.plan.0.rows[*place as usize].key == key;
        let place = self.places.find(hash(key), same)?;
        Some(self.plan.task(*place as usize))
    }

    pub(crate) fn contains(&self, key: TaskKey) -> bool {
        let same = |place: &u32| self.plan.0.rows[*place as usize].key == key;
        self.places.find(hash(key), same).is_some()
    }

    /// Adds the key of the task at a place; says whether it was new.
    pub(crate) fn insert(&mut self, place: usize) -> bool {
        let rows = &self.plan.0.rows;
        let key = rows[place].key;
        let is_new = !self.contains(key);
        if is_new {
            self.places.insert_unique(hash(key), place as u32, |place| {
                hash(rows[*place as usize].key)
            });
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use reprise_domain::{Dataset, EvaluateSpec, NoopSpec, Recipe, SpaceName};

    use super::*;
    use crate::plan::task_key;

    #[test]
    fn tasks_come_out_as_they_went_in() {
        let noop = |seed| {
            TaskSpec::Noop(NoopSpec {
                seed: Seed(seed),
                hold_ms: 3,
                failures: 0,
            })
        };
        let evaluate = |arch, seed| {
            TaskSpec::Evaluate(EvaluateSpec {
                space: SpaceName::Nasbench201,
                arch: ArchIndex(arch),
                dataset: Dataset::Digits,
                recipe: Recipe::DigitsSmall,
                seed: Seed(seed),
            })
        };
        let specs = [evaluate(7, 1), evaluate(9, 1), noop(4), evaluate(7, 2)];
        let tasks = specs.map(|spec| PlannedTask {
            key: task_key(&spec),
            stage: match spec {
                TaskSpec::Noop(_) => Stage::Noop,
                _ => Stage::Evaluate,
            },
            spec,
        });
        let plan: Plan = tasks.iter().cloned().collect();
        assert_eq!((plan.0.sweeps.len(), plan.0.stages.len()), (2, 2));
        assert!(plan.tasks().eq(tasks.iter().cloned()));
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(text, serde_json::to_string(&tasks).unwrap());
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }
}
