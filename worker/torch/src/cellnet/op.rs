//! Which edges of a cell can matter, and which of its operations have weights.
//!
//! Not here: how an operation computes (`network`).

pub use reprise_search::space::CellOp;
pub use reprise_search::space::nasbench201::EDGES;

/// Nodes of a cell: node 0 is its input and node 3 its output.
pub(super) const NODES: usize = 4;

/// Side of an operation's convolution kernel; `None` where there is no
/// convolution.
pub(super) const fn kernel(op: CellOp) -> Option<i64> {
    match op {
        CellOp::NorConv1x1 => Some(1),
        CellOp::NorConv3x3 => Some(3),
        CellOp::None | CellOp::SkipConnect | CellOp::AvgPool3x3 => None,
    }
}

/// The operations of the edges that lie on a path from input to output; the
/// others become [`CellOp::None`]. A node that nothing reaches is zero and so is
/// every operation on it, as in the published definition of equal cells: without
/// this rule a convolution's normalisation would learn a constant there.
pub(super) fn live(cell: [CellOp; 6]) -> [CellOp; 6] {
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
    use reprise_search::space::Nasbench201;

    use super::*;

    /// Reads an architecture string, which must be right.
    pub(crate) fn parse(arch: &str) -> [CellOp; 6] {
        let space = Nasbench201::new();
        space.cell_ops(space.parse_arch_str(arch).unwrap())
    }

    #[test]
    fn only_edges_between_input_and_output_are_live() {
        let check = |arch: &str, expected: &str| {
            assert_eq!(live(parse(arch)), parse(expected), "{arch}");
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
}
