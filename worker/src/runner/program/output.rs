//! What a program prints: into the log of its attempt, line by line, in bounded memory
//! however much it is.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::logs::{AttemptLog, capture, note};

/// Bytes that are read at once.
const PIECE_BYTES: usize = 64 << 10;

/// Bytes of a line before it counts as one without its end.
const LINE_BYTES: usize = 4000;

/// The output of a program that runs.
#[derive(Debug)]
pub(super) struct Output {
    bytes: Arc<AtomicU64>,
    lines: Arc<AtomicU64>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    /// Reads a pipe until it ends, or until more than `most` has come.
    pub(super) fn read(
        pipe: impl Read + Send + 'static,
        most: Option<u64>,
        log: AttemptLog,
    ) -> io::Result<Self> {
        let (bytes, lines) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let reader = {
            let (bytes, lines) = (Arc::clone(&bytes), Arc::clone(&lines));
            thread::Builder::new()
                .name("program-output".to_owned())
                .spawn(move || {
                    let _capturing = capture(vec![log]);
                    drain(pipe, most, &bytes, &lines);
                })?
        };
        Ok(Self {
            bytes,
            lines,
            reader: Some(reader),
        })
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Lines so far.
    pub(super) fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Waits for the end of what all processes that are dead had written.
    pub(super) fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            // A thread that unwound has said so.
            let _ = reader.join();
        }
    }
}

fn drain(mut pipe: impl Read, most: Option<u64>, bytes: &AtomicU64, lines: &AtomicU64) {
    let mut piece = vec![0; PIECE_BYTES];
    let mut line = Vec::new();
    let mut total = 0;
    loop {
        let read = match pipe.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        total += read as u64;
        bytes.store(total, Ordering::Relaxed);
        for part in piece[..read].split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            if part.ends_with(b"\n") || line.len() >= LINE_BYTES {
                said(&mut line);
                lines.fetch_add(1, Ordering::Relaxed);
            }
        }
        // It is about to be ended; what it writes until then is not waited for.
        if most.is_some_and(|most| total > most) {
            break;
        }
    }
    if !line.is_empty() {
        said(&mut line);
    }
}

fn said(line: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(line);
    note!("{}", text.trim_end());
    line.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_read_in_bounded_pieces_up_to_the_limit() {
        let pipe = || io::repeat(b'x').take(10 << 20);
        let mut output = Output::read(pipe(), None, AttemptLog::default()).unwrap();
        output.finish();
        assert_eq!(output.bytes(), 10 << 20);
        assert!(output.lines() >= (10 << 20) / (LINE_BYTES + PIECE_BYTES) as u64);
        let mut output = Output::read(pipe(), Some(1000), AttemptLog::default()).unwrap();
        output.finish();
        let bytes = output.bytes();
        assert!(
            bytes > 1000 && bytes <= 1000 + PIECE_BYTES as u64,
            "{bytes}"
        );
    }
}
