//! Storing an artifact while it comes: hashed on the way, at most a part of it in
//! memory, and visible under its digest only when it is whole.

use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};
use reprise_data::Hasher;
use reprise_domain::measure::ArtifactRef;

use super::area::{Area, Object};
use super::limits::Permit;
use super::{ArtifactError, ArtifactStore, MAX_BYTES};

/// An artifact on its way into the store. One that is dropped before its end
/// leaves nothing.
#[derive(Debug)]
pub struct Upload {
    store: ArtifactStore,
    object: Object,
    artifact: ArtifactRef,
    hasher: Hasher,
    received: u64,
    /// What is not part of `parts` yet.
    buffer: Vec<u8>,
    /// Only what is larger than a part comes in parts.
    parts: Option<Box<dyn MultipartUpload>>,
    _permit: Permit,
}

/// The turn to store one artifact.
#[derive(Debug)]
pub struct Writer {
    store: ArtifactStore,
    permit: Permit,
}

impl ArtifactStore {
    /// Waits for the turn to store an artifact, before anything of it is in memory.
    pub async fn writer(&self) -> Result<Writer, ArtifactError> {
        Ok(Writer {
            permit: self.limits.writer().await?,
            store: self.clone(),
        })
    }
}

impl Writer {
    /// Begins to store an artifact. Whatever is stored under its name is replaced
    /// at the end, so that storing something again heals it.
    pub fn begin(self, area: Area, artifact: ArtifactRef) -> Result<Upload, ArtifactError> {
        if artifact.bytes > MAX_BYTES {
            return Err(ArtifactError::TooLarge(artifact.bytes));
        }
        Ok(Upload {
            store: self.store,
            object: Object::Artifact(area, artifact.digest),
            artifact,
            hasher: Hasher::default(),
            received: 0,
            buffer: Vec::new(),
            parts: None,
            _permit: self.permit,
        })
    }
}

impl Upload {
    /// Takes the next piece.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), ArtifactError> {
        self.received += piece.len() as u64;
        if self.received > self.artifact.bytes {
            return Err(ArtifactError::TooLarge(self.received));
        }
        self.hasher.update(piece);
        self.buffer.extend_from_slice(piece);
        while self.buffer.len() > self.store.part_bytes {
            let rest = self.buffer.split_off(self.store.part_bytes);
            let part = std::mem::replace(&mut self.buffer, rest);
            self.write_part(part).await?;
        }
        Ok(())
    }

    /// Checks what came, and makes it visible.
    pub async fn finish(mut self) -> Result<(), ArtifactError> {
        let ArtifactRef { digest, bytes } = self.artifact;
        if self.received < bytes {
            return Err(ArtifactError::Truncated {
                digest,
                expected: bytes,
                found: self.received,
            });
        }
        let found = self.hasher.digest();
        if found != digest {
            return Err(ArtifactError::Corrupt {
                expected: digest,
                found,
            });
        }
        let rest = std::mem::take(&mut self.buffer);
        let location = self.object.location();
        let failed = ArtifactError::access("store", &location);
        if self.parts.is_some() {
            self.write_part(rest).await?;
        }
        // Nobody sets the object before this one aside in between.
        let _order = self.store.order.lock().await;
        match self.parts.take() {
            Some(mut parts) => parts.complete().await.map(drop).map_err(failed),
            None => {
                let content = PutPayload::from(rest);
                let stored = self.store.objects.put(&location, content).await;
                stored.map(drop).map_err(failed)
            }
        }
    }

    async fn write_part(&mut self, part: Vec<u8>) -> Result<(), ArtifactError> {
        let location = self.object.location();
        let failed = ArtifactError::access("store", &location);
        let written = match &mut self.parts {
            Some(parts) => parts.put_part(PutPayload::from(part)).await,
            None => match self.store.objects.put_multipart(&location).await {
                Ok(begun) => {
                    let parts = self.parts.insert(begun);
                    parts.put_part(PutPayload::from(part)).await
                }
                Err(error) => Err(error),
            },
        };
        written.map_err(failed)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // A bucket keeps parts until it is told. What cannot be told, its own rules
        // for unfinished uploads remove.
        if let (Some(mut parts), Ok(runtime)) =
            (self.parts.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(async move { parts.abort().await });
        }
    }
}
