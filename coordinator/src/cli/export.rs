//! A study's records, read one by one into a report and into raw data, and both
//! written.

use std::path::Path;

use clap::ValueEnum;
use futures::TryStreamExt as _;
use reprise_domain::status::StudyStatus;
use reprise_domain::study::StudySpec;
use reprise_stats::export::markdown;

use super::{eprint_block, print_block};
use crate::client::Client;
use crate::report::raw::{Form, Raw, RawFile, RowsOf};
use crate::report::{Files, Gathering};

/// Raw data that is asked for alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A row a run, as CSV.
    #[value(alias = "runs.csv")]
    Runs,
    /// A row a query of each search, as CSV.
    #[value(alias = "queries.csv")]
    Queries,
    /// A row an epoch of each pretraining, as CSV.
    #[value(alias = "epochs.csv")]
    Epochs,
    /// A row a run, as Parquet.
    #[value(name = "runs.parquet")]
    RunsParquet,
    /// A row a query of each search, as Parquet.
    #[value(name = "queries.parquet")]
    QueriesParquet,
    /// A row an epoch of each pretraining, as Parquet.
    #[value(name = "epochs.parquet")]
    EpochsParquet,
}

impl From<Format> for RawFile {
    fn from(format: Format) -> Self {
        let (of, form) = match format {
            Format::Runs => (RowsOf::Runs, Form::Csv),
            Format::Queries => (RowsOf::Queries, Form::Csv),
            Format::Epochs => (RowsOf::Epochs, Form::Csv),
            Format::RunsParquet => (RowsOf::Runs, Form::Parquet),
            Format::QueriesParquet => (RowsOf::Queries, Form::Parquet),
            Format::EpochsParquet => (RowsOf::Epochs, Form::Parquet),
        };
        Self { of, form }
    }
}

/// Writes what a study found into `out` and prints its main table; or writes only the
/// `formats` that are given. `status` was asked for before: what is finished by then is
/// in the files.
pub(super) async fn export(
    client: &mut Client,
    spec: &StudySpec,
    status: &StudyStatus,
    formats: &[Format],
    out: &Path,
) -> anyhow::Result<()> {
    let wanted = match formats {
        [] => RawFile::of_study(spec),
        formats => {
            let mut wanted: Vec<_> = formats.iter().copied().map(RawFile::from).collect();
            // One that is asked for twice is written once.
            wanted.sort_unstable();
            wanted.dedup();
            wanted
        }
    };
    let mut files = Files::into(out)?;
    let mut raw = Raw::begin(spec, &wanted, &mut files)?;
    let mut records = client.results(&spec.name).await?;
    let mut report = formats.is_empty().then(|| Gathering::new(spec));
    let mut found = 0;
    while let Some(record) = records.try_next().await? {
        found += u64::from(record.outcome.is_some());
        raw.add(&record)?;
        if let Some(report) = &mut report {
            report.add(&record)?;
        }
    }
    let expected = status.total().finished;
    // Another client has changed the study since: a table would be short.
    anyhow::ensure!(
        found >= expected,
        "study `{}` was changed while it was read: {found} results were read of {expected}; \
         export it again",
        spec.name
    );
    raw.finish()?;
    let report = report.map(Gathering::finish).transpose()?;
    if let Some(report) = &report {
        report.write(&mut files)?;
    }
    files.put_in_place()?;
    if let Some(overview) = report.and_then(|report| report.overview()) {
        print_block(&markdown(&overview));
    }
    eprint_block(&format!("written to `{}`", out.display()));
    Ok(())
}
