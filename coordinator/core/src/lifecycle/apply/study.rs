//! What happens to studies.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;

use reprise_domain::study::StudySpec;
use reprise_domain::{Digest, StudyName};

use crate::Timestamp;
use crate::lifecycle::state::{Effects, State};
use crate::lifecycle::study::{Control, Study, StudyIx};
use crate::lifecycle::task::{Phase, TaskIx, TaskState};
use crate::plan::Plan;

impl State {
    /// Creates a study, or replaces the one of that name by it.
    pub(super) fn take_study(
        &mut self,
        spec: &StudySpec,
        digest: Digest,
        owner: Option<&String>,
        plan: &Plan,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Option<()> {
        let next = StudyIx(u32::try_from(self.studies.len()).ok()?);
        let study = *self.study_index.entry(spec.name.clone()).or_insert(next);
        let mut before = Vec::new();
        if study == next {
            let study = Study::new(spec.clone(), digest, owner.cloned(), at);
            self.studies.push(study);
        } else {
            before = self.detach_all(study);
            let old = &self.studies[study.row()];
            self.studies[study.row()] = Study {
                virtual_time: old.virtual_time,
                submitted: old.submitted,
                started: old.started,
                ..Study::new(spec.clone(), digest, old.owner.clone(), at)
            };
        }
        self.tasks.reserve(plan.len());
        self.studies[study.row()].tasks.reserve_exact(plan.len());
        for planned in plan.tasks() {
            let known = self.find(planned.key);
            let ix = match known {
                Some(known) => known,
                None => self.add_task(planned.key, &planned.spec)?,
            };
            let stage = self.studies[study.row()].stage(&planned.stage);
            self.attach(study, stage, ix);
        }
        self.take_up(study, &[Phase::GivenUp, Phase::Cancelled], at, effects);
        for ix in before {
            self.cancel_unless_wanted(ix, at, effects);
        }
        Some(())
    }

    /// Makes a study want nothing; returns what it wanted.
    fn detach_all(&mut self, study: StudyIx) -> Vec<TaskIx> {
        let owner = &mut self.studies[study.row()];
        if std::mem::take(&mut owner.runnable) {
            self.fair.leave(study, owner.virtual_time);
        }
        let tasks = std::mem::take(&mut owner.tasks);
        for ix in &tasks {
            self.tasks[*ix].remove_interest(study);
        }
        tasks
    }

    pub(super) fn control(
        &mut self,
        study: &StudyName,
        control: Control,
        at: Timestamp,
    ) -> Option<()> {
        let study = self.find_study(study)?;
        self.studies[study.row()].control = control;
        self.settle(study, at);
        Some(())
    }

    /// Ends a study: its tasks that no other study wants are cancelled, except
    /// those in the phase `kept`.
    pub(super) fn end_study(
        &mut self,
        study: &StudyName,
        control: Control,
        kept: Phase,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Option<()> {
        self.control(study, control, at)?;
        let study = self.find_study(study)?;
        for position in 0..self.study(study).tasks.len() {
            let ix = self.study(study).tasks[position];
            self.drop_audit_unless_wanted(ix, at, effects);
            if self.task(ix).state.phase() != kept {
                self.cancel_unless_wanted(ix, at, effects);
            }
        }
        Some(())
    }

    /// Deletes a study and all tasks that no study has in its plan: its own, and
    /// those that an amended study left behind.
    pub(super) fn delete_study(
        &mut self,
        study: &StudyName,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Option<()> {
        let study_ix = self.find_study(study)?;
        self.study_index.remove(study);
        let tasks = self.detach_all(study_ix);
        self.studies[study_ix.row()].erase();
        for ix in tasks {
            self.cancel_unless_wanted(ix, at, effects);
        }
        let mut inputs = BTreeSet::new();
        // A task comes after what it reads from, so readers go first.
        for row in (0..self.tasks.len()).rev() {
            let ix = TaskIx(row as u32);
            let task = self.task(ix);
            let is_wanted = task.interests().next().is_some();
            if !is_wanted && task.state.phase() != Phase::Deleted {
                inputs.extend(task.input());
                self.delete_task(ix, at, effects);
            }
        }
        self.forget_deleted_readers(inputs);
        let tasks = &self.tasks;
        for worker in self.workers.values_mut() {
            let is_known = |input: &TaskIx| tasks[*input].state.phase() != Phase::Deleted;
            worker.inputs.retain(is_known);
        }
        self.tasks.free_deleted();
        Some(())
    }

    /// Forgets those readers of `inputs` that are deleted. Once for all of them: an
    /// input may have a hundred thousand.
    fn forget_deleted_readers(&mut self, inputs: BTreeSet<TaskIx>) {
        let tasks = &self.tasks;
        for input in inputs {
            if let Entry::Occupied(mut readers) = self.dependents.entry(input) {
                let is_known = |reader: &TaskIx| tasks[*reader].state.phase() != Phase::Deleted;
                readers.get_mut().retain(is_known);
                if readers.get().is_empty() {
                    readers.remove();
                }
            }
        }
    }

    fn delete_task(&mut self, ix: TaskIx, at: Timestamp, effects: &mut Effects) {
        self.forget_audit(ix, at, effects);
        self.set_checkpoint(ix, None, effects);
        let task = self.task(ix);
        if task.state.phase() == Phase::Finished {
            effects.forgotten.push(task.key);
        }
        self.transfer(ix, TaskState::Deleted, at);
        self.tasks.unlist(ix);
        self.tasks[ix].forget_extra();
    }

    fn cancel_unless_wanted(&mut self, ix: TaskIx, at: Timestamp, effects: &mut Effects) {
        self.drop_audit_unless_wanted(ix, at, effects);
        if !self.task(ix).state.phase().is_open() || self.is_wanted(ix) {
            return;
        }
        self.end_leases(ix, None, effects);
        self.set(ix, TaskState::Cancelled, at);
    }

    /// Lets a study run. Its tasks in the phases `revived` start afresh, inputs first,
    /// and those that are finished already are audited.
    pub(super) fn take_up(
        &mut self,
        study: StudyIx,
        revived: &[Phase],
        at: Timestamp,
        effects: &mut Effects,
    ) {
        self.studies[study.row()].control = Control::Running;
        for position in 0..self.study(study).tasks.len() {
            let ix = self.study(study).tasks[position];
            match self.task(ix).state.phase() {
                phase if revived.contains(&phase) => self.revive(ix, at, effects),
                Phase::Blocked => {
                    let entry = self.entry_state(self.task(ix).input());
                    self.set(ix, entry, at);
                }
                Phase::Finished => self.plan_audit(ix, None, at),
                _ => {}
            }
            self.watch_anew(ix);
        }
        self.settle(study, at);
    }
}
