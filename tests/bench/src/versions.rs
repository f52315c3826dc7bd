//! The versions of what is measured and of what it is compared with.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Programs and packages by name, each with its version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Versions(BTreeMap<String, String>);

impl Versions {
    /// Adds one; of two versions of a name, the later one is kept.
    pub(crate) fn note(&mut self, name: &str, version: &str) {
        self.0.insert(name.to_owned(), version.to_owned());
    }

    /// Adds what a baseline says of itself: an object of names with versions.
    pub(crate) fn note_all(&mut self, found: &Value) {
        for (name, version) in found.as_object().into_iter().flatten() {
            if let Some(version) = version.as_str() {
                self.note(name, version);
            }
        }
    }
}

impl Display for Versions {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (position, (name, version)) in self.0.iter().enumerate() {
            let separator = if position > 0 { ", " } else { "" };
            write!(f, "{separator}{name} {version}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_are_listed_by_name() {
        let mut versions = Versions::default();
        versions.note("torch", "2.11.0");
        versions.note_all(&json!({"dask": "2026.8.0", "torch": "2.11.1", "seconds": 1.5}));
        assert_eq!(versions.to_string(), "dask 2026.8.0, torch 2.11.1");
    }
}
