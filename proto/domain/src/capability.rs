//! What a worker offers when it joins, and what it runs on.
//!
//! The program, libraries and machine named here are the provenance of every result
//! of the session: they are said once a session, and results name the session's
//! worker.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Hexadecimal digits of a commit that are shown.
const COMMIT_DIGITS: usize = 12;

/// A worker's offer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capability {
    /// Tasks it runs at once.
    pub slots: u32,
    /// Host name, for people and manifests.
    pub host: String,
    /// Where its slots compute.
    pub device: Device,
    /// Version of the worker program.
    pub version: String,
    /// Version of libtorch; [`Self::NO_LIBTORCH`] where the worker has none.
    pub libtorch: String,
    /// Git commit that the worker program was built from; empty where the build does
    /// not know it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub commit: String,
    /// Operating system and processor architecture.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub os: String,
    /// Version of the graphics driver; empty where the worker does not use one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// Processor cores that the worker may use; 0 when it does not know.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cores: u32,
    /// Memory that the worker may use, in bytes; 0 when it does not know.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub memory_bytes: u64,
    /// Whether it runs programs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub programs: bool,
}

impl Capability {
    /// What stands for the version of libtorch where there is none.
    pub const NO_LIBTORCH: &str = "none";

    /// Whether it takes tasks that need libtorch.
    pub fn has_libtorch(&self) -> bool {
        self.libtorch != Self::NO_LIBTORCH
    }

    /// The worker program and what it computes with, in words.
    pub fn program(&self) -> String {
        let Self {
            version,
            commit,
            libtorch,
            ..
        } = self;
        let commit: String = commit.chars().take(COMMIT_DIGITS).collect();
        let commit = match commit.as_str() {
            "" => "unknown",
            commit => commit,
        };
        format!("reprise-worker {version}, commit {commit}, libtorch {libtorch}")
    }
}

/// A compute device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Device {
    /// Processor cores, one task a core.
    Cpu {
        /// The processor's name.
        model: String,
    },
    /// A CUDA device.
    Cuda {
        /// Its index.
        index: u32,
        /// Its name.
        model: String,
    },
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu { model } => f.write_str(model),
            Self::Cuda { index, model } => write!(f, "{model} (cuda:{index})"),
        }
    }
}
impl Default for Device {
    fn default() -> Self {
        Self::Cpu {
            model: String::new(),
        }
    }
}

/// What is not known or not offered is left out.
fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_without_provenance_is_read_and_written_as_before() {
        let before = r#"{"slots":2,"host":"a","device":{"type":"cpu","model":"m"},"version":"0.1.0","libtorch":"2.11.0"}"#;
        let offer: Capability = serde_json::from_str(before).unwrap();
        assert_eq!(offer.slots, 2);
        assert_eq!(serde_json::to_string(&offer).unwrap(), before);
        assert_eq!(
            offer.program(),
            "reprise-worker 0.1.0, commit unknown, libtorch 2.11.0"
        );
    }
}
