//! Archives of studies over gRPC: what is stored of finished tasks, out and back in.
//!
//! The file that a client makes of it is in `archive`.

use std::time::Duration;

use futures::{TryStreamExt as _, stream};
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
use crate::engine::{Handle, UnarchiveError};
use crate::reading::{Reading, unavailable};

/// Results that the engine takes in one turn.
const CHUNK: usize = 200;

/// How long a client may send nothing.
const STALL: Duration = Duration::from_secs(60);

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
    by: Actor,
) -> Result<Unarchived, Status> {
    let study = match received(&mut stream).await? {
        Some(Wire::Study(name)) => study_name(&name)?,
        _ => return Err(misplaced("the first message must name the study").into()),
    };
    let mut counts = Unarchived::default();
    let mut chunk = Vec::new();
    loop {
        let result = match received(&mut stream).await? {
            Some(Wire::Result(result)) => Some(result),
            Some(Wire::Study(_)) => {
                return Err(misplaced("only the first message may name a study").into());
            }
            None => None,
        };
        let is_last = result.is_none();
        if let Some(result) = result {
            let result = ArchivedResult::try_from(result).map_err(ApiError::from)?;
            chunk.push(checked(result, artifacts).await?);
        }
        if chunk.len() == CHUNK || (is_last && !chunk.is_empty()) {
            let results = std::mem::take(&mut chunk);
            let taken = engine.unarchive(study.clone(), results, by.clone()).await;
            add(
                &mut counts,
                taken.map_err(unavailable)?.map_err(|error| told(&error))?,
            );
        }
        if is_last {
            return Ok(counts);
        }
    }
}

async fn received(stream: &mut Streaming<UnarchiveRequest>) -> Result<Option<Wire>, Status> {
    let message = tokio::time::timeout(STALL, stream.message()).await;
    let message = message.map_err(|_| {
        ApiError::new(
            ErrorCode::Unavailable,
            format_args!("no result came for {} s", STALL.as_secs()),
        )
    })??;
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
        provenance: named,
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
    if let Some(text) = &archived.provenance {
        let named = *named == Some(digest_of(text.as_bytes()));
        let made_by = serde_json::from_str::<Capability>(text);
        let is_sound = made_by.is_ok_and(|made_by| made_by.check().is_ok());
        if text.len() > CAPABILITY_BYTES || !named || !is_sound {
            return Err(wrong(format_args!(
                "comes with a description of its machine that is not the one it names"
            )));
        }
    }
    for ArtifactRef { digest, bytes } in result.artifacts() {
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
