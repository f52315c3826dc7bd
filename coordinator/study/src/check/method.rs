//! One search method: which settings are its own, their published defaults, and its
//! levels, which follow those of the embeddings that it searches.

use std::ops::Range;

use reprise_domain::bounds::{search as bounds, study};
use reprise_domain::protocol::SearchQuirks;
use reprise_domain::study::{MethodPlan, Pairing};
use reprise_domain::{Factor, Limits, ModelName, Quirks, Scalar, Seconds};

use super::axis::Combination;
use super::checker::Checker;
use super::limits;
use super::pretrain::{Named, Pretrained};
use super::quirks::Own;
use super::settings::Settings;
use crate::each::Each;
use crate::error::{Problem, StudyFileError};
use crate::form::{MethodForm, MethodName};
use crate::names;
use crate::path::KeyPath;

impl MethodName {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::RegularizedEvolution => "regularized-evolution",
            Self::Reinforce => "reinforce",
            Self::Dngo => "dngo",
        }
    }

    /// Settings of this method alone; all take those of [`SHARED`] too.
    const fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Random => &[],
            Self::RegularizedEvolution => &["population", "sample"],
            Self::Reinforce => &["episode", "learning-rate", "baseline", "discount"],
            Self::Dngo => &["initial", "batch", "epochs", "target"],
        }
    }

    const fn needs_embedding(self) -> bool {
        matches!(self, Self::Reinforce | Self::Dngo)
    }
}

/// Settings of every method.
const SHARED: [&str; 5] = ["label", "encoding", "quirks", "time-limit", "silence-limit"];

/// What the methods of a study have in common.
pub(super) struct Around<'a> {
    pub(super) pretrained: &'a Pretrained,
    pub(super) quirks: &'a Quirks,
    pub(super) silence: Option<Seconds>,
    /// Most plans that are still to be made.
    pub(super) most: usize,
}

/// Checks one entry of `search.methods`: a plan for each of its levels. Says in `label`
/// what the entry is called, also where it has mistakes.
pub(super) fn check(
    checker: &Checker<'_>,
    path: &KeyPath,
    form: &MethodForm,
    around: &Around<'_>,
) -> (Option<String>, Vec<MethodPlan>) {
    check_settings(checker, path, form);
    let encoding = checker.keep(encoding(checker, path, form, around.pretrained));
    let name = form.name.0.as_str();
    let label = match (&form.label, encoding.as_deref()) {
        (Some(label), _) => Some(label.clone()),
        // Several embeddings are told apart by their column.
        (
            None,
            Some(
                [
                    Encoding {
                        factor: false,
                        label,
                        ..
                    },
                ],
            ),
        ) => Some(format!("{label}-{name}")),
        (None, Some(_)) => Some(name.to_owned()),
        (None, None) => None,
    };
    if label
        .as_deref()
        .is_some_and(|label| !bounds::is_label(label))
    {
        checker.note(wrong_label(checker, path, form));
    }
    let elsewhere = "it decides pretraining: write it into an entry of `pretrain`, or into `quirks` of the study";
    let own = Levels {
        settings: Settings::check(checker, path, form),
        quirks: Own::check(
            checker,
            &path.key("quirks"),
            form.quirks.as_ref(),
            &around.quirks.search,
            (&around.quirks.pretrain, elsewhere),
        ),
        limits: limits::check(
            checker,
            path,
            form.time_limit.as_ref(),
            form.silence_limit.as_ref(),
            around.silence,
        ),
    };
    let (Some(label), Some(encodings)) = (&label, encoding) else {
        return (label, Vec::new());
    };
    let embeddings = encodings.iter().map(|encoding| encoding.levels.len());
    let embeddings = if encodings.is_empty() {
        1
    } else {
        embeddings.sum()
    };
    let levels = own.count().saturating_mul(embeddings);
    if levels > around.most {
        let problem = Problem::WrongValue {
            path: path.clone(),
            found: format!("a method of {levels} levels"),
            expected: format!(
                "at most {} rows of all methods on all data sets and of `pretrain` together",
                study::STAGES
            ),
        };
        checker.note(checker.at_key(path, problem));
        return (Some(label.clone()), Vec::new());
    }
    let mut plans = Vec::with_capacity(levels);
    if encodings.is_empty() {
        own.extend(label, None, &[], &mut plans);
    }
    for encoding in &encodings {
        for plan in &around.pretrained.plans[encoding.levels.clone()] {
            let mut level: Vec<Factor> = Vec::new();
            level.extend(encoding.factor.then(|| Factor {
                name: "encoding".to_owned(),
                value: Scalar::Text(encoding.label.to_owned()),
            }));
            level.extend(plan.level.iter().cloned());
            own.extend(label, Some(plan.title()), &level, &mut plans);
        }
    }
    (Some(label.clone()), plans)
}

/// A label that is wrong, or would be if it were made of other names.
fn wrong_label(checker: &Checker<'_>, path: &KeyPath, form: &MethodForm) -> StudyFileError {
    if form.label.is_some() {
        return checker.wrong(&path.key("label"), bounds::LABEL);
    }
    let problem = Problem::MissingKey {
        path: path.clone(),
        key: "label".to_owned(),
    };
    let hint = "without one it is `ENCODING-NAME`, which is longer than 60 characters here";
    checker.at_key(path, problem).with_hint(hint.to_owned())
}

/// Everything of a method but its embedding.
struct Levels {
    settings: Settings,
    quirks: Own<SearchQuirks>,
    limits: Limits,
}

impl Levels {
    fn count(&self) -> usize {
        self.settings.count().saturating_mul(self.quirks.count())
    }

    /// Adds a plan for each level of the settings, with `outer` before it.
    fn extend(
        &self,
        label: &str,
        encoding: Option<String>,
        outer: &[Factor],
        plans: &mut Vec<MethodPlan>,
    ) {
        let total = self.count();
        plans.extend((0..total).map(|place| {
            let mut at = Combination::new(place, total);
            let method = self.settings.pick(&mut at);
            let quirks = self.quirks.pick(&mut at);
            MethodPlan {
                label: label.to_owned(),
                level: outer.iter().cloned().chain(at.level).collect(),
                method,
                encoding: encoding.clone(),
                quirks,
                limits: self.limits,
            }
        }));
    }
}

/// How many tasks a method has on one data set.
pub(super) fn trials(plan: &MethodPlan, pretrained: &Pretrained, pairing: Pairing) -> usize {
    match (pairing, &plan.encoding) {
        (Pairing::Crossed, Some(title)) => {
            let mut entries = pretrained.plans.iter();
            let entry = entries.find(|entry| entry.title() == *title);
            entry.map_or(0, |entry| entry.seeds.len())
        }
        _ => 1,
    }
}

fn check_settings(checker: &Checker<'_>, path: &KeyPath, form: &MethodForm) {
    let method = form.name.0;
    let own = method.settings();
    let all = [
        MethodName::RegularizedEvolution,
        MethodName::Reinforce,
        MethodName::Dngo,
    ]
    .into_iter()
    .flat_map(|other| other.settings().iter().map(move |&key| (other, key)));
    let mut told: Vec<&str> = Vec::new();
    for (owner, key) in all {
        let is_foreign = !own.contains(&key) && checker.tree.contains(&path.key(key));
        if !is_foreign || told.contains(&key) {
            continue;
        }
        told.push(key);
        let problem = Problem::NotASetting {
            path: path.clone(),
            key: key.to_owned(),
            method: method.as_str(),
        };
        let mut keys = own.to_vec();
        keys.extend(SHARED);
        let hint = format!(
            "`{key}` belongs to `{}`; settings of `{}`: {}",
            owner.as_str(),
            method.as_str(),
            names::listed(&keys, ", ")
        );
        checker.note(checker.at_key(&path.key(key), problem).with_hint(hint));
    }
}

/// An embedding that a method searches.
struct Encoding<'a> {
    /// Label of the entry that makes it.
    label: &'a str,
    /// Places of the levels of the entry.
    levels: Range<usize>,
    /// Whether it stands in a list.
    factor: bool,
}

/// The embeddings that a method searches; none where it looks at none.
fn encoding<'a>(
    checker: &Checker<'_>,
    path: &KeyPath,
    form: &MethodForm,
    pretrained: &'a Pretrained,
) -> Result<Vec<Encoding<'a>>, StudyFileError> {
    let method = form.name.0;
    let path_of_encoding = path.key("encoding");
    let words = match &form.encoding {
        None if !method.needs_embedding() => return Ok(Vec::new()),
        Some(Each::One(word)) if !method.needs_embedding() && word.0 == DISCRETE => {
            return Ok(Vec::new());
        }
        None => {
            let problem = Problem::MissingKey {
                path: path.clone(),
                key: "encoding".to_owned(),
            };
            return Err(checker.at_key(path, problem).with_hint(format!(
                "`{}` searches an embedding, such as `encoding: arch2vec`",
                method.as_str()
            )));
        }
        Some(_) if !method.needs_embedding() => {
            return Err(checker
                .wrong(&path_of_encoding, "`discrete` or no key at all")
                .with_hint(format!(
                    "`{}` does not look at an embedding",
                    method.as_str()
                )));
        }
        Some(Each::One(word)) => {
            let (label, levels) = named(checker, &path_of_encoding, &word.0, pretrained)?;
            return Ok(vec![Encoding {
                label,
                levels,
                factor: false,
            }]);
        }
        Some(Each::List(words)) => words,
    };
    if words.is_empty() {
        return Err(checker.wrong(&path_of_encoding, "at least one name"));
    }
    let mut encodings: Vec<Encoding<'a>> = Vec::with_capacity(words.len());
    for (index, word) in words.iter().enumerate() {
        let path = path_of_encoding.index(index);
        let (label, levels) = named(checker, &path, &word.0, pretrained)?;
        let overlaps = |known: &Encoding<'_>| {
            known.levels.start < levels.end && levels.start < known.levels.end
        };
        if encodings.iter().any(overlaps) {
            return Err(checker.wrong(&path, "every embedding once"));
        }
        encodings.push(Encoding {
            label,
            levels,
            factor: true,
        });
    }
    Ok(encodings)
}

/// No embedding.
const DISCRETE: &str = "discrete";

/// The entry of `pretrain` that is called `name`, with its levels.
fn named<'a>(
    checker: &Checker<'_>,
    path: &KeyPath,
    name: &str,
    pretrained: &'a Pretrained,
) -> Result<(&'a str, Range<usize>), StudyFileError> {
    let models = [ModelName::Arch2vec, ModelName::Arch2vecNoKl].map(ModelName::as_str);
    let labels: Vec<&str> = pretrained
        .entries
        .iter()
        .map(|entry| entry.label.as_str())
        .collect();
    match pretrained.named(name) {
        Named::One(label, levels) => Ok((label, levels)),
        Named::Several(labels) => {
            let mistake = checker.wrong(path, names::alternatives(&labels));
            let hint = format!(
                "several entries of `pretrain` train `{}`",
                names::shorten(name)
            );
            Err(mistake.with_hint(hint))
        }
        Named::None if name == DISCRETE => {
            let known = if labels.is_empty() {
                &models[..]
            } else {
                &labels
            };
            Err(checker.wrong(path, names::alternatives(known)))
        }
        Named::None => match models.into_iter().find(|model| *model == name) {
            Some(model) => {
                let problem = Problem::NotPretrained {
                    path: path.clone(),
                    model,
                };
                let hint = format!("add `{{model: {model}, seeds: 1..3}}` to `pretrain`");
                Err(checker.at_value(path, problem).with_hint(hint))
            }
            None => {
                let known = if labels.is_empty() {
                    &models[..]
                } else {
                    &labels
                };
                let expected = format!("{}, an entry of `pretrain`", names::alternatives(known));
                let guess = names::nearest(name, known);
                let hint = guess.map(|guess| format!("did you mean `{guess}`?"));
                Err(checker.wrong(path, expected).with_hint(hint))
            }
        },
    }
}
