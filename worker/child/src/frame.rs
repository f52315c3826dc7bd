//! Frames: the length of a header, the length of a body, the header in JSON, the body.
//!
//! Lengths are 32-bit little-endian numbers with a bound each, so that a wrong or
//! hostile peer cannot ask for more memory than a message may have. Memory is taken as
//! bytes arrive, not as they are announced.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most bytes of a header: a member of a pack has some 200 bytes of measures an epoch.
pub const MOST_HEADER: u32 = 16 << 20;

/// Most bytes of a body: what an artifact may have.
pub const MOST_BODY: u32 = reprise_domain::bounds::ARTIFACT_BYTES as u32;

/// A frame that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream broke off or failed.
    #[error("the stream ends in the middle of a frame")]
    Cut(#[source] io::Error),
    /// A part is longer than its bound.
    #[error("a frame announces {bytes} bytes of {part}, expected at most {most}")]
    TooLong {
        /// Which part.
        part: &'static str,
        /// What it announces.
        bytes: u32,
        /// The bound.
        most: u32,
    },
    /// The header is not the JSON of a known message.
    #[error("a frame's header is not a message of this protocol")]
    Header(#[source] serde_json::Error),
}

/// Writes a frame and flushes it.
///
/// # Errors
/// If the peer is gone, or if a part is longer than its bound.
pub fn write(to: &mut impl Write, header: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    let mut start = Vec::with_capacity(8 + header.len());
    for (part, bytes, most) in [
        ("header", header.len(), MOST_HEADER),
        ("body", body.len(), MOST_BODY),
    ] {
        let length = u32::try_from(bytes).ok().filter(|length| *length <= most);
        let length = length.ok_or_else(|| {
            let message = format!("a {part} of {bytes} bytes, expected at most {most}");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
        start.extend(length.to_le_bytes());
    }
    start.extend(header);
    to.write_all(&start)?;
    to.write_all(body)?;
    to.flush()
}

/// Reads a frame; none where the stream has ended before it.
///
/// # Errors
/// If what comes is not a whole frame with a message of this kind.
pub fn read<M: DeserializeOwned>(from: &mut impl Read) -> Result<Option<(M, Vec<u8>)>, FrameError> {
    let mut lengths = [0; 8];
    let first = loop {
        match from.read(&mut lengths) {
            Ok(0) => return Ok(None),
            Ok(read) => break read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FrameError::Cut(error)),
        }
    };
    from.read_exact(&mut lengths[first..])
        .map_err(FrameError::Cut)?;
    let [a, b, c, d, e, f, g, h] = lengths;
    let header = bounded("header", u32::from_le_bytes([a, b, c, d]), MOST_HEADER)?;
    let body = bounded("body", u32::from_le_bytes([e, f, g, h]), MOST_BODY)?;
    let header = bytes(from, header)?;
    let message = serde_json::from_slice(&header).map_err(FrameError::Header)?;
    Ok(Some((message, bytes(from, body)?)))
}

fn bounded(part: &'static str, bytes: u32, most: u32) -> Result<u32, FrameError> {
    if bytes > most {
        return Err(FrameError::TooLong { part, bytes, most });
    }
    Ok(bytes)
}

fn bytes(from: &mut impl Read, length: u32) -> Result<Vec<u8>, FrameError> {
    let mut content = Vec::new();
    from.take(u64::from(length))
        .read_to_end(&mut content)
        .map_err(FrameError::Cut)?;
    if content.len() < length as usize {
        return Err(FrameError::Cut(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ToChild;

    const STOP: ToChild = ToChild::Stop { save: true };

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, &STOP, body).unwrap();
        bytes
    }

    #[test]
    fn frames_follow_each_other_to_the_end_of_the_stream() {
        let stream = [frame(b"first"), frame(b"")].concat();
        let mut stream = stream.as_slice();
        for body in ["first", ""] {
            let (message, found) = read::<ToChild>(&mut stream).unwrap().unwrap();
            assert_eq!((message, found), (STOP, body.into()));
        }
        assert!(read::<ToChild>(&mut stream).unwrap().is_none());
    }

    #[test]
    fn a_frame_that_is_cut_anywhere_is_refused() {
        let whole = frame(b"where it stands");
        for end in 1..whole.len() {
            let found = read::<ToChild>(&mut &whole[..end]);
            assert!(matches!(found, Err(FrameError::Cut(_))), "cut at {end}");
        }
    }

    #[test]
    fn nothing_is_allocated_for_what_is_only_announced() {
        // The largest frame that is allowed, of which nothing comes.
        let mut announced = [MOST_HEADER.to_le_bytes(), MOST_BODY.to_le_bytes()].concat();
        announced.extend(b"{}");
        let found = read::<ToChild>(&mut announced.as_slice());
        assert!(matches!(found, Err(FrameError::Cut(_))), "{found:?}");

        for (part, lengths) in [
            ("header", [MOST_HEADER + 1, 0]),
            ("header", [u32::MAX, u32::MAX]),
            ("body", [2, MOST_BODY + 1]),
        ] {
            let bytes: Vec<u8> = lengths.iter().flat_map(|l| l.to_le_bytes()).collect();
            let message = read::<ToChild>(&mut bytes.as_slice()).unwrap_err();
            let message = message.to_string();
            assert!(message.contains(&format!("bytes of {part}")), "{message}");
        }
        assert!(write(&mut Vec::new(), &STOP, &vec![0; MOST_BODY as usize + 1]).is_err());
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_read_but_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read::<ToChild>(&mut bytes.as_slice());
            // Sound lengths before a header of any kind.
            let length = bytes.len() as u32;
            let mut framed = [length.to_le_bytes(), 0_u32.to_le_bytes()].concat();
            framed.extend(&bytes);
            prop_assert!(read::<ToChild>(&mut framed.as_slice()).is_err());
        }
    }
}
