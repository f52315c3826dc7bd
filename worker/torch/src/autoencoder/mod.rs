//! The engines of the autoencoder that compute with libtorch: the plain one, and packs
//! of many seeds on one device. Both follow the courses of `reprise-model`.

mod device;
mod draws;
mod pack;
mod packed;
mod plain;
mod probe;

pub use self::pack::Pack;
pub use self::plain::Plain;
pub use self::probe::{Probed, best, probe};
