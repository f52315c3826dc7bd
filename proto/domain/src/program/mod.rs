//! Programs as tasks: a command line with its parameters, the files that are shipped
//! with it, what it measures, what it needs, and what it found.
//!
//! A specification holds all that decides a program's result, and no more: the time
//! that an attempt may take, units and goals of metrics, and the experiment's name are
//! of the study.

mod result;
mod scalar;
mod template;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::ids::Digest;
use crate::units::Seed;

pub use result::{NamedArtifact, ProgramResult};
pub use scalar::Scalar;
pub use template::{SEED, SEED_NAMES, TemplateError, expand, placeholders};

/// Specification of one run of a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProgramSpec {
    /// The program and its arguments, with placeholders: see [`expand`].
    pub command: Vec<String>,
    /// Files that its directory has when it starts, by ascending path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ShippedFile>,
    /// Its parameters by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Scalar>,
    /// Names of the metrics that it must give, in ascending order.
    pub metrics: Vec<String>,
    /// What a worker must have to run it.
    #[serde(default)]
    pub needs: Needs,
    /// What it may use.
    #[serde(default, skip_serializing_if = "ProgramLimits::is_none")]
    pub limits: ProgramLimits,
    /// Repetition seed.
    pub seed: Seed,
}

impl fmt::Display for ProgramSpec {
    /// The command and the parameters, for people, at most some 120 characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 120;
        let mut text = String::from("program");
        // The program and its script tell what it is; the arguments follow from the
        // parameters.
        for argument in self.command.iter().take(2) {
            text.push(' ');
            text.push_str(argument);
        }
        for (name, value) in &self.parameters {
            // Memory takes what it is given.
            let _ = write!(text, " {name}={value}");
        }
        let text = crate::text::printable(&text, SHOWN);
        write!(f, "{text} seed {}", self.seed)
    }
}

/// A file that travels with a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ShippedFile {
    /// Where it is put, relative to the program's directory; see
    /// [`bounds::program::is_path`](crate::bounds::program::is_path).
    pub path: String,
    /// BLAKE3 of its content.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
    /// Whether it can be executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// What a worker must have to run a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Needs {
    /// Processor cores; the program's libraries are told to use as many threads.
    pub cores: u32,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Graphics cards.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gpus: u32,
}

impl Default for Needs {
    fn default() -> Self {
        Self {
            cores: 1,
            memory_bytes: None,
            gpus: 0,
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What one attempt of a program may use. Time is limited by the study, see
/// [`Limits`](crate::Limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProgramLimits {
    /// Bytes on standard output and standard error together. Without a limit all of
    /// it is read, and the end of it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// Resident memory of all of its processes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Files that each of its processes may have open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u32>,
}

impl ProgramLimits {
    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A parameter with one of its values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factor {
    /// The parameter's name.
    pub name: String,
    /// Its value.
    pub value: Scalar,
}

/// A label followed by a level, for people: `port latent=8`.
pub fn titled(label: &str, level: &[Factor]) -> String {
    let mut title = label.to_owned();
    for Factor { name, value } in level {
        // Memory takes what it is given.
        let _ = write!(title, " {name}={value}");
    }
    title
}

/// Which values of a metric are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// Smaller ones.
    Min,
    /// Larger ones.
    Max,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ProgramSpec {
        ProgramSpec {
            command: vec!["python3".to_owned(), "a.py".to_owned(), "{seed}".to_owned()],
            files: Vec::new(),
            parameters: BTreeMap::from([
                ("latent".to_owned(), Scalar::Whole(8)),
                ("rate".to_owned(), Scalar::Real(1.0)),
            ]),
            metrics: vec!["loss".to_owned()],
            needs: Needs::default(),
            limits: ProgramLimits::default(),
            seed: Seed(3),
        }
    }

    #[test]
    fn what_is_not_given_is_not_written() {
        let text = serde_json::to_string(&spec()).unwrap();
        let expected = r#"{"command":["python3","a.py","{seed}"],"parameters":{"latent":8,"rate":1.0},"metrics":["loss"],"needs":{"cores":1},"seed":3}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<ProgramSpec>(&text).unwrap(), spec());
    }

    #[test]
    fn a_program_is_named_by_its_script_and_parameters_in_one_line() {
        assert_eq!(
            spec().to_string(),
            "program python3 a.py latent=8 rate=1.0 seed 3"
        );
        let mut long = spec();
        long.command[1] = "\u{1b}[31m\n".repeat(100);
        let text = long.to_string();
        assert!(text.chars().count() < 150 && !text.contains(char::is_control));
    }
}
