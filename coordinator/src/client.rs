//! A coordinator as its clients see it, in domain types.

mod archive;
mod artifacts;
mod garbage;
mod tasks;
mod watch;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use reprise_domain::record::TaskRecord;
use reprise_domain::status::{Control, StudyStatus, StudySummary};
use reprise_domain::study::StudySpec;
use reprise_domain::{Digest, StudyName};
use reprise_proto::client::{Clients, connect};
use reprise_proto::credential::Credential;
use reprise_proto::status::{ApiError, ErrorCode};
use reprise_proto::{CHUNK_BYTES, convert, pb};
use tonic::Status;

pub use artifacts::NamedFile;
pub use tasks::Logged;
pub use watch::Watch;

/// A connection to a coordinator.
#[derive(Debug, Clone)]
pub struct Client {
    clients: Clients,
    addresses: String,
    credential: Option<Credential>,
}

/// Some of what a list has, and the token of the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// These ones.
    pub entries: Vec<T>,
    /// What the next page is asked for with; nothing on the last one.
    pub next: Option<String>,
}

impl<T> Page<T> {
    fn new<W, E>(entries: Vec<W>, token: String) -> Result<Self, ApiError>
    where
        T: TryFrom<W, Error = E>,
        ApiError: From<E>,
    {
        let entries = entries.into_iter().map(T::try_from);
        Ok(Self {
            entries: entries.collect::<Result<_, _>>()?,
            next: Some(token).filter(|token| !token.is_empty()),
        })
    }
}

impl Client {
    /// Connects to the first of `addresses` (with commas between them) that
    /// answers.
    pub async fn connect(
        addresses: &str,
        credential: Option<&Credential>,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            clients: connect(addresses, credential).await?,
            addresses: addresses.to_owned(),
            credential: credential.cloned(),
        })
    }

    /// Connects again, to the first of the same addresses that answers.
    pub async fn redial(&mut self) -> Result<(), ApiError> {
        self.clients = connect(&self.addresses, self.credential.as_ref()).await?;
        Ok(())
    }

    /// Starts a study or takes it up again; tells whether it was known, and where it
    /// stands.
    pub async fn submit(
        &mut self,
        spec: &StudySpec,
        amend: bool,
    ) -> Result<(bool, StudySummary), ApiError> {
        let request = pb::SubmitRequest {
            spec: convert::to_json(spec),
            amend,
        };
        let response = self.clients.study.submit(request).await.map_err(typed)?;
        let response = response.into_inner();
        Ok((response.resumed, summary(response.study)?))
    }

    /// Summaries of studies in alphabetical order, page by page.
    pub async fn list(&mut self, token: Option<String>) -> Result<Page<StudySummary>, ApiError> {
        let request = pb::ListRequest {
            page_size: 0,
            page_token: token.unwrap_or_default(),
        };
        let response = self.clients.study.list(request).await.map_err(typed)?;
        let response = response.into_inner();
        Page::new(response.studies, response.next_page_token)
    }

    /// Summaries of all studies in alphabetical order.
    pub async fn studies(&mut self) -> Result<Vec<StudySummary>, ApiError> {
        let mut studies = Vec::new();
        let mut token = None;
        loop {
            let page = self.list(token).await?;
            studies.extend(page.entries);
            if page.next.is_none() {
                return Ok(studies);
            }
            token = page.next;
        }
    }

    /// Where a study stands.
    pub async fn status(&mut self, study: &StudyName) -> Result<StudyStatus, ApiError> {
        let response = self.clients.study.status(request(study)).await;
        Ok(response.map_err(typed)?.into_inner().try_into()?)
    }

    /// A study as it was submitted.
    pub async fn spec(&mut self, study: &StudyName) -> Result<StudySpec, ApiError> {
        let response = self.clients.study.spec(request(study)).await;
        let response = response.map_err(typed)?.into_inner();
        Ok(convert::from_json("spec.spec_json", &response.spec_json)?)
    }

    /// Follows a study until nothing of it is left to run.
    pub async fn watch(&mut self, study: &StudyName) -> Result<Watch, ApiError> {
        let response = self.clients.study.watch(request(study)).await;
        Ok(Watch::new(response.map_err(typed)?.into_inner()))
    }

    /// Cancels, pauses or resumes a study; tells where it stands then.
    pub async fn control(
        &mut self,
        study: &StudyName,
        control: Control,
    ) -> Result<StudySummary, ApiError> {
        let request = pb::ControlRequest {
            study: study.to_string(),
            control: pb::Control::from(control).into(),
        };
        let response = self.clients.study.control(request).await.map_err(typed)?;
        summary(response.into_inner().study)
    }

    /// Removes a study, and the results that no other study has in its plan.
    pub async fn delete(&mut self, study: &StudyName) -> Result<(), ApiError> {
        let response = self.clients.study.delete(request(study)).await;
        response.map(drop).map_err(typed)
    }

    /// Every task of a study with its result, in plan order. Ends with an error at a
    /// result that the coordinator cannot read: then not all came.
    pub async fn results(
        &mut self,
        study: &StudyName,
    ) -> Result<impl Stream<Item = Result<TaskRecord, ApiError>> + use<>, ApiError> {
        let request = pb::ResultsRequest {
            study: study.to_string(),
            form: pb::ResultForm::Json.into(),
        };
        let response = self.clients.study.results(request).await.map_err(typed)?;
        let records = response.into_inner().map_err(typed);
        Ok(records
            .map(|record| Ok(TaskRecord::try_from(record?)?))
            .boxed())
    }

    /// The same, all at once: for studies that fit into memory.
    pub async fn records(&mut self, study: &StudyName) -> Result<Vec<TaskRecord>, ApiError> {
        self.results(study).await?.try_collect().await
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

fn request(study: &StudyName) -> pb::StudyRequest {
    pb::StudyRequest {
        study: study.to_string(),
    }
}

fn summary(study: Option<pb::StudySummary>) -> Result<StudySummary, ApiError> {
    let study = study.ok_or(convert::ConvertError::Missing { field: "study" })?;
    Ok(study.try_into()?)
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
