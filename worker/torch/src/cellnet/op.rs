//! The operations on a cell's edges and which edges can matter.
//!
//! Not here: how an operation computes (`network`).

use std::fmt;
use std::str::FromStr;

use super::CellNetError;

/// Source and target node of each edge, in the order of an architecture string.
pub const EDGES: [(usize, usize); 6] = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)];

/// Nodes of a cell: node 0 is its input and node 3 its output.
pub(super) const NODES: usize = 4;

/// An operation of NAS-Bench-201, on one edge of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CellOp {
    /// No connection.
    None,
    /// The identity.
    SkipConnect,
    /// ReLU, 1x1 convolution, batch normalisation.
    NorConv1x1,
    /// ReLU, 3x3 convolution, batch normalisation.
    NorConv3x3,
    /// 3x3 mean that leaves the border out of the count.
    AvgPool3x3,
}

impl CellOp {
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

    /// Side of the convolution's kernel; `None` where there is no convolution.
    pub(super) const fn kernel(self) -> Option<i64> {
        match self {
            Self::NorConv1x1 => Some(1),
            Self::NorConv3x3 => Some(3),
            Self::None | Self::SkipConnect | Self::AvgPool3x3 => None,
        }
    }
}

impl fmt::Display for CellOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CellOp {
    type Err = CellNetError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [
            Self::None,
            Self::SkipConnect,
            Self::NorConv1x1,
            Self::NorConv3x3,
            Self::AvgPool3x3,
        ]
        .into_iter()
        .find(|op| op.as_str() == name)
        .ok_or_else(|| CellNetError::Operation(name.chars().take(40).collect()))
    }
}

/// The operations of the edges that lie on a path from input to output; the
/// others become [`CellOp::None`]. A node that nothing reaches is zero and so is
/// every operation on it, as in the published definition of equal cells: without
/// this rule a convolution's normalisation would learn a constant there.
pub(super) fn live(cell: &[CellOp; 6]) -> [CellOp; 6] {
    let mut fed = [true, false, false, false];
    let mut used = [false, false, false, true];
    let connected = |edge: usize| cell[edge] != CellOp::None;
    // Edges are sorted by target, so one pass each way settles all nodes.
    for (edge, (source, target)) in EDGES.into_iter().enumerate() {
        fed[target] |= connected(edge) && fed[source];
    }
    for (edge, (source, target)) in EDGES.into_iter().enumerate().rev() {
        used[source] |= connected(edge) && used[target];
    }
    std::array::from_fn(|edge| {
        let (source, target) = EDGES[edge];
        if fed[source] && used[target] {
            cell[edge]
        } else {
            CellOp::None
        }
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Reads an architecture string, which must be right.
    pub(crate) fn parse(arch: &str) -> [CellOp; 6] {
        let ops: Vec<CellOp> = arch
            .split(['|', '+'])
            .filter(|part| !part.is_empty())
            .map(|part| part.split('~').next().unwrap().parse().unwrap())
            .collect();
        ops.try_into().unwrap()
    }

    #[test]
    fn only_edges_between_input_and_output_are_live() {
        let check = |arch: &str, expected: &str| {
            assert_eq!(live(&parse(arch)), parse(expected), "{arch}");
        };
        let whole = "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+\
                     |avg_pool_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|";
        check(whole, whole);
        // Node 1 leads nowhere.
        check(
            "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|none~0|none~1|nor_conv_1x1~2|",
            "|none~0|+|skip_connect~0|none~1|+|none~0|none~1|nor_conv_1x1~2|",
        );
        // Nothing reaches node 1, and through it nothing reaches node 2.
        check(
            "|none~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|",
            "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
        );
        let nothing = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|";
        check(nothing, nothing);
        check(
            "|skip_connect~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|none~2|",
            nothing,
        );
    }

    #[test]
    fn names_are_those_of_architecture_strings() {
        for name in ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"] {
            assert_eq!(name.parse::<CellOp>().unwrap().to_string(), name);
        }
        assert!("conv".parse::<CellOp>().is_err());
    }
}
