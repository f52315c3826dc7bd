//! Why a pickle is refused. Offsets are bytes from the start of the pickle to
//! the opcode at fault.

/// A pickle that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// A bound is exceeded.
    #[error("pickle exceeds the limit of {limit} {what} at byte {offset}")]
    Limit {
        /// Where.
        offset: usize,
        /// What is bounded: `bytes`, `levels`, `memo entries`, `items`.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// The pickle ends inside an opcode or without a stop.
    #[error("pickle ends early at byte {offset}")]
    Truncated {
        /// Where.
        offset: usize,
    },
    /// An opcode that data does not need.
    #[error("pickle uses the refused opcode {opcode:#04x} at byte {offset}")]
    Opcode {
        /// Where.
        offset: usize,
        /// The opcode.
        opcode: u8,
    },
    /// A protocol version that is not read.
    #[error("pickle has protocol {version} at byte {offset}, expected 2 to 5")]
    Protocol {
        /// Where.
        offset: usize,
        /// The version.
        version: u8,
    },
    /// An import that the caller does not allow.
    #[error("pickle imports the refused name `{name}` at byte {offset}")]
    Global {
        /// Where.
        offset: usize,
        /// Module and name, cut to a printable length.
        name: String,
    },
    /// An opcode meets a value that it does not apply to.
    #[error("pickle opcode {opcode} at byte {offset} expected {expected}, found {found}")]
    Operand {
        /// Where.
        offset: usize,
        /// The opcode's name.
        opcode: &'static str,
        /// What it applies to.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// An opcode needs more values than there are.
    #[error("pickle stack is empty at byte {offset}")]
    Stack {
        /// Where.
        offset: usize,
    },
    /// Nothing was remembered under this number.
    #[error("pickle recalls memo entry {index} at byte {offset}, which was never stored")]
    Memo {
        /// Where.
        offset: usize,
        /// The number.
        index: usize,
    },
    /// A text is not UTF-8.
    #[error("pickle text at byte {offset} is not UTF-8")]
    Text {
        /// Where.
        offset: usize,
    },
    /// An integer is wider than 64 bits.
    #[error("pickle integer at byte {offset} has {width} bytes, expected at most 8")]
    Integer {
        /// Where.
        offset: usize,
        /// Its width in bytes.
        width: usize,
    },
}
