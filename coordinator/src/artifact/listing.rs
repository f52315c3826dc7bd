//! What is stored, and the removal of what nobody needs.

use std::path::Path;
use std::time::SystemTime;
use std::{fs, io};

use futures::TryStreamExt as _;
use object_store::ObjectMeta;

use super::area::{Area, Object};
use super::{ArtifactError, ArtifactStore};

/// A stored object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// What it is.
    pub object: Object,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was stored.
    pub written: SystemTime,
}

impl Listed {
    fn new(meta: &ObjectMeta) -> Option<Self> {
        Some(Self {
            object: Object::at(&meta.location)?,
            bytes: meta.size,
            written: meta.last_modified.into(),
        })
    }
}

impl ArtifactStore {
    /// All objects of ours. Others in the same place are left out.
    pub async fn list(&self) -> Result<Vec<Listed>, ArtifactError> {
        let all = object_store::path::Path::default();
        self.objects
            .list(None)
            .try_filter_map(async |meta| Ok(Listed::new(&meta)))
            .try_collect()
            .await
            .map_err(ArtifactError::access("list", &all))
    }

    /// Whether there is any object of ours.
    pub async fn holds_any(&self) -> Result<bool, ArtifactError> {
        let all = object_store::path::Path::default();
        let mut objects = self.objects.list(None);
        while let Some(meta) = objects
            .try_next()
            .await
            .map_err(ArtifactError::access("list", &all))?
        {
            if Listed::new(&meta).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where the objects are, for people.
    pub fn place(&self) -> String {
        match &self.directory {
            Some(directory) => directory.display().to_string(),
            None => self.objects.to_string(),
        }
    }

    /// Removes an object, unless it was stored again or asked for since it was
    /// listed; tells whether it did.
    pub async fn sweep(&self, listed: &Listed) -> Result<bool, ArtifactError> {
        let _order = self.order.lock().await;
        if let Object::Artifact(Area::Shared, digest) = listed.object
            && self.asked_for.contains(digest)
        {
            return Ok(false);
        }
        let now = self.head(listed.object).await?;
        if now.as_ref().and_then(Listed::new) != Some(*listed) {
            return Ok(false);
        }
        self.delete(listed.object).await?;
        Ok(true)
    }

    /// Removes what uploads left that were cut off before `until`: count and bytes.
    /// A bucket's own rules do that there.
    pub async fn remove_unfinished(
        &self,
        until: SystemTime,
        only_count: bool,
    ) -> Result<(u64, u64), ArtifactError> {
        let Some(directory) = self.directory.clone() else {
            return Ok((0, 0));
        };
        let name = directory.display().to_string();
        let removed =
            tokio::task::spawn_blocking(move || remove_unfinished(&directory, until, only_count))
                .await;
        match removed {
            Ok(Ok(removed)) => Ok(removed),
            Ok(Err(error)) => Err(ArtifactError::unusable(&name, error)),
            Err(error) => Err(ArtifactError::unusable(&name, error)),
        }
    }
}

fn remove_unfinished(
    directory: &Path,
    until: SystemTime,
    only_count: bool,
) -> io::Result<(u64, u64)> {
    let (mut count, mut bytes) = (0, 0);
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let Ok(metadata) = entry.metadata() else {
                // It has gone meanwhile.
                continue;
            };
            if metadata.is_dir() {
                open.push(entry.path());
            } else if is_unfinished(&entry.path()) && metadata.modified()? < until {
                if !only_count {
                    fs::remove_file(entry.path())?;
                }
                count += 1;
                bytes += metadata.len();
            }
        }
    }
    Ok((count, bytes))
}

/// Whether a file is named as `object_store` names uploads: `NAME#NUMBER`.
fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.rsplit_once('#'))
        .is_some_and(|(_, number)| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}
