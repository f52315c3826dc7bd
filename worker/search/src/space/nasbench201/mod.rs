//! NAS-Bench-201: 4 nodes, one of 5 operations on each of 6 edges, 15,625 cells in
//! the official order.
//!
//! The autoencoder sees a cell as a graph of 8 nodes with the operations on the
//! nodes (protocol notes, 6): input, the six edges in the order of the
//! architecture string, output; its adjacency is the same for every cell.
//!
//! Not here: accuracies, which are read from the benchmark's files.

mod equivalence;
mod op;
mod order;

use reprise_domain::{ArchIndex, SpaceName};

pub use self::equivalence::{Definition, classes};
pub use self::op::{CellOp, EDGES, ParseArchError};
use super::fingerprint::fingerprint;
use super::{GraphDims, SearchSpace};
use crate::rng::Stream;

/// Number of cells: 5 operations on 6 edges.
const CELLS: u16 = 5_u16.pow(6);

/// Nodes of the graph.
const NODES: usize = 8;
/// Edges of the graph.
const GRAPH_EDGES: [(usize, usize); 10] = [
    (0, 1),
    (0, 2),
    (0, 4),
    (1, 3),
    (1, 5),
    (2, 6),
    (3, 6),
    (4, 7),
    (5, 7),
    (6, 7),
];

/// One-hot positions of the graph's operations: input, the five, output.
const INPUT: u8 = 0;
const OUTPUT: u8 = 6;

/// The NAS-Bench-201 space.
#[derive(Debug, Clone)]
pub struct Nasbench201 {
    /// Code of each index: the operations as digits in base 5, first edge first.
    codes: Vec<u16>,
    /// Index of each code.
    indices: Vec<u16>,
}

impl Default for Nasbench201 {
    fn default() -> Self {
        Self::new()
    }
}

impl Nasbench201 {
    /// All cells in the official order.
    pub fn new() -> Self {
        let codes = order::shuffled_codes(CELLS);
        let mut indices = vec![0; codes.len()];
        for (index, &code) in (0..).zip(&codes) {
            indices[usize::from(code)] = index;
        }
        Self { codes, indices }
    }

    /// The operations of a cell on [`EDGES`].
    ///
    /// # Panics
    /// If `arch` is not in the space.
    pub fn cell_ops(&self, arch: ArchIndex) -> [CellOp; 6] {
        let mut code = usize::from(self.codes[arch.row()]);
        let mut ops = [CellOp::None; 6];
        for op in ops.iter_mut().rev() {
            *op = CellOp::ALL[code % CellOp::ALL.len()];
            code /= CellOp::ALL.len();
        }
        ops
    }

    /// The index of a cell.
    pub fn find(&self, ops: [CellOp; 6]) -> ArchIndex {
        let code = ops
            .iter()
            .fold(0, |code, &op| code * CellOp::ALL.len() + op as usize);
        ArchIndex(u32::from(self.indices[code]))
    }

    /// The architecture string of a cell.
    ///
    /// # Panics
    /// If `arch` is not in the space.
    pub fn arch_str(&self, arch: ArchIndex) -> String {
        op::format(self.cell_ops(arch))
    }

    /// The index of an architecture string.
    ///
    /// # Errors
    /// If the text is not exactly the string of a cell.
    pub fn parse_arch_str(&self, text: &str) -> Result<ArchIndex, ParseArchError> {
        op::parse(text).map(|ops| self.find(ops))
    }
}

impl SearchSpace for Nasbench201 {
    fn name(&self) -> SpaceName {
        SpaceName::Nasbench201
    }

    fn len(&self) -> usize {
        self.codes.len()
    }

    fn dims(&self) -> GraphDims {
        GraphDims {
            nodes: NODES,
            operations: usize::from(OUTPUT) + 1,
        }
    }

    fn encode(&self, arch: ArchIndex, adjacency: &mut [u8], operations: &mut [u8]) {
        adjacency.fill(0);
        for (from, to) in GRAPH_EDGES {
            adjacency[from * NODES + to] = 1;
        }
        operations[0] = INPUT;
        operations[NODES - 1] = OUTPUT;
        for (node, op) in operations[1..].iter_mut().zip(self.cell_ops(arch)) {
            *node = op.one_hot();
        }
    }

    /// One edge gets one of its four other operations.
    fn mutate(&self, parent: ArchIndex, rng: &mut Stream) -> ArchIndex {
        let mut ops = self.cell_ops(parent);
        let edge = rng.index(ops.len());
        let step = 1 + rng.index(CellOp::ALL.len() - 1);
        ops[edge] = CellOp::ALL[(ops[edge] as usize + step) % CellOp::ALL.len()];
        self.find(ops)
    }

    /// The published check, `lenient`, looks neither at the adjacency nor at the
    /// first edge's node (protocol notes, Q6).
    fn is_valid(&self, adjacency: &[u8], operations: &[u8], lenient: bool) -> bool {
        let &[input, first, ref others @ .., output] = operations else {
            return false;
        };
        if others.len() != NODES - 3 || adjacency.len() != NODES * NODES {
            return false;
        }
        let is_cell_op = |op: &u8| (INPUT + 1..OUTPUT).contains(op);
        let published = input == INPUT && output == OUTPUT && others.iter().all(is_cell_op);
        let has_fixed_edges = || {
            let pairs = (0..NODES).flat_map(|from| (0..NODES).map(move |to| (from, to)));
            pairs
                .zip(adjacency)
                .all(|(pair, &entry)| (entry != 0) == GRAPH_EDGES.contains(&pair))
        };
        published && (lenient || is_cell_op(&first) && has_fixed_edges())
    }

    fn identity(&self, adjacency: &[u8], operations: &[u8]) -> u128 {
        fingerprint(adjacency, operations)
    }

    /// By [`Definition::Flattened`], the widest of the three.
    fn representatives(&self) -> Vec<ArchIndex> {
        classes(self, Definition::Flattened)
    }
}

#[cfg(test)]
mod tests;
