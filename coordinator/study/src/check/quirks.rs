//! Single quirks switched by name.

use std::collections::BTreeMap;

use reprise_domain::{Protocol, Quirks};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_yaml::{Mapping, Value};

use super::checker::Checker;
use crate::error::{Problem, StudyFileError};
use crate::names;
use crate::path::KeyPath;

/// The quirks of `protocol` with the given ones switched.
pub(super) fn check(
    checker: &Checker<'_>,
    protocol: Protocol,
    given: BTreeMap<String, bool>,
) -> Result<Quirks, StudyFileError> {
    let quirks = Quirks::of(protocol);
    let mut pretrain = mapping(&quirks.pretrain);
    let mut search = mapping(&quirks.search);
    for (name, on) in given {
        let value = pretrain.get_mut(&name).or(search.get_mut(&name));
        let Some(value) = value else {
            let known = names(&pretrain).chain(names(&search)).collect::<Vec<_>>();
            let path = KeyPath::root().key("quirks");
            let hint = names::hint(&name, &known);
            let key = names::shorten(&name);
            let place = path.key(&name);
            return Err(checker
                .at_key(&place, Problem::UnknownKey { path, key })
                .with_hint(hint));
        };
        *value = Value::Bool(on);
    }
    Ok(Quirks {
        pretrain: of_mapping(pretrain),
        search: of_mapping(search),
    })
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
