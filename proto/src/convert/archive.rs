//! Archived results between wire and domain.

use reprise_domain::record::{ArchivedResult, StoredResult, Unarchived};

use super::{
    ConvertError, digest, digest_bytes, from_json, required, task_key, to_json, worker_bytes,
    worker_id,
};
use crate::pb;

impl From<&ArchivedResult> for pb::ArchivedResult {
    fn from(archived: &ArchivedResult) -> Self {
        let stored = &archived.stored;
        Self {
            task: digest_bytes(archived.task.0),
            result_json: to_json(&stored.result),
            usage: Some(stored.usage.into()),
            host: stored.host.clone(),
            attempt: stored.attempt,
            worker: stored.worker.map_or_else(Vec::new, worker_bytes),
            started_at_ms: stored.started_ms,
            ended_at_ms: stored.ended_ms,
            provenance: stored.provenance.map_or_else(Vec::new, digest_bytes),
            provenance_json: archived.provenance.clone().unwrap_or_default(),
        }
    }
}

impl TryFrom<pb::ArchivedResult> for ArchivedResult {
    type Error = ConvertError;

    fn try_from(archived: pb::ArchivedResult) -> Result<Self, ConvertError> {
        let worker = Some(&archived.worker).filter(|bytes| !bytes.is_empty());
        let provenance = Some(&archived.provenance).filter(|bytes| !bytes.is_empty());
        let text = Some(archived.provenance_json).filter(|text| !text.is_empty());
        Ok(Self {
            task: task_key("archived.task", &archived.task)?,
            stored: StoredResult {
                result: from_json("archived.result_json", &archived.result_json)?,
                usage: required("archived.usage", archived.usage)?.try_into()?,
                host: archived.host,
                attempt: archived.attempt,
                worker: worker
                    .map(|bytes| worker_id("archived.worker", bytes))
                    .transpose()?,
                started_ms: archived.started_at_ms,
                ended_ms: archived.ended_at_ms,
                provenance: provenance
                    .map(|bytes| digest("archived.provenance", bytes))
                    .transpose()?,
            },
            provenance: text,
        })
    }
}

impl From<Unarchived> for pb::UnarchiveResponse {
    fn from(unarchived: Unarchived) -> Self {
        let example = unarchived.example;
        Self {
            taken: unarchived.taken,
            known: unarchived.known,
            differing: unarchived.differing,
            example: example.map_or_else(Vec::new, |task| digest_bytes(task.0)),
        }
    }
}

impl TryFrom<pb::UnarchiveResponse> for Unarchived {
    type Error = ConvertError;

    fn try_from(response: pb::UnarchiveResponse) -> Result<Self, ConvertError> {
        let example = Some(&response.example).filter(|bytes| !bytes.is_empty());
        Ok(Self {
            taken: response.taken,
            known: response.known,
            differing: response.differing,
            example: example
                .map(|bytes| task_key("response.example", bytes))
                .transpose()?,
        })
    }
}
