//! Bounded reading and decompression, and digests: the ways bytes come in.
//!
//! Nothing here knows a format. A bound is a number of uncompressed bytes, so a
//! small file cannot fill the memory.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use flate2::{Compression, GzBuilder};
use reprise_domain::Digest;

/// Bytes that could not be read within their bound.
#[derive(Debug, thiserror::Error)]
pub enum SizeError {
    /// There is more than the bound.
    #[error("more than {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: u64,
    },
    /// The source failed, or its compression is broken.
    #[error("broken or unreadable {form} data")]
    Read {
        /// How the bytes are stored: `plain`, `gzip` or `bzip2`.
        form: &'static str,
        /// What the decoder said.
        source: io::Error,
    },
}

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened.
    #[error("cannot open `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a directory, a pipe or a device.
    #[error("`{}` is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Its content cannot be read within the bound.
    #[error("cannot read `{}`", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SizeError,
    },
}

impl FileError {
    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Open { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// BLAKE3 of `bytes`. A table's digest is that of its uncompressed bytes, so
/// that packing it again leaves its identity alone.
pub fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// The same digest of bytes that come piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all pieces so far.
    pub fn digest(&self) -> Digest {
        Digest::from_bytes(*self.0.finalize().as_bytes())
    }
}

/// Reads all of a file of at most `limit` bytes.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let open_error = |source| FileError::Open {
        path: path.to_owned(),
        source,
    };
    // A pipe would block when opened, so the kind is asked for first.
    let metadata = std::fs::metadata(path).map_err(open_error)?;
    if !metadata.is_file() {
        return Err(FileError::NotAFile {
            path: path.to_owned(),
        });
    }
    let file = File::open(path).map_err(open_error)?;
    read_bounded(file, limit, "plain").map_err(|source| FileError::Content {
        path: path.to_owned(),
        source,
    })
}

/// Reads a table file of at most `limit` bytes, uncompressed when it is gzip.
pub fn read_table_file(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let bytes = read_file(path, limit)?;
    gunzip_if_packed(bytes, limit).map_err(|source| FileError::Content {
        path: path.to_owned(),
        source,
    })
}

/// Reads all of `reader`, at most `limit` bytes. `form` is for the error.
pub fn read_bounded(
    reader: impl Read,
    limit: u64,
    form: &'static str,
) -> Result<Vec<u8>, SizeError> {
    let mut bytes = Vec::new();
    reader
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| SizeError::Read { form, source })?;
    if bytes.len() as u64 > limit {
        return Err(SizeError::TooLarge { limit });
    }
    Ok(bytes)
}

/// The uncompressed bytes of gzip data, told by its magic number; other bytes
/// as they are.
pub fn gunzip_if_packed(bytes: Vec<u8>, limit: u64) -> Result<Vec<u8>, SizeError> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        read_bounded(MultiGzDecoder::new(bytes.as_slice()), limit, "gzip")
    } else if bytes.len() as u64 > limit {
        Err(SizeError::TooLarge { limit })
    } else {
        Ok(bytes)
    }
}

/// The uncompressed bytes of bzip2 data.
pub fn bunzip2(bytes: &[u8], limit: u64) -> Result<Vec<u8>, SizeError> {
    read_bounded(MultiBzDecoder::new(bytes), limit, "bzip2")
}

/// Packs bytes as gzip. Equal bytes give equal packed bytes: the header carries
/// neither a time nor a name.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("writing to memory does not fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_bomb_stops_at_the_bound() {
        let packed = gzip(&vec![0; 1 << 20]);
        assert!(packed.len() < 4096);
        let error = gunzip_if_packed(packed.clone(), 1 << 16).unwrap_err();
        assert!(matches!(error, SizeError::TooLarge { limit: 65_536 }));
        assert_eq!(gunzip_if_packed(packed, 1 << 20).unwrap().len(), 1 << 20);
    }

    #[test]
    fn packing_is_deterministic_and_told_by_its_magic() {
        assert_eq!(gzip(b"abc"), gzip(b"abc"));
        assert_eq!(gunzip_if_packed(gzip(b"abc"), 3).unwrap(), b"abc");
        assert_eq!(gunzip_if_packed(b"abc".to_vec(), 3).unwrap(), b"abc");
        assert!(gunzip_if_packed(b"abcd".to_vec(), 3).is_err());
        let cut = gzip(b"abc")[..12].to_vec();
        assert!(matches!(
            gunzip_if_packed(cut, 3),
            Err(SizeError::Read { form: "gzip", .. })
        ));
    }

    #[test]
    fn the_digest_is_blake3() {
        // Published test vector for empty input.
        assert_eq!(
            digest(b"").to_string(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
    }

    #[test]
    fn file_errors_carry_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let missing = read_file(&folder.path().join("none.csv"), 10).unwrap_err();
        assert!(missing.is_missing() && missing.to_string().contains("none.csv"));
        let directory = read_file(folder.path(), 10).unwrap_err();
        assert!(matches!(directory, FileError::NotAFile { .. }));
        let path = folder.path().join("long.csv");
        std::fs::write(&path, "12345678901").unwrap();
        let long = read_table_file(&path, 10).unwrap_err();
        assert!(matches!(
            long,
            FileError::Content {
                source: SizeError::TooLarge { limit: 10 },
                ..
            }
        ));
    }
}
