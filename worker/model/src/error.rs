//! What can go wrong outside the arithmetic: files of others, sizes, divergence.

use reprise_domain::{Seed, SpaceName, SpecProblem};
use reprise_search::embedding::EmbeddingError;

/// Parameters that cannot be a model's.
#[derive(Debug, thiserror::Error)]
pub enum ParamsError {
    /// A size is zero or absurd.
    #[error("the model has {size} {what}, expected 1 to {largest}")]
    Size {
        /// Which size.
        what: &'static str,
        /// The size found.
        size: usize,
        /// The largest one allowed.
        largest: usize,
    },
    /// A published name is missing.
    #[error("tensor `{name}` is missing")]
    Missing {
        /// The name.
        name: String,
    },
    /// A tensor that the model does not have.
    #[error("tensor `{name}` is not part of a model of {layers} layers")]
    Unknown {
        /// The name.
        name: String,
        /// Layers of the model, as inferred from the other tensors.
        layers: usize,
    },
    /// A tensor of another shape.
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The name.
        name: String,
        /// The shape found.
        found: Vec<usize>,
        /// The shape that the other tensors imply.
        expected: Vec<usize>,
    },
    /// A tensor whose shape says nothing about the model's sizes.
    #[error("tensor `{name}` has shape {found:?}, expected {dims} dimensions")]
    Rank {
        /// The name.
        name: String,
        /// The shape found.
        found: Vec<usize>,
        /// How many dimensions it should have.
        dims: usize,
    },
    /// A tensor holds a number that no training could go on from.
    #[error("tensor `{name}` holds `{value}` at position {position}, expected a finite number")]
    NotFinite {
        /// The name.
        name: String,
        /// Where.
        position: usize,
        /// The value found.
        value: f32,
    },
    /// The file cannot be read as safetensors of the expected kind.
    #[error(transparent)]
    File(#[from] TensorFileError),
}

/// A file that is not the safetensors expected.
#[derive(Debug, thiserror::Error)]
pub enum TensorFileError {
    /// Not safetensors at all.
    #[error("the file is not safetensors")]
    NotSafetensors(#[from] safetensors::SafeTensorError),
    /// A tensor is missing.
    #[error("tensor `{name}` is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A tensor of another element type.
    #[error("tensor `{name}` holds {found}, expected {expected}")]
    Type {
        /// Its name.
        name: String,
        /// The element type found.
        found: String,
        /// The element type expected.
        expected: &'static str,
    },
    /// A tensor of another shape.
    #[error("tensor `{name}` has shape {found:?}, expected {expected}")]
    Shape {
        /// Its name.
        name: String,
        /// The shape found.
        found: Vec<usize>,
        /// The shape expected, in words.
        expected: String,
    },
    /// A metadata entry is missing.
    #[error("metadata entry `{key}` is missing")]
    NoMetadata {
        /// Its key.
        key: &'static str,
    },
    /// A metadata entry cannot be read.
    #[error("metadata entry `{key}` is not {expected}: {reason}")]
    Metadata {
        /// Its key.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
        /// Why it is not.
        reason: String,
    },
    /// The table in the file is not an embedding.
    #[error("tensor `embedding` is not an embedding: {0}")]
    Embedding(#[from] EmbeddingError),
}

/// Graphs that the autoencoder cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// More nodes or operations than a graph's compact form holds.
    #[error(
        "graphs of {nodes} nodes and {operations} operations, expected 2 to {most_nodes} nodes and 1 to {most_operations} operations"
    )]
    Dims {
        /// Nodes of a graph.
        nodes: usize,
        /// Operations of a node.
        operations: usize,
        /// The most nodes allowed.
        most_nodes: usize,
        /// The most operations allowed.
        most_operations: usize,
    },
    /// An edge entry that does not belong to a directed acyclic graph in order.
    #[error(
        "graph {graph} has entry `{value}` at row {row}, column {column} of its adjacency, expected 0 or 1 above the diagonal and 0 elsewhere"
    )]
    Edge {
        /// Which graph.
        graph: usize,
        /// Row of the adjacency.
        row: usize,
        /// Column of the adjacency.
        column: usize,
        /// The entry.
        value: u8,
    },
    /// An operation that does not exist.
    #[error(
        "node {node} of graph {graph} has operation `{value}`, expected one below {operations} or padding"
    )]
    Operation {
        /// Which graph.
        graph: usize,
        /// Which node.
        node: usize,
        /// The operation.
        value: u8,
        /// Number of operations.
        operations: usize,
    },
}

/// A pretraining that cannot start, go on or be resumed.
#[derive(Debug, thiserror::Error)]
pub enum PretrainError {
    /// A setting is outside its bound.
    #[error(transparent)]
    Setting(SpecProblem),
    /// The graphs are of another space than the task's.
    #[error("the task pretrains on {task}, the graphs are of {graphs}")]
    Space {
        /// Space of the task.
        task: SpaceName,
        /// Space of the graphs.
        graphs: SpaceName,
    },
    /// Too few graphs to hold any out.
    #[error("{graphs} graphs cannot be split into training and held-out ones")]
    TooFewGraphs {
        /// How many there are.
        graphs: usize,
    },
    /// Nothing to measure reconstruction by.
    #[error("the held-out graphs lack operations, edges or absent edges to measure")]
    Unmeasurable,
    /// The model's sizes are absurd.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// The loss or a measure is infinite or not a number.
    #[error("{measure} became `{value}` in epoch {epoch}, step {step}")]
    Diverged {
        /// Epoch, from 0.
        epoch: u32,
        /// Step of the epoch, from 0.
        step: u64,
        /// What became so.
        measure: &'static str,
        /// Its value.
        value: f64,
    },
    /// The checkpoint was written by another version.
    #[error("the checkpoint has format `{found}`, expected `{expected}`")]
    CheckpointFormat {
        /// The format found.
        found: String,
        /// The format that this version reads.
        expected: &'static str,
    },
    /// The checkpoint belongs to another task.
    #[error("the checkpoint belongs to another task or other graphs")]
    CheckpointOfAnotherTask,
    /// The checkpoint's position does not exist.
    #[error("the checkpoint is at step {step} of epoch {epoch}, which this task does not have")]
    CheckpointPosition {
        /// Its epoch.
        epoch: u32,
        /// Its step.
        step: u64,
    },
    /// The checkpoint cannot be read.
    #[error(transparent)]
    CheckpointFile(#[from] TensorFileError),
    /// The result was asked for too early.
    #[error("{done} of {epochs} epochs are done")]
    Unfinished {
        /// Epochs done.
        done: u32,
        /// Epochs of the task.
        epochs: u32,
    },
    /// A pack without members.
    #[error("a pack has at least one member")]
    EmptyPack,
    /// Members of a pack that cannot be trained together.
    #[error("seed {seed} has other settings than seed {first}, or is at another step")]
    UnequalPack {
        /// Seed of the member that differs.
        seed: Seed,
        /// Seed of the first member.
        first: Seed,
    },
    /// The device does not exist here.
    #[error("this libtorch finds {found} CUDA devices, device {index} was asked for")]
    NoDevice {
        /// The device asked for.
        index: u32,
        /// How many there are.
        found: u32,
    },
}

/// Graphs that a model cannot embed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// The model was made for other graphs.
    #[error("the model reads {model} operations, the graphs have {graphs}")]
    Operations {
        /// Operations of the model.
        model: usize,
        /// Operations of the graphs.
        graphs: usize,
    },
    /// The model gives numbers that are not an embedding.
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
}

/// A fixture file that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum SelftestError {
    /// The file is not the safetensors expected.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// The parameters are not a model's.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// The graphs cannot be taken.
    #[error(transparent)]
    Graphs(#[from] GraphError),
    /// The engine cannot be built.
    #[error(transparent)]
    Engine(#[from] PretrainError),
    /// An input that should be zeros and ones is not.
    #[error(
        "tensor `{name}` holds `{value}` at position {position}, expected 0 or 1, at most one 1 a node"
    )]
    Input {
        /// Its name.
        name: &'static str,
        /// Where.
        position: usize,
        /// The value found.
        value: f32,
    },
    /// An expectation that this version cannot check.
    #[error("tensor `{name}` is an expectation that this version cannot check")]
    UnknownExpectation {
        /// Its name.
        name: String,
    },
    /// A number of steps that cannot be run.
    #[error("the file lists {steps} losses, expected 1 to {most}")]
    Steps {
        /// How many there are.
        steps: usize,
        /// The most allowed.
        most: usize,
    },
}
