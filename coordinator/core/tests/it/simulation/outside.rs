//! What happens around the coordinator: workers, time and clients.

use reprise_core::lifecycle::{Actor, AttemptEnd, Input, Progress, StudyControl, TaskPhase};
use reprise_domain::measure::ArtifactRef;
use reprise_domain::status::StudyState;
use reprise_domain::{AttemptId, Digest, FailureClass, StudyName};

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

    /// Reports everything again that was not acknowledged, and announces every
    /// checkpoint again.
    pub(super) fn resend(&mut self, node: usize) {
        if self.nodes[node].session.is_some() {
            for (attempt, (checkpoint, done)) in self.nodes[node].saved.clone() {
                self.strike("repeated checkpoint");
                // It is stored again before it is announced.
                self.files.insert((attempt, checkpoint.digest));
                self.send(node, Message::Checkpoint(attempt, checkpoint, done));
            }
        }
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
        let attempt = self.nodes[node].queue[place];
        let inputs = self.inputs(attempt.task);
        let is_unreadable = inputs.iter().any(|input| self.torn.contains(input));
        self.fetch_checkpoint(node, attempt);
        if faulty && self.random.chance(45) {
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
            _ if is_unreadable => failed(FailureClass::InputLost),
            0..8 => failed(FailureClass::Task),
            8..12 => failed(FailureClass::OutOfMemory),
            12..17 => failed(FailureClass::Permanent),
            17..19 => failed(FailureClass::WorkerLost),
            19..24 => AttemptEnd::Returned,
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

    /// An attempt begins where an earlier one stood, if the file of that is there.
    fn fetch_checkpoint(&mut self, node: usize, attempt: AttemptId) {
        if self.nodes[node].done.contains_key(&attempt) {
            return;
        }
        let given = self.core.checkpoint(attempt.task);
        let mut done = 0;
        if let Some(given) = given {
            let file = (given.attempt, given.artifact.digest);
            if self.files.contains(&file) {
                done = given.done;
            } else {
                self.send(node, Message::CheckpointLost(file.0, file.1));
            }
        }
        self.nodes[node].done.insert(attempt, done);
    }

    /// The file of a checkpoint is gone.
    pub(super) fn lose_file(&mut self) {
        let known = self.core.checkpoints();
        let known = known.map(|known| (known.attempt, known.artifact.digest));
        let stored: Vec<_> = known.filter(|file| self.files.contains(file)).collect();
        if !stored.is_empty() {
            self.strike("lost checkpoint");
            let place = self.random.place(stored.len());
            self.files.remove(&stored[place]);
        }
    }

    /// Says where an attempt stands; no two places are the same. Sometimes it is said
    /// late, after a further one.
    fn checkpoint(&mut self, node: usize, attempt: AttemptId) {
        if self.random.chance(30) {
            let done = self.random.below(100);
            let progress = Progress {
                done,
                total: 100,
                ..Progress::default()
            };
            return self.send(node, Message::Progress(attempt, progress));
        }
        let mut place = *attempt.task.0.as_bytes();
        self.last_checkpoint += 1;
        place[..8].copy_from_slice(&self.last_checkpoint.to_le_bytes());
        let checkpoint = ArtifactRef {
            digest: Digest::from_bytes(place),
            bytes: self.last_checkpoint,
        };
        let ahead = 1 + self.random.below(20);
        let done = self.nodes[node].done.entry(attempt).or_default();
        *done += ahead;
        let mut done = *done;
        if self.random.chance(20) {
            self.strike("stale checkpoint");
            done /= 2;
        }
        self.files.insert((attempt, checkpoint.digest));
        let saved = &mut self.nodes[node].saved;
        saved.insert(attempt, (checkpoint, done));
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
        match self.random.below(16) {
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
            10..12 => {
                let is_stopped = |study: &StudyName| {
                    let known = self.core.study(study);
                    known.is_some_and(|known| known.state == StudyState::Stopped)
                };
                let stopped = self.core.studies().find(|study| is_stopped(study));
                let study = stopped.cloned().unwrap_or(study);
                self.input(Input::Retry {
                    study,
                    tasks: Vec::new(),
                    by: Actor::Admin,
                })
            }
            12 => {
                let finished = self.core.study_tasks(&study).into_iter().flatten();
                let finished =
                    finished.filter(|task| matches!(task.phase, TaskPhase::Finished { .. }));
                let keys: Vec<_> = finished.map(|task| task.key).collect();
                if keys.is_empty() {
                    return Ok(());
                }
                let tasks = vec![keys[self.random.place(keys.len())]];
                self.input(Input::Invalidate {
                    study,
                    tasks,
                    by: Actor::Admin,
                })
            }
            13..15 => {
                let place = self.random.place(self.nodes.len());
                let drained = self.random.chance(40);
                self.input(Input::Drain {
                    worker: self.nodes[place].id,
                    drained,
                })
            }
            15 => self.unarchive(study),
            _ => {
                let input = submission(spec, false);
                self.input(input)
            }
        }
    }

    /// A client has the result of a task from an archive of another coordinator, whose
    /// attempts have their own numbers.
    fn unarchive(&mut self, study: StudyName) -> Checked {
        let tasks = self.core.study_tasks(&study).into_iter().flatten();
        let keys: Vec<_> = tasks.map(|task| task.key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let task = keys[self.random.place(keys.len())];
        let number = 1 + self.random.below(4) as u32;
        self.input(Input::Unarchive {
            study,
            attempt: AttemptId { task, number },
            result: task.0,
            seconds: seconds(1.0),
            by: Actor::Admin,
        })
    }
}
