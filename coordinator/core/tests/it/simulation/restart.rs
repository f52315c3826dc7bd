//! Restarts of the coordinator: from its journal, from a snapshot, from an older
//! backup; and files of results that are lost meanwhile.

use std::time::Duration;

use reprise_core::lifecycle::{Core, Event, Input, Settings};
use reprise_domain::TaskKey;

use super::cluster::{Checked, Cluster, Letter, Message, is_leased};
use super::faults::Sabotage;

impl Cluster {
    /// The file of a finished task's result is lost. Sometimes that is found at once,
    /// sometimes only by a worker that is to read it.
    pub(super) fn lose_artifact(&mut self) -> Checked {
        let finished: Vec<_> = self.ledger.results.keys().copied().collect();
        if finished.is_empty() {
            return Ok(());
        }
        self.strike("lost artifact");
        let task = finished[self.random.place(finished.len())];
        if self.random.chance(20) {
            return self.input(Input::ArtifactLost { task });
        }
        self.torn.insert(task);
        Ok(())
    }

    /// What the coordinator finds when a worker could not read what `task` reads. The
    /// answer comes later, like a message.
    pub(super) fn look_for_inputs(&mut self, node: usize, session: u64, task: TaskKey) {
        if self.sabotage == Some(Sabotage::KeepsLostInputs) {
            return;
        }
        for input in self.inputs(task) {
            if self.torn.contains(&input) {
                self.to_core.push(Letter {
                    node,
                    session,
                    body: Message::InputLost(input),
                });
            }
        }
    }

    /// What a task reads.
    pub(super) fn inputs(&self, task: TaskKey) -> Vec<TaskKey> {
        let spec = self.core.spec(task);
        spec.map_or(Vec::new(), |spec| spec.inputs())
    }

    /// Everything after some record is gone, with whatever depended on it: a backup
    /// of the journal is put back.
    pub(super) fn restore_backup(&mut self) -> Checked {
        self.crash("restored backup")?;
        // It takes somebody a while.
        self.now = self.now.after(Duration::from_hours(1));
        self.restored = true;
        let mut kept = self.random.place(self.journal.len() + 1);
        if self.random.chance(50) {
            // A backup that is older than most studies.
            kept = kept.min(self.random.place(20));
        }
        self.journal.truncate(kept);
        let beyond = |(covered, _): &(usize, Vec<u8>)| *covered <= kept;
        self.snapshot = self.snapshot.take().filter(beyond);
        self.ledger = self.ledger.begun_anew();
        let given = std::mem::take(&mut self.ledger.given);
        let mut core = Core::new(Settings::default());
        for (at, event) in &self.journal {
            core.replay(event, *at)
                .map_err(|misfit| misfit.to_string())?;
            self.ledger.enter(event)?;
            if let Event::StudyDeleted { .. } = event {
                self.ledger.keep_known(|task| core.task(task).is_some());
            }
            self.ledger.keep_live(|task| is_leased(&core, task));
        }
        core.resume(self.now);
        self.core = core;
        self.ledger.given.extend(given);
        // Durable before the coordinator is started.
        let step = self.core.handle(Input::Restored, self.now);
        for event in step.map_err(|refusal| refusal.to_string())?.events {
            self.ledger.enter(&event)?;
            self.journal.push((self.now, event));
        }
        Ok(())
    }

    pub(super) fn take_snapshot(&mut self) {
        self.strike("snapshot");
        self.snapshot = Some((self.journal.len(), self.core.snapshot()));
    }

    /// The state by the newest snapshot and what the journal holds beyond it.
    pub(super) fn by_snapshot(&self) -> Result<Option<Core>, String> {
        let Some((covered, bytes)) = &self.snapshot else {
            return Ok(None);
        };
        let mut core =
            Core::restore(Settings::default(), bytes).map_err(|error| error.to_string())?;
        for (at, event) in &self.journal[*covered..] {
            core.replay(event, *at)
                .map_err(|misfit| misfit.to_string())?;
        }
        core.resume(self.now);
        Ok(Some(core))
    }

    /// The state that the journal gives.
    pub(super) fn replayed(&self) -> Result<Core, String> {
        let mut core = Core::new(Settings::default());
        for (at, event) in &self.journal {
            core.replay(event, *at)
                .map_err(|misfit| misfit.to_string())?;
        }
        core.resume(self.now);
        Ok(core)
    }

    /// Restarts the coordinator from its journal. What was not recorded is gone,
    /// and all connections are.
    pub(super) fn crash(&mut self, fault: &'static str) -> Checked {
        self.strike(fault);
        let rebuilt = self.replayed()?;
        // A lease that the journal lacks is in the snapshot: only a sound journal
        // can be held against it.
        if self.sabotage.is_none()
            && let Some(shortcut) = self.by_snapshot()?
        {
            self.strike("restart by snapshot");
            if shortcut != rebuilt {
                return Err("INV-5: snapshot and journal give different states".to_owned());
            }
        }
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
}
