//! Reading an archive. The file is checked whole before any of it is used, and then
//! read again entry by entry: it may be larger than memory.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use futures::Stream;
use reprise_data::digest as digest_of;
use reprise_domain::Digest;
use reprise_domain::record::ArchivedResult;
use reprise_domain::study::StudySpec;
use reprise_proto::MAX_MESSAGE_BYTES;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    ARTIFACTS, ArchiveError, Contents, END, End, FORMAT, HEAD, Head, RESULTS, Sum, damaged,
    files_of,
};
use crate::artifact::MAX_BYTES;

/// Largest entry of results: one is written when it has a MiB, and each result has
/// travelled in a message.
const MOST_RESULT_BYTES: u64 = 2 * MAX_MESSAGE_BYTES as u64;

/// Entries that are read ahead.
const AHEAD: usize = 2;

/// An archive that was found whole.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    /// The study.
    pub spec: StudySpec,
    /// What it has.
    pub contents: Contents,
}

impl Archive {
    /// Opens an archive and reads all of it.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let mut check = Check::default();
        each(path, |entry| check.take(&entry))?;
        let (spec, contents) = check.finish()?;
        Ok(Self {
            path: path.to_owned(),
            spec,
            contents,
        })
    }

    /// The files, each with its digest.
    pub fn artifacts(&self) -> impl Stream<Item = Result<(Digest, Vec<u8>), ArchiveError>> + use<> {
        entries(self.path.clone(), |entry| {
            let Some(name) = entry.name.strip_prefix(ARTIFACTS) else {
                return Ok(None);
            };
            let digest = artifact(name, &entry.content)?;
            Ok(Some((digest, entry.content)))
        })
    }

    /// The results, some thousands at a time.
    pub fn results(&self) -> impl Stream<Item = Result<Vec<ArchivedResult>, ArchiveError>> + use<> {
        entries(self.path.clone(), |entry| {
            let is_results = entry.name.starts_with(RESULTS);
            is_results.then(|| lines(&entry).collect()).transpose()
        })
    }
}

/// An entry, read.
struct Entry {
    name: String,
    content: Vec<u8>,
}

/// Reads what `pick` makes of the entries, in a thread of its own.
fn entries<T: Send + 'static>(
    path: PathBuf,
    pick: impl Fn(Entry) -> Result<Option<T>, ArchiveError> + Send + 'static,
) -> ReceiverStream<Result<T, ArchiveError>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    // It ends when nobody listens any more, so nobody has to wait for it.
    tokio::task::spawn_blocking(move || {
        let read = each(&path, |entry| {
            if let Some(picked) = pick(entry)?
                && sender.blocking_send(Ok(picked)).is_err()
            {
                return Err(damaged("nobody listens"));
            }
            Ok(())
        });
        if let Err(error) = read {
            // Whoever does not listen does not miss it.
            let _ = sender.blocking_send(Err(error));
        }
    });
    ReceiverStream::new(receiver)
}

/// Reads the entries of a file one after another.
fn each(
    path: &Path,
    mut visit: impl FnMut(Entry) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let metadata = path.metadata()?;
    if !metadata.is_file() {
        // A pipe would be waited for.
        return Err(damaged("it is not a regular file"));
    }
    let mut tar = tar::Archive::new(BufReader::new(File::open(path)?));
    // Raw: names and sizes are those of the headers alone, so that nothing is read on
    // behalf of an extension.
    for entry in tar.entries()?.raw(true) {
        let entry = entry.map_err(|error| not_ours(&error))?;
        let header = entry.header();
        if !header.entry_type().is_file() {
            return Err(damaged("it has an entry that is not a regular file"));
        }
        let name = String::from_utf8(entry.path_bytes().into_owned());
        let name = name.map_err(|_| damaged("the name of an entry is not text"))?;
        let bytes = header.size().map_err(|error| not_ours(&error))?;
        let most = if name.starts_with(ARTIFACTS) {
            MAX_BYTES
        } else {
            MOST_RESULT_BYTES
        };
        if bytes > most {
            return Err(damaged(format!(
                "its entry `{name}` has `{bytes}` bytes: expected at most `{most}`"
            )));
        }
        let mut content = Vec::new();
        entry.take(bytes).read_to_end(&mut content)?;
        if content.len() as u64 != bytes {
            return Err(damaged(format!("it ends within its entry `{name}`")));
        }
        visit(Entry { name, content })?;
    }
    Ok(())
}

/// What the reader of tar files says of a damaged one.
fn not_ours(error: &std::io::Error) -> ArchiveError {
    damaged(format!("it is damaged, or is not an archive: {error}"))
}

/// What has been read of an archive so far.
#[derive(Default)]
struct Check {
    spec: Option<StudySpec>,
    found: Contents,
    sum: Sum,
    /// Files that are named and have not come.
    missing: BTreeSet<Digest>,
    /// Whether the last entry has come.
    ended: bool,
}

impl Check {
    fn take(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        let Entry { name, content } = entry;
        if self.ended {
            return Err(damaged(format!("its entry `{name}` comes after its end")));
        }
        if self.spec.is_none() {
            self.spec = Some(head(entry)?);
            self.missing = self.spec.iter().flat_map(files_of).collect();
        } else if name == END {
            self.end(entry)?;
        } else if name.starts_with(RESULTS) {
            for result in lines(entry) {
                let result = result?;
                self.found.results += 1;
                let files = result.stored.result.artifacts();
                self.missing.extend(files.iter().map(|file| file.digest));
            }
        } else if let Some(digest) = name.strip_prefix(ARTIFACTS) {
            if !self.missing.remove(&artifact(digest, content)?) {
                return Err(damaged(format!("nothing names its file `{digest}`")));
            }
            self.found.artifacts += 1;
        } else {
            return Err(damaged(format!("it has an unknown entry `{name}`")));
        }
        self.sum.entry(name, content.len() as u64);
        self.sum.content(content);
        Ok(())
    }

    fn end(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        let end: End = json(entry)?;
        if end.sum != self.sum.digest() {
            return Err(damaged(
                "its contents are not those that its checksum is of",
            ));
        }
        if end.contents != self.found {
            return Err(damaged("its counts are not those of its entries"));
        }
        self.ended = true;
        Ok(())
    }

    fn finish(self) -> Result<(StudySpec, Contents), ArchiveError> {
        let Some(spec) = self.spec.filter(|_| self.ended) else {
            return Err(damaged("its end is missing: it was not written whole"));
        };
        if let Some(missing) = self.missing.first() {
            return Err(damaged(format!("it lacks the file `{missing}`")));
        }
        Ok((spec, self.found))
    }
}

fn head(entry: &Entry) -> Result<StudySpec, ArchiveError> {
    /// What every version of the form has.
    #[derive(Deserialize)]
    struct Form {
        format: u32,
    }
    if entry.name != HEAD {
        return Err(damaged(format!(
            "its first entry is `{}`: expected `{HEAD}`",
            entry.name
        )));
    }
    let Form { format: found } = json(entry)?;
    if found > FORMAT {
        return Err(ArchiveError::Form { found });
    }
    let head: Head = json(entry)?;
    Ok(head.spec)
}

fn json<T: serde::de::DeserializeOwned>(entry: &Entry) -> Result<T, ArchiveError> {
    serde_json::from_slice(&entry.content).map_err(|error| {
        damaged(format!(
            "its entry `{}` cannot be read: {error}",
            entry.name
        ))
    })
}

fn lines(entry: &Entry) -> impl Iterator<Item = Result<ArchivedResult, ArchiveError>> {
    let lines = entry.content.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty()).enumerate();
    lines.map(|(number, line)| {
        serde_json::from_slice(line).map_err(|error| {
            damaged(format!(
                "line {} of its entry `{}` cannot be read: {error}",
                number + 1,
                entry.name
            ))
        })
    })
}

/// The digest of a file, if it is the one in its name.
fn artifact(name: &str, content: &[u8]) -> Result<Digest, ArchiveError> {
    let digest = digest_of(content);
    if name == digest.to_string() {
        Ok(digest)
    } else {
        Err(damaged(format!("its file `{name}` is damaged")))
    }
}
