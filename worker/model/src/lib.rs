//! The variational graph isomorphism autoencoder of arch2vec: pretraining on a whole
//! search space and the embedding of it, by an engine for processors that is written
//! out. Needs no libtorch.
//!
//! A pretraining is a [`course::Course`], which fixes what every step works on, an
//! [`engine::Engine`], which makes the step, and a trainer, which says how far it is:
//! [`Pretrainer`] for one seed.
//!
//! Not here: engines and trainers in libtorch (`reprise-torch`), which follow the same
//! course and read the same checkpoints; search methods (`reprise-search`); when to
//! train and when to stop (the worker).

#![warn(missing_docs)]

pub mod checkpoint;
pub mod course;
pub mod embed;
pub mod engine;
mod error;
pub mod graphs;
pub mod measures;
pub mod native;
pub mod objective;
pub mod params;
mod pretrain;
pub mod prior;
pub mod random;
pub mod selftest;
pub mod shape;
mod tensors;
#[cfg(any(test, feature = "test-space"))]
pub mod test_space;

pub use self::engine::{Backend, Native};
pub use self::error::{
    EmbedError, GraphError, ParamsError, PretrainError, SelftestError, TensorFileError,
};
pub use self::graphs::GraphSet;
pub use self::params::{NamedArray, Params};
pub use self::pretrain::{Position, Pretrained, Pretrainer, Progress, position};
pub use self::prior::{CodeGaussian, Prior};
pub use self::shape::Shape;
