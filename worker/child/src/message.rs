//! What the two ends say. Files travel as the body of the frame; a comment at each
//! message says which.

use reprise_domain::{EpochMeasures, EvaluateResult, EvaluateSpec, PretrainSpec, Seconds};
use serde::{Deserialize, Serialize};

use crate::device::TorchDevice;

/// Number of the protocol. Raise it when a message changes its meaning or its form, and
/// with the algorithms (`reprise_domain::task::ALGORITHMS`): a child that computes by
/// another version is refused.
pub const PROTOCOL: u32 = 2;

/// What the child says first: what it is and what it finds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol that it speaks. Stays the first field in every version.
    pub protocol: u32,
    /// Version of the program.
    #[serde(default)]
    pub version: String,
    /// Version of libtorch.
    #[serde(default)]
    pub libtorch: String,
    /// The graphics cards that libtorch can compute on, by index.
    #[serde(default)]
    pub cards: Vec<Card>,
    /// Version of the graphics driver, where there is one.
    #[serde(default)]
    pub driver: Option<String>,
}

/// A graphics card.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Card {
    /// What the driver calls it, where it says so.
    pub model: Option<String>,
}

/// A task for the child.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Task {
    /// Train an architecture for real.
    Evaluate {
        /// Which one and how.
        spec: EvaluateSpec,
    },
    /// Compare the plain engine with a fixture, which is the body.
    Selftest,
    /// Find how many seeds to train together.
    Probe {
        /// Where.
        device: TorchDevice,
        /// Which settings; the seed does not matter.
        spec: PretrainSpec,
        /// Most seeds.
        most: u32,
    },
    /// Pretrain seeds together; that many [`ToChild::Member`] follow.
    Pack {
        /// Where.
        device: TorchDevice,
        /// How many seeds.
        members: u32,
        /// Milliseconds between two [`FromChild::Checkpoint`] of a member.
        save_every_ms: u64,
    },
}

/// What the worker says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ToChild {
    /// Start a task; only while none runs.
    Start {
        /// Which one.
        task: Task,
    },
    /// The next member of the pack that was started. Body: the checkpoint that it goes
    /// on from; empty to begin anew.
    Member {
        /// Its settings.
        spec: PretrainSpec,
    },
    /// A member's result is not wanted any more.
    Discard {
        /// Its place in the pack.
        member: u32,
    },
    /// End the task that runs, soon.
    Stop {
        /// Whether to send where it stands before.
        save: bool,
    },
}

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reached {
    /// Units of work that are done.
    pub done: u64,
    /// Units of the whole task; 0 when it is not known.
    pub total: u64,
    /// Epochs that are done.
    pub epochs_done: u32,
    /// Epochs of the task.
    pub epochs: u32,
}

/// What the child says after its [`Hello`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromChild {
    /// The process lives and has a task. Says nothing about the task.
    Heartbeat,
    /// The task is so far: its own sign of life.
    Progress {
        /// How far.
        reached: Reached,
        /// Where an epoch of a pack has ended: its measures by member, none of one that
        /// has failed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        measures: Vec<Option<EpochMeasures>>,
    },
    /// Where a member stands. Body: its checkpoint.
    Checkpoint {
        /// Its place in the pack.
        member: u32,
        /// Units of work that are done in it.
        done: u64,
    },
    /// A member is trained. Body: its parameters.
    Trained {
        /// Its place in the pack.
        member: u32,
        /// One entry an epoch.
        epochs: Vec<EpochMeasures>,
    },
    /// The space is embedded by the member that was trained last. Body: the embedding.
    Embedded {
        /// Its place in the pack.
        member: u32,
    },
    /// A member has failed; the others have not.
    MemberFailed {
        /// Its place in the pack.
        member: u32,
        /// What was tried, then why it failed, cause by cause.
        reason: Vec<String>,
    },
    /// The task has ended.
    Ended {
        /// How.
        outcome: Outcome,
    },
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// An architecture is trained.
    Evaluated {
        /// What it measured.
        result: EvaluateResult,
        /// Wall-clock time of the training loop.
        training: Seconds,
    },
    /// The fixture is compared.
    Compared {
        /// One entry a quantity.
        compared: Vec<Compared>,
    },
    /// The size of packs is found.
    Probed {
        /// How many seeds to train together.
        seeds: u32,
        /// What was measured.
        probed: Vec<Probed>,
    },
    /// Every member of the pack was sent before.
    Packed,
    /// It was asked to stop.
    Stopped,
    /// It failed.
    Failed {
        /// Whether it can never succeed.
        permanent: bool,
        /// What was tried, then why it failed, cause by cause.
        reason: Vec<String>,
    },
}

/// One quantity of a fixture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Its name in the fixture.
    pub quantity: String,
    /// The largest absolute difference; none where it is not a number.
    pub difference: Option<f64>,
    /// The largest one allowed.
    pub tolerance: f64,
}

/// The measured speed of one size of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    /// Seeds.
    pub seeds: u32,
    /// Time of one step of all of them.
    pub step: Seconds,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_versions_hello_is_understood_as_far_as_its_number() {
        let later = r#"{"protocol":9,"speaks":"something else"}"#;
        let hello: Hello = serde_json::from_str(later).unwrap();
        assert_eq!((hello.protocol, hello.libtorch.as_str()), (9, ""));
    }

    #[test]
    fn numbers_come_back_as_they_were_sent() {
        // Thirds have no short decimal form.
        let measures = EpochMeasures {
            loss: 1.0 / 3.0,
            ops_accuracy: 2.0 / 3.0,
            ops_accuracy_real_nodes: 0.1 + 0.2,
            edge_accuracy: f64::MIN_POSITIVE,
            true_edge_probability: 1.0 - f64::EPSILON,
            false_edge_probability: 0.0,
            exact_match: 1e-300,
            validity: 1.0,
            uniqueness: 0.5,
        };
        let said = FromChild::Progress {
            reached: Reached::default(),
            measures: vec![Some(measures), None],
        };
        let json = serde_json::to_vec(&said).unwrap();
        assert_eq!(serde_json::from_slice::<FromChild>(&json).unwrap(), said);
    }
}
