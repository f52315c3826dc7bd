//! What tests of engines and trainers work on: graphs at random, and a space small
//! enough to pretrain on: four nodes, input and output with two of two
//! operations between, and any edges that keep the chain.

use reprise_domain::protocol::{PretrainQuirks, Protocol};
use reprise_domain::task::ModelSizes;
use reprise_domain::{ArchIndex, ModelName, PretrainSpec, Seed, SpaceName};
use reprise_search::rng::Stream;
use reprise_search::space::{GraphDims, PADDING, SearchSpace};

use crate::graphs::Graphs;
use crate::shape::Shape;

/// Cells: 4 choices of operations times 8 of the edges beside the chain, then as
/// many again of two nodes fewer, as padding, by operations alone.
#[derive(Debug, Clone, Copy)]
pub struct TestSpace;

const NODES: usize = 4;
const FULL: usize = 32;
const SHORT: usize = 2;

impl TestSpace {
    /// Sizes of a model that fits it.
    pub fn shape() -> Shape {
        Shape {
            operations: 4,
            hidden: 16,
            latent: 4,
            layers: 2,
        }
    }

    /// A pretraining of three epochs.
    pub fn pretraining(protocol: Protocol, seed: u64) -> PretrainSpec {
        let shape = Self::shape();
        PretrainSpec {
            space: SpaceName::Nasbench201,
            model: ModelName::Arch2vec,
            sizes: ModelSizes {
                hidden: shape.hidden as u32,
                latent: shape.latent as u32,
                layers: shape.layers as u32,
                dropout: 0.3,
            },
            epochs: 3,
            batch: 8,
            learning_rate: 1e-3,
            clip: 5.0,
            latent_points: 600,
            quirks: PretrainQuirks::of(protocol),
            seed: Seed(seed),
        }
    }
}

impl SearchSpace for TestSpace {
    fn name(&self) -> SpaceName {
        SpaceName::Nasbench201
    }

    fn len(&self) -> usize {
        FULL + SHORT
    }

    fn dims(&self) -> GraphDims {
        GraphDims {
            nodes: NODES,
            operations: 4,
        }
    }

    fn encode(&self, arch: ArchIndex, adjacency: &mut [u8], operations: &mut [u8]) {
        adjacency.fill(0);
        // Cells in a mixed order, so that the held-out ones are of every kind.
        let cell = arch.row() * 7 % self.len();
        if let Some(short) = cell.checked_sub(FULL) {
            operations.copy_from_slice(&[0, 1 + short as u8, 3, PADDING]);
            adjacency[1] = 1;
            adjacency[NODES + 2] = 1;
            return;
        }
        let bit = |position: usize| (cell >> position & 1) as u8;
        operations.copy_from_slice(&[0, 1 + bit(0), 1 + bit(1), 3]);
        for (from, to, present) in [
            (0, 1, 1),
            (1, 2, 1),
            (2, 3, 1),
            (0, 2, bit(2)),
            (0, 3, bit(3)),
            (1, 3, bit(4)),
        ] {
            adjacency[from * NODES + to] = present;
        }
    }

    fn mutate(&self, parent: ArchIndex, _: &mut Stream) -> ArchIndex {
        ArchIndex((parent.0 + 1) % self.len() as u32)
    }

    fn is_valid(&self, adjacency: &[u8], operations: &[u8], lenient: bool) -> bool {
        let ends = operations[0] == 0 && operations[NODES - 1] == 3;
        let chain = adjacency[1] == 1 && adjacency[NODES + 2] == 1 && adjacency[2 * NODES + 3] == 1;
        ends && (lenient || chain)
    }

    fn identity(&self, adjacency: &[u8], operations: &[u8]) -> u128 {
        let bytes = adjacency.iter().map(|&edge| u128::from(edge));
        let edges = bytes.fold(0, |all, edge| all << 1 | edge);
        operations
            .iter()
            .fold(edges, |all, &op| all << 3 | u128::from(op))
    }

    fn representatives(&self) -> Vec<ArchIndex> {
        (0..self.len() as u32).map(ArchIndex).collect()
    }
}

/// Sizes of a model that reads [`some_graphs`].
pub const SHAPE: Shape = Shape {
    operations: 5,
    hidden: 24,
    latent: 6,
    layers: 3,
};

/// So many graphs of three to seven nodes at random.
///
/// # Panics
/// Never: the graphs are sound.
pub fn some_graphs(count: usize, seed: u64) -> Graphs {
    let nodes = 7;
    let dims = GraphDims {
        nodes,
        operations: SHAPE.operations,
    };
    let mut graphs = Graphs::empty(dims).expect("seven nodes fit");
    let mut stream = Stream::new(b"graphs", "test", seed);
    for _ in 0..count {
        let real = 3 + stream.index(nodes - 2);
        let mut adjacency = vec![0; nodes * nodes];
        let mut operations = vec![PADDING; nodes];
        for row in 0..real {
            operations[row] = stream.index(SHAPE.operations) as u8;
            for column in row + 1..real {
                adjacency[row * nodes + column] = stream.index(2) as u8;
            }
        }
        graphs
            .push(&adjacency, &operations)
            .expect("edges lead forward");
    }
    graphs
}
