//! Audits: a finished task runs again on another worker, and the results are
//! compared (INV-7). An audit changes nothing about its task.
//!
//! Which tasks are audited is a matter of their keys and of their studies' shares.
//! When an audit begins is decided by the scheduler.

use reprise_domain::status::AuditCounts;
use reprise_domain::{AttemptId, Digest, TaskKey, WorkerId};

use super::event::Event;
use super::state::{Effects, State};
use super::study::Study;
use super::task::{Audit, Phase, TaskIx, TaskState};
use super::turn::Turn;
use crate::Timestamp;

impl Turn<'_> {
    /// The result of an audit has come.
    pub(super) fn audited(
        &mut self,
        ix: TaskIx,
        worker: WorkerId,
        attempt: AttemptId,
        result: Digest,
    ) {
        let agrees = matches!(
            self.state.task(ix).state,
            TaskState::Finished { result: recorded, .. } if recorded == result
        );
        self.emit(Event::Audited { attempt, agrees });
        if !agrees {
            self.late_result(ix, worker, attempt, result);
        }
    }
}

impl State {
    /// Whether a study that goes on wants the task audited.
    fn wants_audit(&self, ix: TaskIx) -> bool {
        let task = self.task(ix);
        task.interests().any(|interest| {
            let study = self.study(interest.study);
            study.control.is_live() && study.audits(task.key)
        })
    }

    /// Has a finished task audited if a study wants it and it was not; `not` is the
    /// worker that finished it, where that is known.
    pub(crate) fn plan_audit(&mut self, ix: TaskIx, not: Option<WorkerId>, at: Timestamp) {
        let task = self.task(ix);
        let (is_new, not) = match task.extra().audit {
            None => (true, not),
            Some(Audit::GivenUp { not: known }) => (true, not.or(known)),
            Some(_) => (false, None),
        };
        if is_new && task.state.phase() == Phase::Finished && self.wants_audit(ix) {
            self.tasks[ix].change(|extra| (extra.failures, extra.lost) = (0, 0));
            self.set_audit(ix, Some(Audit::Due { not }), at);
        }
    }

    /// Gives the next attempt of a finished task to another worker.
    pub(crate) fn begin_audit(
        &mut self,
        worker: WorkerId,
        ix: TaskIx,
        at: Timestamp,
    ) -> Option<AttemptId> {
        let not = match self.task(ix).extra().audit {
            Some(Audit::Due { not }) if not != Some(worker) => not,
            _ => return None,
        };
        let lease = self.grant(worker, ix, self.next_number(ix), at)?;
        self.tasks[ix].change(|extra| extra.second = Some(lease));
        self.set_audit(ix, Some(Audit::Running { not }), at);
        Some(self.task(ix).attempt(&lease))
    }

    /// Notes how an audit has ended.
    pub(crate) fn end_audit(
        &mut self,
        attempt: AttemptId,
        agrees: bool,
        at: Timestamp,
    ) -> Option<()> {
        let (ix, _) = self.leased(attempt)?;
        self.end_lease(ix, attempt.number)?;
        let outcome = if agrees {
            Audit::Agreed
        } else {
            Audit::Differed
        };
        self.set_audit(ix, Some(outcome), at);
        Some(())
    }

    /// An audit's attempt has ended without a result: the audit is due again, or it
    /// is given up.
    pub(crate) fn retry_audit(&mut self, ix: TaskIx, gives_up: bool, at: Timestamp) {
        let next = match self.task(ix).extra().audit {
            Some(Audit::Running { not } | Audit::Due { not }) if !gives_up => Audit::Due { not },
            audit => given_up(audit),
        };
        self.set_audit(ix, Some(next), at);
    }

    /// Gives up audits that no worker is there for.
    pub(crate) fn give_audits_up(&mut self, tasks: &[TaskKey], at: Timestamp) -> Option<()> {
        for &key in tasks {
            let ix = self.find(key)?;
            let audit = self.task(ix).extra().audit;
            self.set_audit(ix, Some(given_up(audit)), at);
        }
        Some(())
    }

    /// Gives an audit up that no study wants any more; one that runs is stopped.
    pub(crate) fn drop_audit_unless_wanted(
        &mut self,
        ix: TaskIx,
        at: Timestamp,
        effects: &mut Effects,
    ) {
        let audit = self.task(ix).extra().audit;
        if audit.is_some_and(Audit::is_pending) && !self.wants_audit(ix) {
            self.forget_audit(ix, at, effects);
            self.set_audit(ix, Some(given_up(audit)), at);
        }
    }

    /// Forgets a task's audit; one that runs is stopped.
    pub(crate) fn forget_audit(&mut self, ix: TaskIx, at: Timestamp, effects: &mut Effects) {
        match self.task(ix).extra().audit {
            None => return,
            Some(Audit::Running { .. }) => self.end_leases(ix, None, effects),
            Some(_) => {}
        }
        self.set_audit(ix, None, at);
    }

    /// Replaces where a task's audit stands, and brings the ends of its studies up to
    /// date.
    fn set_audit(&mut self, ix: TaskIx, next: Option<Audit>, at: Timestamp) {
        self.place_audit(ix, next);
        for place in 0.. {
            let Some(&interest) = self.tasks[ix].interests().nth(place) else {
                break;
            };
            self.settle(interest.study, at);
        }
    }

    /// Replaces where a task's audit stands, with all counts.
    pub(crate) fn place_audit(&mut self, ix: TaskIx, next: Option<Audit>) {
        let before = self.tasks[ix].change(|extra| std::mem::replace(&mut extra.audit, next));
        if matches!(next, Some(Audit::Due { .. })) {
            self.audits.insert(ix);
        } else {
            self.audits.remove(&ix);
        }
        let task = &self.tasks[ix];
        for interest in task.interests() {
            self.studies[interest.study.row()].count_audit(task.key, before, next);
        }
    }
}

impl Study {
    /// Whether it wants the task audited.
    pub(crate) fn audits(&self, task: TaskKey) -> bool {
        self.spec.audit.is_some_and(|share| share.includes(task))
    }

    /// Counts an audit from one state into the next, if it is one of this study's.
    pub(crate) fn count_audit(
        &mut self,
        task: TaskKey,
        before: Option<Audit>,
        next: Option<Audit>,
    ) {
        if !self.audits(task) {
            return;
        }
        if let Some(before) = before {
            *counter(&mut self.audits, before) -= 1;
        }
        if let Some(next) = next {
            *counter(&mut self.audits, next) += 1;
        }
    }
}

/// What counts audits in a state.
pub(crate) fn counter(counts: &mut AuditCounts, audit: Audit) -> &mut u64 {
    match audit {
        Audit::Due { .. } => &mut counts.due,
        Audit::Running { .. } => &mut counts.running,
        Audit::Agreed => &mut counts.agreed,
        Audit::Differed => &mut counts.differing,
        Audit::GivenUp { .. } => &mut counts.given_up,
    }
}

/// What becomes of an audit that is given up: who made the result is not forgotten.
const fn given_up(audit: Option<Audit>) -> Audit {
    let not = match audit {
        Some(Audit::Due { not } | Audit::Running { not } | Audit::GivenUp { not }) => not,
        _ => None,
    };
    Audit::GivenUp { not }
}
