//! The surrogate of Bayesian optimisation: a small network whose hidden layer is
//! the basis of a Bayesian linear regression (DNGO, Snoek et al., 2015), and the
//! numeric kernels that it shares with the REINFORCE policy.
//!
//! All arithmetic that decides a result is written out in a fixed order, and
//! transcendental functions come from `libm` or [`kernel`] instead of the
//! platform, so that a run's numbers do not depend on the machine (INV-7).
//!
//! Not here: the loop that buys architectures, which is `method::dngo`.

pub mod acquisition;
pub mod adam;
pub mod choice;
mod columns;
pub mod eigen;
pub mod evidence;
mod gate;
pub mod kernel;
pub mod linalg;
pub mod mlp;
pub mod model;
pub mod nelder_mead;
pub mod posterior;
pub mod screen;
mod wide;
