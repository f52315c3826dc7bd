//! Archives of studies over gRPC: what is stored of finished tasks, out and back in.
//!
//! The file that a client makes of it is in `archive`.

use std::collections::HashMap;
use std::time::Duration;

use futures::{TryStreamExt as _, stream};
use prost::Message as _;
use reprise_core::lifecycle::Actor;
use reprise_data::digest as digest_of;
use reprise_domain::bounds::worker::{CAPABILITY_BYTES, NAME_CHARS};
use reprise_domain::measure::ArtifactRef;
use reprise_domain::record::{ArchivedResult, StoredResult, Unarchived};
use reprise_domain::text::printable;
use reprise_domain::{Capability, Digest, StudyName};
use reprise_proto::convert;
use reprise_proto::pb::unarchive_request::Request as Wire;
use reprise_proto::pb::{self, UnarchiveRequest};
use reprise_proto::status::{ApiError, ErrorCode};
use tonic::{Status, Streaming};

use super::study::{Streamed, refused, study_name};
use crate::artifact::{Area, ArtifactStore};
use crate::background;
use crate::engine::{Handle, Settled, UnarchiveError};
use crate::reading::{Reading, unavailable};
use crate::security::Caller;

/// Results that the engine takes in one turn, and bytes of their messages.
const CHUNK: usize = 200;
const CHUNK_BYTES: usize = 1 << 20;

/// Most files of a result; no kind of task has as many.
const MOST_FILES: usize = 16;

/// Most machines that an archive may describe.
const MOST_MACHINES: usize = 10_000;

/// How long a client may send nothing.
const STALL: Duration = Duration::from_mins(1);

/// The last moment of the year 9999, in milliseconds since the Unix epoch: no time that
/// is told to people is later.
const LATEST_MS: u64 = 253_402_300_799_999;

/// What is stored of a study's finished tasks.
pub(super) fn archive(reading: &Reading, study: StudyName) -> Streamed<pb::ArchivedResult> {
    let pages = reading.archived(study).map_err(Status::from);
    // Not by the task of the connection, which others wait for.
    let converted = pages.and_then(|page| async move {
        let convert = move || page.iter().map(Into::into).collect::<Vec<_>>();
        Ok(background::run(convert).await)
    });
    let results = converted.map_ok(|page| stream::iter(page.into_iter().map(Ok)));
    Box::pin(results.try_flatten())
}

/// Takes results back, as fast as they become durable.
pub(super) async fn unarchive(
    engine: &Handle,
    artifacts: &ArtifactStore,
    mut stream: Streaming<UnarchiveRequest>,
    caller: Caller,
    by: Actor,
) -> Result<Unarchived, Status> {
    let study = match received(&mut stream, &caller).await? {
        Some(Wire::Study(name)) => study_name(&name)?,
        _ => return Err(misplaced("the first message must name the study").into()),
    };
    let may = engine.may_unarchive(study.clone(), by.clone()).await;
    may.map_err(unavailable)?
        .map_err(|refusal| refused(&refusal))?;
    let mut counts = Unarchived::default();
    let mut settled = Settled::default();
    let mut machines = Machines::default();
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    loop {
        let result = match received(&mut stream, &caller).await? {
            Some(Wire::Result(result)) => Some(result),
            Some(Wire::Study(_)) => {
                return Err(misplaced("only the first message may name a study").into());
            }
            None => None,
        };
        let is_last = result.is_none();
        if let Some(result) = result {
            bytes += result.encoded_len();
            let mut result = ArchivedResult::try_from(result).map_err(ApiError::from)?;
            machines.describe(&mut result)?;
            chunk.push(checked(result, artifacts).await?);
        }
        let is_full = chunk.len() == CHUNK || bytes >= CHUNK_BYTES;
        if is_full || (is_last && !chunk.is_empty()) {
            let results = std::mem::take(&mut chunk);
            bytes = 0;
            let taken = engine.unarchive(study.clone(), results, settled, by.clone());
            let taken = taken.await.map_err(unavailable)?;
            let (more, so_far) = taken.map_err(|error| told(&error))?;
            add(&mut counts, more);
            settled = so_far;
        }
        if is_last {
            return Ok(counts);
        }
    }
}

/// The machines that an archive describes, each with the first result that names it. Any
/// result may turn out to be the first that is taken, so all get the description.
#[derive(Debug, Default)]
struct Machines(HashMap<Digest, String>);

impl Machines {
    fn describe(&mut self, result: &mut ArchivedResult) -> Result<(), ApiError> {
        let wrong = |what: &str| {
            let task = result.task;
            ApiError::new(
                ErrorCode::InvalidRequest,
                format_args!("the archived result of task `{task}` {what}"),
            )
        };
        match (result.stored.provenance, &result.provenance) {
            (None, None) => {}
            (Some(named), Some(text)) => {
                let is_sound = text.len() <= CAPABILITY_BYTES
                    && named == digest_of(text.as_bytes())
                    && serde_json::from_str::<Capability>(text)
                        .is_ok_and(|made_by| made_by.check().is_ok());
                if !is_sound {
                    return Err(wrong(
                        "comes with a description of its machine that is not the one it names",
                    ));
                }
                if self.0.len() >= MOST_MACHINES {
                    return Err(wrong("comes from one machine too many"));
                }
                self.0.insert(named, text.clone());
            }
            (Some(named), None) => match self.0.get(&named) {
                Some(text) => result.provenance = Some(text.clone()),
                None => return Err(wrong("names a machine that nothing before it describes")),
            },
            (None, Some(_)) => return Err(wrong("describes a machine that it does not name")),
        }
        Ok(())
    }
}

async fn received(
    stream: &mut Streaming<UnarchiveRequest>,
    caller: &Caller,
) -> Result<Option<Wire>, Status> {
    let message = tokio::time::timeout(STALL, stream.message()).await;
    let message = message.map_err(|_| {
        ApiError::new(
            ErrorCode::Unavailable,
            format_args!("no result came for {} s", STALL.as_secs()),
        )
    })??;
    caller.check().inspect_err(|error| caller.refused(error))?;
    match message {
        Some(UnarchiveRequest { request: None }) => {
            Err(misplaced("a message must name the study or have a result").into())
        }
        message => Ok(message.and_then(|message| message.request)),
    }
}

/// A result that may be recorded as far as it can be told without its task, with its
/// digest.
async fn checked(
    archived: ArchivedResult,
    artifacts: &ArtifactStore,
) -> Result<(Digest, ArchivedResult), ApiError> {
    let wrong = |what: std::fmt::Arguments<'_>| {
        let task = archived.task;
        ApiError::new(
            ErrorCode::InvalidRequest,
            format_args!("the archived result of task `{task}` {what}"),
        )
    };
    let StoredResult {
        result,
        host,
        started_ms,
        ended_ms,
        ..
    } = &archived.stored;
    if *host != printable(host, NAME_CHARS) {
        return Err(wrong(format_args!(
            "names a host that is not printable or has more than {NAME_CHARS} characters"
        )));
    }
    if *started_ms.max(ended_ms) > LATEST_MS {
        return Err(wrong(format_args!("is of a time after the year 9999")));
    }
    let files = result.artifacts();
    if files.len() > MOST_FILES {
        return Err(wrong(format_args!("has more than {MOST_FILES} files")));
    }
    for ArtifactRef { digest, bytes } in files {
        artifacts.note_asked_for(digest);
        let size = artifacts.size(Area::Shared, digest).await;
        let size = size.map_err(|error| ApiError::new(ErrorCode::Unavailable, error))?;
        if size != Some(bytes) {
            return Err(wrong(format_args!(
                "has the artifact `{digest}` of {bytes} bytes, which is not stored; put it first"
            )));
        }
    }
    Ok((digest_of(&convert::to_json(result)), archived))
}

fn add(counts: &mut Unarchived, more: Unarchived) {
    counts.taken += more.taken;
    counts.known += more.known;
    counts.differing += more.differing;
    counts.example = counts.example.or(more.example);
}

fn misplaced(what: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, what)
}

fn told(error: &UnarchiveError) -> ApiError {
    match error {
        UnarchiveError::Refused(refusal) => refused(refusal),
        UnarchiveError::Misfit { .. } => ApiError::new(ErrorCode::InvalidRequest, error),
    }
}

#[cfg(test)]
mod tests {
    use reprise_domain::TaskKey;
    use reprise_domain::measure::{TaskResult, Usage};

    use super::*;

    fn result(named: Option<Digest>, text: Option<&str>) -> ArchivedResult {
        ArchivedResult {
            task: TaskKey(digest_of(b"task")),
            stored: StoredResult {
                result: TaskResult::Noop,
                usage: Usage::default(),
                worker: None,
                host: String::new(),
                attempt: 1,
                started_ms: 0,
                ended_ms: 0,
                provenance: named,
            },
            provenance: text.map(str::to_owned),
        }
    }

    #[test]
    fn each_result_gets_the_description_of_its_machine() {
        let machine = Capability {
            slots: 1,
            version: "0.1.0".to_owned(),
            libtorch: "none".to_owned(),
            ..Capability::default()
        };
        let text = serde_json::to_string(&machine).unwrap();
        let named = Some(digest_of(text.as_bytes()));
        let mut machines = Machines::default();
        machines.describe(&mut result(None, None)).unwrap();
        machines.describe(&mut result(named, Some(&text))).unwrap();
        let mut later = result(named, None);
        machines.describe(&mut later).unwrap();
        assert_eq!(later.provenance.as_deref(), Some(text.as_str()));

        let other = Some(digest_of(b"other"));
        for (named, text) in [
            (other, None),
            (other, Some(text.as_str())),
            (None, Some(text.as_str())),
        ] {
            let refused = machines.describe(&mut result(named, text));
            assert_eq!(refused.unwrap_err().code, ErrorCode::InvalidRequest);
        }
    }
}
