//! Search methods: ask/tell state machines with their randomness inside.
//!
//! A method never sees a test accuracy (INV-9): [`SearchMethod::tell`] carries
//! the guiding validation accuracy and nothing else.

mod build;
mod dngo;
mod evolution;
mod policy;
mod random;
mod reinforce;

use reprise_domain::{Accuracy, ArchIndex};

use crate::rng::Stream;

pub use build::{MethodError, build, restore};
pub use reinforce::ImpossibleHistory;

/// What a method wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Buy this architecture.
    Buy(ArchIndex),
    /// Nothing is left that the method would buy.
    Exhausted,
}

/// A search method. One `ask` is answered by one `tell`; asking again before that
/// asks for the same, so that a trial may be resumed in the middle of a query.
pub trait SearchMethod: std::fmt::Debug {
    /// The next architecture to buy.
    fn ask(&mut self) -> Ask;

    /// The guiding validation accuracy of the architecture asked for last.
    fn tell(&mut self, arch: ArchIndex, validation: Accuracy);

    /// The whole state, randomness included, as text: a method restored from it
    /// asks for the same architectures as the original.
    fn snapshot(&self) -> String;
}

/// The stream that the first architectures of a seed are drawn from, uniformly and one
/// after another: the same ones for every method. `key` is [`crate::rng::seed_key`].
fn initial_design(key: &[u8]) -> Stream {
    Stream::new(key, "initial design", 0)
}

/// A state as the text of a snapshot.
fn to_text(state: &impl serde::Serialize) -> String {
    serde_json::to_string(state).expect("method states have text keys and finite numbers")
}
