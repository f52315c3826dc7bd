//! Single quirks switched by name: for a whole study, or for an entry or a method.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use reprise_domain::{Protocol, Quirks};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_yaml::{Mapping, Value};

use super::axis::{Axis, Combination, combinations};
use super::checker::Checker;
use crate::each::Each;
use crate::error::Problem;
use crate::names;
use crate::path::KeyPath;

/// Quirks as a file gives them.
pub(crate) type Given = BTreeMap<String, Each<bool>>;

/// The quirks of `protocol` with the given ones switched.
pub(super) fn check(checker: &Checker<'_>, protocol: Protocol, given: &Given) -> Quirks {
    let quirks = Quirks::of(protocol);
    let mut pretrain = mapping(&quirks.pretrain);
    let mut search = mapping(&quirks.search);
    let path = KeyPath::root().key("quirks");
    for (name, on) in given {
        let key = path.key(name);
        let value = pretrain.get_mut(name).or(search.get_mut(name));
        match (value, on) {
            (Some(value), Each::One(on)) => *value = Value::Bool(*on),
            (Some(_), Each::List(_)) => {
                let hint = "several values of one quirk go into `quirks` of a `pretrain` entry or \
                            of a method, where each makes a level";
                let mistake = checker.wrong(&key, "`true` or `false`");
                checker.note(mistake.with_hint(hint.to_owned()));
            }
            (None, _) => {
                let known: Vec<_> = names(&pretrain).chain(names(&search)).collect();
                unknown(checker, &path, name, names::hint(name, &known));
            }
        }
    }
    Quirks {
        pretrain: of_mapping(pretrain),
        search: of_mapping(search),
    }
}

/// Quirks that an entry or a method has beside those of its study.
pub(super) struct Own<Q> {
    study: Mapping,
    axes: Vec<(String, Axis<bool>)>,
    quirks: PhantomData<Q>,
}

impl<Q: Serialize + DeserializeOwned + PartialEq> Own<Q> {
    /// Checks the quirks at `path`. `study` are those of the study, `others` those that
    /// decide something else, which is said in `elsewhere`.
    pub(super) fn check(
        checker: &Checker<'_>,
        path: &KeyPath,
        given: Option<&Given>,
        study: &Q,
        (others, elsewhere): (&impl Serialize, &str),
    ) -> Self {
        let study = mapping(study);
        let mut axes = Vec::new();
        for (name, on) in given.into_iter().flatten() {
            match study.get(name) {
                Some(default) => {
                    let default = default.as_bool().unwrap_or_default();
                    let key = path.key(name);
                    let axis = checker.axis(&key, name, Some(on), default, |_, on| Ok(on));
                    axes.push((name.clone(), axis));
                }
                None if mapping(others).contains_key(name) => {
                    unknown(checker, path, name, Some(elsewhere.to_owned()));
                }
                None => {
                    let known: Vec<_> = names(&study).collect();
                    unknown(checker, path, name, names::hint(name, &known));
                }
            }
        }
        Self {
            study,
            axes,
            quirks: PhantomData,
        }
    }

    /// How many combinations there are.
    pub(super) fn count(&self) -> usize {
        combinations(self.axes.iter().map(|(_, axis)| axis.len()))
    }

    /// The quirks of a combination; none where they are those of the study.
    pub(super) fn pick(&self, combination: &mut Combination) -> Option<Q> {
        let mut switched = self.study.clone();
        for (name, axis) in &self.axes {
            if let Some(value) = switched.get_mut(name) {
                *value = Value::Bool(combination.pick(axis));
            }
        }
        (switched != self.study).then(|| of_mapping(switched))
    }
}

fn unknown(checker: &Checker<'_>, path: &KeyPath, name: &str, hint: Option<String>) {
    let problem = Problem::UnknownKey {
        path: path.clone(),
        key: names::shorten(name),
    };
    checker.note(checker.at_key(&path.key(name), problem).with_hint(hint));
}

/// The names of all quirks, in the domain's order.
#[cfg(test)]
pub(crate) fn quirk_names() -> Vec<String> {
    let quirks = Quirks::of(Protocol::Reference);
    let (pretrain, search) = (mapping(&quirks.pretrain), mapping(&quirks.search));
    names(&pretrain)
        .chain(names(&search))
        .map(str::to_owned)
        .collect()
}

fn names(quirks: &Mapping) -> impl Iterator<Item = &str> {
    quirks.keys().filter_map(Value::as_str)
}

/// The switches by the names that the domain gives them, so that no second list
/// of names has to be kept.
fn mapping<Q: Serialize>(quirks: &Q) -> Mapping {
    match serde_yaml::to_value(quirks) {
        Ok(Value::Mapping(mapping)) => mapping,
        _ => Mapping::new(),
    }
}

fn of_mapping<Q: DeserializeOwned>(mapping: Mapping) -> Q {
    serde_yaml::from_value(Value::Mapping(mapping))
        .expect("the mapping came from the same type and only its booleans were changed")
}
