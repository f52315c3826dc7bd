//! Reads a study file, and the benchmark and the files that it names.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use reprise_data::{KnownTable, NatsFolder, digest};
use reprise_domain::study::StudySpec;
use reprise_domain::{ArchIndex, BenchmarkRef, Digest};
use reprise_proto::file::read_text;
use reprise_search::space::Nasbench201;
use reprise_study::BenchmarkSource;

use super::eprint_block;
use super::exit::OrWrongInput as _;
use super::shipping::ship;

/// A study with what it needs stored before it is submitted.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) spec: StudySpec,
    /// The table that it searches, in the plain form, if workers do not have it; and
    /// the files that are shipped with its programs.
    pub(super) artifacts: BTreeMap<Digest, Vec<u8>>,
}

/// Reads, checks and resolves a study file.
pub(super) fn load(path: &Path) -> anyhow::Result<Loaded> {
    let text = read_text(path, reprise_study::MAX_BYTES as u64)
        .with_context(|| format!("read study `{}`", path.display()))
        .or_wrong_input()?;
    let mut file = reprise_study::parse(&path.display().to_string(), &text)?;
    let base = path.parent().unwrap_or(Path::new(""));
    let mut artifacts = ship(&mut file, base)?;
    let (builtin, table) = match file.benchmark() {
        Some(BenchmarkSource::Table(relative)) => {
            let path = base.join(relative);
            let table = KnownTable::read_file(&path, &arch_str())
                .with_context(|| format!("read benchmark table `{}`", path.display()))
                .or_wrong_input()?;
            (None, Some(plain(&table)?))
        }
        Some(BenchmarkSource::Nats(relative)) => {
            let table = read_folder(&base.join(relative))?;
            (None, Some(plain(&table)?))
        }
        Some(&BenchmarkSource::Builtin(name)) => {
            let digest = digest(&reprise_data::builtin(name));
            (Some(BenchmarkRef::Builtin { name, digest }), None)
        }
        Some(BenchmarkSource::Train(_)) | None => (None, None),
    };
    let stored = table
        .as_ref()
        .map(|(digest, _)| BenchmarkRef::Table { digest: *digest });
    let benchmark = builtin.or(stored);
    artifacts.extend(table);
    Ok(Loaded {
        spec: file.resolve(benchmark)?,
        artifacts,
    })
}

/// Reads an official folder, about 15,625 small files, and says how far it is.
fn read_folder(path: &Path) -> anyhow::Result<KnownTable> {
    const REPORTED: usize = 2_500;
    let mut progress = |done: usize| {
        if done.is_multiple_of(REPORTED) {
            eprint_block(&format!("`{}`: {done} architectures read", path.display()));
        }
    };
    NatsFolder::open(path, &arch_str())
        .and_then(|folder| folder.read(&mut progress))
        .map(KnownTable::Nasbench201)
        .with_context(|| format!("read benchmark folder `{}`", path.display()))
        .or_wrong_input()
}

/// A table as an artifact: one form for every source, so that the same numbers
/// have the same digest.
fn plain(table: &KnownTable) -> anyhow::Result<(Digest, Vec<u8>)> {
    let mut bytes = Vec::new();
    table
        .write_csv(&mut bytes, &arch_str())
        .context("write the table's plain form")?;
    Ok((digest(&bytes), bytes))
}

fn arch_str() -> impl Fn(u32) -> String {
    let space = Nasbench201::new();
    move |index| space.arch_str(ArchIndex(index))
}
