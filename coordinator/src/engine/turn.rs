//! One turn of the engine: requests in, one commit, then replies and actions.

use std::collections::HashMap;
use std::time::Instant;

use reprise_core::Timestamp;
use reprise_core::lifecycle::{Action, AttemptEnd, Event, Input, Refusal, Step};
use reprise_core::plan::{plan, study_digest};
use reprise_data::digest as digest_of;
use reprise_domain::study::StudySpec;
use reprise_domain::{AttemptId, AttemptOutcome, TaskKey, WorkerId};

use super::handle::{
    Assignment, Greeting, OutboxMessage, Request, SessionId, SubmitError,
};
use super::questions::Question;
use super::service::{EngineError, Service, Session};
use crate::architectures;
use crate::repeats::Novelty;
use crate::store::{Batch, StoredResult};

/// What is answered once the turn is durable.
type Reply = Box<dyn FnOnce() + Send>;

/// A turn in progress.
pub(super) struct Turn<'a> {
    engine: &'a mut Service,
    now: Timestamp,
    batch: Batch,
    actions: Vec<Action>,
    /// Reports that are durable with this turn, by the worker that made them.
    acknowledged: HashMap<WorkerId, Vec<AttemptId>>,
    replies: Vec<Reply>,
    /// Payloads of reports, until the core says which of them counts.
    payloads: HashMap<AttemptId, StoredResult>,
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
            Request::Submit { spec, amend, reply } => {
                let answer = self.submit(*spec, amend);
                self.reply(move || drop(reply.send(answer)));
            }
            Request::Command { input, reply } => {
                let before = self.batch.events.len();
                let answer = self.handle(*input);
                let opened = opened(&self.batch.events[before..]);
                self.reply(move || drop(reply.send(answer.map(|()| opened))));
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
                let host = capability.host.clone();
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
                        self.engine
                            .sessions
                            .insert(worker, Session { id, outbox, host });
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
            } => {
                let input = Input::Checkpointed {
                    worker,
                    attempt,
                    checkpoint,
                };
                self.told_by(worker, session, input);
            }
            Request::Heartbeat { worker, session } => {
                self.told_by(worker, session, Input::Heartbeat { worker });
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

    fn submit(&mut self, spec: StudySpec, amend: bool) -> Result<bool, SubmitError> {
        let known = self.engine.core.study(&spec.name).is_some();
        let space = spec.space;
        let plan = plan(&spec, &|selection| architectures::select(space, selection))?;
        let digest = study_digest(&spec);
        self.handle(Input::Submit {
            spec,
            digest,
            plan,
            amend,
        })?;
        Ok(known)
    }

    fn report(&mut self, worker: WorkerId, attempt: AttemptId, outcome: AttemptOutcome) {
        let end = match outcome {
            AttemptOutcome::Finished { result, usage } => {
                let digest = digest_of(&reprise_proto::convert::to_json(&result));
                let host = self
                    .engine
                    .sessions
                    .get(&worker)
                    .map(|session| session.host.clone());
                let stored = StoredResult {
                    result,
                    usage,
                    host: host.unwrap_or_default(),
                    attempt: attempt.number,
                    worker: Some(worker),
                    started_ms: 0,
                    ended_ms: self.now.0,
                    provenance: None,
                };
                self.payloads.insert(attempt, stored);
                AttemptEnd::Finished {
                    result: digest,
                    seconds: usage.wall,
                }
            }
            AttemptOutcome::Failed(failure) => AttemptEnd::Failed(failure),
            AttemptOutcome::Returned => AttemptEnd::Returned,
        };
        let before = self.batch.events.len();
        // The session was checked; the core has nothing to refuse in a report.
        let _ = self.handle(Input::Report {
            worker,
            attempt,
            end,
        });
        self.payloads.remove(&attempt);
        if !self.batch.events[before..].iter().any(is_heeded) {
            self.note_late(worker, attempt);
        }
    }

    /// Says once of a report that it changed nothing (INV-1): its attempt has
    /// ended, or was never this worker's.
    fn note_late(&mut self, worker: WorkerId, attempt: AttemptId) {
        let novelty = self.engine.late.note((worker, attempt), Instant::now());
        if novelty == Novelty::New {
            let session = self.engine.sessions.get(&worker);
            let host = session.map_or("", |session| session.host.as_str());
            tracing::warn!(
                %worker, host, %attempt,
                "report of an attempt that is not current; it changes nothing"
            );
        }
    }

    fn told_by(&mut self, worker: WorkerId, session: SessionId, input: Input) {
        if self.is_current(worker, session) && self.handle(input).is_err() {
            // Declared lost while it was silent: closing the session makes it
            // say hello again.
            self.engine.sessions.remove(&worker);
        }
    }

    fn handle(&mut self, input: Input) -> Result<(), Refusal> {
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

impl Service {
    /// Carries out what the core asked for, after it is durable.
    async fn act(&mut self, action: Action) -> Result<(), EngineError> {
        match action {
            Action::Start { worker, attempts } => {
                let mut assignments = Vec::with_capacity(attempts.len());
                for attempt in attempts {
                    assignments.extend(self.assignment(attempt).await?);
                }
                self.send(worker, OutboxMessage::Start(assignments));
            }
            Action::Stop { worker, attempts } => self.send(worker, OutboxMessage::Stop(attempts)),
            Action::Nondeterminism {
                attempt,
                worker,
                recorded,
                reported,
            } => {
                tracing::error!(
                    %attempt, %worker, %recorded, %reported,
                    "two attempts at one task gave different results"
                );
            }
            // Checkpoints of journals written before stand in the shared area, where
            // something else may be the same file: the garbage collector's affair.
            Action::Discard { .. } => {}
            // Results were made durable with the events that name them; reports
            // are acknowledged and watchers woken once a turn.
            Action::RecordResult { .. }
            | Action::Acknowledge { .. }
            | Action::StudyChanged { .. } => {}
        }
        Ok(())
    }

    /// The stored result of a task, if it has finished.
    async fn result(&self, key: TaskKey) -> Result<Option<StoredResult>, EngineError> {
        let phase = self.core.task(key).map(|task| fate(&task.phase));
        let Some(Fate::Finished(digest)) = phase else {
            return Ok(None);
        };
        let stored = self.store.reader().results(&[(key, digest)]).await?;
        Ok(stored.into_iter().next())
    }

    async fn assignment(&mut self, attempt: AttemptId) -> Result<Option<Assignment>, EngineError> {
        let Some(spec) = self.core.spec(attempt.task) else {
            return Ok(None);
        };
        let mut inputs = Vec::new();
        for key in spec.inputs() {
            if let Some(known) = self.inputs.get(&key) {
                inputs.push((key, known.clone()));
            } else if let Some(stored) = self.result(key).await? {
                self.inputs.insert(key, stored.clone());
                inputs.push((key, stored));
            }
        }
        Ok(Some(Assignment {
            attempt,
            spec,
            inputs,
            checkpoint: self.core.checkpoint(attempt.task),
        }))
    }

    /// A worker that has gone meanwhile says hello again and is told then.
    fn send(&mut self, worker: WorkerId, message: OutboxMessage) {
        if let Some(session) = self.sessions.get(&worker) {
            let _ = session.outbox.send(message);
        }
    }
}

/// Whether an event says that a report counted, or that it is a defect, which is
/// logged by itself.
const fn is_heeded(event: &Event) -> bool {
    matches!(
        event,
        Event::Finished { .. }
            | Event::Failed { .. }
            | Event::Returned { .. }
            | Event::Disputed { .. }
    )
}

/// Tasks that these events opened again.
fn opened(events: &[Event]) -> u64 {
    let opened = events.iter().map(|event| match event {
        Event::Reopened { tasks, .. } | Event::Retried { tasks } => tasks.len() as u64,
        _ => 0,
    });
    opened.sum()
}
