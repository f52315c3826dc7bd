//! Tables as data: what is in them is decided here, what they look like by
//! [`crate::export`].

pub mod compare;
pub mod curves;
pub mod experiment;
mod factor;
pub mod model;
pub mod pairwise;
pub mod pretrain;
pub mod runs;
pub mod search;

pub use compare::{Comparison, Criterion, Published, compare, compare_table};
pub use curves::curve_table;
pub use experiment::{experiment_overview, experiment_table};
pub use model::{Cell, Column, Estimate, Table};
pub use pairwise::pairwise_table;
pub use pretrain::{PretrainRow, PretrainSet, pretrain_table};
pub use runs::runs_table;
pub use search::{search_overview, search_table};
