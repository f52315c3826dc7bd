//! A coordinator as its clients see it, in domain types.

use reprise_domain::status::{StudyStatus, TaskRecord};
use reprise_domain::study::StudySpec;
use reprise_domain::{Digest, StudyName};
use reprise_proto::client::{Clients, connect};
use reprise_proto::credential::Credential;
use reprise_proto::status::{ApiError, ErrorCode};
use reprise_proto::{CHUNK_BYTES, convert, pb};
use tonic::{Status, Streaming};

use crate::engine::Control;

/// A connection to a coordinator.
#[derive(Debug, Clone)]
pub struct Client {
    clients: Clients,
}

/// A study that is watched.
#[derive(Debug)]
pub struct Watch(Streaming<pb::StatusResponse>);

impl Client {
    /// Connects to the first of `addresses` (with commas between them) that
    /// answers.
    pub async fn connect(
        addresses: &str,
        credential: Option<&Credential>,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            clients: connect(addresses, credential).await?,
        })
    }

    /// Starts a study or takes it up again; tells whether it was known.
    pub async fn submit(&mut self, spec: &StudySpec, amend: bool) -> Result<bool, ApiError> {
        let request = pb::SubmitRequest {
            spec: convert::to_json(spec),
            amend,
        };
        Ok(self
            .clients
            .study
            .submit(request)
            .await
            .map_err(typed)?
            .into_inner()
            .resumed)
    }

    /// Names of all studies.
    pub async fn list(&mut self) -> Result<Vec<String>, ApiError> {
        Ok(self
            .clients
            .study
            .list(pb::ListRequest {})
            .await
            .map_err(typed)?
            .into_inner()
            .studies)
    }

    /// Where a study stands.
    pub async fn status(&mut self, study: &StudyName) -> Result<StudyStatus, ApiError> {
        decode(
            &self
                .clients
                .study
                .status(request(study))
                .await
                .map_err(typed)?
                .into_inner(),
        )
    }

    /// Follows a study until nothing of it is left to run.
    pub async fn watch(&mut self, study: &StudyName) -> Result<Watch, ApiError> {
        Ok(Watch(
            self.clients
                .study
                .watch(request(study))
                .await
                .map_err(typed)?
                .into_inner(),
        ))
    }

    /// Cancels, pauses or resumes a study.
    pub async fn control(&mut self, study: &StudyName, control: Control) -> Result<(), ApiError> {
        let control = match control {
            Control::Cancel => pb::Control::Cancel,
            Control::Pause => pb::Control::Pause,
            Control::Resume => pb::Control::Resume,
        };
        let request = pb::ControlRequest {
            study: study.to_string(),
            control: control.into(),
        };
        self.clients
            .study
            .control(request)
            .await
            .map(|_| ())
            .map_err(typed)
    }

    /// Every task of a study with what became of it, in plan order.
    pub async fn records(&mut self, study: &StudyName) -> Result<Vec<TaskRecord>, ApiError> {
        let mut stream = self
            .clients
            .study
            .results(request(study))
            .await
            .map_err(typed)?
            .into_inner();
        let mut records = Vec::new();
        while let Some(record) = stream.message().await.map_err(typed)? {
            records.push(convert::from_json("results.record", &record.record)?);
        }
        Ok(records)
    }

    /// Stores a file under its digest, unless it is there already.
    pub async fn put_artifact(&mut self, digest: Digest, content: &[u8]) -> Result<(), ApiError> {
        let named = convert::digest_bytes(digest);
        let present = self
            .clients
            .artifact
            .has(pb::GetRequest {
                digest: named.clone(),
                attempt: None,
            })
            .await
            .map_err(typed)?;
        if present.into_inner().present {
            return Ok(());
        }
        let first = pb::PutChunk {
            artifact: Some(pb::Artifact {
                digest: named,
                bytes: content.len() as u64,
            }),
            attempt: None,
            data: Vec::new(),
        };
        let chunks: Vec<_> = std::iter::once(first)
            .chain(content.chunks(CHUNK_BYTES).map(|chunk| pb::PutChunk {
                artifact: None,
                attempt: None,
                data: chunk.to_vec(),
            }))
            .collect();
        self.clients
            .artifact
            .put(tokio_stream::iter(chunks))
            .await
            .map(|_| ())
            .map_err(typed)
    }
}

impl Watch {
    /// The next status; `None` when the study or the coordinator has ended.
    pub async fn next(&mut self) -> Result<Option<StudyStatus>, ApiError> {
        self.0
            .message()
            .await
            .map_err(typed)?
            .map(|response| decode(&response))
            .transpose()
    }
}

fn request(study: &StudyName) -> pb::StudyRequest {
    pb::StudyRequest {
        study: study.to_string(),
    }
}

fn decode(response: &pb::StatusResponse) -> Result<StudyStatus, ApiError> {
    Ok(convert::from_json("status", &response.status)?)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that `map_err` calls"
)]
fn typed(status: Status) -> ApiError {
    let error = ApiError::from(&status);
    if error.message.is_empty() {
        ApiError::new(ErrorCode::Unavailable, "the coordinator hung up")
    } else {
        error
    }
}
