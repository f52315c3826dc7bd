//! Logs of attempts for clients. What is stored is the end of a log, replaced again
//! and again; what is sent is what is new in it.

use std::time::Duration;

use reprise_domain::{AttemptId, TaskKey};
use reprise_proto::pb::LogChunk;
use reprise_proto::status::{ApiError, ErrorCode};
use tokio_util::sync::CancellationToken;

use super::study::Streamed;
use crate::artifact::ArtifactStore;
use crate::engine::Handle;
use crate::reading::unavailable;

/// Time between two looks at a log that is followed.
const LOOK: Duration = Duration::from_secs(1);

/// Bytes by which the end of what was sent is found again.
const SEAM: usize = 256;

/// Where logs come from.
pub(super) struct Log {
    pub(super) engine: Handle,
    pub(super) artifacts: ArtifactStore,
    pub(super) shutdown: CancellationToken,
}

/// A log that is read.
struct Reader {
    log: Log,
    attempt: AttemptId,
    follow: bool,
    sent: Vec<u8>,
    begun: bool,
}

impl Log {
    /// The log of an attempt, 0 being the newest one.
    pub(super) async fn chunks(
        self,
        task: TaskKey,
        number: u32,
        follow: bool,
    ) -> Result<Streamed<LogChunk>, ApiError> {
        let entry = self.engine.task_entry(task).await.map_err(unavailable)?;
        let newest = entry.map_or(0, |(entry, _)| entry.task.attempts);
        let number = if number == 0 { newest } else { number };
        if number == 0 || number > newest {
            let times = match newest {
                1 => "once".to_owned(),
                times => format!("{times} times"),
            };
            return Err(ApiError::new(
                ErrorCode::NotFound,
                format_args!("task `{task}` has no attempt `{number}`: it was tried {times}"),
            ));
        }
        let reader = Reader {
            log: self,
            attempt: AttemptId { task, number },
            follow,
            sent: Vec::new(),
            begun: false,
        };
        let chunks = futures::stream::unfold(reader, |mut reader| async move {
            let chunk = reader.next().await.transpose()?;
            reader.follow &= chunk.is_ok();
            Some((chunk.map_err(Into::into), reader))
        });
        Ok(Box::pin(chunks))
    }
}

impl Reader {
    async fn next(&mut self) -> Result<Option<LogChunk>, ApiError> {
        loop {
            if self.begun {
                if !self.follow {
                    return Ok(None);
                }
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = self.log.shutdown.cancelled() => {
                        let text = "the coordinator is stopping";
                        return Err(ApiError::new(ErrorCode::Unavailable, text));
                    }
                }
            }
            self.begun = true;
            // Asked first: what was logged before the end is read after it.
            let runs = self.runs().await?;
            let log = self.log.artifacts.log(self.attempt).await;
            let log = log.map_err(|error| ApiError::new(ErrorCode::Unavailable, error))?;
            self.follow &= runs;
            let log = log.unwrap_or_default();
            let (new, gap) = news(&self.sent, &log);
            if !new.is_empty() {
                let text = new.to_vec();
                self.sent = log;
                return Ok(Some(LogChunk {
                    attempt: self.attempt.number,
                    text,
                    gap,
                }));
            }
        }
    }

    async fn runs(&self) -> Result<bool, ApiError> {
        let held = self.log.engine.held(self.attempt.task).await;
        let held = held.map_err(unavailable)?;
        Ok(held.iter().any(|(held, _)| held.attempt == self.attempt))
    }
}

/// What of a log's end comes after an earlier one, and whether text between them is
/// lost.
fn news<'a>(before: &[u8], now: &'a [u8]) -> (&'a [u8], bool) {
    if before.is_empty() {
        return (now, false);
    }
    if let Some(more) = now.strip_prefix(before) {
        return (more, false);
    }
    let seam = &before[before.len().saturating_sub(SEAM)..];
    let found = now.windows(seam.len()).rposition(|bytes| bytes == seam);
    match found {
        Some(place) => (&now[place + seam.len()..], false),
        None => (now, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_follows_what_was_sent() {
        assert_eq!(news(b"", b"one\n"), (&b"one\n"[..], false));
        assert_eq!(news(b"one\n", b"one\ntwo\n"), (&b"two\n"[..], false));
        assert_eq!(news(b"one\ntwo\n", b"one\ntwo\n"), (&b""[..], false));
        let long: Vec<u8> = (0..2000u32)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        let later = &long[3000..];
        assert_eq!(news(&long[..4000], later), (&long[4000..], false));
        assert_eq!(news(b"gone\n", b"fresh\n"), (&b"fresh\n"[..], true));
    }
}
