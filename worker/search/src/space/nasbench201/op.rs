//! Operations and edges of NAS-Bench-201, and architecture strings.

use std::fmt::Write as _;

use thiserror::Error;

/// Source and target node of each edge, in the order of an architecture string.
pub const EDGES: [(usize, usize); 6] = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)];

/// Longest text that an error repeats, in characters; architecture strings have
/// at most 113.
const QUOTED: usize = 120;

/// An operation on an edge. The numbers are the digits of a cell's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CellOp {
    /// No connection.
    None,
    /// The identity.
    SkipConnect,
    /// `ReLU`, 1x1 convolution, batch normalisation.
    NorConv1x1,
    /// `ReLU`, 3x3 convolution, batch normalisation.
    NorConv3x3,
    /// 3x3 mean.
    AvgPool3x3,
}

impl CellOp {
    /// All operations in digit order.
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::SkipConnect,
        Self::NorConv1x1,
        Self::NorConv3x3,
        Self::AvgPool3x3,
    ];

    /// The name in architecture strings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SkipConnect => "skip_connect",
            Self::NorConv1x1 => "nor_conv_1x1",
            Self::NorConv3x3 => "nor_conv_3x3",
            Self::AvgPool3x3 => "avg_pool_3x3",
        }
    }

    /// Position in the graph's one-hot encoding: input, 1x1, 3x3, pooling, skip,
    /// none, output.
    pub(super) const fn one_hot(self) -> u8 {
        match self {
            Self::NorConv1x1 => 1,
            Self::NorConv3x3 => 2,
            Self::AvgPool3x3 => 3,
            Self::SkipConnect => 4,
            Self::None => 5,
        }
    }
}

/// Why a text is not an architecture string.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseArchError {
    /// An operation that the space does not have.
    #[error(
        "the architecture has the operation `{name}` on edge {source_node} -> {target_node}, expected one of none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3"
    )]
    UnknownOperation {
        /// The name found, cut when long.
        name: String,
        /// Node at which the edge begins.
        source_node: usize,
        /// Node at which the edge ends.
        target_node: usize,
    },
    /// Other separators, edges or nodes than a cell has.
    #[error("`{text}` does not read as `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`")]
    Form {
        /// The text, cut when long.
        text: String,
    },
}

/// The architecture string of a cell.
pub(super) fn format(ops: [CellOp; 6]) -> String {
    let mut text = String::with_capacity(QUOTED);
    for (position, (op, (from, _))) in ops.into_iter().zip(EDGES).enumerate() {
        text.push_str(separator(position));
        write!(text, "{}~{from}", op.as_str()).expect("memory takes every write");
    }
    text.push('|');
    text
}

/// Reads an architecture string.
pub(super) fn parse(text: &str) -> Result<[CellOp; 6], ParseArchError> {
    let form = || ParseArchError::Form { text: cut(text) };
    let mut ops = [CellOp::None; 6];
    let mut rest = text;
    for (position, (op, (source_node, target_node))) in ops.iter_mut().zip(EDGES).enumerate() {
        let term = rest.strip_prefix(separator(position)).ok_or_else(form)?;
        let (name, after) = term.split_once('~').ok_or_else(form)?;
        let known = CellOp::ALL.into_iter().find(|op| op.as_str() == name);
        *op = known.ok_or_else(|| ParseArchError::UnknownOperation {
            name: cut(name),
            source_node,
            target_node,
        })?;
        let source = ["0", "1", "2"][source_node];
        rest = after.strip_prefix(source).ok_or_else(form)?;
    }
    if rest == "|" { Ok(ops) } else { Err(form()) }
}

/// What stands before the term at `position`: the first term of each node opens a
/// group.
const fn separator(position: usize) -> &'static str {
    match position {
        1 | 3 => "|+|",
        _ => "|",
    }
}

fn cut(text: &str) -> String {
    text.chars().take(QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_reads_back() {
        use CellOp::{AvgPool3x3, None, NorConv1x1, NorConv3x3, SkipConnect};
        let ops = [NorConv3x3, None, AvgPool3x3, SkipConnect, NorConv1x1, None];
        let text =
            "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|";
        assert_eq!(format(ops), text);
        assert_eq!(parse(text), Ok(ops));
    }

    #[test]
    fn other_texts_are_refused_and_quoted_in_part() {
        let good = format([CellOp::SkipConnect; 6]);
        let form = |text: &str| ParseArchError::Form { text: cut(text) };
        let wrong = [
            String::new(),
            "|none~0|".to_owned(),
            good.replace("~2", "~1"),
            good.replace('+', ""),
            good.clone() + "+",
            good.clone() + "\n",
            good.trim_end_matches('|').to_owned(),
            "|none~0".repeat(100_000),
        ];
        for text in wrong {
            let error = parse(&text).unwrap_err();
            assert_eq!(error, form(&text));
            assert!(error.to_string().len() < 300, "{error}");
        }
        let unknown = ParseArchError::UnknownOperation {
            name: "max_pool".to_owned(),
            source_node: 0,
            target_node: 1,
        };
        let text = good.replacen("skip_connect", "max_pool", 1);
        assert_eq!(parse(&text), Err(unknown));
    }
}
