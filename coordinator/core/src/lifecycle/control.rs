//! Decisions about what clients ask for once a study is there: to hold it, to end
//! it, to run parts of it again, to take results back from an archive.

use std::collections::HashSet;

use reprise_domain::{AttemptId, Digest, Requirement, Seconds, StudyName, TaskKey};

use super::action::Action;
use super::core::Core;
use super::event::{Event, Reopening};
use super::input::{Actor, Refusal, StudyControl};
use super::lease::is_plausible_in_archive;
use super::state::State;
use super::study::{Control, StudyIx};
use super::task::{Phase, TaskIx};
use super::turn::Turn;

impl Actor {
    /// The name under which studies of this actor are kept.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Admin => None,
            Self::Holder(name) => Some(name.clone()),
        }
    }

    fn may_act_on(&self, owner: &str) -> bool {
        match self {
            Self::Admin => true,
            Self::Holder(name) => name == owner,
        }
    }
}

impl Core {
    /// Refuses to act on a study that there is not, or that is somebody else's.
    ///
    /// # Errors
    /// Why not.
    pub fn may_act(&self, study: &StudyName, by: &Actor) -> Result<(), Refusal> {
        self.state.study_for(study, by).map(drop)
    }

    /// Whether somebody may act on a study that there is.
    pub fn allows(&self, study: &StudyName, by: &Actor) -> bool {
        let owner = self.state.find_study(study);
        let owner = owner.and_then(|ix| self.state.study(ix).owner.as_ref());
        owner.is_none_or(|owner| by.may_act_on(owner))
    }
}

impl State {
    /// A study that somebody may act on.
    fn study_for(&self, study: &StudyName, by: &Actor) -> Result<StudyIx, Refusal> {
        let ix = self.find_study(study);
        let ix = ix.ok_or_else(|| Refusal::UnknownStudy {
            study: study.clone(),
        })?;
        self.allow(ix, by)?;
        Ok(ix)
    }

    /// Refuses an actor who has no say in a study.
    pub(super) fn allow(&self, study: StudyIx, by: &Actor) -> Result<(), Refusal> {
        let study = self.study(study);
        match &study.owner {
            Some(owner) if !by.may_act_on(owner) => Err(Refusal::NotYours {
                study: study.spec.name.clone(),
                owner: owner.clone(),
            }),
            _ => Ok(()),
        }
    }
}

impl Turn<'_> {
    pub(super) fn control(
        &mut self,
        study: StudyName,
        control: StudyControl,
        by: &Actor,
    ) -> Result<(), Refusal> {
        let ix = self.state.study_for(&study, by)?;
        let known = self.state.study(ix);
        let (now, is_over) = (known.control, known.has_ended());
        match control {
            StudyControl::Cancel if now == Control::Cancelled => {}
            StudyControl::Cancel if is_over => return Err(Refusal::NothingToCancel { study }),
            StudyControl::Cancel => self.emit(Event::StudyCancelled { study }),
            StudyControl::Pause => {
                if live(&study, now)? == Control::Running {
                    self.emit(Event::StudyPaused { study });
                }
            }
            StudyControl::Resume => {
                if live(&study, now)? == Control::Paused {
                    self.emit(Event::StudyResumed { study });
                }
            }
            StudyControl::Delete => self.emit(Event::StudyDeleted { study }),
        }
        Ok(())
    }

    pub(super) fn retry(
        &mut self,
        study: &StudyName,
        mut tasks: Vec<TaskKey>,
        by: &Actor,
    ) -> Result<(), Refusal> {
        let ix = self.state.study_for(study, by)?;
        if tasks.is_empty() {
            let known = self.state.study(ix);
            let given_up = known.given_up.iter();
            tasks = given_up
                .map(|&position| self.state.task(known.tasks[position as usize]).key)
                .collect();
        }
        self.check_tasks(ix, &tasks, Phase::GivenUp, "given up")?;
        match self.state.study(ix).control {
            Control::Running | Control::Paused => {}
            Control::Stopped if tasks.is_empty() => {}
            Control::Stopped => self.emit(Event::StudyContinued {
                study: study.clone(),
            }),
            Control::Cancelled | Control::Deleted => {
                let is_wanted = |key| {
                    self.state
                        .find(key)
                        .is_some_and(|ix| self.state.is_wanted(ix))
                };
                if !tasks.iter().all(|&key| is_wanted(key)) {
                    return Err(Refusal::StudyEnded {
                        study: study.clone(),
                        how: "cancelled",
                    });
                }
            }
        }
        if !tasks.is_empty() {
            self.emit(Event::Retried { tasks });
        }
        Ok(())
    }

    pub(super) fn invalidate(
        &mut self,
        study: &StudyName,
        tasks: Vec<TaskKey>,
        by: &Actor,
    ) -> Result<(), Refusal> {
        let ix = self.state.study_for(study, by)?;
        self.check_tasks(ix, &tasks, Phase::Finished, "finished")?;
        let earlier = |key: &&TaskKey| {
            let ix = self.state.find(**key);
            ix.is_some_and(|ix| self.state.requirement(ix) == Requirement::EarlierRelease)
        };
        if let Some(&task) = tasks.iter().find(earlier) {
            return Err(Refusal::CannotRunAgain { task });
        }
        if !tasks.is_empty() {
            self.emit(Event::Reopened {
                tasks,
                reason: Reopening::Invalidated,
            });
        }
        Ok(())
    }

    /// Takes a result from an archive if its task is open. One that has ended stays as
    /// it is.
    pub(super) fn unarchive(
        &mut self,
        study: &StudyName,
        attempt: AttemptId,
        result: Digest,
        seconds: Seconds,
        by: &Actor,
    ) -> Result<(), Refusal> {
        let study = self.state.study_for(study, by)?;
        let ix = self.planned(study, attempt.task)?;
        if !is_plausible_in_archive(attempt.number) {
            return Err(Refusal::AttemptNumber { attempt });
        }
        // A result finishes its task for all studies that want it.
        for interest in self.state.task(ix).interests() {
            self.state.allow(interest.study, by)?;
        }
        if self.state.task(ix).state.phase().is_open() {
            self.emit(Event::Unarchived {
                attempt,
                result,
                seconds,
                by: by.name(),
            });
            self.act(Action::RecordResult { attempt });
        }
        Ok(())
    }

    /// A task of a study's plan.
    fn planned(&self, study: StudyIx, key: TaskKey) -> Result<TaskIx, Refusal> {
        let ix = self.state.find(key).filter(|&ix| {
            let mut interests = self.state.task(ix).interests();
            interests.any(|interest| interest.study == study)
        });
        ix.ok_or_else(|| Refusal::UnknownTask {
            study: self.state.study(study).spec.name.clone(),
            task: key,
        })
    }

    fn check_tasks(
        &self,
        study: StudyIx,
        tasks: &[TaskKey],
        phase: Phase,
        expected: &'static str,
    ) -> Result<(), Refusal> {
        let mut seen = HashSet::with_capacity(tasks.len());
        for &key in tasks {
            let ix = self.planned(study, key)?;
            if self.state.task(ix).state.phase() != phase {
                return Err(Refusal::WrongPhase {
                    task: key,
                    expected,
                });
            }
            if !seen.insert(key) {
                return Err(Refusal::RepeatedTask { task: key });
            }
        }
        Ok(())
    }
}

/// The control of a study that has not ended.
fn live(study: &StudyName, control: Control) -> Result<Control, Refusal> {
    let ended = |how| Refusal::StudyEnded {
        study: study.clone(),
        how,
    };
    match control {
        Control::Cancelled | Control::Deleted => Err(ended("cancelled")),
        Control::Stopped => Err(ended("stopped")),
        live => Ok(live),
    }
}
