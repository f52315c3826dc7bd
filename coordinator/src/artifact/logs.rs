//! The ends of attempts' logs, kept also of attempts that were killed.

use futures::TryStreamExt as _;
use object_store::{ObjectStoreExt as _, PutPayload};
use reprise_domain::{AttemptId, TaskKey};

use super::area::{Object, logs_of};
use super::{ArtifactError, ArtifactStore};

/// Most bytes that are kept of an attempt's log: its end.
pub const MAX_LOG_BYTES: usize = 64 << 10;

impl ArtifactStore {
    /// Keeps the end of an attempt's log instead of what was kept before.
    pub async fn put_log(&self, attempt: AttemptId, text: &[u8]) -> Result<(), ArtifactError> {
        let location = Object::Log(attempt).location();
        let content = PutPayload::from(end(text).to_vec());
        let stored = self.objects.put(&location, content).await;
        stored
            .map(drop)
            .map_err(ArtifactError::access("store", &location))
    }

    /// The end of an attempt's log, if one was kept.
    pub async fn log(&self, attempt: AttemptId) -> Result<Option<Vec<u8>>, ArtifactError> {
        let location = Object::Log(attempt).location();
        let read = async {
            let object = self.objects.get(&location).await?;
            object.bytes().await
        };
        match read.await {
            Ok(text) => Ok(Some(end(&text).to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(ArtifactError::access("read", &location)(error)),
        }
    }

    /// The attempts at a task whose logs are kept, in their order.
    pub async fn logs(&self, task: TaskKey) -> Result<Vec<AttemptId>, ArtifactError> {
        let prefix = logs_of(task);
        let listed: Vec<_> = self
            .objects
            .list(Some(&prefix))
            .try_collect()
            .await
            .map_err(ArtifactError::access("list", &prefix))?;
        let mut attempts: Vec<_> = listed
            .iter()
            .filter_map(|meta| match Object::at(&meta.location) {
                Some(Object::Log(attempt)) => Some(attempt),
                _ => None,
            })
            .collect();
        attempts.sort_unstable();
        Ok(attempts)
    }
}

/// The last bytes of a text, from the start of a character.
fn end(text: &[u8]) -> &[u8] {
    let mut start = text.len().saturating_sub(MAX_LOG_BYTES);
    while start > 0 && text.get(start).is_some_and(|byte| byte & 0xc0 == 0x80) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_keeps_its_end_and_whole_characters() {
        assert_eq!(end(b"short"), b"short");
        let text = "é".repeat(MAX_LOG_BYTES) + "x";
        let kept = std::str::from_utf8(end(text.as_bytes())).unwrap();
        assert!(kept.ends_with("éx") && kept.len() < MAX_LOG_BYTES);
    }
}
