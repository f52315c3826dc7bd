//! One turn of the engine: requests in, one commit, then replies and actions.

use std::collections::{HashMap, HashSet};

use reprise_core::Timestamp;
use reprise_core::lifecycle::{Action, Actor, Event, Input, Refusal, Step};
use reprise_core::plan::Plan;
use reprise_domain::study::StudySpec;
use reprise_domain::{AttemptId, Digest, WorkerId};

use super::handle::{Greeting, OutboxMessage, Request, SessionId, SubmitError};
use super::questions::Question;
use super::service::{EngineError, Service, Session};
use crate::architectures::planned;
use crate::store::{Batch, StoredResult};

/// What is answered once the turn is durable.
type Reply = Box<dyn FnOnce() + Send>;

/// A turn in progress.
pub(super) struct Turn<'a> {
    pub(super) engine: &'a mut Service,
    pub(super) now: Timestamp,
    pub(super) batch: Batch,
    actions: Vec<Action>,
    /// Reports that are durable with this turn, by the worker that made them.
    acknowledged: HashMap<WorkerId, Vec<AttemptId>>,
    replies: Vec<Reply>,
    /// Payloads of reports, until the core says which of them counts.
    pub(super) payloads: HashMap<AttemptId, StoredResult>,
    /// Questions about the state, answered after the commit.
    questions: Vec<Question>,
}

impl<'a> Turn<'a> {
    pub(super) fn begin(engine: &'a mut Service, now: Timestamp) -> Self {
        let batch = Batch {
            at: now,
            ..Batch::default()
        };
        Self {
            engine,
            now,
            batch,
            actions: Vec::new(),
            acknowledged: HashMap::new(),
            replies: Vec::new(),
            payloads: HashMap::new(),
            questions: Vec::new(),
        }
    }

    pub(super) fn tick(&mut self) {
        // A tick is never refused.
        let _ = self.handle(Input::Tick);
    }

    pub(super) fn take(&mut self, request: Request) {
        match request {
            Request::Submit {
                spec,
                digest,
                plan,
                amend,
                by,
                reply,
            } => {
                let answer = self.submit(*spec, digest, plan, amend, by);
                self.reply(move || drop(reply.send(answer)));
            }
            Request::Command { input, reply } => {
                let before = self.batch.events.len();
                let answer = self.handle(*input);
                let opened = opened(&self.batch.events[before..]);
                self.reply(move || drop(reply.send(answer.map(|()| opened))));
            }
            Request::Unarchive {
                study,
                results,
                settled,
                by,
                reply,
            } => {
                let answer = self.unarchive(&study, results, settled, &by);
                self.reply(move || drop(reply.send(answer)));
            }
            Request::Hello {
                worker,
                greeting,
                outbox,
                reply,
            } => {
                let Greeting {
                    capability,
                    holding,
                    again,
                } = greeting;
                let session = Session::new(outbox, &capability);
                let answer = self
                    .handle(Input::Hello {
                        worker,
                        capability,
                        holding,
                        again,
                    })
                    .map(|()| {
                        self.engine.last_session += 1;
                        let id = SessionId(self.engine.last_session);
                        let session = Session { id, ..session };
                        self.engine.sessions.insert(worker, session);
                        id
                    });
                self.reply(move || drop(reply.send(answer)));
            }
            Request::Report {
                worker,
                session,
                attempt,
                outcome,
            } => {
                if self.is_current(worker, session) {
                    self.report(worker, attempt, *outcome);
                }
            }
            Request::Checkpointed {
                worker,
                session,
                attempt,
                checkpoint,
                done,
            } => {
                let input = Input::Checkpointed {
                    worker,
                    attempt,
                    checkpoint,
                    done,
                };
                self.told_by(worker, session, input);
            }
            Request::Heartbeat {
                worker,
                session,
                progress,
            } => {
                self.told_by(worker, session, Input::Heartbeat { worker });
                for (attempt, progress) in progress {
                    let input = Input::Progress {
                        worker,
                        attempt,
                        progress,
                    };
                    self.told_by(worker, session, input);
                }
            }
            Request::Draining { worker, session } => {
                self.told_by(worker, session, Input::Draining { worker });
            }
            Request::Gone { worker, session } => {
                if self.is_current(worker, session) {
                    self.engine.sessions.remove(&worker);
                    // A worker that is not known any more has nothing to lose.
                    let _ = self.handle(Input::Disconnected { worker });
                }
            }
            Request::ArtifactLost { task } => {
                // Never refused.
                let _ = self.handle(Input::ArtifactLost { task });
            }
            Request::CheckpointLost {
                attempt,
                checkpoint,
            } => {
                let input = Input::CheckpointLost {
                    attempt,
                    checkpoint,
                };
                // Never refused.
                let _ = self.handle(input);
            }
            Request::Question(question) => self.questions.push(question),
        }
    }

    /// Schedules, makes everything durable, then replies and acts. Returns
    /// whether anything changed.
    pub(super) async fn commit(mut self) -> Result<bool, EngineError> {
        let step = self.engine.core.schedule(self.now);
        self.collect(step);
        let changed = !self.batch.is_empty();
        if changed {
            let (events, actions) = (&self.batch.events, &self.actions);
            self.batch.attempts = self.engine.attempts.follow(events, actions, self.now);
            let bytes = self.engine.store.commit(&self.batch).await?;
            self.engine.history.grow(bytes);
            let events = std::mem::take(&mut self.batch.events);
            self.engine.teller.tell(self.now, events);
        }
        for reply in self.replies {
            reply();
        }
        for (worker, attempts) in self.acknowledged {
            self.engine
                .send(worker, OutboxMessage::Acknowledge(attempts));
        }
        for action in self.actions {
            self.engine.act(action).await?;
        }
        for question in self.questions {
            question.answer(&self.engine.core);
        }
        Ok(changed)
    }

    fn submit(
        &mut self,
        spec: StudySpec,
        digest: Digest,
        plan: Option<Plan>,
        amend: bool,
        by: Actor,
    ) -> Result<bool, SubmitError> {
        let core = &self.engine.core;
        let known = core.study(&spec.name).is_some();
        let plan = match plan {
            Some(plan) => plan,
            // What is taken up again has its plan.
            None if !core.needs_plan(&spec.name, digest) => Plan::default(),
            // It was replaced or deleted since it was looked for.
            None => planned(&spec)?,
        };
        self.handle(Input::Submit {
            spec,
            digest,
            plan,
            amend,
            by,
        })?;
        Ok(known)
    }

    fn told_by(&mut self, worker: WorkerId, session: SessionId, input: Input) {
        if self.is_current(worker, session) && self.handle(input).is_err() {
            // Declared lost while it was silent: closing the session makes it
            // say hello again.
            self.engine.sessions.remove(&worker);
        }
    }

    pub(super) fn handle(&mut self, input: Input) -> Result<(), Refusal> {
        let step = self.engine.core.handle(input, self.now)?;
        self.collect(step);
        Ok(())
    }

    fn collect(&mut self, step: Step) {
        self.batch.events.extend(step.events);
        for action in step.actions {
            match action {
                Action::RecordResult { attempt } => {
                    if let Some(stored) = self.payloads.remove(&attempt) {
                        self.batch.results.push((attempt.task, stored));
                    }
                }
                Action::ForgetResults { tasks } => {
                    for task in &tasks {
                        self.engine.inputs.remove(task);
                    }
                    let forgotten: HashSet<_> = tasks.iter().collect();
                    self.batch
                        .results
                        .retain(|(task, _)| !forgotten.contains(task));
                    self.batch.removed.extend(tasks);
                }
                Action::Acknowledge { worker, attempt } => {
                    self.acknowledged.entry(worker).or_default().push(attempt);
                }
                action => self.actions.push(action),
            }
        }
    }

    fn is_current(&self, worker: WorkerId, session: SessionId) -> bool {
        self.engine
            .sessions
            .get(&worker)
            .is_some_and(|current| current.id == session)
    }

    fn reply(&mut self, reply: impl FnOnce() + Send + 'static) {
        self.replies.push(Box::new(reply));
    }
}

/// Tasks that these events opened again.
fn opened(events: &[Event]) -> u64 {
    let opened = events.iter().map(|event| match event {
        Event::Reopened { tasks, .. } | Event::Retried { tasks } => tasks.len() as u64,
        _ => 0,
    });
    opened.sum()
}
