//! Decisions about submitted studies.

use reprise_domain::study::StudySpec;
use reprise_domain::{Digest, TaskKey};

use super::event::Event;
use super::input::{Actor, PlanChanges, Refusal};
use super::study::{Control, StudyIx};
use super::task::{Audit, Phase};
use super::turn::Turn;
use crate::plan::{Plan, PlannedKeys};

impl Turn<'_> {
    pub(super) fn submit(
        &mut self,
        spec: StudySpec,
        digest: Digest,
        plan: Plan,
        amend: bool,
        by: &Actor,
    ) -> Result<(), Refusal> {
        let planned = check_plan(&plan)?;
        let known = self.state.find_study(&spec.name);
        if let Some(study) = known {
            self.state.allow(study, by)?;
        }
        match known.map(|study| (study, self.state.study(study).digest)) {
            Some((study, known)) if known == digest && !self.state.study(study).is_outdated() => {
                self.reopen(study);
            }
            Some((study, known)) if !amend => {
                let changes = self.changes(study, &planned);
                let study = spec.name;
                return Err(if known == digest {
                    Refusal::PlanOutdated { study, changes }
                } else {
                    Refusal::SpecChanged { study, changes }
                });
            }
            _ => {
                drop(planned);
                self.make_room(&plan, known.is_none())?;
                self.emit(Event::StudySubmitted {
                    spec,
                    digest,
                    plan,
                    owner: by.name(),
                });
                self.reconnect_holders();
            }
        }
        Ok(())
    }

    /// Refuses what the coordinator has no room for.
    fn make_room(&self, plan: &Plan, is_new: bool) -> Result<(), Refusal> {
        let full = |what, found: usize, limit: usize| {
            if found > limit {
                Err(Refusal::Full { what, found, limit })
            } else {
                Ok(())
            }
        };
        let studies = self.state.study_index.len() + usize::from(is_new);
        full("studies", studies, self.settings.most_studies)?;
        // Tasks that are known already are counted twice: a bound need not be exact.
        full(
            "tasks",
            self.state.tasks.listed() + plan.len(),
            self.settings.most_tasks,
        )
    }

    /// Takes a known study up again. A study that goes on anyway is left alone,
    /// so that watching it by submitting it costs nothing.
    fn reopen(&mut self, study: StudyIx) {
        let known = self.state.study(study);
        let complete = known.tasks.iter().all(|&ix| {
            let phase = self.state.task(ix).state.phase();
            let audit = self.state.task(ix).extra().audit;
            let is_audited = !matches!(audit, Some(Audit::GivenUp { .. }))
                || !known.audits(self.state.task(ix).key);
            phase.is_open() || (phase == Phase::Finished && is_audited)
        });
        if known.control != Control::Running || !complete {
            let study = known.spec.name.clone();
            self.emit(Event::StudyReopened { study });
        }
    }

    fn changes(&self, study: StudyIx, planned: &PlannedKeys<'_>) -> PlanChanges {
        let known = self.state.study(study);
        let kept = |key: &TaskKey| planned.contains(*key);
        let reused = known
            .tasks
            .iter()
            .filter(|ix| kept(&self.state.task(**ix).key))
            .count();
        PlanChanges {
            reused,
            added: planned.len() - reused,
            dropped: known.tasks.len() - reused,
        }
    }
}

/// Checks what every later step relies on: no task twice, inputs first.
fn check_plan(plan: &Plan) -> Result<PlannedKeys<'_>, Refusal> {
    let mut planned = PlannedKeys::none_of(plan);
    for (place, task) in plan.tasks().enumerate() {
        let inputs = task.spec.inputs();
        if let Some(&input) = inputs.iter().find(|key| !planned.contains(**key)) {
            return Err(Refusal::InputNotPlanned {
                task: task.key,
                input,
            });
        }
        if !planned.insert(place) {
            return Err(Refusal::RepeatedTask { task: task.key });
        }
    }
    Ok(planned)
}
