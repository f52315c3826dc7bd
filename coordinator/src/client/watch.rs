//! A study that is watched.

use std::cmp::Ordering;

use reprise_domain::status::{Failures, StageStatus, StudyStatus};
use reprise_proto::convert::ConvertError;
use reprise_proto::pb;
use reprise_proto::status::ApiError;
use tonic::Streaming;

use super::{summary, typed};

/// A study that is watched. Where it stands is put together from what has changed.
#[derive(Debug)]
pub struct Watch {
    updates: Streaming<pb::StudyUpdate>,
    known: Option<StudyStatus>,
}

impl Watch {
    pub(super) fn new(updates: Streaming<pb::StudyUpdate>) -> Self {
        Self {
            updates,
            known: None,
        }
    }

    /// Where the study stands next, without its failures; nothing when it has
    /// ended. A coordinator that stops before that is an error that is worth
    /// another try.
    pub async fn next(&mut self) -> Result<Option<StudyStatus>, ApiError> {
        let Some(update) = self.updates.message().await.map_err(typed)? else {
            return Ok(None);
        };
        let status = applied(self.known.take(), update)?;
        self.known = Some(status.clone());
        Ok(Some(status))
    }
}

fn applied(known: Option<StudyStatus>, update: pb::StudyUpdate) -> Result<StudyStatus, ApiError> {
    let study = summary(update.study)?;
    // The stages of a study that was replaced are all told anew.
    let known = known.filter(|known| known.study.digest == study.digest);
    let mut stages = known.map_or_else(Vec::new, |known| known.stages);
    for stage in update.stages {
        let place = stage.index as usize;
        let stage = StageStatus::try_from(stage)?;
        match place.cmp(&stages.len()) {
            Ordering::Less => stages[place] = stage,
            Ordering::Equal => stages.push(stage),
            Ordering::Greater => {
                let field = "update.stages";
                return Err(ConvertError::Missing { field }.into());
            }
        }
    }
    Ok(StudyStatus {
        study,
        stages,
        failures: Failures::default(),
        workers_connected: update.workers_connected,
        unserved: update.unserved.into_iter().map(Into::into).collect(),
    })
}
