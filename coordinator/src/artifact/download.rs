//! Reading an artifact in chunks, checked on the way. The last chunk is held back
//! until the digest of all is right: damaged content ends in an error and never in
//! a clean end.

use std::fmt;
use std::io;
use std::path::PathBuf;

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{GetResultPayload, ObjectMeta, ObjectStoreExt as _};
use reprise_data::Hasher;
use reprise_domain::Digest;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::area::{Area, Object};
use super::limits::Permit;
use super::{ArtifactError, ArtifactStore};

/// Largest chunk, in bytes. Small, since every reader has a few in memory.
pub(super) const READ_BYTES: usize = 256 << 10;

/// An artifact on its way out of the store.
#[derive(Debug)]
pub struct Download {
    store: ArtifactStore,
    object: Object,
    digest: Digest,
    meta: ObjectMeta,
    source: Source,
    hasher: Hasher,
    /// The newest chunk, until it is known that it is not the last.
    held: Option<Vec<u8>>,
    _permit: Permit,
}

/// Whether what is stored is what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has its digest.
    Whole,
    /// There is nothing.
    Missing,
    /// It does not have its digest, and was set aside.
    Corrupt,
}

impl ArtifactStore {
    /// Begins to read an artifact, once there is room for one reader more. An
    /// attempt's checkpoint that is not in its own area is looked for in the shared
    /// one, where older versions kept them.
    pub async fn get(&self, area: Area, digest: Digest) -> Result<Download, ArtifactError> {
        match self.begin_to_read(area, digest).await {
            Err(ArtifactError::Missing(_)) if area != Area::Shared => {
                self.begin_to_read(Area::Shared, digest).await
            }
            opened => opened,
        }
    }

    /// Reads all of an artifact and compares its digest. Damaged content is set
    /// aside.
    pub async fn verify(&self, area: Area, digest: Digest) -> Result<Verdict, ArtifactError> {
        let mut download = match self.begin_to_read(area, digest).await {
            Ok(download) => download,
            Err(ArtifactError::Missing(_)) => return Ok(Verdict::Missing),
            Err(error) => return Err(error),
        };
        loop {
            match download.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Verdict::Whole),
                Err(ArtifactError::Corrupt { .. }) => return Ok(Verdict::Corrupt),
                Err(error) => return Err(error),
            }
        }
    }

    async fn begin_to_read(&self, area: Area, digest: Digest) -> Result<Download, ArtifactError> {
        let permit = self.limits.reader().await;
        let object = Object::Artifact(area, digest);
        let location = object.location();
        let found = match self.objects.get(&location).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(ArtifactError::Missing(digest));
            }
            Err(error) => return Err(ArtifactError::access("read", &location)(error)),
        };
        Ok(Download {
            store: self.clone(),
            object,
            digest,
            meta: found.meta.clone(),
            source: Source::new(found.payload),
            hasher: Hasher::default(),
            held: None,
            _permit: permit,
        })
    }
}

impl Download {
    /// Its size in bytes.
    pub const fn bytes(&self) -> u64 {
        self.meta.size
    }

    /// The next chunk; `None` after the last, and only if all were right.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ArtifactError> {
        loop {
            let location = &self.meta.location;
            let chunk = self.source.chunk().await;
            if let Some(chunk) = chunk.map_err(ArtifactError::access("read", location))? {
                self.hasher.update(&chunk);
                if let Some(before) = self.held.replace(chunk) {
                    return Ok(Some(before));
                }
                continue;
            }
            let found = self.hasher.digest();
            if found == self.digest {
                return Ok(self.held.take());
            }
            self.held = None;
            let expected = self.digest;
            self.store.set_aside(self.object, &self.meta, found).await;
            return Err(ArtifactError::Corrupt { expected, found });
        }
    }

    /// All of it, where that is small.
    #[cfg(test)]
    pub(crate) async fn all(mut self) -> Result<Vec<u8>, ArtifactError> {
        let mut content = Vec::new();
        while let Some(chunk) = self.next().await? {
            content.extend_from_slice(&chunk);
        }
        Ok(content)
    }
}

/// Where the bytes come from.
enum Source {
    File(File, PathBuf),
    /// What a bucket sends, in pieces of its own size; the start of the next chunk.
    Stream(BoxStream<'static, object_store::Result<Vec<u8>>>, Vec<u8>),
}

impl Source {
    fn new(payload: GetResultPayload) -> Self {
        match payload {
            GetResultPayload::File(file, path) => {
                let mut file = File::from_std(file);
                file.set_max_buf_size(READ_BYTES);
                Self::File(file, path)
            }
            GetResultPayload::Stream(stream) => {
                Self::Stream(stream.map_ok(|piece| piece.to_vec()).boxed(), Vec::new())
            }
        }
    }

    /// The next at most [`READ_BYTES`] bytes; `None` at the end.
    async fn chunk(&mut self) -> object_store::Result<Option<Vec<u8>>> {
        let (chunk, rest) = match self {
            Self::File(file, path) => {
                let chunk = read_chunk(file).await;
                let chunk = chunk.map_err(|error| failed(path, &error))?;
                (chunk, None)
            }
            Self::Stream(stream, chunk) => {
                while chunk.len() < READ_BYTES
                    && let Some(piece) = stream.next().await
                {
                    chunk.extend_from_slice(&piece?);
                }
                let rest = chunk.split_off(chunk.len().min(READ_BYTES));
                (std::mem::take(chunk), Some(rest))
            }
        };
        if let (Self::Stream(_, next), Some(rest)) = (self, rest) {
            *next = rest;
        }
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_, path) => f.debug_tuple("File").field(path).finish(),
            Self::Stream(..) => f.write_str("Stream"),
        }
    }
}

async fn read_chunk(file: &mut File) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(READ_BYTES);
    while chunk.len() < READ_BYTES {
        if file.read_buf(&mut chunk).await? == 0 {
            break;
        }
    }
    Ok(chunk)
}

fn failed(path: &std::path::Path, source: &io::Error) -> object_store::Error {
    object_store::Error::Generic {
        store: "LocalFileSystem",
        source: format!("`{}`: {source}", path.display()).into(),
    }
}
