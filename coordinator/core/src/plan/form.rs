//! The form in which a plan is journalled: sweeps instead of tasks.
//!
//! Neighbouring tasks of a sweep differ in few numbers, which run on regularly, so
//! that a million tasks take some hundred bytes. Their keys are computed again when
//! the form is read, by the version of the algorithm that they were planned for, and
//! compared with one digest over all of them. Keys that no known version gives are
//! written out.

use reprise_domain::{ArchIndex, Digest, Seed, TaskKey, TaskSpec};
use serde::{Deserialize, Serialize};

use super::MAX_TASKS;
use super::key::task_key_of;
use super::sweep::{blank, filled};
use super::tasks::{Aspect, Row, Sweep, Tables};
use crate::plan::Stage;

/// A plan as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Form {
    stages: Vec<Stage>,
    sweeps: Vec<Sweep>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<TaskKey>,
    runs: Vec<Run>,
    /// Over the keys of all tasks in order.
    digest: Digest,
}

/// Tasks of one sweep and one stage that follow each other.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    sweep: u32,
    stage: u32,
    tasks: u32,
    seeds: Column,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    archs: Option<Column>,
    /// Places in the table of inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inputs: Option<Column>,
    /// Only where they cannot be computed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<TaskKey>,
}

/// Numbers as arithmetic progressions of a first number, a step and a length,
/// repeated from the beginning for as long as there are tasks.
#[derive(Debug, Serialize, Deserialize)]
struct Column(Vec<(u64, i64, u32)>);

impl Column {
    fn of(values: &[u64]) -> Self {
        let mut rest = &values[..period(values)];
        let mut progressions = Vec::new();
        while let Some(&first) = rest.first() {
            let step = rest.get(1).map_or(0, |second| second.wrapping_sub(first));
            let follows = |pair: &&[u64]| pair[1] == pair[0].wrapping_add(step);
            let length = 1 + rest.windows(2).take_while(follows).count();
            progressions.push((first, step.cast_signed(), length as u32));
            rest = &rest[length..];
        }
        Self(progressions)
    }

    /// The numbers of `tasks` tasks.
    fn expand(&self, tasks: usize) -> Result<Vec<u64>, String> {
        let mut values = Vec::with_capacity(tasks);
        for &(first, step, length) in &self.0 {
            if length as usize > tasks - values.len() {
                return Err("a run of tasks is longer than it says".to_owned());
            }
            let next = |value: &u64| Some(value.wrapping_add(step.cast_unsigned()));
            values.extend(std::iter::successors(Some(first), next).take(length as usize));
        }
        let period = values.len();
        if period == 0 && tasks > 0 {
            return Err("a run of tasks has no values".to_owned());
        }
        for place in period..tasks {
            values.push(values[place - period]);
        }
        Ok(values)
    }
}

/// After how many numbers they begin anew; all of them where they do not.
fn period(values: &[u64]) -> usize {
    let again = values.iter().skip(1).position(|value| *value == values[0]);
    let period = again.map_or(values.len(), |place| place + 1);
    let repeats = values[period..].iter().zip(values).all(|(a, b)| a == b);
    if repeats { period } else { values.len() }
}

impl From<&Tables> for Form {
    fn from(plan: &Tables) -> Self {
        let together = |a: &Row, b: &Row| (a.sweep, a.stage) == (b.sweep, b.stage);
        let runs = plan.rows.chunk_by(together).map(|rows| {
            let column = |number: &dyn Fn(&Row) -> Option<u64>| {
                let values: Option<Vec<u64>> = rows.iter().map(number).collect();
                values.map(|values| Column::of(&values))
            };
            let known = plan.sweeps[rows[0].sweep as usize].version.is_some();
            Run {
                sweep: rows[0].sweep,
                stage: rows[0].stage,
                tasks: rows.len() as u32,
                seeds: Column::of(&rows.iter().map(|row| row.seed.0).collect::<Vec<_>>()),
                archs: column(&|row| match row.aspect {
                    Aspect::Arch(arch) => Some(u64::from(arch.0)),
                    _ => None,
                }),
                inputs: column(&|row| match row.aspect {
                    Aspect::Input(input) => Some(u64::from(input)),
                    _ => None,
                }),
                keys: if known {
                    Vec::new()
                } else {
                    rows.iter().map(|row| row.key).collect()
                },
            }
        });
        Self {
            stages: plan.stages.clone(),
            sweeps: plan.sweeps.clone(),
            inputs: plan.inputs.clone(),
            runs: runs.collect(),
            digest: digest(&plan.rows),
        }
    }
}

impl TryFrom<Form> for Tables {
    type Error = String;

    fn try_from(form: Form) -> Result<Self, String> {
        let tasks = form.runs.iter().map(|run| run.tasks as usize);
        let tasks = tasks.fold(0, usize::saturating_add);
        if tasks > MAX_TASKS {
            return Err(format!("a plan of {tasks} tasks"));
        }
        let mut rows = Vec::with_capacity(tasks);
        for run in &form.runs {
            form.expand(run, &mut rows)?;
        }
        if digest(&rows) != form.digest {
            return Err("the keys of the tasks do not match their digest".to_owned());
        }
        Ok(Self {
            rows,
            stages: form.stages,
            sweeps: form.sweeps,
            inputs: form.inputs,
        })
    }
}

impl Form {
    /// Adds the tasks of a run.
    fn expand(&self, run: &Run, rows: &mut Vec<Row>) -> Result<(), String> {
        let sweep = self.sweeps.get(run.sweep as usize);
        let sweep = sweep.ok_or("a run of an unknown sweep")?;
        if run.stage as usize >= self.stages.len() {
            return Err("a run of an unknown stage".to_owned());
        }
        if blank(&sweep.spec) != sweep.spec {
            return Err("a sweep is not blank".to_owned());
        }
        let tasks = run.tasks as usize;
        let seeds = run.seeds.expand(tasks)?;
        let column = |column: &Option<Column>| column.as_ref().map(|c| c.expand(tasks));
        let archs = column(&run.archs).transpose()?;
        let inputs = column(&run.inputs).transpose()?;
        let (has_arch, has_input) = (archs.is_some(), inputs.is_some());
        if has_arch != matches!(sweep.spec, TaskSpec::Evaluate(_))
            || has_input == sweep.spec.inputs().is_empty()
        {
            return Err(
                "a run lacks its architectures or inputs, or has none of its own".to_owned(),
            );
        }
        for place in 0..tasks {
            let seed = Seed(seeds[place]);
            let arch = archs.as_ref().map(|archs| archs[place]);
            let arch = arch.map(u32::try_from).transpose();
            let arch = arch.map_err(|error| error.to_string())?.map(ArchIndex);
            let place_of_input = inputs.as_ref().map(|inputs| inputs[place]);
            let input = place_of_input.map(|input| self.inputs.get(input as usize).copied());
            if input == Some(None) {
                return Err("a task of an unknown input".to_owned());
            }
            let key = match sweep.version {
                Some(version) => {
                    let spec = filled(&sweep.spec, seed, arch, input.flatten());
                    task_key_of(version, &spec)
                }
                None => *run.keys.get(place).ok_or("a task without a key")?,
            };
            rows.push(Row {
                key,
                seed,
                sweep: run.sweep,
                stage: run.stage,
                aspect: match (arch, place_of_input) {
                    (_, Some(input)) => Aspect::Input(input as u32),
                    (Some(arch), None) => Aspect::Arch(arch),
                    (None, None) => Aspect::Plain,
                },
            });
        }
        Ok(())
    }
}

fn digest(rows: &[Row]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for row in rows {
        hasher.update(row.key.0.as_bytes());
    }
    Digest::from_bytes(hasher.finalize().into())
}
