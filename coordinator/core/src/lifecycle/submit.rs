//! Decisions about what clients ask for.

use reprise_domain::study::StudySpec;
use reprise_domain::{Digest, StudyName, TaskKey};

use super::event::Event;
use super::input::Refusal;
use super::study::{Control, StudyIx};
use super::turn::Turn;
use crate::plan::{Plan, PlannedKeys};

impl Turn<'_> {
    pub(super) fn submit(
        &mut self,
        spec: StudySpec,
        digest: Digest,
        plan: Plan,
        amend: bool,
    ) -> Result<(), Refusal> {
        let planned = check_plan(&plan)?;
        let known = self.state.find_study(&spec.name);
        match known.map(|study| (study, self.state.study(study).digest)) {
            Some((study, known)) if known == digest => self.reopen(study),
            Some((study, _)) if !amend => return Err(self.spec_changed(study, &planned)),
            _ => {
                drop(planned);
                self.emit(Event::StudySubmitted { spec, digest, plan });
            }
        }
        Ok(())
    }

    /// Takes a known study up again. A study that goes on anyway is left alone,
    /// so that watching it by submitting it costs nothing.
    fn reopen(&mut self, study: StudyIx) {
        let known = self.state.study(study);
        let complete = known.tasks.iter().all(|&ix| {
            let phase = self.state.task(ix).state.phase();
            phase.is_open() || phase == super::task::Phase::Finished
        });
        if known.control != Control::Running || !complete {
            let study = known.spec.name.clone();
            self.emit(Event::StudyReopened { study });
        }
    }

    fn spec_changed(&self, study: StudyIx, planned: &PlannedKeys<'_>) -> Refusal {
        let known = self.state.study(study);
        let kept = |key: &TaskKey| planned.contains(*key);
        let reused = known
            .tasks
            .iter()
            .filter(|ix| kept(&self.state.task(**ix).key))
            .count();
        Refusal::SpecChanged {
            study: known.spec.name.clone(),
            reused,
            added: planned.len() - reused,
            dropped: known.tasks.len() - reused,
        }
    }

    pub(super) fn cancel(&mut self, study: StudyName) -> Result<(), Refusal> {
        if self.control_of(&study)? != Control::Cancelled {
            self.emit(Event::StudyCancelled { study });
        }
        Ok(())
    }

    pub(super) fn pause(&mut self, study: StudyName) -> Result<(), Refusal> {
        if self.live_control_of(&study)? == Control::Running {
            self.emit(Event::StudyPaused { study });
        }
        Ok(())
    }

    pub(super) fn resume(&mut self, study: StudyName) -> Result<(), Refusal> {
        if self.live_control_of(&study)? == Control::Paused {
            self.emit(Event::StudyResumed { study });
        }
        Ok(())
    }

    fn control_of(&self, study: &StudyName) -> Result<Control, Refusal> {
        match self.state.find_study(study) {
            Some(ix) => Ok(self.state.study(ix).control),
            None => Err(Refusal::UnknownStudy {
                study: study.clone(),
            }),
        }
    }

    fn live_control_of(&self, study: &StudyName) -> Result<Control, Refusal> {
        let ended = |how| Refusal::StudyEnded {
            study: study.clone(),
            how,
        };
        match self.control_of(study)? {
            Control::Cancelled => Err(ended("cancelled")),
            Control::Stopped => Err(ended("stopped")),
            live => Ok(live),
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
