//! The hashes of the whole space as bytes, for a cache between processes: they
//! are the only part of the space that takes long to make.
//!
//! Not here: where the cache lies.

use std::sync::OnceLock;

use thiserror::Error;

use super::enumerate::all_cells;
use super::{Hashes, Nasbench101};

/// First bytes of the cache; the last one counts its versions.
const MAGIC: &[u8; 8] = b"rpnb101\x01";
/// Bytes of the BLAKE3 digest that ends the cache.
const DIGEST: usize = blake3::OUT_LEN;
/// One hash in this many is computed again when a cache is read. The digest finds
/// damage; this finds a cache that was written with other cells or another hash.
const CHECK_EVERY: usize = 1_024;

/// Why bytes are not a cache of this space.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CacheError {
    /// Another file, or a cut one.
    #[error("the cell cache has {found} bytes, expected {expected}")]
    Length {
        /// Bytes given.
        found: usize,
        /// Bytes that a cache has.
        expected: usize,
    },
    /// Another kind or version of file.
    #[error("the cell cache begins with the bytes {found:02x?}, expected {MAGIC:02x?}")]
    Magic {
        /// The bytes where the magic should be.
        found: [u8; 8],
    },
    /// Damaged.
    #[error("the cell cache does not match its digest")]
    Digest,
    /// Intact, but not of this space.
    #[error("the cell cache has hash `{found:032x}` at index {index}, expected `{expected:032x}`")]
    Hash {
        /// Index of the architecture.
        index: usize,
        /// Its hash in the cache.
        found: u128,
        /// Its true hash.
        expected: u128,
    },
}

impl Nasbench101 {
    /// The space as bytes: magic, the hash of each cell in the published order
    /// (16 bytes, as its text reads), and the BLAKE3 digest of all that; 6.8 MB.
    pub fn to_bytes(&self) -> Vec<u8> {
        let hashes = self.hashes();
        let mut bytes = Vec::with_capacity(encoded_len(hashes.len()));
        bytes.extend_from_slice(MAGIC);
        bytes.extend(hashes.iter().flat_map(|hash| hash.to_be_bytes()));
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes
    }

    /// The space with its hashes taken from `bytes`. The cells are enumerated and
    /// never taken on trust.
    ///
    /// # Errors
    /// If the bytes are damaged, of another version, or not of this space.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CacheError> {
        let cells = all_cells();
        let expected = encoded_len(cells.len());
        if bytes.len() != expected {
            let found = bytes.len();
            return Err(CacheError::Length { found, expected });
        }
        let (content, digest) = bytes.split_at(bytes.len() - DIGEST);
        let (magic, hashes) = content.split_at(MAGIC.len());
        if magic != MAGIC {
            let mut found = [0; 8];
            found.copy_from_slice(magic);
            return Err(CacheError::Magic { found });
        }
        if blake3::hash(content).as_bytes() != digest {
            return Err(CacheError::Digest);
        }
        let (hashes, _) = hashes.as_chunks::<16>();
        let hashes: Vec<u128> = hashes.iter().copied().map(u128::from_be_bytes).collect();
        for index in (0..cells.len()).step_by(CHECK_EVERY) {
            let (found, expected) = (hashes[index], cells[index].hash());
            if found != expected {
                return Err(CacheError::Hash {
                    index,
                    found,
                    expected,
                });
            }
        }
        Ok(Self {
            cells,
            hashes: OnceLock::from(Hashes::new(hashes)),
        })
    }
}

const fn encoded_len(cells: usize) -> usize {
    MAGIC.len() + cells * size_of::<u128>() + DIGEST
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache whose content `damage` has changed; `resealed` with a digest that
    /// fits again.
    fn check(damage: impl Fn(&mut Vec<u8>), resealed: bool, expected: &CacheError) {
        let cells = all_cells();
        // Only the hashes that are checked have to be right.
        let hash = |(index, cell): (usize, &super::super::Cell)| match index % CHECK_EVERY {
            0 => cell.hash().to_be_bytes(),
            _ => [0; 16],
        };
        let mut bytes = MAGIC.to_vec();
        bytes.extend(cells.iter().enumerate().flat_map(hash));
        let seal = |bytes: &mut Vec<u8>| {
            let digest = blake3::hash(bytes);
            bytes.extend_from_slice(digest.as_bytes());
        };
        seal(&mut bytes);
        assert!(Nasbench101::from_bytes(&bytes).is_ok());
        damage(&mut bytes);
        if resealed {
            bytes.truncate(bytes.len() - DIGEST);
            seal(&mut bytes);
        }
        assert_eq!(&Nasbench101::from_bytes(&bytes).unwrap_err(), expected);
    }

    #[test]
    fn a_cut_cache_is_refused() {
        let expected = encoded_len(423_624);
        let found = expected - 1;
        let error = CacheError::Length { found, expected };
        check(|bytes| bytes.truncate(bytes.len() - 1), false, &error);
    }

    #[test]
    fn a_cache_of_another_version_is_refused() {
        let found = *b"rpnb101\x02";
        check(|bytes| bytes[7] = 2, true, &CacheError::Magic { found });
    }

    #[test]
    fn a_damaged_cache_is_refused() {
        check(|bytes| bytes[1_000] ^= 1, false, &CacheError::Digest);
    }

    #[test]
    fn a_cache_of_another_space_is_refused() {
        // The first cell, input -> output, is among those checked.
        let expected = super::super::Cell::pack(2, 1, 0).hash();
        let error = CacheError::Hash {
            index: 0,
            found: expected ^ 1,
            expected,
        };
        check(|bytes| bytes[MAGIC.len() + 15] ^= 1, true, &error);
    }
}
