//! One step in the making: decisions read the state, emit events, and see each
//! event applied before the next is decided.

use super::action::{Action, Step};
use super::event::Event;
use super::settings::Settings;
use super::state::{Effects, State};
use super::study::StudyIx;
use super::task::TaskIx;
use crate::Timestamp;

/// A step in the making. An input is refused before the first event or not at
/// all, so that a refusal changes nothing.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) state: &'a mut State,
    pub(super) settings: &'a Settings,
    pub(super) now: Timestamp,
    step: Step,
    effects: Effects,
}

impl<'a> Turn<'a> {
    pub(super) fn new(state: &'a mut State, settings: &'a Settings, now: Timestamp) -> Self {
        Self {
            state,
            settings,
            now,
            step: Step::default(),
            effects: Effects::default(),
        }
    }

    /// Applies and records an event.
    pub(super) fn emit(&mut self, event: Event) {
        self.state
            .apply(&event, self.now, &mut self.effects)
            .expect("an event fits the state that it was decided on");
        self.step.events.push(event);
    }

    pub(super) fn act(&mut self, action: Action) {
        self.step.actions.push(action);
    }

    /// Stops the studies of `tasks` that have had enough failures.
    pub(super) fn stop_failed_studies(&mut self, tasks: &[TaskIx]) {
        let mut owners: Vec<StudyIx> = Vec::new();
        for &ix in tasks {
            owners.extend(
                self.state
                    .task(ix)
                    .interests()
                    .map(|interest| interest.study),
            );
        }
        owners.sort_unstable();
        owners.dedup();
        for owner in owners {
            let study = self.state.study(owner);
            if study.control.is_live() && study.has_failed_enough() {
                let study = study.spec.name.clone();
                self.emit(Event::StudyStopped { study });
            }
        }
    }

    /// The step, with what the transitions mean for the outside.
    pub(super) fn finish(self) -> Step {
        let Self {
            mut step, effects, ..
        } = self;
        finish(&mut step, effects);
        step
    }
}

/// Turns effects into actions.
pub(super) fn finish(step: &mut Step, effects: Effects) {
    let stops = effects.stops.into_iter();
    step.actions
        .extend(stops.map(|(worker, attempts)| Action::Stop { worker, attempts }));
    let discarded = effects.discarded.into_iter();
    step.actions.extend(
        discarded.map(|(attempt, checkpoint)| Action::DiscardCheckpoint {
            attempt,
            checkpoint,
        }),
    );
    if !effects.forgotten.is_empty() {
        step.actions.push(Action::ForgetResults {
            tasks: effects.forgotten,
        });
    }
}
