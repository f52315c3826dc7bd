//! The path of a key in a study file, such as `search.methods[2].population`.

use std::fmt;

use crate::names::shorten;

/// Where a key stands in the nesting of a study file. Prints in backticks, as
/// messages need it; the root prints as "the study file".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPath(Vec<Step>);

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// To the value of a key.
    Key(String),
    /// To an element of a list, from 0.
    Index(usize),
}

impl KeyPath {
    /// The file itself.
    pub(crate) fn root() -> Self {
        Self::default()
    }

    /// The path of `key` inside this one.
    pub(crate) fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    /// The path of element `index` of this one.
    pub(crate) fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// The steps from the root.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Reads the form that `serde_yaml` prints. A key that itself holds a dot
    /// or bracket comes out wrong; the caller must expect that nothing is there.
    pub(crate) fn from_serde(text: &str) -> Self {
        let mut steps = Vec::new();
        for part in text.split('.') {
            let (key, indices) = part.split_once('[').unwrap_or((part, ""));
            if !key.is_empty() {
                steps.push(Step::Key(key.to_owned()));
            }
            let indices = indices.split(['[', ']']).filter(|index| !index.is_empty());
            steps.extend(indices.filter_map(|index| index.parse().ok().map(Step::Index)));
        }
        Self(steps)
    }

    /// This path, begun at `outer`.
    pub(crate) fn within(self, outer: &Self) -> Self {
        let mut steps = outer.0.clone();
        steps.extend(self.0);
        Self(steps)
    }

    /// Whether it is `outer` or leads on from there.
    pub(crate) fn is_within(&self, outer: &Self) -> bool {
        self.0.starts_with(&outer.0)
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the study file");
        }
        f.write_str("`")?;
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => write!(f, "{}", shorten(key))?,
                Step::Key(key) => write!(f, ".{}", shorten(key))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        f.write_str("`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_print_and_read_as_serde_yaml_writes_them() {
        let path = KeyPath::root()
            .key("search")
            .key("methods")
            .index(2)
            .key("name");
        assert_eq!(path.to_string(), "`search.methods[2].name`");
        assert_eq!(KeyPath::from_serde("search.methods[2].name"), path);
        assert_eq!(KeyPath::from_serde("."), KeyPath::root());
        assert_eq!(KeyPath::root().to_string(), "the study file");
    }
}
