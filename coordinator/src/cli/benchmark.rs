//! Reads a study file and the benchmark that it names.

use std::path::Path;

use anyhow::Context as _;
use reprise_data::Nasbench201Table;
use reprise_domain::study::StudySpec;
use reprise_domain::{ArchIndex, BenchmarkRef, Digest};
use reprise_search::space::Nasbench201;
use reprise_study::BenchmarkSource;

use crate::artifact::digest_of;

/// A study with the table that it searches, if it searches one.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) spec: StudySpec,
    /// The table in the plain form, under its digest.
    pub(super) table: Option<(Digest, Vec<u8>)>,
}

/// Reads, checks and resolves a study file.
pub(super) fn load(path: &Path) -> anyhow::Result<Loaded> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("read study `{}`", path.display()))?;
    let file = reprise_study::parse(&path.display().to_string(), &text)?;
    let base = path.parent().unwrap_or(Path::new(""));
    let table = match file.benchmark() {
        Some(BenchmarkSource::Table(relative)) => {
            let path = base.join(relative);
            let table = Nasbench201Table::read_file(&path, &arch_str())
                .with_context(|| format!("read benchmark table `{}`", path.display()))?;
            Some(plain(&table)?)
        }
        Some(BenchmarkSource::Nats(folder)) => anyhow::bail!(
            "benchmark folders such as `{}` cannot be read by this build; convert it to a table first",
            folder.display()
        ),
        Some(BenchmarkSource::Builtin(builtin)) => anyhow::bail!(
            "benchmark `{}` is not part of this build; use `train: digits` or a table",
            builtin.as_str()
        ),
        Some(BenchmarkSource::Train(_)) | None => None,
    };
    let benchmark = table
        .as_ref()
        .map(|(digest, _)| BenchmarkRef::Table { digest: *digest });
    Ok(Loaded {
        spec: file.resolve(benchmark)?,
        table,
    })
}

/// One form for every source, so that the same numbers have the same digest.
fn plain(table: &Nasbench201Table) -> anyhow::Result<(Digest, Vec<u8>)> {
    let mut bytes = Vec::new();
    table
        .write_csv(&mut bytes, &arch_str())
        .context("write the table's plain form")?;
    Ok((digest_of(&bytes), bytes))
}

fn arch_str() -> impl Fn(u32) -> String {
    let space = Nasbench201::new();
    move |index| space.arch_str(ArchIndex(index))
}
