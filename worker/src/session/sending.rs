//! What the session sends: outcomes with their files and logs, checkpoints, and how
//! far running attempts are.

use std::time::Instant;

use reprise_domain::{AttemptId, AttemptOutcome};

use super::connection::Connection;
use super::delivery::{Upload, send_checkpoint, upload};
use super::service::Service;
use crate::checkpoints::Announced;

impl Service {
    /// Uploads an outcome's files, then reports it, beside the session. What is not
    /// sent before the connection ends is sent with the next one.
    pub(super) fn deliver(
        &self,
        connection: &Connection,
        attempt: AttemptId,
        outcome: AttemptOutcome,
    ) {
        let (artifacts, clients, outgoing) = (
            self.artifacts.clone(),
            connection.clients.clone(),
            connection.outgoing(),
        );
        let (files, checkpoint) = match &outcome {
            AttemptOutcome::Finished { result, .. } => (result.artifacts(), None),
            AttemptOutcome::Returned => (Vec::new(), self.checkpoints.get(&attempt).copied()),
            AttemptOutcome::Failed(_) => (Vec::new(), None),
        };
        // Before the report, whose acknowledgement stands for both.
        if let Some(text) = self.logs.kept(attempt) {
            outgoing.log(attempt, text);
        }
        if files.is_empty() && checkpoint.is_none() {
            outgoing.report(attempt, &outcome);
            return;
        }
        tokio::spawn(async move {
            // Whoever gets the task next must find it: it goes before the report.
            if let Some(checkpoint) = checkpoint {
                send_checkpoint(&artifacts, clients.clone(), &outgoing, attempt, checkpoint).await;
            }
            for artifact in files {
                match upload(&artifacts, &clients, &outgoing, attempt, artifact).await {
                    Upload::Stored => {}
                    Upload::Disconnected => return,
                    Upload::Impossible(failure) => {
                        outgoing.report(attempt, &AttemptOutcome::Failed(failure));
                        return;
                    }
                }
            }
            outgoing.report(attempt, &outcome);
        });
    }

    /// Uploads where an attempt stands, beside the session. The newest one is sent
    /// again with the next connection.
    pub(super) fn deliver_checkpoint(
        &self,
        connection: &Connection,
        attempt: AttemptId,
        checkpoint: Announced,
    ) {
        let (artifacts, clients, outgoing) = (
            self.artifacts.clone(),
            connection.clients.clone(),
            connection.outgoing(),
        );
        tokio::spawn(async move {
            send_checkpoint(&artifacts, clients, &outgoing, attempt, checkpoint).await;
        });
    }

    /// A sign of life, with how far running attempts are and what they have logged.
    pub(super) fn beat(&mut self, connection: &Connection) {
        let outgoing = connection.outgoing();
        outgoing.heartbeat(self.held.moved());
        for (attempt, log) in self.held.logged(Instant::now()) {
            outgoing.log(attempt, self.logs.text(&log).into_bytes());
        }
    }

    /// Sends the logs of attempts that an earlier process of this worker was killed in,
    /// and names them.
    pub(super) fn send_left_logs(&self, connection: &Connection) -> Vec<AttemptId> {
        let mut left = self.logs.all_kept();
        // The others' go with their reports.
        left.retain(|attempt| !self.spool.holds(*attempt) && !self.held.contains(*attempt));
        for attempt in &left {
            if let Some(text) = self.logs.kept(*attempt) {
                connection.outgoing().log(*attempt, text);
            }
        }
        left
    }
}
