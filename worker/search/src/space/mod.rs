//! Search spaces: enumeration in the published order, encodings, validity,
//! sampling and mutation.

mod csv_form;
mod fingerprint;
mod hash;
mod md5;
pub mod nasbench101;
pub mod nasbench201;

use std::sync::{Arc, OnceLock};

use reprise_domain::{ArchIndex, SpaceName};

pub use self::csv_form::write_csv;
pub use self::nasbench101::Nasbench101;
pub use self::nasbench201::{CellOp, Nasbench201};
use crate::rng::Stream;

/// Sizes of a space's graph encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphDims {
    /// Nodes of the padded graph: 7 for NAS-Bench-101, 8 for NAS-Bench-201.
    pub nodes: usize,
    /// One-hot operations of a node: 5 and 7.
    pub operations: usize,
}

/// A finite search space in its published order.
pub trait SearchSpace: Send + Sync + std::fmt::Debug {
    /// Its name.
    fn name(&self) -> SpaceName;

    /// Number of architectures.
    fn len(&self) -> usize;

    /// Whether there are none; spaces never are.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sizes of [`SearchSpace::encode`].
    fn dims(&self) -> GraphDims;

    /// Writes the graph of `arch`: `adjacency` is `[nodes, nodes]` row-major,
    /// strict upper triangle, entries 0 or 1; `operations` is the operation of
    /// each node, `[nodes]`, or [`PADDING`] where there is no node.
    fn encode(&self, arch: ArchIndex, adjacency: &mut [u8], operations: &mut [u8]);

    /// An architecture drawn uniformly.
    fn sample(&self, rng: &mut Stream) -> ArchIndex {
        ArchIndex(rng.index(self.len()) as u32)
    }

    /// A different architecture one random edit away.
    fn mutate(&self, parent: ArchIndex, rng: &mut Stream) -> ArchIndex;

    /// Whether a decoded graph is a valid architecture. `operations` is
    /// `[nodes]`, never padding; `adjacency` `[nodes, nodes]` strict upper.
    /// `lenient` is quirk Q6.
    fn is_valid(&self, adjacency: &[u8], operations: &[u8], lenient: bool) -> bool;

    /// The identity by which decoded graphs are counted as distinct: equal for two
    /// of them exactly where the published hash of the unpruned graphs is.
    fn identity(&self, adjacency: &[u8], operations: &[u8]) -> u128;

    /// For every index, the index whose cell computes the same function and
    /// stands for it; an identity where all cells are distinct.
    fn representatives(&self) -> Vec<ArchIndex>;
}

/// The operation of a node that does not exist.
pub const PADDING: u8 = u8::MAX;

/// The space of a name, enumerated once a process.
pub fn shared(name: SpaceName) -> Arc<dyn SearchSpace> {
    static NASBENCH101: OnceLock<Arc<dyn SearchSpace>> = OnceLock::new();
    static NASBENCH201: OnceLock<Arc<dyn SearchSpace>> = OnceLock::new();
    let known = match name {
        SpaceName::Nasbench101 => &NASBENCH101,
        SpaceName::Nasbench201 => &NASBENCH201,
    };
    Arc::clone(known.get_or_init(|| open(name)))
}

/// The space of a name, enumerated.
pub fn open(name: SpaceName) -> Arc<dyn SearchSpace> {
    match name {
        SpaceName::Nasbench101 => Arc::new(Nasbench101::enumerate()),
        SpaceName::Nasbench201 => Arc::new(Nasbench201::new()),
    }
}
