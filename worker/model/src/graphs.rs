//! The graphs of a whole space in compact form, and the batches that engines
//! compute on.

use reprise_domain::{ArchIndex, SpaceName};
use reprise_search::space::{GraphDims, PADDING, SearchSpace};

use crate::error::GraphError;

/// A node's neighbours are one bit each.
const MOST_NODES: usize = u16::BITS as usize;
const MOST_OPERATIONS: usize = 64;

/// Every graph of a space: 2 bytes of neighbours and 1 of operation a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphSet {
    space: SpaceName,
    graphs: Graphs,
}

impl GraphSet {
    /// Encodes every architecture of `space` in its published order.
    pub fn of_space(space: &dyn SearchSpace) -> Result<Self, GraphError> {
        let dims = space.dims();
        let mut graphs = Graphs::empty(dims)?;
        graphs.reserve(space.len());
        let mut adjacency = vec![0; dims.nodes * dims.nodes];
        let mut operations = vec![0; dims.nodes];
        for arch in 0..space.len() {
            space.encode(ArchIndex(arch as u32), &mut adjacency, &mut operations);
            graphs.push(&adjacency, &operations)?;
        }
        Ok(Self {
            space: space.name(),
            graphs,
        })
    }

    /// Which space it is.
    pub fn space(&self) -> SpaceName {
        self.space
    }

    /// Sizes of a graph.
    pub fn dims(&self) -> GraphDims {
        self.graphs.dims
    }

    /// Number of graphs.
    pub fn len(&self) -> usize {
        self.graphs.len()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces the contents of `batch` by the graphs at `indices`.
    pub fn gather(&self, indices: impl IntoIterator<Item = usize>, batch: &mut Graphs) {
        batch.clear();
        let nodes = self.graphs.dims.nodes;
        for index in indices {
            let rows = index * nodes..(index + 1) * nodes;
            batch
                .neighbours
                .extend_from_slice(&self.graphs.neighbours[rows.clone()]);
            batch
                .operations
                .extend_from_slice(&self.graphs.operations[rows]);
        }
    }

    /// An empty batch for graphs of this set's sizes.
    pub fn empty_batch(&self) -> Graphs {
        Graphs {
            dims: self.graphs.dims,
            neighbours: Vec::new(),
            operations: Vec::new(),
        }
    }
}

/// Some graphs, node by node; a "row" is one node of one graph, padding included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graphs {
    dims: GraphDims,
    /// For each row, the nodes it shares an edge with in either direction, one
    /// bit a node: the symmetric adjacency that the encoder aggregates over.
    neighbours: Vec<u16>,
    /// For each row, its operation or [`PADDING`].
    operations: Vec<u8>,
}

impl Graphs {
    pub(crate) fn empty(dims: GraphDims) -> Result<Self, GraphError> {
        if !(2..=MOST_NODES).contains(&dims.nodes)
            || !(1..=MOST_OPERATIONS).contains(&dims.operations)
        {
            return Err(GraphError::Dims {
                nodes: dims.nodes,
                operations: dims.operations,
                most_nodes: MOST_NODES,
                most_operations: MOST_OPERATIONS,
            });
        }
        Ok(Self {
            dims,
            neighbours: Vec::new(),
            operations: Vec::new(),
        })
    }

    /// Adds a graph: `adjacency` `[nodes, nodes]` strict upper, `operations`
    /// `[nodes]`.
    pub(crate) fn push(&mut self, adjacency: &[u8], operations: &[u8]) -> Result<(), GraphError> {
        let GraphDims {
            nodes,
            operations: kinds,
        } = self.dims;
        let graph = self.len();
        let mut neighbours = [0_u16; MOST_NODES];
        for (row, entries) in adjacency.chunks_exact(nodes).enumerate() {
            for (column, &value) in entries.iter().enumerate() {
                match value {
                    0 => {}
                    1 if column > row => {
                        neighbours[row] |= 1 << column;
                        neighbours[column] |= 1 << row;
                    }
                    _ => {
                        return Err(GraphError::Edge {
                            graph,
                            row,
                            column,
                            value,
                        });
                    }
                }
            }
        }
        for (node, &value) in operations.iter().enumerate() {
            if usize::from(value) >= kinds && value != PADDING {
                return Err(GraphError::Operation {
                    graph,
                    node,
                    value,
                    operations: kinds,
                });
            }
        }
        self.neighbours.extend_from_slice(&neighbours[..nodes]);
        self.operations.extend_from_slice(operations);
        Ok(())
    }

    /// Sizes of a graph.
    pub fn dims(&self) -> GraphDims {
        self.dims
    }

    /// Number of graphs.
    pub(crate) fn len(&self) -> usize {
        self.operations.len() / self.dims.nodes
    }

    /// Number of rows: graphs times nodes.
    pub fn rows(&self) -> usize {
        self.operations.len()
    }

    /// For each row, the nodes it shares an edge with, one bit a node.
    pub fn neighbours(&self) -> &[u16] {
        &self.neighbours
    }

    /// The operation of a row as a position in its one-hot form; `None` for padding.
    pub fn operation(&self, row: usize) -> Option<usize> {
        let operation = self.operations[row];
        (operation != PADDING).then_some(usize::from(operation))
    }

    fn clear(&mut self) {
        self.neighbours.clear();
        self.operations.clear();
    }

    fn reserve(&mut self, graphs: usize) {
        self.neighbours.reserve(graphs * self.dims.nodes);
        self.operations.reserve(graphs * self.dims.nodes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMS: GraphDims = GraphDims {
        nodes: 3,
        operations: 2,
    };

    #[test]
    fn edges_are_seen_from_both_ends() {
        let mut graphs = Graphs::empty(DIMS).unwrap();
        graphs
            .push(&[0, 1, 1, 0, 0, 0, 0, 0, 0], &[0, 1, PADDING])
            .unwrap();
        assert_eq!(graphs.neighbours(), [0b110, 0b001, 0b001]);
        assert_eq!((graphs.operation(1), graphs.operation(2)), (Some(1), None));
    }

    #[test]
    fn what_is_not_a_graph_is_refused() {
        let mut graphs = Graphs::empty(DIMS).unwrap();
        let none = [0; 9];
        for (row, column, value) in [(0, 0, 1), (1, 0, 1), (0, 1, 2)] {
            let mut adjacency = none;
            adjacency[row * 3 + column] = value;
            let found = graphs.push(&adjacency, &[0, 0, 0]);
            assert!(matches!(found, Err(GraphError::Edge { .. })), "{found:?}");
        }
        let found = graphs.push(&none, &[0, 2, 0]);
        assert!(matches!(found, Err(GraphError::Operation { node: 1, .. })));
        let large = GraphDims {
            nodes: 17,
            operations: 2,
        };
        assert!(Graphs::empty(large).is_err());
        assert_eq!(graphs.len(), 0);
    }
}
