//! What happens around the coordinator: workers, time and clients.

use reprise_core::lifecycle::{AttemptEnd, Progress, StudyControl};
use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, Digest, FailureClass};

use super::cluster::{Checked, Cluster, Message};
use super::faults::Sabotage;
use crate::fixtures::{control, failure, seconds, submission};

impl Cluster {
    pub(super) fn connect(&mut self, node: usize) {
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
        self.begin(node);
    }

    /// Reports everything again that was not acknowledged.
    pub(super) fn resend(&mut self, node: usize) {
        for (attempt, end) in self.nodes[node].spool.clone() {
            if self.nodes[node].session.is_some() {
                self.strike("duplicate report");
            }
            self.send(node, Message::Report(attempt, end));
        }
    }

    /// Says of the attempts that a worker runs that they have begun.
    pub(super) fn begin(&mut self, node: usize) {
        let known = &self.nodes[node];
        let running: Vec<_> = known.running().to_vec();
        for attempt in running {
            self.send(node, Message::Progress(attempt, Progress::default()));
        }
    }

    /// Ends one of the attempts that a worker runs.
    pub(super) fn compute(&mut self, node: usize, faulty: bool) {
        let known = &mut self.nodes[node];
        let running = known.running().len();
        if !known.alive || running == 0 {
            return;
        }
        let place = self.random.place(running);
        if faulty && self.random.chance(15) {
            let attempt = self.nodes[node].queue[place];
            self.checkpoint(node, attempt);
            return;
        }
        let known = &mut self.nodes[node];
        let attempt = known.queue.remove(place);
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
                let mut result = *attempt.task.0.as_bytes();
                if self.sabotage == Some(Sabotage::FalsifiesResults) && node == 2 {
                    result[0] ^= 1;
                }
                AttemptEnd::Finished {
                    result: Digest::from_bytes(result),
                    seconds: seconds(time),
                }
            }
        };
        known.spool.insert(attempt, end.clone());
        self.send(node, Message::Report(attempt, end));
    }

    /// Says where an attempt stands; no two places are the same. Sometimes it is said
    /// late, after a further one.
    fn checkpoint(&mut self, node: usize, attempt: AttemptId) {
        if self.random.chance(50) {
            let done = self.random.below(100);
            let progress = Progress { done, total: 100 };
            return self.send(node, Message::Progress(attempt, progress));
        }
        let mut place = *attempt.task.0.as_bytes();
        self.last_checkpoint += 1;
        place[..8].copy_from_slice(&self.last_checkpoint.to_le_bytes());
        let checkpoint = ArtifactRef {
            digest: Digest::from_bytes(place),
            bytes: self.last_checkpoint,
        };
        let mut done = self.last_checkpoint;
        if self.random.chance(20) {
            self.strike("stale checkpoint");
            done /= 2;
        }
        self.send(node, Message::Checkpoint(attempt, checkpoint, done));
    }

    pub(super) fn crash_node(&mut self, node: usize) {
        self.strike("worker crash");
        self.break_session(node);
        let disk_lost = self.random.chance(30);
        self.nodes[node].crash(disk_lost);
    }

    pub(super) fn drain(&mut self, node: usize) {
        if self.nodes[node].session.is_some() {
            self.strike("drain");
            self.nodes[node].draining = true;
        }
        self.send(node, Message::Draining);
    }

    // Time and clients.

    pub(super) fn pass_time(&mut self) {
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

    pub(super) fn client(&mut self) -> Checked {
        let place = self.random.place(self.variants.len());
        let spec = &self.variants[place];
        let study = spec.name.clone();
        match self.random.below(10) {
            0 if self.random.chance(30) => self.input(control(study, StudyControl::Delete)),
            0 => self.input(control(study, StudyControl::Cancel)),
            1 => self.input(control(study, StudyControl::Pause)),
            2..4 => self.input(control(study, StudyControl::Resume)),
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
}
