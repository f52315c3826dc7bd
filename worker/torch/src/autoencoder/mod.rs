//! The variational graph isomorphism autoencoder of arch2vec: pretraining on a
//! whole search space, and the embedding of it.

mod engine;
mod error;
mod graphs;
mod native;
mod objective;
mod params;
mod plain;
mod random;
pub mod selftest;
mod shape;
mod tensors;

pub use self::engine::{Backend, TorchDevice};
pub use self::error::{GraphError, ParamsError, PretrainError, SelftestError, TensorFileError};
pub use self::graphs::GraphSet;
pub use self::params::{NamedArray, Params};
pub use self::shape::Shape;
