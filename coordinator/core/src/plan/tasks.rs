//! The tasks of a study in little memory: what they share is kept once. How they are
//! written is in [`form`](super::form).

use std::collections::HashMap;
use std::fmt;

use hashbrown::HashTable;
use reprise_domain::{ArchIndex, Seed, TaskKey, TaskSpec};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::form::Form;
use super::key::{hash, task_key_of};
use super::sweep::{arch, blank, filled};
use super::{PlannedTask, Stage};

/// The tasks of a study.
///
/// The order is the order of work: every task comes after the tasks whose
/// artifacts it reads, and what unblocks others comes first. No key occurs twice.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan(Box<Tables>);

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Tables {
    pub(super) rows: Vec<Row>,
    pub(super) stages: Vec<Stage>,
    pub(super) sweeps: Vec<Sweep>,
    /// Tasks that others read.
    pub(super) inputs: Vec<TaskKey>,
}

/// What the tasks of a sweep have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sweep {
    /// Version of the algorithm that the keys are of; none where they are of no known
    /// one.
    pub(super) version: Option<u32>,
    /// The spec without what differs from task to task.
    pub(super) spec: TaskSpec,
}

/// A task, by its places in the other tables.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row {
    pub(super) key: TaskKey,
    pub(super) seed: Seed,
    pub(super) sweep: u32,
    pub(super) stage: u32,
    pub(super) aspect: Aspect,
}

/// What a spec has beside its sweep and its seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Aspect {
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
            spec: filled(
                &self.0.sweeps[row.sweep as usize].spec,
                row.seed,
                arch,
                input,
            ),
            stage: self.0.stages[row.stage as usize].clone(),
        }
    }
}

impl FromIterator<PlannedTask> for Plan {
    fn from_iter<I: IntoIterator<Item = PlannedTask>>(tasks: I) -> Self {
        let mut builder = Builder::default();
        for task in tasks {
            builder.push_known(&task);
        }
        builder.finish()
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Form::from(self.0.as_ref()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Plan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Plan;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("planned tasks")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Plan, A::Error> {
                let form = Form::deserialize(MapAccessDeserializer::new(map))?;
                let tables = form.try_into().map_err(A::Error::custom)?;
                Ok(Plan(Box::new(tables)))
            }

            /// Task by task, as the first journals have it.
            fn visit_seq<A: SeqAccess<'de>>(self, mut tasks: A) -> Result<Plan, A::Error> {
                let mut builder = Builder::default();
                while let Some(task) = tasks.next_element()? {
                    builder.push_known(&task);
                }
                Ok(builder.finish())
            }
        }

        deserializer.deserialize_any(Either)
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

    /// Adds a task whose key is that of the present version.
    pub(super) fn push(&mut self, task: &PlannedTask) {
        self.push_of(Some(task.spec.algorithm_version()), task);
    }

    /// Adds a task whose key may be that of an earlier version.
    fn push_known(&mut self, task: &PlannedTask) {
        let mut versions = (1..=task.spec.algorithm_version()).rev();
        let version = versions.find(|version| task_key_of(*version, &task.spec) == task.key);
        self.push_of(version, task);
    }

    fn push_of(&mut self, version: Option<u32>, task: &PlannedTask) {
        let plan = &mut self.plan;
        let aspect = match (task.spec.inputs().first(), arch(&task.spec)) {
            (Some(input), _) => Aspect::Input(*self.inputs.entry(*input).or_insert_with(|| {
                plan.inputs.push(*input);
                plan.inputs.len() as u32 - 1
            })),
            (None, Some(arch)) => Aspect::Arch(arch),
            (None, None) => Aspect::Plain,
        };
        let sweep = Sweep {
            version,
            spec: blank(&task.spec),
        };
        plan.rows.push(Row {
            key: task.key,
            seed: task.spec.seed(),
            sweep: place(&mut plan.sweeps, &sweep),
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
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
        // As the first journals have it.
        let text = serde_json::to_string(&tasks).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }

    #[test]
    fn keys_of_no_known_version_are_kept_as_they_are() {
        let spec = TaskSpec::Noop(NoopSpec {
            seed: Seed(1),
            hold_ms: 0,
            failures: 0,
        });
        let task = PlannedTask {
            key: TaskKey(reprise_domain::Digest::from_bytes([7; 32])),
            stage: Stage::Noop,
            spec,
        };
        let plan: Plan = [task.clone()].into_iter().collect();
        let text = serde_json::to_string(&plan).unwrap();
        let read: Plan = serde_json::from_str(&text).unwrap();
        assert!(read.tasks().eq([task]), "{text}");
    }

    #[test]
    fn a_form_whose_tasks_are_not_those_that_were_planned_is_refused() {
        let specs = (1..=1000).map(|seed| {
            TaskSpec::Noop(NoopSpec {
                seed: Seed(seed),
                hold_ms: 3,
                failures: 0,
            })
        });
        let plan: Plan = specs
            .map(|spec| PlannedTask {
                key: task_key(&spec),
                stage: Stage::Noop,
                spec,
            })
            .collect();
        let text = serde_json::to_string(&plan).unwrap();
        assert!(text.len() < 400, "{text}");
        for (from, to) in [
            ("[1,1,1000]", "[1,1,999]"),
            ("[1,1,1000]", "[1,2,1000]"),
            ("[1,1,1000]", "[1,1,1001]"),
            ("\"tasks\":1000", "\"tasks\":4000000000"),
            ("\"hold-ms\":3", "\"hold-ms\":2"),
            ("\"version\":1", "\"version\":2"),
            ("\"sweep\":0", "\"sweep\":1"),
            ("\"stage\":0", "\"stage\":1"),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text, "{from}");
            assert!(serde_json::from_str::<Plan>(&changed).is_err(), "{changed}");
        }
    }
}
