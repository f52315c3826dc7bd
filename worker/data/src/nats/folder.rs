//! The folder: which files there should be, reading them in order, and checking
//! without making a table.

use std::path::{Path, PathBuf};

use reprise_domain::ArchIndex;

use super::error::{NatsError, RecordError};
use super::record::{GLOBALS, read_meta, read_record};
use crate::bytes::{bunzip2, read_file};
use crate::pickle::{self, Limits, Pickle};
use crate::table::{ARCHITECTURES, Nasbench201Row, Nasbench201Table};

/// A packed file takes about 84 kB.
const PACKED_LIMIT: u64 = 8 << 20;
/// Broken files that a verification describes; it counts the others.
const DESCRIBED: usize = 20;

/// An official folder whose `meta` file has been read.
#[derive(Debug)]
pub struct NatsFolder {
    folder: PathBuf,
    archs: Vec<String>,
}

/// What is in a folder.
#[derive(Debug)]
pub struct Verification {
    /// Records that read without an error.
    pub good: usize,
    /// Architectures without a file, in order.
    pub missing: Vec<ArchIndex>,
    /// Number of files that do not read.
    pub broken: usize,
    /// Why, for the first of them.
    pub errors: Vec<NatsError>,
}

impl Verification {
    /// Whether the folder makes a table.
    pub fn is_complete(&self) -> bool {
        self.good == ARCHITECTURES
    }
}

impl NatsFolder {
    /// Reads the folder's `meta` file and checks that it lists the architectures
    /// that `expected` gives for each index, in the same order.
    pub fn open(folder: &Path, expected: &dyn Fn(u32) -> String) -> Result<Self, NatsError> {
        let path = folder.join("meta.pickle.pbz2");
        let bytes = unpack(&path)?;
        let pickle = parse(&path, &bytes)?;
        let archs = read_meta(pickle.root()).and_then(|found| check_archs(&found, expected));
        let archs = archs.map_err(|source| NatsError::Record { path, source })?;
        Ok(Self {
            folder: folder.to_owned(),
            archs,
        })
    }

    /// Reads all 15,625 records. `progress` is told after each how many are done.
    /// A missing file is an error.
    pub fn read(&self, progress: &mut dyn FnMut(usize)) -> Result<Nasbench201Table, NatsError> {
        let mut rows = Vec::with_capacity(ARCHITECTURES);
        for arch in self.indices() {
            let row = self.read_one(arch)?;
            rows.push(row.ok_or_else(|| NatsError::Missing {
                arch,
                path: self.path(arch),
            })?);
            progress(rows.len());
        }
        Nasbench201Table::new(rows).map_err(|source| NatsError::Rows {
            folder: self.folder.clone(),
            source,
        })
    }

    /// Reads the records that are there, for a folder that is only a sample.
    pub fn read_present(&self) -> Result<Vec<(ArchIndex, Nasbench201Row)>, NatsError> {
        let rows = self
            .indices()
            .filter_map(|arch| Some(self.read_one(arch).transpose()?.map(|row| (arch, row))));
        rows.collect()
    }

    /// Reads every record and counts. `progress` is told after each architecture
    /// how many were looked for.
    pub fn verify(&self, progress: &mut dyn FnMut(usize)) -> Verification {
        let mut found = Verification {
            good: 0,
            missing: Vec::new(),
            broken: 0,
            errors: Vec::new(),
        };
        for arch in self.indices() {
            match self.read_one(arch) {
                Ok(Some(_)) => found.good += 1,
                Ok(None) => found.missing.push(arch),
                Err(error) => {
                    found.broken += 1;
                    if found.errors.len() < DESCRIBED {
                        found.errors.push(error);
                    }
                }
            }
            progress(arch.row() + 1);
        }
        found
    }

    fn indices(&self) -> impl Iterator<Item = ArchIndex> {
        (0..self.archs.len() as u32).map(ArchIndex)
    }

    fn path(&self, arch: ArchIndex) -> PathBuf {
        self.folder.join(format!("{:06}.pickle.pbz2", arch.0))
    }

    /// The row of an architecture, nothing where it has no file.
    fn read_one(&self, arch: ArchIndex) -> Result<Option<Nasbench201Row>, NatsError> {
        let path = self.path(arch);
        let bytes = match unpack(&path) {
            Ok(bytes) => bytes,
            Err(NatsError::File(error)) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        let pickle = parse(&path, &bytes)?;
        let row = read_record(pickle.root(), arch, &self.archs[arch.row()]);
        row.map(Some)
            .map_err(|source| NatsError::Record { path, source })
    }
}

fn unpack(path: &Path) -> Result<Vec<u8>, NatsError> {
    let packed = read_file(path, PACKED_LIMIT)?;
    bunzip2(&packed, Limits::DEFAULT.bytes as u64).map_err(|source| NatsError::Unpack {
        path: path.to_owned(),
        source,
    })
}

fn parse<'b>(path: &Path, bytes: &'b [u8]) -> Result<Pickle<'b>, NatsError> {
    pickle::read(bytes, &GLOBALS, &Limits::DEFAULT).map_err(|source| NatsError::Pickle {
        path: path.to_owned(),
        source,
    })
}

fn check_archs(
    found: &[&str],
    expected: &dyn Fn(u32) -> String,
) -> Result<Vec<String>, RecordError> {
    if found.len() != ARCHITECTURES {
        return Err(RecordError {
            at: "meta_archs".to_owned(),
            expected: format!("{ARCHITECTURES} architectures"),
            found: found.len().to_string(),
        });
    }
    let indices = 0..;
    let checked = indices.zip(found).map(|(index, found)| {
        let expected = expected(index);
        if expected == *found {
            return Ok(expected);
        }
        Err(RecordError {
            at: format!("meta_archs/{index}"),
            expected: format!("`{expected}`"),
            found: format!("`{}`", found.chars().take(120).collect::<String>()),
        })
    });
    checked.collect()
}
