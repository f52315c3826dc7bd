//! The cluster and its schedule.

use std::collections::BTreeMap;
use std::time::Duration;

use reprise_core::Timestamp;
use reprise_core::lifecycle::{Action, AttemptEnd, Core, Event, Input, Settings, Step, TaskPhase};
use reprise_domain::study::{OnFailure, StudySpec};
use reprise_domain::{AttemptId, FailureClass, TaskKey};

use super::faults::Sabotage;
use super::ledger::Ledger;
use super::node::{Node, Order};
use super::random::Random;
use crate::fixtures::{embedded, failure, noops, offer, planned, seconds, submission, worker};

/// Steps of a schedule while faults strike.
const STEPS: usize = 300;

/// Rounds after which what is left would never finish.
const ROUNDS: usize = 400;

/// A message to the coordinator.
enum Message {
    Hello(Vec<AttemptId>),
    Heartbeat,
    Draining,
    Report(AttemptId, AttemptEnd),
    /// The end of the session.
    Closed,
}

struct Letter<T> {
    node: usize,
    session: u64,
    body: T,
}

pub(crate) struct Cluster {
    random: Random,
    sabotage: Option<Sabotage>,
    now: Timestamp,
    core: Core,
    journal: Vec<(Timestamp, Event)>,
    ledger: Ledger,
    nodes: Vec<Node>,
    /// The session of each node that the coordinator takes to be open.
    sessions: Vec<Option<u64>>,
    last_session: u64,
    to_core: Vec<Letter<Message>>,
    to_nodes: Vec<Letter<Order>>,
    /// The specs that studies have in the end.
    studies: Vec<StudySpec>,
    /// Specs that clients submit while faults strike.
    variants: Vec<StudySpec>,
    faults: BTreeMap<&'static str, u64>,
}

type Checked = Result<(), String>;

impl Cluster {
    pub(crate) fn new(seed: u64, sabotage: Option<Sabotage>) -> Self {
        let nodes: Vec<_> = (1..=3)
            .map(|number| Node::new(worker(number), number as u32))
            .collect();
        let stops = |spec| StudySpec {
            on_failure: OnFailure::StopAfter(2),
            ..spec
        };
        let studies = vec![
            embedded("a", 2, 6),
            stops(embedded("b", 3, 4)),
            noops("c", 5),
        ];
        let mut variants = studies.clone();
        variants.extend([embedded("a", 1, 3), noops("b", 7), stops(noops("c", 3))]);
        Self {
            random: Random::new(seed),
            sabotage,
            now: Timestamp(10_000_000),
            core: Core::new(Settings::default()),
            journal: Vec::new(),
            ledger: Ledger::default(),
            sessions: vec![None; nodes.len()],
            nodes,
            last_session: 0,
            to_core: Vec::new(),
            to_nodes: Vec::new(),
            studies,
            variants,
            faults: BTreeMap::new(),
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

    fn strike(&mut self, fault: &'static str) {
        *self.faults.entry(fault).or_default() += 1;
    }

    /// One thing that happens.
    fn step(&mut self) -> Checked {
        let node = self.random.place(self.nodes.len());
        match self.random.below(200) {
            0..60 => self.deliver_any()?,
            60..95 => self.obey_any(),
            95..130 => self.compute(node, true),
            130..148 => self.schedule()?,
            148..164 => self.connect(node),
            164..168 => self.send(node, Message::Heartbeat),
            168..171 => self.resend(node),
            171..175 => self.break_session(node),
            175..177 => self.crash_node(node),
            177..178 => self.drain(node),
            178..187 => self.pass_time(),
            187..191 => self.tick()?,
            191..199 => self.client()?,
            _ => self.crash("coordinator crash after the record")?,
        }
        Ok(())
    }

    // The coordinator's shell: durable first, then visible.

    fn input(&mut self, input: Input) -> Checked {
        match self.core.handle(input, self.now) {
            Ok(step) => self.commit(step),
            Err(_) => Ok(()),
        }
    }

    fn schedule(&mut self) -> Checked {
        let step = self.core.schedule(self.now);
        self.commit(step)
    }

    fn commit(&mut self, step: Step) -> Checked {
        if self.random.below(800) == 0 {
            return self.crash("coordinator crash before the record");
        }
        for event in step.events {
            self.ledger.enter(&event)?;
            self.note(&event);
            let lost = self.sabotage == Some(Sabotage::LosesLease)
                && matches!(event, Event::Leased { .. })
                && self.random.chance(10);
            if !lost {
                self.journal.push((self.now, event));
            }
        }
        if self.random.below(800) == 0 {
            return self.crash("coordinator crash after the record");
        }
        step.actions
            .into_iter()
            .try_for_each(|action| self.act(action))
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Failed { .. } => self.strike("failed attempt"),
            Event::Returned { .. } => self.strike("returned attempt"),
            Event::Superseded { .. } => self.strike("late result"),
            Event::Lost { .. } => self.strike("lost attempt"),
            Event::StudyCancelled { .. } => self.strike("cancelled study"),
            Event::StudyPaused { .. } => self.strike("paused study"),
            _ => {}
        }
    }

    fn act(&mut self, action: Action) -> Checked {
        let (id, order) = match action {
            Action::Start { worker, attempts } => (worker, Order::Start(attempts)),
            Action::Stop { worker, attempts } => {
                self.strike("stopped attempt");
                (worker, Order::Stop(attempts))
            }
            Action::Acknowledge { worker, attempt } => (worker, Order::Acknowledge(attempt)),
            Action::RecordResult { attempt } => {
                let recorded = self.ledger.results.contains_key(&attempt.task);
                return recorded
                    .then_some(())
                    .ok_or("a payload without a result".to_owned());
            }
            Action::StudyChanged { .. } => return Ok(()),
            Action::Nondeterminism { .. } => return Err(format!("{action:?}")),
        };
        let node = self
            .nodes
            .iter()
            .position(|node| node.id == id)
            .ok_or("a stranger")?;
        if let Some(session) = self.sessions[node] {
            self.to_nodes.push(Letter {
                node,
                session,
                body: order,
            });
        }
        Ok(())
    }

    /// Restarts the coordinator from its journal. What was not recorded is gone,
    /// and all connections are.
    fn crash(&mut self, fault: &'static str) -> Checked {
        self.strike(fault);
        let mut rebuilt = Core::new(Settings::default());
        for (at, event) in &self.journal {
            rebuilt
                .replay(event, *at)
                .map_err(|misfit| misfit.to_string())?;
        }
        rebuilt.resume(self.now);
        if fault == "coordinator crash after the record" {
            self.core.resume(self.now);
            if self.core != rebuilt {
                return Err("INV-5: the journal does not give the state".to_owned());
            }
        }
        self.core = rebuilt;
        self.sessions.fill(None);
        self.to_core.clear();
        self.to_nodes.clear();
        for node in &mut self.nodes {
            node.session = None;
        }
        Ok(())
    }

    fn tick(&mut self) -> Checked {
        if self.sabotage == Some(Sabotage::NeverTicks) {
            return Ok(());
        }
        self.input(Input::Tick)
    }

    // The network.

    fn send(&mut self, node: usize, body: Message) {
        if let Some(session) = self.nodes[node].session {
            self.to_core.push(Letter {
                node,
                session,
                body,
            });
        }
    }

    /// Delivers a message to the coordinator, in any order within a session.
    fn deliver_any(&mut self) -> Checked {
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

    fn deliver(
        &mut self,
        Letter {
            node,
            session,
            body,
        }: Letter<Message>,
    ) -> Checked {
        let worker = self.nodes[node].id;
        let open = self.sessions[node] == Some(session);
        match body {
            Message::Hello(holding) => {
                if self.sessions[node].is_some_and(|newer| newer > session) {
                    return Ok(());
                }
                self.sessions[node] = Some(session);
                let capability = offer(self.nodes[node].slots);
                self.input(Input::Hello {
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
            Message::Report(attempt, end) => {
                let (worker, attempt) = match (self.sabotage, &end) {
                    (Some(Sabotage::IgnoresFencing), AttemptEnd::Finished { .. }) => {
                        let newest = self.ledger.newest.get(&attempt.task);
                        newest.map_or((worker, attempt), |&(number, holder)| {
                            (holder, AttemptId { number, ..attempt })
                        })
                    }
                    _ => (worker, attempt),
                };
                self.input(Input::Report {
                    worker,
                    attempt,
                    end,
                })
            }
        }
    }

    /// Delivers a message to a worker.
    fn obey_any(&mut self) {
        if !self.to_nodes.is_empty() {
            let place = self.random.place(self.to_nodes.len());
            let letter = self.to_nodes.remove(place);
            self.obey(letter);
        }
    }

    fn obey(
        &mut self,
        Letter {
            node,
            session,
            body,
        }: Letter<Order>,
    ) {
        let node = &mut self.nodes[node];
        if node.alive && node.session == Some(session) {
            node.obey(body);
        }
    }

    fn break_session(&mut self, node: usize) {
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

    // The workers.

    fn connect(&mut self, node: usize) {
        let sabotage = self.sabotage;
        let known = &mut self.nodes[node];
        if known.session.is_some() {
            return;
        }
        self.last_session += 1;
        known.alive = true;
        known.draining = false;
        known.session = Some(self.last_session);
        let mut holding = known.holding();
        if sabotage == Some(Sabotage::KeepsUnlisted) {
            holding.extend(&known.forgotten);
        }
        self.send(node, Message::Hello(holding));
        self.resend(node);
    }

    /// Reports everything again that was not acknowledged.
    fn resend(&mut self, node: usize) {
        for (attempt, end) in self.nodes[node].spool.clone() {
            if self.nodes[node].session.is_some() {
                self.strike("duplicate report");
            }
            self.send(node, Message::Report(attempt, end));
        }
    }

    /// Ends one of the attempts that a worker runs.
    fn compute(&mut self, node: usize, faulty: bool) {
        let known = &mut self.nodes[node];
        let running = known.queue.len().min(known.slots as usize);
        if !known.alive || running == 0 {
            return;
        }
        let attempt = known.queue.remove(self.random.place(running));
        let failed = |class| AttemptEnd::Failed(failure(class));
        let chance = if faulty { self.random.below(100) } else { 100 };
        let end = match chance {
            _ if known.draining => AttemptEnd::Returned,
            0..8 => failed(FailureClass::Task),
            8..12 => failed(FailureClass::OutOfMemory),
            12..14 => failed(FailureClass::Permanent),
            14..16 => failed(FailureClass::WorkerLost),
            16..22 => AttemptEnd::Returned,
            _ => {
                self.ledger.computed.insert(attempt);
                let time = [0.0, 0.01, 0.7, 100.0][self.random.place(4)];
                AttemptEnd::Finished {
                    result: attempt.task.0,
                    seconds: seconds(time),
                }
            }
        };
        known.spool.insert(attempt, end.clone());
        self.send(node, Message::Report(attempt, end));
    }

    fn crash_node(&mut self, node: usize) {
        self.strike("worker crash");
        self.break_session(node);
        let disk_lost = self.random.chance(30);
        self.nodes[node].crash(disk_lost);
    }

    fn drain(&mut self, node: usize) {
        if self.nodes[node].session.is_some() {
            self.strike("drain");
            self.nodes[node].draining = true;
        }
        self.send(node, Message::Draining);
    }

    // Time and clients.

    fn pass_time(&mut self) {
        match self.random.below(10) {
            0 => {
                self.strike("clock forward");
                self.now.0 += self.random.below(100_000);
            }
            1 => {
                self.strike("clock back");
                self.now.0 -= self.random.below(20_000);
            }
            _ => self.now.0 += self.random.below(5_000),
        }
    }

    fn client(&mut self) -> Checked {
        let place = self.random.place(self.variants.len());
        let spec = &self.variants[place];
        let study = spec.name.clone();
        match self.random.below(10) {
            0 => self.input(Input::Cancel { study }),
            1 => self.input(Input::Pause { study }),
            2..4 => self.input(Input::Resume { study }),
            4 => {
                let amends = self
                    .core
                    .study(&study)
                    .is_some_and(|known| known.spec != spec);
                let input = submission(spec, true);
                if amends {
                    self.strike("amended study");
                }
                self.input(input)
            }
            _ => {
                let input = submission(spec, false);
                self.input(input)
            }
        }
    }

    // The end: no further fault, and everything has to come right.

    fn calm_down(&mut self) -> Checked {
        for round in 0..ROUNDS {
            if round % 100 == 0 {
                for spec in self.studies.clone() {
                    self.input(submission(&spec, true))?;
                }
            }
            for node in 0..self.nodes.len() {
                self.connect(node);
                self.send(node, Message::Heartbeat);
            }
            while !self.to_core.is_empty() {
                let letter = self.to_core.remove(0);
                self.deliver(letter)?;
            }
            self.schedule()?;
            while !self.to_nodes.is_empty() {
                let letter = self.to_nodes.remove(0);
                self.obey(letter);
            }
            for node in 0..self.nodes.len() {
                self.compute(node, false);
            }
            self.now = self.now.after(Duration::from_millis(500));
            self.tick()?;
            self.core.check_invariants()?;
            if self.is_finished() {
                break;
            }
        }
        self.crash("coordinator crash after the record")
    }

    fn tasks(&self) -> impl Iterator<Item = TaskKey> {
        self.studies
            .iter()
            .flat_map(|spec| planned(spec).tasks)
            .map(|task| task.key)
    }

    fn is_finished(&self) -> bool {
        self.tasks()
            .all(|task| self.ledger.results.contains_key(&task))
    }

    fn check_end(&self) -> Checked {
        for task in self.tasks() {
            let phase = self.core.task(task).map(|view| view.phase);
            let Some(TaskPhase::Finished { result, .. }) = phase else {
                return Err(format!("`{task}` never finished: {phase:?}"));
            };
            if result != task.0 || self.ledger.results.get(&task) != Some(&task.0) {
                return Err(format!("`{task}` has the result of another task"));
            }
        }
        let done = |spec: &StudySpec| self.core.study(&spec.name).is_some_and(|view| view.done);
        if self.studies.iter().all(done) {
            Ok(())
        } else {
            Err("all tasks have finished and a study has not".to_owned())
        }
    }
}
