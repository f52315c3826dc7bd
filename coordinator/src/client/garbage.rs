//! The garbage collector of a coordinator elsewhere.

use std::time::Duration;

use reprise_proto::pb;
use reprise_proto::status::ApiError;

use super::{Client, typed};
use crate::gc::Collected;

impl Client {
    /// Removes artifacts, checkpoints and logs that nothing refers to and that were
    /// stored before the grace; only counts them in a `dry_run`.
    pub async fn collect_garbage(
        &mut self,
        grace: Duration,
        dry_run: bool,
    ) -> Result<Collected, ApiError> {
        let request = pb::CollectGarbageRequest {
            grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
            dry_run,
        };
        let answer = self.clients.artifact.collect_garbage(request).await;
        let answer = answer.map_err(typed)?.into_inner();
        Ok(Collected {
            stored: answer.stored,
            stored_bytes: answer.stored_bytes,
            removed: answer.removed,
            removed_bytes: answer.removed_bytes,
        })
    }
}
