//! What must hold, by name.
//!
//! Checked by [`check`] after every step in tests and, while the state is small,
//! in debug builds:
//!
//! * **INV-1** A task is finished by exactly one report, the first that is durable;
//!   at most two attempts of it are current, on two workers. A result of any attempt
//!   finishes a task that is open; once it is finished, later ones change nothing.
//!   Here: a leased task is held by exactly the workers that its leases name.
//! * **INV-4** What live attempts hold of a worker never exceeds what it offered.
//!   Here: the credit in use is the sum of the costs of what is held, and within
//!   the worker's limit.
//! * Counts, queues and orders say the same as the tasks that they are about.
//!
//! Kept by construction or checked elsewhere:
//!
//! * **INV-2** A terminal outcome never changes, with one exception that is
//!   journalled and shown: a task whose result lacks a file, or that a client
//!   invalidates, is opened again (`Event::Reopened`). No other transition leaves
//!   `Finished` (asserted where a task moves on; the simulated cluster compares
//!   results). What was given up or cancelled starts afresh only on a client's
//!   request.
//! * **INV-3** Reports are idempotent by (attempt, sequence): the attempt number
//!   is the sequence, and a second report of an attempt is never current.
//! * **INV-5** Replaying the journal gives the state; there is no other source of
//!   state. The simulated cluster rebuilds the state from its events and compares.
//! * **INV-6** A journal record is durable before any effect of it is visible
//!   outside: a step separates events from actions; the shell keeps the order.
//! * **INV-7** A run's numbers are a function of its task key only, of pretrainings and
//!   real trainings of the kind of device as well: results that differ are reported
//!   (`Event::Disputed`); workers keep the rest of it.
//! * **INV-8** Statistics are a function of stored outcomes only: the package
//!   `reprise-stats`.
//! * **INV-9** No test-split value is ever visible to a search method: the package
//!   `reprise-search`. The core sees digests of results, never their numbers.

use std::collections::{BTreeMap, BTreeSet};

use reprise_domain::status::AuditCounts;

use super::audit::counter;
use super::state::State;
use super::study::{Control, Study, StudyIx};
use super::task::{Audit, Phase, Task, TaskIx, TaskState};
use crate::scheduler::{LoadKey, ReadyQueue};

/// Checks the whole state; the message names what does not hold.
pub(crate) fn check(state: &State) -> Result<(), String> {
    let mut ready = BTreeMap::new();
    let mut backoffs = BTreeSet::new();
    for (row, task) in state.tasks.iter().enumerate() {
        let ix = TaskIx(row as u32);
        check_task(state, ix, task).map_err(|broken| format!("task {row}: {broken}"))?;
        match task.state {
            TaskState::Ready => *ready.entry(state.tasks.class(ix)).or_insert(0) += 1,
            TaskState::BackingOff { until } => {
                backoffs.insert((until, ix));
            }
            _ => {}
        }
    }
    for (class, count) in &ready {
        let counted = state.classes.row(*class).ready;
        ensure(counted == *count, || {
            format!("{class:?} counts {counted} ready, has {count}")
        })?;
    }
    let counted: u32 = state.classes.rows().iter().map(|row| row.ready).sum();
    ensure(counted == ready.values().sum::<u32>(), || {
        "ready tasks are miscounted".to_owned()
    })?;
    ensure(backoffs == state.backoffs, || {
        "the waits differ from the tasks'".to_owned()
    })?;
    let studies = state.studies.iter().enumerate();
    for (row, study) in studies.filter(|(_, study)| study.control != Control::Deleted) {
        check_study(state, StudyIx(row as u32), study)
            .map_err(|broken| format!("study `{}`: {broken}", study.spec.name))?;
    }
    let runnable = state.studies.iter().filter(|study| study.runnable).count();
    ensure(runnable == state.fair.len(), || {
        "the fair order has a stranger".to_owned()
    })?;
    check_workers(state)
}

fn check_task(state: &State, ix: TaskIx, task: &Task) -> Result<(), String> {
    let phase = task.state.phase();
    ensure(task.input().is_none_or(|input| input < ix), || {
        "comes before what it reads".to_owned()
    })?;
    let audit = task.extra().audit;
    let is_audited = matches!(audit, Some(Audit::Running { .. }));
    ensure(audit.is_none() || phase == Phase::Finished, || {
        "an audit of a task that has not finished".to_owned()
    })?;
    let is_due = matches!(audit, Some(Audit::Due { .. }));
    ensure(is_due == state.audits.contains(&ix), || {
        "its audit is not in the order of audits, or wrongly".to_owned()
    })?;
    ensure(
        task.extra().second.is_none() || phase == Phase::Leased || is_audited,
        || "INV-1: a second attempt without a first one".to_owned(),
    )?;
    ensure(!is_audited || task.extra().second.is_some(), || {
        "an audit without an attempt".to_owned()
    })?;
    let holders: BTreeSet<_> = task.leases().map(|lease| lease.worker).collect();
    ensure(holders.len() == task.leases().count(), || {
        "INV-1: one worker has both attempts".to_owned()
    })?;
    for lease in task.leases() {
        ensure((1..=task.attempts).contains(&lease.number), || {
            "INV-1: leased without an attempt".to_owned()
        })?;
        let held = state
            .workers
            .get(&lease.worker)
            .and_then(|w| w.held.get(&lease.sequence));
        ensure(held == Some(&ix), || {
            "INV-1: its worker does not hold it".to_owned()
        })?;
    }
    if phase.is_open() && phase != Phase::Leased {
        ensure(state.is_wanted(ix), || {
            format!("{phase:?} although no study wants it")
        })?;
    }
    if phase == Phase::Deleted {
        ensure(state.find(task.key) != Some(ix), || {
            "is deleted and still found".to_owned()
        })?;
        return ensure(task.interests().next().is_none(), || {
            "is deleted although a study has it".to_owned()
        });
    }
    let entry = state.entry_state(task.input()).phase();
    match phase {
        Phase::Waiting | Phase::Blocked | Phase::Ready => ensure(entry == phase, || {
            format!("is {phase:?}, its inputs say {entry:?}")
        }),
        // The input of one that began may have been opened again; the others do not
        // look at theirs.
        Phase::BackingOff
        | Phase::Leased
        | Phase::Finished
        | Phase::GivenUp
        | Phase::Cancelled
        | Phase::Deleted => Ok(()),
    }
}

fn check_study(state: &State, ix: StudyIx, study: &Study) -> Result<(), String> {
    let mut queue = ReadyQueue::default();
    let mut given_up = BTreeSet::new();
    let mut counts = vec![[0; Phase::COUNT]; study.stages.len()];
    let mut audits = AuditCounts::default();
    let mut open = 0;
    for (position, &task) in study.tasks.iter().enumerate() {
        let position = position as u32;
        let task = state.task(task);
        let phase = task.state.phase();
        let mut own = task.interests().filter(|interest| interest.study == ix);
        let interest = own.next().filter(|interest| interest.position == position);
        let interest = interest.ok_or_else(|| format!("task {position} does not know it"))?;
        ensure(own.next().is_none(), || {
            format!("task {position} knows it twice")
        })?;
        counts[interest.stage as usize][phase as usize] += 1;
        open += u32::from(phase.is_open());
        if let Some(audit) = task.extra().audit.filter(|_| study.audits(task.key)) {
            *counter(&mut audits, audit) += 1;
        }
        match phase {
            Phase::Ready => {
                let stage = &study.stages[interest.stage as usize];
                queue.insert(position, stage.requirement, task.input());
            }
            Phase::GivenUp => {
                given_up.insert(position);
            }
            _ => {}
        }
    }
    let counted: Vec<_> = study.stages.iter().map(|tally| tally.counts).collect();
    ensure(counts == counted, || {
        format!("counts {counted:?}, has {counts:?}")
    })?;
    ensure(open == study.open, || {
        format!("counts {} open, has {open}", study.open)
    })?;
    ensure(audits == study.audits, || {
        format!("counts audits {:?}, has {audits:?}", study.audits)
    })?;
    ensure(queue == study.queue, || {
        "its queue differs from its ready tasks".to_owned()
    })?;
    ensure(given_up == study.given_up, || {
        "its failures are miscounted".to_owned()
    })?;
    let runnable = study.control == Control::Running && !queue.is_empty();
    ensure(runnable == study.runnable, || {
        "is wrongly runnable or not".to_owned()
    })?;
    let placed = state.fair.contains(ix, study.virtual_time);
    ensure(placed == runnable, || {
        "is not where it belongs in the fair order".to_owned()
    })?;
    ensure(study.has_ended() == study.finished.is_some(), || {
        "its end is not noted".to_owned()
    })
}

fn check_workers(state: &State) -> Result<(), String> {
    let (mut held, mut placed, mut slots) = (0, 0, 0);
    for (id, worker) in &state.workers {
        let broken = |what: &str| format!("worker `{id}`: {what}");
        let mut used = 0;
        for (&sequence, &ix) in &worker.held {
            let mut leases = state.task(ix).leases();
            let lease = leases.find(|lease| lease.worker == *id && lease.sequence == sequence);
            let lease = lease.ok_or_else(|| broken("INV-1: holds what it has no lease of"))?;
            used += u64::from(lease.cost);
        }
        held += worker.held.len();
        ensure(used == worker.used, || {
            broken("INV-4: its credit is miscounted")
        })?;
        ensure(used <= worker.limit, || {
            broken("INV-4: holds more than it offers")
        })?;
        let available = worker.is_available();
        let load = LoadKey::new(*id, worker.capability.slots, worker.held.len(), worker.used);
        ensure(worker.load == available.then_some(load), || {
            broken("its load is out of date")
        })?;
        if available {
            ensure(state.loads.contains(load), || {
                broken("is missing in the order of loads")
            })?;
            placed += 1;
            slots += u64::from(worker.capability.slots);
        }
    }
    let leased: usize = state.tasks.iter().map(|task| task.leases().count()).sum();
    ensure(held == leased, || {
        format!("INV-1: there are {leased} leases, {held} are held")
    })?;
    ensure(placed == state.loads.len(), || {
        "the order of loads has a stranger".to_owned()
    })?;
    ensure(slots == state.loads.slots(), || {
        "available slots are miscounted".to_owned()
    })
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
