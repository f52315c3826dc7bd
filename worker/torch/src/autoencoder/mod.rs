//! The variational graph isomorphism autoencoder of arch2vec: pretraining on a
//! whole search space, and the embedding of it.

mod checkpoint;
mod course;
mod draws;
pub mod embed;
mod engine;
mod error;
mod graphs;
mod measures;
mod native;
mod objective;
mod pack;
mod packed;
mod params;
mod plain;
mod pretrain;
mod prior;
mod probe;
mod random;
pub mod selftest;
mod shape;
mod tensors;
#[cfg(test)]
mod test_space;

pub use self::engine::{Backend, TorchDevice};
pub use self::error::{
    EmbedError, GraphError, ParamsError, PretrainError, SelftestError, TensorFileError,
};
pub use self::graphs::GraphSet;
pub use self::pack::Pack;
pub use self::params::{NamedArray, Params};
pub use self::pretrain::{Pretrained, Pretrainer, Progress};
pub use self::prior::{CodeGaussian, Prior};
pub use self::probe::{Probed, best, probe};
pub use self::shape::Shape;
