//! What the values of a row are taken from.

use reprise_domain::record::{Outcome, TaskRecord};
use reprise_domain::study::StudySpec;
use reprise_domain::{Capability, Digest, EpochMeasures, TaskResult, Trajectory};

/// A run, and a place in it where the row is of a query or an epoch.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) study: &'a StudySpec,
    pub(super) record: &'a TaskRecord,
    /// The run's number in the order of the plan, from 1.
    pub(super) number: u64,
    /// The embedding that was searched or made.
    pub(super) embedding: Option<Digest>,
    /// What the result was made with.
    pub(super) made_with: Option<&'a Capability>,
    /// Position of the query that a search ended with.
    pub(super) incumbent: Option<usize>,
    /// Position of the query or epoch, from 0.
    pub(super) place: usize,
}

impl<'a> Row<'a> {
    /// The run of a record, at its beginning.
    pub(super) fn new(study: &'a StudySpec, record: &'a TaskRecord, number: u64) -> Self {
        let mut row = Self {
            study,
            record,
            number,
            embedding: None,
            made_with: None,
            incumbent: None,
            place: 0,
        };
        let incumbents = row.trajectory().map(Trajectory::incumbents);
        row.incumbent = incumbents.and_then(|incumbents| incumbents.last().copied());
        row
    }

    pub(super) fn outcome(&self) -> Option<&'a Outcome> {
        self.record.outcome.as_ref()
    }

    pub(super) fn result(&self) -> Option<&'a TaskResult> {
        self.outcome().map(|outcome| &outcome.result)
    }

    /// The queries of a finished search.
    pub(super) fn trajectory(&self) -> Option<&'a Trajectory> {
        match self.result()? {
            TaskResult::Search(result) => Some(&result.trajectory),
            _ => None,
        }
    }

    /// The epochs of a finished pretraining.
    pub(super) fn epochs(&self) -> &'a [EpochMeasures] {
        match self.result() {
            Some(TaskResult::Pretrain(result)) => &result.epochs,
            _ => &[],
        }
    }

    /// The epoch of this row.
    pub(super) fn epoch(&self) -> Option<&'a EpochMeasures> {
        self.epochs().get(self.place)
    }
}
