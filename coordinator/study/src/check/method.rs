//! One search method: which settings are its own, their published defaults, and
//! the embedding that it searches.

use reprise_domain::bounds::{Whole, search as bounds};
use reprise_domain::study::{MethodPlan, PretrainPlan};
use reprise_domain::{MethodSpec, ModelName, Seconds, SpaceName};

use super::checker::Checker;
use super::limits;
use crate::error::{Problem, StudyFileError};
use crate::form::{EncodingForm, MethodForm, MethodName};
use crate::names;
use crate::path::KeyPath;

impl MethodName {
    const fn as_str(self) -> &'static str {
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
const SHARED: [&str; 4] = ["label", "encoding", "time-limit", "silence-limit"];

/// Settings of `REINFORCE` and `DNGO` that differ between the spaces (protocol
/// notes, sections 5 and 6).
struct Published {
    baseline: f64,
    discount: f64,
    batch: u32,
    target: f64,
}

impl Published {
    const fn of(space: SpaceName) -> Self {
        match space {
            SpaceName::Nasbench101 => Self {
                baseline: 0.95,
                discount: 0.8,
                batch: 5,
                target: 0.95,
            },
            SpaceName::Nasbench201 => Self {
                baseline: 0.4,
                discount: 0.4,
                batch: 1,
                target: 1.0,
            },
        }
    }
}

/// Checks one entry of `search.methods`.
pub(super) fn check(
    checker: &Checker<'_>,
    path: &KeyPath,
    form: &MethodForm,
    pretrain: &[PretrainPlan],
    silence: Option<Seconds>,
) -> Result<MethodPlan, StudyFileError> {
    check_settings(checker, path, form)?;
    let encoding = encoding(checker, path, form, pretrain)?;
    let name = form.name.0.as_str();
    let label = match (&form.label, encoding) {
        (Some(label), _) => label.clone(),
        (None, None) => name.to_owned(),
        (None, Some(model)) => format!("{model}-{name}"),
    };
    if !bounds::is_label(&label) {
        return Err(checker.wrong(&path.key("label"), bounds::LABEL));
    }
    Ok(MethodPlan {
        label,
        method: settings(checker, path, form)?,
        encoding,
        limits: limits::check(
            checker,
            path,
            form.time_limit.as_ref(),
            form.silence_limit.as_ref(),
            silence,
        )?,
    })
}

fn check_settings(
    checker: &Checker<'_>,
    path: &KeyPath,
    form: &MethodForm,
) -> Result<(), StudyFileError> {
    let method = form.name.0;
    let own = method.settings();
    let foreign = [
        MethodName::RegularizedEvolution,
        MethodName::Reinforce,
        MethodName::Dngo,
    ]
    .into_iter()
    .flat_map(|other| other.settings().iter().map(move |&key| (other, key)))
    .find(|(_, key)| !own.contains(key) && checker.tree.contains(&path.key(key)));
    let Some((owner, key)) = foreign else {
        return Ok(());
    };
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
    Err(checker.at_key(&path.key(key), problem).with_hint(hint))
}

fn encoding(
    checker: &Checker<'_>,
    path: &KeyPath,
    form: &MethodForm,
    pretrain: &[PretrainPlan],
) -> Result<Option<ModelName>, StudyFileError> {
    let method = form.name.0;
    let path_of_encoding = path.key("encoding");
    let model = match form.encoding.map(|name| name.0) {
        None | Some(EncodingForm::Discrete) if !method.needs_embedding() => return Ok(None),
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
        Some(EncodingForm::Discrete) => {
            return Err(checker.wrong(&path_of_encoding, "`arch2vec` or `arch2vec-no-kl`"));
        }
        Some(EncodingForm::Arch2vec) => ModelName::Arch2vec,
        Some(EncodingForm::Arch2vecNoKl) => ModelName::Arch2vecNoKl,
    };
    let path = path_of_encoding;
    let name = model.as_str();
    if pretrain.iter().any(|plan| plan.model == model) {
        return Ok(Some(model));
    }
    let problem = Problem::NotPretrained {
        path: path.clone(),
        model: name,
    };
    let hint = format!("add `{{model: {name}, seeds: 1..3}}` to `pretrain`");
    Err(checker.at_value(&path, problem).with_hint(hint))
}

/// The method with its defaults (protocol notes, sections 5 and 6; those of
/// regularised evolution as in the curves that the paper compares with).
fn settings(
    checker: &Checker<'_>,
    path: &KeyPath,
    form: &MethodForm,
) -> Result<MethodSpec, StudyFileError> {
    let whole =
        |key: &str, given, default, bound| checker.whole(&path.key(key), given, default, bound);
    let real =
        |key: &str, given, default, bound| checker.real(&path.key(key), given, default, bound);
    let published = Published::of(checker.space);
    Ok(match form.name.0 {
        MethodName::Random => MethodSpec::Random,
        MethodName::RegularizedEvolution => {
            let population = whole("population", form.population, 10, bounds::POPULATION)?;
            let bound = Whole {
                least: 1,
                most: population,
            };
            let sample = whole("sample", form.sample, 3.min(population), bound)?;
            MethodSpec::RegularizedEvolution { population, sample }
        }
        MethodName::Reinforce => {
            let rate = form.learning_rate;
            MethodSpec::Reinforce {
                episode: whole("episode", form.episode, 16, bounds::EPISODE)?,
                learning_rate: real("learning-rate", rate, 0.01, bounds::LEARNING_RATE)?,
                baseline: real(
                    "baseline",
                    form.baseline,
                    published.baseline,
                    bounds::BASELINE,
                )?,
                discount: real(
                    "discount",
                    form.discount,
                    published.discount,
                    bounds::DISCOUNT,
                )?,
            }
        }
        MethodName::Dngo => MethodSpec::Dngo {
            initial: whole("initial", form.initial, 16, bounds::INITIAL)?,
            batch: whole("batch", form.batch, published.batch, bounds::BATCH)?,
            epochs: whole("epochs", form.epochs, 100, bounds::EPOCHS)?,
            target: real("target", form.target, published.target, bounds::TARGET)?,
        },
    })
}
