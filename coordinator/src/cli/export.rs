//! A study's records, read one by one into a report, and the report written.

use std::path::Path;

use futures::TryStreamExt as _;
use reprise_domain::status::StudyStatus;
use reprise_domain::study::StudySpec;
use reprise_stats::export::markdown;

use super::{eprint_block, print_block};
use crate::client::Client;
use crate::report::Gathering;

/// Writes what a study found into `out` and prints its main table. `status` was asked
/// for before: what is finished by then is in the report.
pub(super) async fn export(
    client: &mut Client,
    spec: &StudySpec,
    status: &StudyStatus,
    out: &Path,
) -> anyhow::Result<()> {
    let mut records = client.results(&spec.name).await?;
    let mut gathering = Gathering::new(spec);
    while let Some(record) = records.try_next().await? {
        gathering.add(&record)?;
    }
    let (found, expected) = (gathering.finished(), status.total().finished);
    // Another client has changed the study since: a table would be short.
    anyhow::ensure!(
        found >= expected,
        "study `{}` was changed while it was read: {found} results were read of {expected}; \
         export it again",
        spec.name
    );
    let report = gathering.finish()?;
    report.write(out)?;
    if let Some(overview) = report.overview() {
        print_block(&markdown(&overview));
    }
    eprint_block(&format!("written to `{}`", out.display()));
    Ok(())
}
