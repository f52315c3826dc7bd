//! Files that take their places together: all are written before the first of them
//! replaces one that is there.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Files of one directory that are being written. What is not put in place leaves
/// nothing behind.
#[derive(Debug)]
pub struct Files {
    directory: PathBuf,
    written: Vec<&'static str>,
}

impl Files {
    /// No file yet. Makes the directory.
    pub fn into(directory: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("make `{}`", directory.display()))?;
        Ok(Self {
            directory: directory.to_owned(),
            written: Vec::new(),
        })
    }

    /// Writes a text.
    pub(super) fn text(&mut self, name: &'static str, text: &str) -> anyhow::Result<()> {
        self.write(name, |out| out.write_all(text.as_bytes()))
    }

    /// Writes a file.
    pub(super) fn write(
        &mut self,
        name: &'static str,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let mut out = self.create(name)?;
        write(&mut out)
            .and_then(|()| out.flush())
            .with_context(|| format!("write `{}`", self.directory.join(name).display()))
    }

    /// Begins a file that is written bit by bit; whoever writes it flushes it.
    pub(super) fn create(&mut self, name: &'static str) -> anyhow::Result<BufWriter<File>> {
        self.written.push(name);
        let file = File::create(self.fresh(name));
        let file =
            file.with_context(|| format!("write `{}`", self.directory.join(name).display()))?;
        Ok(BufWriter::new(file))
    }

    fn fresh(&self, name: &str) -> PathBuf {
        // Two exports into one directory do not write into each other's files.
        let process = std::process::id();
        self.directory.join(format!(".{name}.{process}.new"))
    }

    /// Puts all of them in their places.
    pub fn put_in_place(mut self) -> anyhow::Result<()> {
        // One that is in its place is not removed when another one cannot follow.
        while let Some(name) = self.written.last().copied() {
            let path = self.directory.join(name);
            fs::rename(self.fresh(name), &path)
                .with_context(|| format!("write `{}`", path.display()))?;
            self.written.pop();
        }
        Ok(())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for name in &self.written {
            let _ = fs::remove_file(self.fresh(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_all_be_written_replace_none() {
        let directory = tempfile::tempdir().unwrap();
        let old = directory.path().join("table.md");
        fs::write(&old, "old").unwrap();
        let mut files = Files::into(directory.path()).unwrap();
        files.text("table.md", "new").unwrap();
        let full = files.write("results.json", |_| Err(io::ErrorKind::StorageFull.into()));
        assert!(full.is_err());
        drop(files);
        assert_eq!(fs::read_to_string(&old).unwrap(), "old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
