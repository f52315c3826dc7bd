//! Aggregation over neighbours: `(1 + epsilon) * own + sum of neighbours`. The
//! adjacency is symmetric, so the same sum carries gradients back.

use super::vector::vectorised;
use crate::graphs::Graphs;

/// Aggregates one-hot operations: `out` is `[rows, operations]`, and so is a
/// padded node's row, all zero before its neighbours are added.
pub(super) fn aggregate_operations(graphs: &Graphs, epsilon: f32, out: &mut [f32]) {
    let dims = graphs.dims();
    out.fill(0.0);
    for (row, (out, &neighbours)) in out
        .chunks_exact_mut(dims.operations)
        .zip(graphs.neighbours())
        .enumerate()
    {
        if let Some(operation) = graphs.operation(row) {
            out[operation] += 1.0 + epsilon;
        }
        let graph = row - row % dims.nodes;
        for neighbour in bits(neighbours) {
            if let Some(operation) = graphs.operation(graph + neighbour) {
                out[operation] += 1.0;
            }
        }
    }
}

vectorised! {
    /// Aggregates `rows` of the given width into `out`, both `[rows, width]`.
    pub(super) fn aggregate<'a>(
        graphs: &'a Graphs,
        epsilon: f32,
        rows: &'a [f32],
        width: usize,
        out: &'a mut [f32],
    ) {
        let nodes = graphs.dims().nodes;
        for ((rows, out), neighbours) in rows
            .chunks_exact(nodes * width)
            .zip(out.chunks_exact_mut(nodes * width))
            .zip(graphs.neighbours().chunks_exact(nodes))
        {
            for ((own, out), &neighbours) in rows
                .chunks_exact(width)
                .zip(out.chunks_exact_mut(width))
                .zip(neighbours)
            {
                for (out, own) in out.iter_mut().zip(own) {
                    *out = own.mul_add(epsilon, *own);
                }
                for neighbour in bits(neighbours) {
                    let other = &rows[neighbour * width..][..width];
                    for (out, other) in out.iter_mut().zip(other) {
                        *out += other;
                    }
                }
            }
        }
    }
}

vectorised! {
    /// Zeroes `gradient` where `active` is not positive.
    pub(super) fn keep_where<'a>(active: &'a [f32], gradient: &'a mut [f32]) {
        for (gradient, active) in gradient.iter_mut().zip(active) {
            *gradient = if *active > 0.0 { *gradient } else { 0.0 };
        }
    }
}

/// Positions of the set bits, lowest first.
#[expect(
    clippy::inline_always,
    reason = "only inlined code gets the vector unit"
)]
#[inline(always)]
fn bits(mut set: u16) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = set.trailing_zeros() as usize;
        (set != 0).then(|| {
            set &= set - 1;
            lowest
        })
    })
}
