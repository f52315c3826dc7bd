//! The bytes of a pickle and how far they are read. Every read is checked against
//! the end; errors carry the offset of the opcode being read.

use super::PickleError;

/// A position in the input.
pub(super) struct Cursor<'b> {
    bytes: &'b [u8],
    position: usize,
    opcode_at: usize,
}

impl<'b> Cursor<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self {
            bytes,
            position: 0,
            opcode_at: 0,
        }
    }

    /// Reads the next opcode.
    pub(super) fn opcode(&mut self) -> Result<u8, PickleError> {
        self.opcode_at = self.position;
        let [opcode] = self.array()?;
        Ok(opcode)
    }

    /// Where the current opcode is.
    pub(super) fn offset(&self) -> usize {
        self.opcode_at
    }

    /// Bytes read so far.
    pub(super) fn consumed(&self) -> usize {
        self.position
    }

    /// Bytes not read yet.
    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'b [u8], PickleError> {
        let rest = &self.bytes[self.position..];
        let taken = rest.get(..count).ok_or(PickleError::Truncated {
            offset: self.opcode_at,
        })?;
        self.position += count;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("as many bytes were taken"))
    }

    /// Bytes behind a length of one byte, or of four.
    pub(super) fn counted(&mut self, wide: bool) -> Result<&'b [u8], PickleError> {
        let length = self.index(wide)?;
        self.take(length)
    }

    /// A number of one byte, or of four.
    pub(super) fn index(&mut self, wide: bool) -> Result<usize, PickleError> {
        if wide {
            Ok(u32::from_le_bytes(self.array()?) as usize)
        } else {
            Ok(usize::from(u8::from_le_bytes(self.array()?)))
        }
    }

    pub(super) fn line(&mut self) -> Result<&'b str, PickleError> {
        let rest = &self.bytes[self.position..];
        let length = rest.iter().position(|byte| *byte == b'\n');
        let length = length.ok_or(PickleError::Truncated {
            offset: self.opcode_at,
        })?;
        let line = self.take(length)?;
        self.position += 1;
        self.utf8(line)
    }

    pub(super) fn utf8(&self, bytes: &'b [u8]) -> Result<&'b str, PickleError> {
        std::str::from_utf8(bytes).map_err(|_| PickleError::Text {
            offset: self.opcode_at,
        })
    }
}
