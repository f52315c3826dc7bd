//! The cluster and its schedule.

use std::collections::{BTreeMap, BTreeSet};

use reprise_core::Timestamp;
use reprise_core::lifecycle::{
    AttemptEnd, Core, Event, Input, Progress, Settings, Step, TaskPhase,
};
use reprise_domain::measure::ArtifactRef;
use reprise_domain::study::{OnFailure, StudySpec};
use reprise_domain::{AttemptId, AuditShare, Digest, FailureClass, TaskKey};

use super::faults::Sabotage;
use super::ledger::Ledger;
use super::node::{Node, Order};
use super::random::Random;
use crate::fixtures::{embedded, limited, noops, offer, seconds, submission, worker};

/// Steps of a schedule while faults strike.
const STEPS: usize = 400;

/// A message to the coordinator.
pub(super) enum Message {
    Hello(Vec<AttemptId>),
    Heartbeat,
    Draining,
    Report(AttemptId, AttemptEnd),
    Checkpoint(AttemptId, ArtifactRef, u64),
    /// The answer to a read of a checkpoint, whose file is gone.
    CheckpointLost(AttemptId, Digest),
    /// What was found where an input was looked for: its file is gone.
    InputLost(TaskKey),
    Progress(AttemptId, Progress),
    /// The end of the session.
    Closed,
}

pub(super) struct Letter<T> {
    pub(super) node: usize,
    pub(super) session: u64,
    pub(super) body: T,
}

pub(crate) struct Cluster {
    pub(super) random: Random,
    pub(super) sabotage: Option<Sabotage>,
    pub(super) now: Timestamp,
    pub(super) core: Core,
    pub(super) journal: Vec<(Timestamp, Event)>,
    /// The newest snapshot, and how much of the journal it covers.
    pub(super) snapshot: Option<(usize, Vec<u8>)>,
    pub(super) ledger: Ledger,
    pub(super) nodes: Vec<Node>,
    /// The session of each node that the coordinator takes to be open.
    pub(super) sessions: Vec<Option<u64>>,
    pub(super) last_session: u64,
    pub(super) last_checkpoint: u64,
    pub(super) to_core: Vec<Letter<Message>>,
    pub(super) to_nodes: Vec<Letter<Order>>,
    /// The specs that studies have in the end.
    pub(super) studies: Vec<StudySpec>,
    /// Specs that clients submit while faults strike.
    pub(super) variants: Vec<StudySpec>,
    pub(super) faults: BTreeMap<&'static str, u64>,
    /// Files of checkpoints that are stored.
    pub(super) files: BTreeSet<(AttemptId, Digest)>,
    /// Those of which the coordinator was told that they are not.
    pub(super) told_lost: BTreeSet<(AttemptId, Digest)>,
    /// Finished tasks whose files are gone, without anybody having been told.
    pub(super) torn: BTreeSet<TaskKey>,
    /// Whether the journal is a backup that was put back.
    pub(super) restored: bool,
    /// Whether the step in hand deletes a study.
    pub(super) deleting: bool,
}

/// What broke, if anything.
pub(super) type Checked = Result<(), String>;

impl Cluster {
    pub(crate) fn new(seed: u64, sabotage: Option<Sabotage>) -> Self {
        let nodes: Vec<_> = (1..=3)
            .map(|number| Node::new(worker(number), number as u32))
            .collect();
        let stops = |spec| StudySpec {
            on_failure: OnFailure::Stop,
            ..spec
        };
        // A cluster whose clock jumps passes these often.
        let hurried = |spec| {
            let mut spec = limited(spec);
            if let Some(noop) = &mut spec.noop {
                noop.limits.silence = Some(seconds(15.0));
            }
            spec
        };
        let of_its_own = |mut spec: StudySpec| {
            if let Some(noop) = &mut spec.noop {
                noop.hold_ms = 1;
            }
            spec
        };
        let audited = |spec| StudySpec {
            audit: AuditShare::new(0.7).ok(),
            ..spec
        };
        let studies = vec![
            embedded("a", 2, 6),
            stops(embedded("b", 3, 4)),
            hurried(noops("c", 5)),
            audited(of_its_own(noops("d", 6))),
        ];
        let mut variants = studies.clone();
        variants.extend([embedded("a", 1, 3), noops("b", 7), stops(noops("c", 3))]);
        Self {
            random: Random::new(seed),
            sabotage,
            now: Timestamp(1_800_000_000_000),
            core: Core::new(Settings::default()),
            journal: Vec::new(),
            snapshot: None,
            ledger: Ledger::default(),
            sessions: vec![None; nodes.len()],
            nodes,
            last_session: 0,
            last_checkpoint: 0,
            to_core: Vec::new(),
            to_nodes: Vec::new(),
            studies,
            variants,
            faults: BTreeMap::new(),
            files: BTreeSet::new(),
            told_lost: BTreeSet::new(),
            torn: BTreeSet::new(),
            restored: false,
            deleting: false,
        }
    }

    /// Runs the schedule; says what broke, or how often each fault struck.
    pub(crate) fn run(mut self) -> Result<BTreeMap<&'static str, u64>, String> {
        for spec in self.studies.clone() {
            self.input(submission(&spec, false))?;
        }
        for _ in 0..STEPS {
            self.step()?;
        }
        self.calm_down()?;
        self.check_end()?;
        Ok(self.faults)
    }

    pub(super) fn strike(&mut self, fault: &'static str) {
        *self.faults.entry(fault).or_default() += 1;
    }

    /// One thing that happens.
    pub(super) fn step(&mut self) -> Checked {
        let node = self.random.place(self.nodes.len());
        match self.random.below(200) {
            0..60 => self.deliver_any()?,
            60..95 => self.obey_any(),
            95..130 => self.compute(node, true),
            130..148 => self.schedule()?,
            148..164 => self.connect(node),
            164..168 => self.send(node, Message::Heartbeat),
            168..171 => self.resend(node),
            171..174 => self.break_session(node),
            174 => self.half_open(node)?,
            175..177 => self.crash_node(node),
            177..178 => self.drain(node),
            178..185 => self.pass_time(),
            185..188 => self.tick()?,
            188..198 => self.client()?,
            198 => match self.random.below(8) {
                5.. => self.lose_file(),
                0 => self.lose_artifact()?,
                1..3 => self.restore_backup()?,
                _ => self.take_snapshot(),
            },
            _ => self.crash("coordinator crash after the record")?,
        }
        Ok(())
    }

    // The coordinator's shell: durable first, then visible.

    pub(super) fn input(&mut self, input: Input) -> Checked {
        match self.core.handle(input, self.now) {
            Ok(step) => self.commit(step),
            Err(_) => Ok(()),
        }
    }

    pub(super) fn schedule(&mut self) -> Checked {
        let step = self.core.schedule(self.now);
        self.commit(step)
    }

    pub(super) fn commit(&mut self, step: Step) -> Checked {
        if self.random.below(800) == 0 {
            return self.crash("coordinator crash before the record");
        }
        for event in step.events {
            self.ledger.enter(&event)?;
            self.note(&event);
            if let Event::StudyDeleted { .. } = event {
                self.deleting = true;
                let core = &self.core;
                self.ledger.keep_known(|task| core.task(task).is_some());
            }
            let lost = self.sabotage == Some(Sabotage::LosesLease)
                && matches!(event, Event::Leased { .. })
                && self.random.chance(10);
            if !lost {
                self.journal.push((self.now, event));
            }
        }
        let core = &self.core;
        self.ledger.keep_live(|task| is_leased(core, task));
        if self.random.below(800) == 0 {
            return self.crash("coordinator crash after the record");
        }
        let acted = step
            .actions
            .into_iter()
            .try_for_each(|action| self.act(action));
        self.deleting = false;
        acted
    }

    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Adopted { .. } => self.strike("adopted attempt"),
            Event::Failed { failure, .. }
                if matches!(
                    failure.class,
                    FailureClass::TimeLimit | FailureClass::Stalled
                ) =>
            {
                self.strike("overrun attempt");
            }
            Event::Audited { .. } => self.strike("audit"),
            Event::CheckpointLost { .. } => self.strike("forgotten checkpoint"),
            Event::Retried { .. } => self.strike("retried task"),
            Event::StudyContinued { .. } => self.strike("continued study"),
            Event::WorkerDrained { .. } => self.strike("drained worker"),
            Event::Reopened { .. } => self.strike("reopened task"),
            Event::StudyDeleted { .. } => self.strike("deleted study"),
            Event::Failed { failure, .. } if failure.class == FailureClass::InputLost => {
                self.strike("lost input");
            }
            Event::Doubled { .. } => self.strike("doubled attempt"),
            Event::Checkpointed { .. } => self.strike("checkpoint"),
            Event::Failed { .. } => self.strike("failed attempt"),
            Event::Returned { .. } => self.strike("returned attempt"),
            Event::Superseded { .. } => self.strike("late result"),
            Event::Finished { attempt, .. } => {
                // Its files are stored with it.
                self.torn.remove(&attempt.task);
                if !self.ledger.was_live(*attempt) {
                    self.strike("collected late result");
                }
            }
            Event::Unarchived { attempt, .. } => {
                self.torn.remove(&attempt.task);
                self.strike("unarchived result");
            }
            Event::Lost { .. } => self.strike("lost attempt"),
            Event::StudyCancelled { .. } => self.strike("cancelled study"),
            Event::StudyPaused { .. } => self.strike("paused study"),
            _ => {}
        }
    }

    pub(super) fn tick(&mut self) -> Checked {
        if self.sabotage == Some(Sabotage::NeverTicks) {
            return Ok(());
        }
        self.input(Input::Tick)
    }

    // The network.

    pub(super) fn send(&mut self, node: usize, body: Message) {
        if let Some(session) = self.nodes[node].session {
            self.to_core.push(Letter {
                node,
                session,
                body,
            });
        }
    }

    /// Delivers a message to the coordinator, in any order within a session.
    pub(super) fn deliver_any(&mut self) -> Checked {
        if self.to_core.is_empty() {
            return Ok(());
        }
        let place = self.random.place(self.to_core.len());
        let session = self.to_core[place].session;
        // A session begins with its hello.
        let hello = |letter: &Letter<Message>| {
            letter.session == session && matches!(letter.body, Message::Hello(_))
        };
        let first = self.to_core.iter().position(hello);
        let letter = self.to_core.remove(first.unwrap_or(place));
        self.deliver(letter)
    }

    pub(super) fn deliver(
        &mut self,
        Letter {
            node,
            session,
            body,
        }: Letter<Message>,
    ) -> Checked {
        let worker = self.nodes[node].id;
        let open = self.sessions[node] == Some(session);
        let is_hello = matches!(body, Message::Hello(_));
        if !open && !is_hello && self.nodes[node].session == Some(session) {
            // Both ends of a session that one of them has ended are closed.
            self.break_session(node);
        }
        match body {
            Message::Hello(holding) => {
                if self.sessions[node].is_some_and(|newer| newer > session) {
                    return Ok(());
                }
                self.sessions[node] = Some(session);
                let capability = offer(self.nodes[node].slots);
                let again = std::mem::replace(&mut self.nodes[node].welcomed, true);
                self.input(Input::Hello {
                    again,
                    worker,
                    capability,
                    holding,
                })
            }
            Message::Closed if open => {
                self.sessions[node] = None;
                self.input(Input::Disconnected { worker })
            }
            Message::Heartbeat if open => {
                let heartbeat = Input::Heartbeat { worker };
                if let Ok(step) = self.core.handle(heartbeat, self.now) {
                    return self.commit(step);
                }
                // Declared lost: the session is closed, the worker dials again.
                self.break_session(node);
                Ok(())
            }
            Message::Draining if open => self.input(Input::Draining { worker }),
            Message::Closed | Message::Heartbeat | Message::Draining => Ok(()),
            Message::Checkpoint(attempt, checkpoint, done) => self.input(Input::Checkpointed {
                worker,
                attempt,
                checkpoint,
                done,
            }),
            Message::CheckpointLost(attempt, checkpoint) => {
                if self.sabotage == Some(Sabotage::KeepsLostCheckpoints) {
                    self.told_lost.insert((attempt, checkpoint));
                    return Ok(());
                }
                self.input(Input::CheckpointLost {
                    attempt,
                    checkpoint,
                })?;
                self.told_lost.insert((attempt, checkpoint));
                Ok(())
            }
            Message::InputLost(task) => self.input(Input::ArtifactLost { task }),
            Message::Progress(attempt, progress) => self.input(Input::Progress {
                worker,
                attempt,
                progress,
            }),
            Message::Report(attempt, end) => {
                let (worker, attempt) = match (self.sabotage, &end) {
                    (Some(Sabotage::MisattributesResults), AttemptEnd::Finished { .. }) => {
                        let newest = self.ledger.newest.get(&attempt.task);
                        newest.map_or((worker, attempt), |&(number, holder)| {
                            (holder, AttemptId { number, ..attempt })
                        })
                    }
                    _ => (worker, attempt),
                };
                if matches!(&end, AttemptEnd::Failed(failure)
                    if failure.class == FailureClass::InputLost)
                {
                    self.look_for_inputs(node, session, attempt.task);
                }
                self.input(Input::Report {
                    worker,
                    attempt,
                    end,
                })
            }
        }
    }

    /// The coordinator drops a session, and the worker does not hear of it until it
    /// speaks again.
    fn half_open(&mut self, node: usize) -> Checked {
        let Some(session) = self.sessions[node].take() else {
            return Ok(());
        };
        self.strike("half-open session");
        self.to_nodes.retain(|letter| letter.session != session);
        let worker = self.nodes[node].id;
        self.input(Input::Disconnected { worker })
    }

    /// Delivers a message to a worker.
    pub(super) fn obey_any(&mut self) {
        if !self.to_nodes.is_empty() {
            let place = self.random.place(self.to_nodes.len());
            let letter = self.to_nodes.remove(place);
            self.obey(letter);
        }
    }

    pub(super) fn obey(
        &mut self,
        Letter {
            node,
            session,
            body,
        }: Letter<Order>,
    ) {
        let known = &mut self.nodes[node];
        if known.alive && known.session == Some(session) {
            known.obey(body);
            self.begin(node);
        }
    }

    pub(super) fn break_session(&mut self, node: usize) {
        if let Some(session) = self.nodes[node].session.take() {
            self.strike("session break");
            let random = &mut self.random;
            self.to_nodes.retain(|letter| letter.session != session);
            self.to_core
                .retain(|letter| letter.session != session || random.chance(50));
            self.to_core.push(Letter {
                node,
                session,
                body: Message::Closed,
            });
        }
    }
}

pub(super) fn is_leased(core: &Core, task: TaskKey) -> bool {
    let phase = core.task(task).map(|view| view.phase);
    matches!(phase, Some(TaskPhase::Leased { .. }))
}
