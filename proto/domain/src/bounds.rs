//! The bounds of every setting, in one place: study files, the check of a
//! submitted study and workers all take them from here, so that what one accepts
//! no other refuses.
//!
//! Not here: how settings bound each other, which is [`crate::check`].

use std::fmt;

use crate::space::SpaceName;
use crate::units::Seconds;

/// Most bytes of one artifact.
pub const ARTIFACT_BYTES: u64 = 256 << 20;

/// Bytes of an artifact that are kept for the head of a tensor file.
const TENSOR_HEAD_BYTES: u64 = 64 << 10;

/// Whole numbers with both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    /// The smallest.
    pub least: u32,
    /// The largest.
    pub most: u32,
}

impl Whole {
    const fn new(least: u32, most: u32) -> Self {
        Self { least, most }
    }

    /// Whether `number` is one of them.
    pub const fn contains(self, number: u32) -> bool {
        self.least <= number && number <= self.most
    }
}

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {} to {}", self.least, self.most)
    }
}

/// A range of real numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Real {
    /// Any number but infinities and not-a-number.
    Finite,
    /// Both ends included.
    FromTo(f64, f64),
    /// Without the lower end.
    AboveTo(f64, f64),
    /// Without the upper end.
    FromBelow(f64, f64),
}

impl Real {
    /// Whether `number` is one of them.
    pub fn contains(self, number: f64) -> bool {
        match self {
            Self::Finite => number.is_finite(),
            Self::FromTo(least, most) => least <= number && number <= most,
            Self::AboveTo(least, most) => least < number && number <= most,
            Self::FromBelow(least, most) => least <= number && number < most,
        }
    }
}

impl fmt::Display for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finite => f.write_str("a finite number"),
            Self::FromTo(least, most) => write!(f, "a number from {least} to {most}"),
            // Written out, it would have too many digits to count.
            Self::AboveTo(least, most) if *most > 1e6 => {
                write!(f, "a number above {least} and up to {most:e}")
            }
            Self::AboveTo(least, most) => write!(f, "a number above {least} and up to {most}"),
            Self::FromBelow(least, most) => write!(f, "a number from {least} to below {most}"),
        }
    }
}

/// Durations with both ends, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// The shortest.
    pub least: f64,
    /// The longest.
    pub most: f64,
}

impl Span {
    const fn new(least: f64, most: f64) -> Self {
        Self { least, most }
    }

    /// Whether `duration` is one of them.
    pub fn contains(self, duration: Seconds) -> bool {
        (self.least..=self.most).contains(&duration.get())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a duration from {} s to {} s", self.least, self.most)
    }
}

/// Settings of pretraining.
pub mod pretrain {
    use super::{ARTIFACT_BYTES, Real, SpaceName, TENSOR_HEAD_BYTES, Whole};

    /// Passes over the training graphs. The result has an entry an epoch, and one
    /// of more epochs would not fit into a message.
    pub const EPOCHS: Whole = Whole::new(1, 50_000);
    /// Graphs a step.
    pub const BATCH: Whole = Whole::new(1, 65_536);
    /// Adam's learning rate. Far above what trains anything, and within single
    /// precision.
    pub const LEARNING_RATE: Real = Real::AboveTo(0.0, 1e3);
    /// Bound of the gradient norm; the upper end stands for none at all.
    pub const CLIP: Real = Real::AboveTo(0.0, 1e30);
    /// Latent points drawn after an epoch.
    pub const LATENT_POINTS: Whole = Whole::new(1, 10_000_000);
    /// Width of the hidden layers.
    pub const HIDDEN: Whole = Whole::new(1, 1024);
    /// Graph isomorphism layers.
    pub const LAYERS: Whole = Whole::new(1, 32);
    /// Latent dimensions of a node.
    pub const LATENT: Whole = Whole::new(1, 256);
    /// Dropout before the decoder.
    pub const DROPOUT: Real = Real::FromBelow(0.0, 1.0);
    /// Weights of the layers, `2 x layers x hidden x hidden`: with the two moments
    /// of the optimiser they take 192 MiB, so that a checkpoint is still an
    /// artifact.
    pub const WEIGHTS: u64 = 16 << 20;

    /// Latent dimensions whose embedding of the whole space is still an artifact:
    /// 158 on NAS-Bench-101, which bind there, and more than [`LATENT`] elsewhere.
    pub const fn latent(space: SpaceName) -> Whole {
        let column = 4 * space.architectures() as u64;
        let most = (ARTIFACT_BYTES - TENSOR_HEAD_BYTES) / column;
        if most < LATENT.most as u64 {
            Whole::new(LATENT.least, most as u32)
        } else {
            LATENT
        }
    }
}

/// Settings of a search and of its methods.
pub mod search {
    use super::{Real, Span, Whole};

    /// Queries of a trial. A worker ends a trial that has more of them, since a
    /// benchmark that charges nothing would never spend a budget of time.
    pub const QUERIES: Whole = Whole::new(1, 100_000);
    /// Simulated time of a trial: not nothing, since a trial ends before its first
    /// query then, and at most about 32,000 years, so that sums stay finite.
    pub const SIMULATED: Span = Span::new(1e-3, 1e12);
    /// Living architectures of regularised evolution.
    pub const POPULATION: Whole = Whole::new(1, 100_000);
    /// Architectures in an episode of REINFORCE.
    pub const EPISODE: Whole = Whole::new(1, 100_000);
    /// Adam's learning rate in REINFORCE.
    pub const LEARNING_RATE: Real = Real::AboveTo(0.0, 1e3);
    /// Reward baseline of REINFORCE.
    pub const BASELINE: Real = Real::Finite;
    /// Discount of REINFORCE.
    pub const DISCOUNT: Real = Real::FromTo(0.0, 1.0);
    /// Random architectures before the first model of DNGO.
    pub const INITIAL: Whole = Whole::new(1, 100_000);
    /// Architectures that DNGO buys in a round.
    pub const BATCH: Whole = Whole::new(1, 100_000);
    /// Passes over the data in a round's training of DNGO.
    pub const EPOCHS: Whole = Whole::new(1, 100_000);
    /// Target of expected improvement.
    pub const TARGET: Real = Real::Finite;
    /// What a label is, which heads a row of every table.
    pub const LABEL: &str = "1 to 60 characters, no control characters and no spaces around them";

    /// Whether `label` is a [`LABEL`].
    pub fn is_label(label: &str) -> bool {
        (1..=60).contains(&label.chars().count())
            && label.trim() == label
            && !label.contains(char::is_control)
    }
}

/// Settings of tasks that do nothing.
pub mod noop {
    use super::Whole;

    /// How many.
    pub const TASKS: Whole = Whole::new(1, super::study::TASKS);
    /// Milliseconds that each holds its slot: up to an hour.
    pub const HOLD_MS: Whole = Whole::new(0, 3_600_000);
    /// Attempts of each that fail.
    pub const FAILURES: Whole = Whole::new(0, 1000);
}

/// Settings of programs. A specification travels with every attempt, so it is kept
/// to some tens of kilobytes.
pub mod program {
    use super::Whole;

    /// Arguments of a command, the program itself among them.
    pub const ARGUMENTS: Whole = Whole::new(1, 256);
    /// Bytes of all arguments together.
    pub const COMMAND_BYTES: usize = 16 << 10;
    /// Files that are shipped.
    pub const FILES: usize = 100;
    /// Bytes of all shipped files together.
    pub const FILES_BYTES: u64 = super::ARTIFACT_BYTES;
    /// Parameters.
    pub const PARAMETERS: usize = 32;
    /// Values of one factor.
    pub const VALUES: usize = super::study::STAGES;
    /// Characters of a value that is a text.
    pub const VALUE_CHARS: usize = 200;
    /// Metrics.
    pub const METRICS: Whole = Whole::new(1, 64);
    /// Characters of a unit.
    pub const UNIT_CHARS: usize = 20;
    /// Processor cores.
    pub const CORES: Whole = Whole::new(1, super::worker::SLOTS.most);
    /// Graphics cards.
    pub const GPUS: Whole = Whole::new(0, 64);
    /// Memory, in bytes: less holds no interpreter, more has no machine.
    pub const MEMORY: Bytes = Bytes::new(16 << 20, 1 << 50);
    /// Bytes of output.
    pub const OUTPUT: Bytes = Bytes::new(1, 1 << 50);
    /// Open files: less than these a program does not start with.
    pub const OPEN_FILES: Whole = Whole::new(16, 1 << 20);
    /// Steps that metrics are given of.
    pub const STEPS: u64 = 100_000;
    /// Bytes of the metrics that a program gives while it runs.
    pub const METRIC_BYTES: u64 = 64 << 20;
    /// Bytes of one line of them, and of the result.
    pub const LINE_BYTES: usize = 64 << 10;
    /// Files that a program leaves.
    pub const ARTIFACTS: usize = 256;
    /// What the name of a parameter or a metric is.
    pub const NAME: &str =
        "1 to 64 of `a-z`, `A-Z`, `0-9`, `-`, `_` and `.`, the first a letter or `_`";
    /// What the path of a file is.
    pub const PATH: &str =
        "a relative path of at most 200 characters, without `.`, `..` and control characters";

    /// Whether `name` is a [`NAME`].
    pub fn is_name(name: &str) -> bool {
        let is_first = |first: char| first.is_ascii_alphabetic() || first == '_';
        let is_part = |part: char| part.is_ascii_alphanumeric() || "-_.".contains(part);
        name.len() <= 64 && name.starts_with(is_first) && name.chars().all(is_part)
    }

    /// Whether `path` is a [`PATH`].
    pub fn is_path(path: &str) -> bool {
        let is_step = |step: &str| !matches!(step, "" | "." | "..");
        path.chars().count() <= 200
            && !path.contains(|c: char| c.is_control() || c == '\\')
            && path.split('/').all(is_step)
    }

    /// Numbers of bytes with both ends.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Bytes {
        /// The fewest.
        pub least: u64,
        /// The most.
        pub most: u64,
    }

    impl Bytes {
        const fn new(least: u64, most: u64) -> Self {
            Self { least, most }
        }

        /// Whether `bytes` is one of them.
        pub const fn contains(self, bytes: u64) -> bool {
            self.least <= bytes && bytes <= self.most
        }
    }

    impl std::fmt::Display for Bytes {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let (least, most) = (in_units(self.least), in_units(self.most));
            write!(f, "a size from {least} to {most}")
        }
    }

    /// A size in the largest unit that gives a whole number.
    pub fn in_units(bytes: u64) -> String {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let powers = (bytes.trailing_zeros() / 10).min(4) as usize;
        let powers = if bytes == 0 { 0 } else { powers };
        format!("{} {}", bytes >> (10 * powers), UNITS[powers])
    }
}

/// Settings of a whole study.
pub mod study {
    use super::{Span, Whole};

    /// Most tasks of a section, and of a study.
    pub const TASKS: u32 = 1_000_000;
    /// Most pretraining entries and methods times data sets: each is a row of the
    /// progress display.
    pub const STAGES: usize = 1000;
    /// Attempts that may fail by a task's own fault.
    pub const ATTEMPTS: Whole = Whole::new(1, 1000);
    /// Workers that may be lost with a task.
    pub const LOST_WORKERS: Whole = Whole::new(1, 1000);
    /// Wait before the second attempt.
    pub const BACKOFF: Span = Span::new(0.0, 86_400.0);
    /// Failed tasks that stop a study.
    pub const STOP_AFTER: Whole = Whole::new(1, TASKS);
    /// Time of an attempt, up to a year of 365 days.
    pub const TIME_LIMIT: Span = Span::new(1.0, 31_536_000.0);
    /// Silence of an attempt. Workers tell their progress with a heartbeat, every
    /// five seconds: less than two of them would end attempts that move.
    pub const SILENCE_LIMIT: Span = Span::new(10.0, 31_536_000.0);
}

/// What a worker says of itself and of its failures.
pub mod worker {
    /// Tasks that a worker runs at once.
    pub const SLOTS: super::Whole = super::Whole::new(1, 4096);
    /// Bytes of a capability as it is sent.
    pub const CAPABILITY_BYTES: usize = 16 << 10;
    /// Characters of a host's name, a device's or a version: a name in the domain
    /// name system has at most 253.
    pub const NAME_CHARS: usize = 255;
    /// Characters of a failure's message.
    pub const MESSAGE_CHARS: usize = 500;
    /// Lines of a failure's log.
    pub const LOG_LINES: usize = 64;
    /// Characters of such a line.
    pub const LINE_CHARS: usize = 500;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;
    use crate::measure::{ArtifactRef, EpochMeasures, PretrainResult};

    /// A message holds 32 MiB.
    const MESSAGE_BYTES: usize = 32 << 20;

    #[test]
    fn the_longest_pretraining_still_fits_into_a_message() {
        let digits = 0.123_456_789_012_345_67;
        let measures = EpochMeasures {
            loss: digits,
            ops_accuracy: digits,
            ops_accuracy_real_nodes: digits,
            edge_accuracy: digits,
            true_edge_probability: digits,
            false_edge_probability: digits,
            exact_match: digits,
            validity: digits,
            uniqueness: digits,
        };
        let artifact = ArtifactRef {
            digest: Digest::from_bytes([7; 32]),
            bytes: 1,
        };
        let result = PretrainResult {
            epochs: vec![measures; pretrain::EPOCHS.most as usize],
            checkpoint: artifact,
            embedding: artifact,
        };
        let bytes = serde_json::to_string(&result).unwrap().len();
        assert!(bytes < MESSAGE_BYTES * 2 / 3, "{bytes}");
    }

    #[test]
    fn the_widest_embedding_of_a_space_is_an_artifact() {
        assert_eq!(pretrain::latent(SpaceName::Nasbench201), pretrain::LATENT);
        let most = pretrain::latent(SpaceName::Nasbench101).most;
        assert_eq!(most, 158);
        let bytes = |latent| 4 * 423_624 * u64::from(latent);
        assert!(bytes(most) < ARTIFACT_BYTES && bytes(most + 1) > ARTIFACT_BYTES - (1 << 20));
    }

    #[test]
    fn paths_of_files_stay_below_their_directory() {
        for path in ["a", "a/b.py", ".hidden", "a b", "é/..x"] {
            assert!(program::is_path(path), "{path}");
        }
        for path in [
            "", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\nb", "a\\b",
        ] {
            assert!(!program::is_path(path), "{path:?}");
        }
        assert!(!program::is_path(&"a".repeat(201)));
        assert_eq!(program::in_units(4 << 30), "4 GiB");
        assert_eq!(program::in_units(1000), "1000 B");
    }

    #[test]
    fn ranges_say_both_ends() {
        assert_eq!(
            search::QUERIES.to_string(),
            "a whole number from 1 to 100000"
        );
        assert_eq!(
            pretrain::CLIP.to_string(),
            "a number above 0 and up to 1e30"
        );
        assert_eq!(pretrain::DROPOUT.to_string(), "a number from 0 to below 1");
        assert_eq!(study::BACKOFF.to_string(), "a duration from 0 s to 86400 s");
        assert!(pretrain::DROPOUT.contains(0.0) && !pretrain::DROPOUT.contains(1.0));
        assert!(!pretrain::CLIP.contains(0.0) && !pretrain::CLIP.contains(f64::NAN));
        assert!(search::BASELINE.contains(-1.0) && !search::TARGET.contains(f64::INFINITY));
        assert!(search::DISCOUNT.contains(1.0) && noop::HOLD_MS.contains(0));
    }
}
