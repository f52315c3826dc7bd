//! Writing an archive, from its beginning to its end, in bounded memory.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};

use reprise_domain::Digest;
use reprise_domain::record::ArchivedResult;
use reprise_domain::study::StudySpec;
use reprise_proto::convert::to_json;

use super::{ARTIFACTS, Contents, END, End, FORMAT, HEAD, Head, RESULTS, Sum, files_of};

/// Bytes of results in one entry, about.
const CHUNK_BYTES: usize = 1 << 20;

/// An archive in the making. First all results are added, then all files.
pub struct Writer<W: Write> {
    tar: tar::Builder<W>,
    sum: Sum,
    contents: Contents,
    lines: Vec<u8>,
    chunks: u64,
    missing: BTreeSet<Digest>,
}

impl<W: Write> Writer<W> {
    /// Begins an archive of a study.
    pub fn begin(into: W, spec: &StudySpec) -> io::Result<Self> {
        let mut writer = Self {
            tar: tar::Builder::new(into),
            sum: Sum::default(),
            contents: Contents::default(),
            lines: Vec::new(),
            chunks: 0,
            missing: files_of(spec).collect(),
        };
        let head = Head {
            format: FORMAT,
            spec: spec.clone(),
        };
        writer.entry(HEAD, &to_json(&head))?;
        Ok(writer)
    }

    /// Adds a result.
    pub fn result(&mut self, result: &ArchivedResult) -> io::Result<()> {
        let named = result.stored.result.artifacts();
        self.missing.extend(named.iter().map(|file| file.digest));
        self.lines.extend(to_json(result));
        self.lines.push(b'\n');
        self.contents.results += 1;
        if self.lines.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// The files that are to be added, in the order in which they are.
    pub fn missing(&mut self) -> io::Result<Vec<Digest>> {
        self.flush()?;
        Ok(self.missing.iter().copied().collect())
    }

    /// Adds a file.
    pub fn artifact(&mut self, digest: Digest, content: &[u8]) -> io::Result<()> {
        if self.missing.remove(&digest) {
            self.contents.artifacts += 1;
            self.entry(&format!("{ARTIFACTS}{digest}"), content)?;
        }
        Ok(())
    }

    /// Ends the archive.
    ///
    /// # Panics
    /// If a file is missing.
    pub fn finish(mut self) -> io::Result<(W, Contents)> {
        self.flush()?;
        assert!(self.missing.is_empty(), "a file was not added");
        let contents = self.contents;
        let end = End {
            contents,
            sum: self.sum.digest(),
        };
        self.entry(END, &to_json(&end))?;
        Ok((self.tar.into_inner()?, contents))
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let name = format!("{RESULTS}{:08}.jsonl", self.chunks);
        self.chunks += 1;
        let lines = std::mem::take(&mut self.lines);
        self.entry(&name, &lines)
    }

    fn entry(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let bytes = content.len() as u64;
        self.sum.entry(name, bytes);
        self.sum.content(content);
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes);
        header.set_mode(0o644);
        self.tar.append_data(&mut header, name, content)
    }
}

impl<W: Write> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("contents", &self.contents)
            .finish_non_exhaustive()
    }
}
