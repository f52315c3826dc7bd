//! What the coordinator's shell does for the core, and what the core must not ask of it.

use reprise_core::lifecycle::{Action, AttemptEnd, Checkpoint};
use reprise_core::message::split;
use reprise_domain::{AttemptId, WorkerId};

use super::cluster::{Checked, Cluster, Letter};
use super::faults::Sabotage;
use super::node::Order;

/// Bytes of one message to a worker, so few that many starts take several.
const LARGEST_MESSAGE: usize = 300;

/// Bytes of an assignment, and of each result that it reads.
const ASSIGNMENT: usize = 100;
const INPUT: usize = 60;

impl Cluster {
    pub(super) fn act(&mut self, action: Action) -> Checked {
        let (id, order) = match action {
            Action::Start { worker, attempts } => return self.start(worker, attempts),
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
            Action::ForgetResults { tasks } => {
                let kept = |task| self.ledger.results.contains_key(task);
                return match tasks.iter().find(|task| kept(task)) {
                    Some(task) => Err(format!("the result of `{task}` is forgotten and counts")),
                    None => Ok(()),
                };
            }
            Action::DiscardCheckpoint {
                attempt,
                checkpoint,
            } => {
                let needed = self.core.checkpoint(attempt.task);
                self.files.remove(&(attempt, checkpoint.digest));
                let is_lost = |needed: Checkpoint| {
                    let file = (needed.attempt, needed.artifact.digest);
                    self.told_lost.contains(&file) && !self.files.contains(&file)
                };
                if needed.is_some_and(is_lost) {
                    return Err(format!(
                        "the checkpoint of `{attempt}` is discarded for one that is lost"
                    ));
                }
                let is_it =
                    |needed: Checkpoint| (needed.attempt, needed.artifact) == (attempt, checkpoint);
                return if needed.is_some_and(is_it) {
                    Err(format!("{checkpoint:?} is discarded although it is needed"))
                } else {
                    self.strike("discarded checkpoint");
                    Ok(())
                };
            }
            Action::Nondeterminism { .. } => return Err(format!("{action:?}")),
            Action::Reconnect { worker } => {
                self.strike("work at a study that a backup lacked");
                let node = self.nodes.iter().position(|node| node.id == worker);
                let node = node.ok_or("a stranger")?;
                self.sessions[node] = None;
                self.break_session(node);
                return Ok(());
            }
        };
        self.check_kept(id, &order)?;
        self.order(id, order)
    }

    /// Sends assignments, in as many messages as they need.
    fn start(&mut self, worker: WorkerId, attempts: Vec<AttemptId>) -> Checked {
        let messages = if self.sabotage == Some(Sabotage::SendsWholeStarts) {
            vec![attempts]
        } else {
            split(attempts, |attempt| self.bytes(*attempt), LARGEST_MESSAGE)
        };
        if messages.len() > 1 {
            self.strike("split start");
        }
        messages
            .into_iter()
            .try_for_each(|attempts| self.order(worker, Order::Start(attempts)))
    }

    fn bytes(&self, attempt: AttemptId) -> usize {
        let spec = self.core.spec(attempt.task);
        ASSIGNMENT + INPUT * spec.map_or(0, |spec| spec.inputs().len())
    }

    fn order(&mut self, id: WorkerId, order: Order) -> Checked {
        if let Order::Start(attempts) = &order {
            let bytes: usize = attempts.iter().map(|attempt| self.bytes(*attempt)).sum();
            if bytes > LARGEST_MESSAGE {
                return Err(format!("a message of {bytes} bytes is sent to `{id}`"));
            }
        }
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

    /// Work at a task that a restored journal does not know must not be thrown away.
    fn check_kept(&self, id: WorkerId, order: &Order) -> Checked {
        let (thrown, is_stop) = match order {
            Order::Stop(attempts) if !self.deleting => (attempts.as_slice(), true),
            Order::Acknowledge(attempt) => (std::slice::from_ref(attempt), false),
            _ => return Ok(()),
        };
        let holder = self.nodes.iter().find(|node| node.id == id);
        let is_work = |attempt: &&AttemptId| {
            holder.is_some_and(|node| {
                let spooled = node.spool.get(*attempt);
                matches!(spooled, Some(AttemptEnd::Finished { .. }))
                    || (is_stop && node.queue.contains(attempt))
            })
        };
        let lost = thrown
            .iter()
            .filter(|attempt| self.restored && self.core.task(attempt.task).is_none())
            .find(is_work);
        match lost {
            Some(attempt) => Err(format!("the work of `{attempt}` is thrown away")),
            None => Ok(()),
        }
    }
}
