//! A core with a clock and a journal: every step is checked and recorded.

use std::time::Duration;

use reprise_core::Timestamp;
use reprise_core::lifecycle::{
    Action, AttemptEnd, Core, Event, Input, Refusal, Settings, StageView, Step, TaskPhase,
};
use reprise_domain::study::StudySpec;
use reprise_domain::{AttemptId, FailureClass, TaskKey, WorkerId};

use crate::fixtures::{failure, offer, planned, result, seconds, submission};

pub(crate) struct Lab {
    pub(crate) core: Core,
    pub(crate) now: Timestamp,
    pub(crate) journal: Vec<(Timestamp, Event)>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self {
            core: Core::new(Settings::default()),
            now: Timestamp(1_000_000),
            journal: Vec::new(),
        }
    }

    /// A lab in which `spec` is submitted.
    pub(crate) fn with(spec: &StudySpec) -> Self {
        let mut lab = Self::new();
        lab.handle(submission(spec, false));
        lab
    }

    pub(crate) fn try_handle(&mut self, input: Input) -> Result<Step, Refusal> {
        let step = self.core.handle(input, self.now);
        self.record(step.as_ref().map_or(&[], |step| &step.events));
        step
    }

    pub(crate) fn handle(&mut self, input: Input) -> Step {
        self.try_handle(input).unwrap()
    }

    fn record(&mut self, events: &[Event]) {
        self.core.check_invariants().unwrap();
        let now = self.now;
        self.journal
            .extend(events.iter().map(|event| (now, event.clone())));
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    /// Lets time pass with a tick whenever the core asks for one.
    pub(crate) fn pass_ticking(&mut self, time: Duration) {
        let end = self.now.after(time);
        while let Some(wakeup) = self.core.next_wakeup().filter(|wakeup| *wakeup <= end) {
            self.now = self.now.max(wakeup);
            self.handle(Input::Tick);
        }
        self.now = end;
    }

    /// The attempts that are leased now.
    pub(crate) fn schedule(&mut self) -> Vec<(WorkerId, Vec<AttemptId>)> {
        let step = self.core.schedule(self.now);
        self.record(&step.events);
        let started = step.actions.into_iter().filter_map(|action| match action {
            Action::Start { worker, attempts } => Some((worker, attempts)),
            _ => None,
        });
        started.collect()
    }

    /// All attempts that are leased now, whoever got them.
    pub(crate) fn lease(&mut self) -> Vec<AttemptId> {
        self.schedule()
            .into_iter()
            .flat_map(|(_, attempts)| attempts)
            .collect()
    }

    pub(crate) fn hello(&mut self, worker: WorkerId, slots: u32, holding: &[AttemptId]) -> Step {
        let holding = holding.to_vec();
        self.handle(Input::Hello {
            again: false,
            worker,
            capability: offer(slots),
            holding,
        })
    }

    pub(crate) fn report(&mut self, worker: WorkerId, attempt: AttemptId, end: AttemptEnd) -> Step {
        let step = self.handle(Input::Report {
            worker,
            attempt,
            end,
        });
        let acknowledge = Action::Acknowledge { worker, attempt };
        assert!(
            step.actions.contains(&acknowledge),
            "every report is acknowledged"
        );
        step
    }

    /// Reports `attempt` as finished with result number `number`.
    pub(crate) fn finish(&mut self, worker: WorkerId, attempt: AttemptId, number: u8) -> Step {
        let (result, seconds) = (result(number), seconds(1.0));
        self.report(worker, attempt, AttemptEnd::Finished { result, seconds })
    }

    pub(crate) fn fail(
        &mut self,
        worker: WorkerId,
        attempt: AttemptId,
        class: FailureClass,
    ) -> Step {
        self.report(worker, attempt, AttemptEnd::Failed(failure(class)))
    }

    pub(crate) fn phase(&self, task: TaskKey) -> TaskPhase<'_> {
        self.core.task(task).unwrap().phase
    }

    /// The first stage of a study.
    pub(crate) fn stage(&self, study: &StudySpec) -> StageView<'_> {
        self.core
            .study(&study.name)
            .unwrap()
            .stages
            .into_iter()
            .next()
            .unwrap()
    }

    pub(crate) fn is_done(&self, study: &StudySpec) -> bool {
        self.core.study(&study.name).unwrap().done
    }

    /// The core that a restarted coordinator makes of the journal.
    pub(crate) fn rebuilt(&self) -> Core {
        let mut core = Core::new(Settings::default());
        for (at, event) in &self.journal {
            core.replay(event, *at).unwrap();
        }
        core.resume(self.now);
        core
    }

    /// Restarts the coordinator; the rebuilt state must be the old one.
    pub(crate) fn restart(&mut self) {
        let rebuilt = self.rebuilt();
        self.core.resume(self.now);
        assert_eq!(rebuilt, self.core);
        self.core = rebuilt;
    }

    /// The same from a snapshot.
    pub(crate) fn restart_by_snapshot(&mut self) {
        let mut restored = Core::restore(Settings::default(), &self.core.snapshot()).unwrap();
        restored.resume(self.now);
        self.core.resume(self.now);
        assert_eq!(restored, self.core);
        self.core = restored;
    }
}

/// The first task of a study.
pub(crate) fn first_task(spec: &StudySpec) -> TaskKey {
    planned(spec).tasks().next().unwrap().key
}
