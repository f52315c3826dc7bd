//! Everything that computes with libtorch: engines of the graph autoencoder, and the
//! networks that architectures are trained in. The only package that uses `tch`;
//! its public signatures carry plain vectors, domain types and those of the model.
//!
//! Not here: the autoencoder itself and its engine for processors (`reprise-model`),
//! search methods (`reprise-search`) and the worker's session, which starts the program
//! of this package for a task that needs it ([`serve`]).

#![warn(missing_docs)]

pub mod autoencoder;
pub mod cellnet;
mod cuda;
pub mod serve;

pub use self::cuda::{cuda_devices, cuda_driver, cuda_name};

/// Version of libtorch that this program is built against; `unknown` where its
/// headers do not say.
pub const LIBTORCH_VERSION: &str = env!("REPRISE_LIBTORCH_VERSION");

/// Makes libtorch compute with one thread. Called once on every thread that
/// trains: two threads on one small matrix product are slower than one.
pub fn use_one_thread() {
    tch::set_num_threads(1);
}

#[cfg(test)]
mod tests {
    #[test]
    fn libtorch_says_its_version() {
        let parts: Vec<_> = super::LIBTORCH_VERSION.split('.').collect();
        assert_eq!(parts.len(), 3, "{parts:?}");
        assert!(parts.iter().all(|part| part.parse::<u32>().is_ok()));
    }
}
