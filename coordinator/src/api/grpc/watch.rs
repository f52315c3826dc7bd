//! A study that somebody watches: the whole of it first, then what has changed.

use std::time::{Duration, Instant};

use reprise_domain::StudyName;
use reprise_domain::status::StageStatus;
use reprise_proto::convert::status::stage_status;
use reprise_proto::pb::StudyUpdate;
use reprise_proto::status::{ApiError, ErrorCode};
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::study::Streamed;
use crate::engine::Standing;
use crate::reading::Reading;
use crate::security::Caller;

/// Least mean time between two messages of a watch: ten a second is as fast as
/// anybody reads.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// Messages of a watch that may follow each other at once after a silence, so that
/// the end of a short study is seen when it comes.
const WATCH_BURST: u32 = 10;

/// A study that somebody watches.
pub(super) struct Watcher {
    reading: Reading,
    changes: Receiver<u64>,
    /// When the last message would have been due had all been sent at the mean
    /// rate.
    pace: Instant,
    shutdown: CancellationToken,
    /// Who watches: a credential may end before the study does.
    caller: Option<Caller>,
    study: StudyName,
    /// What was sent last.
    sent: Option<Standing>,
    /// Whether the study has ended, or the watch.
    ended: bool,
}

impl Watcher {
    pub(super) fn new(
        reading: Reading,
        mut changes: Receiver<u64>,
        shutdown: CancellationToken,
        caller: Option<Caller>,
        study: StudyName,
    ) -> Self {
        changes.mark_unchanged();
        Self {
            reading,
            changes,
            pace: Instant::now(),
            shutdown,
            caller,
            study,
            sent: None,
            ended: false,
        }
    }

    /// What is sent; an unknown study is an error at once.
    pub(super) async fn updates(self) -> Result<Streamed<StudyUpdate>, ApiError> {
        let first = self.reading.standing(&self.study).await?;
        let later = futures::stream::unfold((self, Some(first)), |(mut watcher, first)| async {
            let update = watcher.next(first).await?;
            Some((update, (watcher, None)))
        });
        Ok(Box::pin(later))
    }

    async fn next(&mut self, mut first: Option<Standing>) -> Option<Result<StudyUpdate, Status>> {
        while !self.ended {
            let standing = match first.take() {
                Some(first) => first,
                None => match self.changed().await {
                    Ok(standing) => standing,
                    Err(error) => {
                        self.ended = true;
                        return Some(Err(error.into()));
                    }
                },
            };
            self.ended = standing.study.has_ended();
            let update = difference(self.sent.as_ref(), &standing);
            self.sent = Some(standing);
            if update.is_some() {
                return update.map(Ok);
            }
        }
        None
    }

    /// Where the study stands after the next change of anything.
    async fn changed(&mut self) -> Result<Standing, ApiError> {
        let stopping = || ApiError::new(ErrorCode::Unavailable, "the coordinator is stopping");
        tokio::select! {
            changed = self.changes.changed() => changed.map_err(|_| stopping())?,
            () = self.shutdown.cancelled() => return Err(stopping()),
        }
        self.keep_pace().await;
        self.changes.mark_unchanged();
        if let Some(caller) = &self.caller {
            caller.check().inspect_err(|error| caller.refused(error))?;
        }
        self.reading.standing(&self.study).await
    }

    /// Waits while messages are ahead of their rate by more than the burst.
    async fn keep_pace(&mut self) {
        let ahead = self.pace.saturating_duration_since(Instant::now());
        tokio::time::sleep(ahead.saturating_sub(WATCH_INTERVAL * (WATCH_BURST - 1))).await;
        self.pace = self.pace.max(Instant::now()) + WATCH_INTERVAL;
    }
}

/// What is new since `sent`; nothing if nothing is.
fn difference(sent: Option<&Standing>, now: &Standing) -> Option<StudyUpdate> {
    // A study that was replaced has other stages.
    let before = sent.filter(|sent| sent.study.digest == now.study.digest);
    if before == Some(now) {
        return None;
    }
    let stages = now.stages.iter().enumerate();
    let is_new = |(place, stage): &(usize, &StageStatus)| {
        before.is_none_or(|before| before.stages.get(*place) != Some(*stage))
    };
    Some(StudyUpdate {
        study: Some((&now.study).into()),
        stages: stages
            .filter(is_new)
            .map(|(place, stage)| stage_status(place, stage))
            .collect(),
        workers_connected: now.workers_connected,
        unserved: now.unserved.iter().map(Into::into).collect(),
    })
}

#[cfg(test)]
mod tests {
    use reprise_domain::status::{AuditCounts, StudyState, StudySummary, TaskCounts};
    use reprise_domain::{Digest, Stage};

    use super::*;

    fn standing(digest: u8, running: [u64; 2]) -> Standing {
        let counts = |running| TaskCounts {
            planned: 5,
            running,
            ..TaskCounts::default()
        };
        let stage = |running| StageStatus {
            name: "noop".to_owned(),
            stage: Stage::Noop,
            tasks: counts(running),
        };
        Standing {
            study: StudySummary {
                name: "s".parse().unwrap(),
                digest: Digest::from_bytes([digest; 32]),
                owner: None,
                state: StudyState::Running,
                tasks: counts(running[0] + running[1]),
                audits: AuditCounts::default(),
                submitted_at_ms: 0,
                started_at_ms: None,
                finished_at_ms: None,
            },
            stages: running.map(stage).to_vec(),
            workers_connected: 1,
            unserved: Vec::new(),
        }
    }

    fn told(sent: Option<&Standing>, now: &Standing) -> Option<Vec<u32>> {
        let update = difference(sent, now)?;
        Some(update.stages.iter().map(|stage| stage.index).collect())
    }

    #[test]
    fn only_stages_that_changed_are_told() {
        let before = standing(1, [0, 2]);
        assert_eq!(told(None, &before), Some(vec![0, 1]));
        assert_eq!(told(Some(&before), &before), None);
        assert_eq!(told(Some(&before), &standing(1, [0, 3])), Some(vec![1]));
        let replaced = standing(2, [0, 2]);
        assert_eq!(told(Some(&before), &replaced), Some(vec![0, 1]));
    }
}
