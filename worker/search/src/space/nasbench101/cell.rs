//! A NAS-Bench-101 cell in four bytes, ordered as the published list is.
//!
//! Not here: graphs that are not yet known to be cells (`graph.rs`).

use std::fmt;

use super::graph::{Graph, MAX_VERTICES};
use crate::space::hash::hash_labellings;

/// Operations in the order of the published autoencoder's one-hot rows, by their
/// published names.
pub const OPERATIONS: [&str; 5] = [
    "input",
    "conv1x1-bn-relu",
    "conv3x3-bn-relu",
    "maxpool3x3",
    "output",
];

/// Position of the input in [`OPERATIONS`].
pub(super) const INPUT: u8 = 0;
/// Position of the output in [`OPERATIONS`].
pub(super) const OUTPUT: u8 = 4;
/// Position in [`OPERATIONS`] of the interior label 0, 1, 2: conv3x3, conv1x1,
/// maxpool3x3, the benchmark's own order.
pub(super) const OPERATION_OF_LABEL: [u8; LABELS as usize] = [2, 1, 3];
/// Number of interior operations.
pub(super) const LABELS: u8 = 3;

/// Labels of the input and the output in the published hash.
const INPUT_LABEL: i16 = -1;
const OUTPUT_LABEL: i16 = -2;

/// Cells hashed at once. The compiler makes vector code of a loop this long and
/// unrolls shorter ones into scalar code that is half as fast.
const LANES: usize = 32;

/// Bits of the label code: 3^5 sequences at most.
const CODE_BITS: u32 = 8;
/// Bits of the strict upper triangle of seven vertices.
const EDGE_BITS: u32 = 21;

/// A cell by the matrix and the operations that the published list gives for it.
///
/// Packed as vertices (3 bits), strict upper triangle column by column with edge
/// (x, y) at bit x + y(y-1)/2 (21 bits), and interior labels as a number in base
/// three, first vertex first (8 bits). So packed, the order of the numbers is the
/// published order (file formats, 6.1a).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell(u32);

impl Cell {
    /// Packs a cell of `vertices` with the triangle `edges` and the label `code`.
    pub(super) fn pack(vertices: usize, edges: u32, code: u32) -> Self {
        Self((vertices as u32) << (EDGE_BITS + CODE_BITS) | edges << CODE_BITS | code)
    }

    /// Number of vertices, 2 to 7, input and output included.
    pub const fn vertices(self) -> usize {
        (self.0 >> (EDGE_BITS + CODE_BITS)) as usize
    }

    /// Number of edges, 1 to 9.
    pub const fn edges(self) -> usize {
        self.triangle().count_ones() as usize
    }

    /// Whether there is an edge `from -> to`.
    pub const fn has_edge(self, from: usize, to: usize) -> bool {
        from < to && to < self.vertices() && self.triangle() >> (from + column(to)) & 1 == 1
    }

    /// The operation of every vertex as a position in [`OPERATIONS`].
    pub fn operations(self) -> impl ExactSizeIterator<Item = u8> {
        let graph = self.graph();
        let output = graph.vertices - 1;
        (0..graph.vertices).map(move |v| match v {
            0 => INPUT,
            v if v == output => OUTPUT,
            v => OPERATION_OF_LABEL[usize::from(graph.labels[v])],
        })
    }

    /// The published MD5 hash; `{:032x}` is its published text.
    pub fn hash(self) -> u128 {
        let [hash] = Self::hash_together([self]);
        hash
    }

    /// The hashes of cells that share their edges.
    fn hash_together<const L: usize>(cells: [Self; L]) -> [u128; L] {
        let Graph {
            vertices,
            predecessors,
            ..
        } = cells[0].graph();
        let labellings = cells.map(|cell| {
            let mut labels = cell.graph().labels.map(i16::from);
            labels[0] = INPUT_LABEL;
            labels[vertices - 1] = OUTPUT_LABEL;
            labels
        });
        let labellings = labellings.each_ref().map(|labels| &labels[..vertices]);
        hash_labellings(&predecessors[..vertices], labellings)
    }

    /// The hash of every cell of an ascending list.
    pub(super) fn hash_all(cells: &[Self]) -> Vec<u128> {
        let mut hashes = Vec::with_capacity(cells.len());
        let same_edges = |a: &Self, b: &Self| a.0 >> CODE_BITS == b.0 >> CODE_BITS;
        for group in cells.chunk_by(same_edges) {
            for chunk in group.chunks(LANES) {
                // A short chunk repeats its last cell; the repeats are dropped.
                let cells = std::array::from_fn(|lane| chunk[lane.min(chunk.len() - 1)]);
                let hashed: [u128; LANES] = Self::hash_together(cells);
                hashes.extend_from_slice(&hashed[..chunk.len()]);
            }
        }
        hashes
    }

    /// The cell unpacked.
    pub(super) fn graph(self) -> Graph {
        let vertices = self.vertices();
        let mut graph = Graph::from_triangle(vertices, self.triangle());
        let mut code = self.0 & ((1 << CODE_BITS) - 1);
        for v in (1..vertices - 1).rev() {
            graph.labels[v] = (code % u32::from(LABELS)) as u8;
            code /= u32::from(LABELS);
        }
        graph
    }

    const fn triangle(self) -> u32 {
        self.0 >> CODE_BITS & ((1 << EDGE_BITS) - 1)
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vertices = self.vertices();
        let edges = (0..vertices)
            .flat_map(|from| (from..vertices).map(move |to| (from, to)))
            .filter(|&(from, to)| self.has_edge(from, to));
        f.debug_struct("Cell")
            .field("edges", &edges.collect::<Vec<_>>())
            .field("operations", &self.operations().collect::<Vec<_>>())
            .finish()
    }
}

/// Bit of the first edge into vertex `to`.
pub(super) const fn column(to: usize) -> usize {
    debug_assert!(to < MAX_VERTICES);
    to * to.saturating_sub(1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_cell_gives_back_its_parts() {
        // input -> conv3x3 -> maxpool -> output with a skip from the input.
        let triangle = 0b1 | 0b10 << column(2) | 0b101 << column(3);
        let cell = Cell::pack(4, triangle, 2);
        assert_eq!((cell.vertices(), cell.edges()), (4, 4));
        assert_eq!(cell.operations().collect::<Vec<_>>(), [0, 2, 3, 4]);
        let edges = [(0, 1), (1, 2), (0, 3), (2, 3)];
        for from in 0..8 {
            for to in 0..8 {
                let expected = edges.contains(&(from, to));
                assert_eq!(cell.has_edge(from, to), expected, "{from} -> {to}");
            }
        }
    }

    #[test]
    fn cells_order_by_vertices_then_edges_then_labels() {
        let parts = [(2, 1, 0), (3, 5, 0), (3, 5, 2), (3, 7, 1), (4, 1, 0)];
        let packed = parts.map(|(vertices, edges, code)| Cell::pack(vertices, edges, code));
        assert!(packed.is_sorted());
    }
}
