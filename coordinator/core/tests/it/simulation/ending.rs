//! The end of a schedule: no further fault, and everything has to come right.

use std::time::Duration;

use reprise_core::lifecycle::{Input, TaskPhase};
use reprise_domain::TaskKey;
use reprise_domain::study::StudySpec;

use super::cluster::{Checked, Cluster, Message};
use crate::fixtures::{planned, submission};

/// Rounds after which what is left would never finish.
const ROUNDS: usize = 400;

impl Cluster {
    pub(super) fn calm_down(&mut self) -> Checked {
        for round in 0..ROUNDS {
            if round % 100 == 0 {
                for spec in self.studies.clone() {
                    self.input(submission(&spec, true))?;
                }
            }
            for node in 0..self.nodes.len() {
                self.connect(node);
                self.send(node, Message::Heartbeat);
                let worker = self.nodes[node].id;
                self.input(Input::Drain {
                    worker,
                    drained: false,
                })?;
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
        self.studies.iter().flat_map(|spec| {
            planned(spec)
                .tasks()
                .map(|task| task.key)
                .collect::<Vec<_>>()
        })
    }

    fn is_done(&self, spec: &StudySpec) -> bool {
        self.core.study(&spec.name).is_some_and(|view| view.done)
    }

    fn is_finished(&self) -> bool {
        // Audits come after the results.
        self.studies.iter().all(|spec| self.is_done(spec))
            && self
                .tasks()
                .all(|task| self.ledger.results.contains_key(&task))
    }

    pub(super) fn check_end(&self) -> Checked {
        for task in self.tasks() {
            let phase = self.core.task(task).map(|view| view.phase);
            let Some(TaskPhase::Finished { result, .. }) = phase else {
                return Err(format!("`{task}` never finished: {phase:?}"));
            };
            if result != task.0 || self.ledger.results.get(&task) != Some(&task.0) {
                return Err(format!("`{task}` has the result of another task"));
            }
        }
        if self.studies.iter().all(|spec| self.is_done(spec)) {
            Ok(())
        } else {
            Err("all tasks have finished and a study has not".to_owned())
        }
    }
}
