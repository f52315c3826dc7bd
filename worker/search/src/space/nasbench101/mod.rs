//! NAS-Bench-101: 423,624 unique cells of at most 7 vertices, 9 edges and three
//! interior operations, in the published order.
//!
//! Not here: accuracies, which are read from the benchmark's files.

mod cache;
mod cell;
mod enumerate;
mod graph;
mod mutate;

use std::sync::OnceLock;

use reprise_domain::{ArchIndex, SpaceName};

pub use self::cache::CacheError;
pub use self::cell::{Cell, OPERATIONS};
use self::graph::{Graph, MAX_VERTICES};
use super::fingerprint::fingerprint;
use super::{GraphDims, PADDING, SearchSpace};
use crate::rng::Stream;

/// The NAS-Bench-101 space. Four bytes a cell; the hashes, another twenty, are
/// computed when first asked for.
#[derive(Debug)]
pub struct Nasbench101 {
    /// Ascending, so that a canonical cell is found by binary search.
    cells: Vec<Cell>,
    hashes: OnceLock<Hashes>,
}

/// The published hashes both ways.
#[derive(Debug)]
struct Hashes {
    of_index: Vec<u128>,
    /// Indices in the order of their hashes.
    ascending: Vec<u32>,
}

impl Nasbench101 {
    /// Lists all cells, without their hashes.
    pub fn enumerate() -> Self {
        Self {
            cells: enumerate::all_cells(),
            hashes: OnceLock::new(),
        }
    }

    /// The cell of `arch`.
    ///
    /// # Panics
    /// If `arch` is not in the space.
    pub fn cell(&self, arch: ArchIndex) -> Cell {
        self.cells[arch.row()]
    }

    /// All cells in the published order.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The architecture that a graph computes: `operations` are positions in
    /// [`OPERATIONS`], one for each vertex, padding at the end allowed;
    /// `adjacency` is the square row-major matrix of as many vertices. Vertices
    /// off every path are pruned and any order of the vertices will do. `None`
    /// when the graph is not in the space.
    pub fn find(&self, adjacency: &[u8], operations: &[u8]) -> Option<ArchIndex> {
        Graph::read(adjacency, operations)?
            .to_cell()
            .map(|cell| self.index_of(cell))
    }

    /// The published hash of every architecture; computed once, some seconds.
    pub fn hashes(&self) -> &[u128] {
        &self.hashes_both_ways().of_index
    }

    /// The architecture with a published hash, if there is one. The first call
    /// computes all hashes; to hash one architecture, use [`Cell::hash`].
    pub fn find_hash(&self, hash: u128) -> Option<ArchIndex> {
        let Hashes {
            of_index,
            ascending,
        } = self.hashes_both_ways();
        ascending
            .binary_search_by_key(&hash, |&index| of_index[index as usize])
            .ok()
            .map(|position| ArchIndex(ascending[position]))
    }

    fn hashes_both_ways(&self) -> &Hashes {
        self.hashes
            .get_or_init(|| Hashes::new(Cell::hash_all(&self.cells)))
    }

    fn index_of(&self, canonical: Cell) -> ArchIndex {
        let row = self.cells.binary_search(&canonical);
        ArchIndex(row.expect("every valid cell's canonical form is listed") as u32)
    }
}

impl Hashes {
    fn new(of_index: Vec<u128>) -> Self {
        let mut ascending: Vec<u32> = (0..of_index.len() as u32).collect();
        ascending.sort_unstable_by_key(|&index| of_index[index as usize]);
        Self {
            of_index,
            ascending,
        }
    }
}

impl SearchSpace for Nasbench101 {
    fn name(&self) -> SpaceName {
        SpaceName::Nasbench101
    }

    fn len(&self) -> usize {
        self.cells.len()
    }

    fn dims(&self) -> GraphDims {
        GraphDims {
            nodes: MAX_VERTICES,
            operations: OPERATIONS.len(),
        }
    }

    /// Smaller cells are padded at the end: the output is the last real vertex.
    fn encode(&self, arch: ArchIndex, adjacency: &mut [u8], operations: &mut [u8]) {
        let cell = self.cell(arch);
        operations.fill(PADDING);
        for (slot, operation) in operations.iter_mut().zip(cell.operations()) {
            *slot = operation;
        }
        for (from, row) in adjacency.chunks_exact_mut(MAX_VERTICES).enumerate() {
            for (to, entry) in row.iter_mut().enumerate() {
                *entry = u8::from(cell.has_edge(from, to));
            }
        }
    }

    fn mutate(&self, parent: ArchIndex, rng: &mut Stream) -> ArchIndex {
        self.index_of(mutate::mutate(self.cell(parent), rng))
    }

    /// Whether the graph, once pruned, is a cell of the space (protocol notes,
    /// 3). The published check is not lenient here, so `lenient` changes nothing.
    fn is_valid(&self, adjacency: &[u8], operations: &[u8], _lenient: bool) -> bool {
        Graph::read(adjacency, operations).is_some_and(|graph| graph.pruned_cell().is_some())
    }

    fn identity(&self, adjacency: &[u8], operations: &[u8]) -> u128 {
        fingerprint(adjacency, operations)
    }

    /// Every cell stands for itself: isomorphic ones are listed once.
    fn representatives(&self) -> Vec<ArchIndex> {
        (0..self.cells.len() as u32).map(ArchIndex).collect()
    }
}

#[cfg(test)]
mod tests;
