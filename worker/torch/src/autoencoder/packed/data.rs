//! The graphs of a space on the device, and the batches of a pack: gathered and
//! aggregated without any work for a single graph.

use reprise_model::graphs::GraphSet;
use tch::{Device, Kind, Reduction, Tensor};

use super::entropy::binary_cross_entropy;
use super::of_members;

/// Every graph of a space in dense form, 4 bytes an entry: some 140 MB for the
/// 423,624 of NAS-Bench-101.
#[derive(Debug)]
pub(crate) struct DeviceGraphs {
    nodes: i64,
    kinds: i64,
    /// Symmetric, `[graphs, nodes x nodes]`.
    adjacency: Tensor,
    /// One-hot, zero for padding, `[graphs, operations x nodes]`.
    operations: Tensor,
    /// Zero on the diagonal, else one, `[nodes, nodes]`.
    beside_diagonal: Tensor,
}

/// Random numbers of one training step, `[members, latent, rows]`, or of some steps,
/// `[steps, members, latent, rows]`.
#[derive(Debug)]
pub(crate) struct Draws {
    /// Standard normal.
    pub(crate) noise: Tensor,
    /// Factors of the latent code before the decoder.
    pub(crate) dropout: Tensor,
}

impl Draws {
    /// Those of some steps as the streams give them, `[steps, members, rows, latent]`,
    /// with the sizes of the last three.
    pub(crate) fn new(noise: &[f32], dropout: &[f32], sizes: [usize; 3]) -> Self {
        let [members, rows, latent] = sizes.map(|size| size as i64);
        let place = |values: &[f32]| {
            Tensor::from_slice(values)
                .view([-1, members, rows, latent])
                .transpose(2, 3)
        };
        Self {
            noise: place(noise),
            dropout: place(dropout),
        }
    }

    pub(crate) fn to_device(&self, device: Device) -> Self {
        Self {
            noise: self.noise.to_device(device),
            dropout: self.dropout.to_device(device),
        }
    }

    /// Those of one of the steps.
    pub(crate) fn of_step(&self, position: usize) -> Self {
        Self {
            noise: self.noise.get(position as i64),
            dropout: self.dropout.get(position as i64),
        }
    }
}

/// The graphs of one step, those of each member.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) members: i64,
    pub(super) graphs: i64,
    pub(super) nodes: i64,
    /// Symmetric, `[members x graphs, nodes, nodes]`.
    adjacency: Tensor,
    beside_diagonal: Tensor,
    /// One-hot, `[members, operations, graphs x nodes]`.
    pub(super) operations: Tensor,
}

impl DeviceGraphs {
    /// # Panics
    /// If libtorch cannot allocate on the device.
    pub(crate) fn new(set: &GraphSet, device: Device) -> Self {
        let (nodes, kinds) = (set.dims().nodes, set.dims().operations);
        let mut all = set.empty_batch();
        set.gather(0..set.len(), &mut all);
        let mut adjacency = vec![0_f32; all.rows() * nodes];
        let mut operations = vec![0_f32; all.rows() * kinds];
        for (row, &neighbours) in all.neighbours().iter().enumerate() {
            for node in 0..nodes {
                adjacency[row * nodes + node] = f32::from(neighbours >> node & 1);
            }
            if let Some(operation) = all.operation(row) {
                let (graph, node) = (row / nodes, row % nodes);
                operations[(graph * kinds + operation) * nodes + node] = 1.0;
            }
        }
        let table = |values: &[f32]| {
            Tensor::from_slice(values)
                .view([set.len() as i64, -1])
                .to_device(device)
        };
        Self {
            nodes: nodes as i64,
            kinds: kinds as i64,
            adjacency: table(&adjacency),
            operations: table(&operations),
            beside_diagonal: 1.0 - Tensor::eye(nodes as i64, (Kind::Float, device)),
        }
    }

    /// The same memory under another name.
    pub(crate) fn shallow_clone(&self) -> Self {
        Self {
            nodes: self.nodes,
            kinds: self.kinds,
            adjacency: self.adjacency.shallow_clone(),
            operations: self.operations.shallow_clone(),
            beside_diagonal: self.beside_diagonal.shallow_clone(),
        }
    }

    /// The graphs at `positions`, `[members, graphs]`.
    pub(super) fn gather(&self, positions: &Tensor) -> Batch {
        let (members, graphs) = positions.size2().expect("positions have two dimensions");
        let flat = positions.reshape([-1]);
        self.batch(
            members,
            graphs,
            &self.adjacency.index_select(0, &flat),
            &self.operations.index_select(0, &flat),
        )
    }

    /// A run of graphs for one member.
    pub(super) fn range(&self, start: usize, graphs: usize) -> Batch {
        let (start, graphs) = (start as i64, graphs as i64);
        self.batch(
            1,
            graphs,
            &self.adjacency.narrow(0, start, graphs),
            &self.operations.narrow(0, start, graphs),
        )
    }

    fn batch(&self, members: i64, graphs: i64, adjacency: &Tensor, operations: &Tensor) -> Batch {
        let (nodes, kinds) = (self.nodes, self.kinds);
        Batch {
            members,
            graphs,
            nodes,
            adjacency: adjacency.view([-1, nodes, nodes]),
            beside_diagonal: self.beside_diagonal.shallow_clone(),
            operations: operations
                .view([members, graphs, kinds, nodes])
                .transpose(1, 2)
                .reshape([members, kinds, graphs * nodes]),
        }
    }
}

impl Batch {
    /// The input of a graph isomorphism layer: a node's own features times its
    /// member's weight `[members]`, plus those of its neighbours.
    /// `[members, features, rows]` to the same shape.
    pub(super) fn aggregate(&self, hidden: &Tensor, own_weight: &Tensor) -> Tensor {
        let own = hidden * own_weight.view([-1, 1, 1]);
        // The adjacency is symmetric: multiplied from either side it is the same.
        own + self.by_member(&self.by_graph(hidden).bmm(&self.adjacency))
    }

    /// The binary cross entropy of the edges that codes `[members, latent, rows]` decode
    /// to, those above the diagonal, as a mean over the whole matrix; `[members]`, and
    /// the gradient of the codes.
    pub(super) fn edge_losses(&self, codes: &Tensor) -> (Tensor, Tensor) {
        let by_graph = self.by_graph(codes);
        let scores = by_graph.transpose(1, 2).bmm(&by_graph);
        let (values, slopes) = binary_cross_entropy(&scores, &self.adjacency);
        let values = values.triu(1).view([self.members, -1]);
        // A score moves with either node's code. Scores and adjacency are symmetric, so
        // both parts are one product by the slopes of either side of the diagonal.
        let share = 1.0 / (self.graphs * self.nodes * self.nodes) as f64;
        let gradient = by_graph.bmm(&(slopes * &self.beside_diagonal * share));
        let gradient = self.by_member(&gradient);
        (of_members(&values, Reduction::Mean), gradient)
    }

    /// The reverse of [`Self::by_graph`].
    fn by_member(&self, values: &Tensor) -> Tensor {
        let features = values.size()[1];
        values
            .view([self.members, self.graphs, features, self.nodes])
            .transpose(1, 2)
            .reshape([self.members, features, -1])
    }

    /// `[members, features, graphs x nodes]` as `[members x graphs, features, nodes]`.
    fn by_graph(&self, values: &Tensor) -> Tensor {
        let features = values.size()[1];
        values
            .view([self.members, features, self.graphs, self.nodes])
            .transpose(1, 2)
            .reshape([-1, features, self.nodes])
    }
}

/// Copies a tensor to the host.
pub(super) fn to_host(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.detach().contiguous();
    let mut values = vec![0.0; tensor.numel()];
    tensor.copy_data(&mut values, tensor.numel());
    values
}

/// Copies a tensor to the host in double precision.
pub(crate) fn to_host_f64(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.detach().to_kind(Kind::Double).contiguous();
    let mut values = vec![0.0; tensor.numel()];
    tensor.copy_data(&mut values, tensor.numel());
    values
}
