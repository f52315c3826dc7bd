//! NAS-Bench-201: 4 nodes, one of 5 operations on each of 6 edges, 15,625 cells.
//!
//! The autoencoder sees a cell as a graph of 8 nodes with the operations on the
//! nodes (protocol notes, section 6): input, the six edges in the order of the
//! architecture string, output; its adjacency is the same for every cell.

mod equivalence;

use std::fmt::Write as _;

use reprise_domain::{ArchIndex, SpaceName};

use super::{GraphDims, SearchSpace, unpruned_hash};
use crate::rng::Stream;

pub use equivalence::{Definition, classes};

/// Number of cells: 5 operations on 6 edges.
const CELLS: usize = 15_625;

/// Source and target node of each edge, in the order of an architecture string.
pub const EDGES: [(usize, usize); 6] = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)];

/// Edges of the graph of 8 nodes.
const GRAPH_EDGES: [(usize, usize); 10] =
    [(0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 6), (3, 6), (4, 7), (5, 7), (6, 7)];

const NODES: usize = 8;

/// One-hot positions of the graph's operations: input, the five, output.
const INPUT: u8 = 0;
const OUTPUT: u8 = 6;

/// The official order, which follows no rule: for each index the cell's
/// operations as digits to the base 5, first edge first, little endian.
static ORDER: &[u8; 2 * CELLS] = include_bytes!("order.bin");

/// An operation on an edge. The numbers are the digits of the official order.
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
    pub const ALL: [Self; 5] =
        [Self::None, Self::SkipConnect, Self::NorConv1x1, Self::NorConv3x3, Self::AvgPool3x3];

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
    const fn one_hot(self) -> u8 {
        match self {
            Self::NorConv1x1 => 1,
            Self::NorConv3x3 => 2,
            Self::AvgPool3x3 => 3,
            Self::SkipConnect => 4,
            Self::None => 5,
        }
    }
}

/// A text that is not an architecture string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no architecture string, expected one like `|none~0|+|none~0|none~1|+|none~0|none~1|none~2|`")]
pub struct ParseArchError(String);

/// The space.
#[derive(Debug, Clone)]
pub struct Nasbench201 {
    /// Index of each code.
    index: Vec<u16>,
}

impl Default for Nasbench201 {
    fn default() -> Self {
        Self::new()
    }
}

impl Nasbench201 {
    /// All cells in the official order.
    pub fn new() -> Self {
        let mut index = vec![0; CELLS];
        for position in 0..CELLS {
            index[code_at(position)] = position as u16;
        }
        Self { index }
    }

    /// The operations of a cell in the order of its architecture string.
    ///
    /// # Panics
    /// If `arch` lies outside the space.
    pub fn cell_ops(&self, arch: ArchIndex) -> [CellOp; 6] {
        let mut code = code_at(arch.row());
        let mut ops = [CellOp::None; 6];
        for op in ops.iter_mut().rev() {
            *op = CellOp::ALL[code % 5];
            code /= 5;
        }
        ops
    }

    /// The index of a cell.
    pub fn find(&self, ops: [CellOp; 6]) -> ArchIndex {
        let code = ops.iter().fold(0, |code, op| code * 5 + *op as usize);
        ArchIndex(u32::from(self.index[code]))
    }

    /// The architecture string of a cell.
    pub fn arch_str(&self, arch: ArchIndex) -> String {
        let ops = self.cell_ops(arch);
        let mut text = String::with_capacity(110);
        for node in 1..=3 {
            text.push_str(if node == 1 { "|" } else { "+|" });
            for (op, (from, _)) in ops.iter().zip(EDGES).filter(|(_, (_, to))| *to == node) {
                write!(text, "{}~{from}|", op.as_str()).expect("text grows");
            }
        }
        text
    }

    /// The index of an architecture string.
    pub fn parse_arch_str(&self, text: &str) -> Result<ArchIndex, ParseArchError> {
        let wrong = || ParseArchError(text.chars().take(200).collect());
        let mut ops = [CellOp::None; 6];
        let names = text.split(['|', '+']).filter(|part| !part.is_empty());
        let mut read = 0;
        for name in names {
            let (name, _) = name.split_once('~').ok_or_else(wrong)?;
            let op = CellOp::ALL.into_iter().find(|op| op.as_str() == name).ok_or_else(wrong)?;
            *ops.get_mut(read).ok_or_else(wrong)? = op;
            read += 1;
        }
        // Sources and separators are checked by writing it out again.
        let arch = self.find(ops);
        if read == 6 && self.arch_str(arch) == text { Ok(arch) } else { Err(wrong()) }
    }
}

impl SearchSpace for Nasbench201 {
    fn name(&self) -> SpaceName {
        SpaceName::Nasbench201
    }

    fn len(&self) -> usize {
        CELLS
    }

    fn dims(&self) -> GraphDims {
        GraphDims { nodes: NODES, operations: 7 }
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

    fn mutate(&self, parent: ArchIndex, rng: &mut Stream) -> ArchIndex {
        let mut ops = self.cell_ops(parent);
        let edge = rng.index(ops.len());
        // One of the four other operations.
        let step = 1 + rng.index(CellOp::ALL.len() - 1);
        ops[edge] = CellOp::ALL[(ops[edge] as usize + step) % CellOp::ALL.len()];
        self.find(ops)
    }

    fn is_valid(&self, adjacency: &[u8], operations: &[u8], lenient: bool) -> bool {
        let inner = |ops: &[u8]| ops.iter().all(|op| (INPUT + 1..OUTPUT).contains(op));
        let ends = operations[0] == INPUT && operations[NODES - 1] == OUTPUT;
        if lenient {
            return ends && inner(&operations[2..NODES - 1]);
        }
        let is_edge = |at: usize| GRAPH_EDGES.contains(&(at / NODES, at % NODES));
        let fixed = adjacency.iter().enumerate().all(|(at, &edge)| (edge == 1) == is_edge(at));
        ends && fixed && inner(&operations[1..NODES - 1])
    }

    fn identity(&self, adjacency: &[u8], operations: &[u8]) -> u128 {
        unpruned_hash(adjacency, operations)
    }

    fn representatives(&self) -> Vec<ArchIndex> {
        classes(self, Definition::Flattened)
    }
}

fn code_at(position: usize) -> usize {
    usize::from(u16::from_le_bytes([ORDER[2 * position], ORDER[2 * position + 1]]))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_order_is_the_official_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/nasbench201.csv.gz");
        let Ok(file) = std::fs::File::open(path) else {
            eprintln!("skipped: {path} is not here");
            return;
        };
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        let space = Nasbench201::new();
        let mut rows = 0;
        for (position, row) in csv::Reader::from_reader(text.as_bytes()).records().enumerate() {
            let row = row.unwrap();
            assert_eq!(row[0], position.to_string());
            assert_eq!(space.arch_str(ArchIndex(position as u32)), row[1]);
            rows += 1;
        }
        assert_eq!(rows, CELLS);
    }

    #[test]
    fn known_cells_have_their_published_index() {
        let space = Nasbench201::new();
        let first = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|";
        assert_eq!(space.parse_arch_str(first), Ok(ArchIndex(0)));
        for wrong in ["", "|none~0|", "|none~0|+|none~0|none~0|+|none~0|none~1|none~2|", &"|none~0".repeat(9)] {
            assert!(space.parse_arch_str(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_cell_is_found_again_and_strictly_valid() {
        let space = Nasbench201::new();
        let (mut adjacency, mut operations) = ([0; 64], [0; 8]);
        let mut rng = Stream::new(b"nasbench201", "test", 0);
        for arch in (0..CELLS as u32).map(ArchIndex) {
            assert_eq!(space.find(space.cell_ops(arch)), arch);
            space.encode(arch, &mut adjacency, &mut operations);
            assert!(space.is_valid(&adjacency, &operations, false));
            let child = space.mutate(arch, &mut rng);
            let edits = space.cell_ops(arch).into_iter().zip(space.cell_ops(child)).filter(|(a, b)| a != b);
            assert_eq!(edits.count(), 1);
        }
        // Quirk Q6: node 1 and the adjacency are not looked at.
        operations[1] = INPUT;
        adjacency.fill(0);
        assert!(space.is_valid(&adjacency, &operations, true));
        assert!(!space.is_valid(&adjacency, &operations, false));
    }
}
