//! The `pretrain` section: entries, their levels, and what methods may call them.

use std::collections::HashSet;
use std::ops::Range;

use reprise_domain::bounds::{pretrain as bounds, search, study};
use reprise_domain::protocol::PretrainQuirks;
use reprise_domain::study::{PretrainPlan, Seeds};
use reprise_domain::task::ModelSizes;
use reprise_domain::{Limits, ModelName, Quirks, Seconds, SpaceName};

use super::axis::{Axis, Combination, combinations};
use super::checker::{Checker, tasks};
use super::quirks::Own;
use super::{limits, numbers};
use crate::error::Problem;
use crate::form::{PretrainForm, SizesForm};
use crate::path::KeyPath;

/// The section as methods refer to it.
#[derive(Debug, Default)]
pub(super) struct Pretrained {
    /// Every level of every entry.
    pub(super) plans: Vec<PretrainPlan>,
    pub(super) entries: Vec<Entry>,
}

/// An entry of the file.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its name, or that of its model.
    pub(super) label: String,
    models: Vec<ModelName>,
    /// Places of its levels.
    pub(super) levels: Range<usize>,
}

/// What a method calls an entry.
pub(super) enum Named<'a> {
    /// One entry of this label, with these places of levels.
    One(&'a str, Range<usize>),
    /// Several entries train the model of this name.
    Several(Vec<&'a str>),
    /// No entry.
    None,
}

impl Pretrained {
    /// The entry, or the one level of an entry, that `name` stands for: the name of an
    /// entry, that of a level, or that of a model that one entry trains.
    pub(super) fn named(&self, name: &str) -> Named<'_> {
        if let Some(entry) = self.entries.iter().find(|entry| entry.label == name) {
            return Named::One(&entry.label, entry.levels.clone());
        }
        if let Some(place) = self.plans.iter().position(|plan| plan.title() == name) {
            return Named::One(self.plans[place].label(), place..place + 1);
        }
        let trains = |entry: &&Entry| entry.models.iter().any(|model| model.as_str() == name);
        let entries: Vec<_> = self.entries.iter().filter(trains).collect();
        match entries.as_slice() {
            [] => Named::None,
            [entry] => Named::One(&entry.label, entry.levels.clone()),
            several => Named::Several(several.iter().map(|entry| entry.label.as_str()).collect()),
        }
    }
}

/// Passes over the training graphs as published (protocol notes, section 3).
const fn published_epochs(space: SpaceName) -> u32 {
    match space {
        SpaceName::Nasbench101 => 8,
        SpaceName::Nasbench201 => 10,
    }
}

/// Checks every entry of the section.
pub(super) fn check(
    checker: &Checker<'_>,
    forms: &[PretrainForm],
    quirks: &Quirks,
    silence: Option<Seconds>,
) -> Pretrained {
    let section = KeyPath::root().key("pretrain");
    let mut pretrained = Pretrained::default();
    let mut planned = 0_u64;
    for (index, form) in forms.iter().enumerate() {
        let path = section.index(index);
        let settings = Settings::check(checker, &path, form, quirks, silence);
        let levels = settings.levels();
        let most = study::STAGES - pretrained.plans.len();
        if levels > most {
            let problem = Problem::WrongValue {
                path: path.clone(),
                found: format!("an entry of {levels} levels"),
                expected: format!("at most {} in all entries together", study::STAGES),
            };
            checker.note(checker.at_key(&path, problem));
            break;
        }
        // Every level has the seeds: they are counted before they take memory.
        planned = planned.saturating_add(tasks(&[levels, settings.seeds.len()]));
        if planned > u64::from(study::TASKS) {
            checker.bound(&section, planned);
            break;
        }
        let entry = entry(checker, &section, index, form, &settings, &pretrained);
        let plans = settings.plans(&entry.name);
        let start = pretrained.plans.len();
        if let Some(first) = pretrained.twice(&plans, quirks) {
            let problem = Problem::EntryTwice {
                path: path.clone(),
                first: section.index(first),
            };
            let hint =
                "both would run the same tasks: remove one of them, or give them other seeds";
            let mistake = checker.at_value(&path.key("model"), problem);
            checker.note(mistake.with_hint(hint.to_owned()));
        }
        pretrained.plans.extend(plans);
        pretrained.entries.push(Entry {
            label: entry.label,
            models: settings.model.values,
            levels: start..pretrained.plans.len(),
        });
    }
    pretrained
}

impl Pretrained {
    /// The entry that has a task of `plans` already.
    fn twice(&self, plans: &[PretrainPlan], quirks: &Quirks) -> Option<usize> {
        let shared = self.plans.iter().position(|known| {
            let mut same = plans.iter().filter(|plan| trains_as(known, plan, quirks));
            same.any(|plan| {
                let seeds: HashSet<_> = known.seeds.iter().collect();
                plan.seeds.iter().any(|seed| seeds.contains(&seed))
            })
        })?;
        self.entries
            .iter()
            .position(|entry| entry.levels.contains(&shared))
    }
}

/// Whether two entries train alike where their seeds are equal.
fn trains_as(a: &PretrainPlan, b: &PretrainPlan, quirks: &Quirks) -> bool {
    let of = |plan: &PretrainPlan| {
        let steps = (plan.epochs, plan.batch, plan.learning_rate, plan.clip);
        let quirks = plan.quirks.unwrap_or(quirks.pretrain);
        (plan.model, plan.sizes, steps, plan.latent_points, quirks)
    };
    of(a) == of(b)
}

/// What an entry is called.
struct Name {
    /// As it is given.
    name: Option<String>,
    /// What methods call it.
    label: String,
}

fn entry(
    checker: &Checker<'_>,
    section: &KeyPath,
    index: usize,
    form: &PretrainForm,
    settings: &Settings,
    before: &Pretrained,
) -> Name {
    let path = section.index(index);
    let name = form.name.as_ref().map(|word| word.0.clone());
    let model = settings.model.values[0];
    if let Some(name) = name.as_deref() {
        if !search::is_label(name) || name == "discrete" {
            let expected = format!("{}, and not `discrete`", search::LABEL);
            checker.note(checker.wrong(&path.key("name"), expected));
        }
    } else if settings.model.len() > 1 {
        let problem = Problem::MissingKey {
            path: path.clone(),
            key: "name".to_owned(),
        };
        let hint = "an entry with several models has a name, by which `encoding` chooses it";
        checker.note(checker.at_key(&path, problem).with_hint(hint.to_owned()));
    }
    let label = name.clone().unwrap_or_else(|| model.to_string());
    let mut entries = before.entries.iter();
    if let Some(first) = entries.position(|known| known.label == label) {
        let first = section.index(first);
        let mistake = if name.is_some() {
            let problem = Problem::DuplicateName {
                path: path.clone(),
                name: label.clone(),
                first,
            };
            checker.at_value(&path.key("name"), problem)
        } else {
            let problem = Problem::ModelTwice {
                path: path.clone(),
                model: model.as_str(),
                first,
            };
            let hint = "give each of them a `name`, by which `encoding` chooses one, or write one \
                        entry with a list, such as `epochs: [8, 20]`";
            let mistake = checker.at_value(&path.key("model"), problem);
            mistake.with_hint(hint.to_owned())
        };
        checker.note(mistake);
    }
    Name { name, label }
}

/// Every setting of an entry with its values.
struct Settings {
    model: Axis<ModelName>,
    hidden: Axis<u32>,
    latent: Axis<u32>,
    layers: Axis<u32>,
    dropout: Axis<f64>,
    epochs: Axis<u32>,
    batch: Axis<u32>,
    learning_rate: Axis<f64>,
    clip: Axis<f64>,
    latent_points: Axis<u32>,
    quirks: Own<PretrainQuirks>,
    seeds: Seeds,
    limits: Limits,
}

impl Settings {
    /// Defaults are the published ones (protocol notes, section 3).
    fn check(
        checker: &Checker<'_>,
        path: &KeyPath,
        form: &PretrainForm,
        quirks: &Quirks,
        silence: Option<Seconds>,
    ) -> Self {
        let whole = |key: &str, given, default, bound| {
            checker.wholes(&path.key(key), key, given, default, bound)
        };
        let real = |key: &str, given, default, bound| {
            checker.reals(&path.key(key), key, given, default, bound)
        };
        let none = SizesForm::default();
        let sizes_path = path.key("sizes");
        let given = form.sizes.as_ref().unwrap_or(&none);
        let size = |key: &str, given, default, bound| {
            checker.wholes(&sizes_path.key(key), key, given, default, bound)
        };
        let default = ModelSizes::default();
        let latent = bounds::latent(checker.space);
        let elsewhere =
            "it decides searching: write it into a method, or into `quirks` of the study";
        let (batch, points) = (form.batch.as_ref(), form.latent_points.as_ref());
        let settings = Self {
            model: checker.axis(
                &path.key("model"),
                "model",
                Some(&form.model),
                ModelName::Arch2vec,
                |_, name| Ok(name.0),
            ),
            hidden: size(
                "hidden",
                given.hidden.as_ref(),
                default.hidden,
                bounds::HIDDEN,
            ),
            latent: size("latent", given.latent.as_ref(), default.latent, latent),
            layers: size(
                "layers",
                given.layers.as_ref(),
                default.layers,
                bounds::LAYERS,
            ),
            dropout: checker.reals(
                &sizes_path.key("dropout"),
                "dropout",
                given.dropout.as_ref(),
                default.dropout,
                bounds::DROPOUT,
            ),
            epochs: whole(
                "epochs",
                form.epochs.as_ref(),
                published_epochs(checker.space),
                bounds::EPOCHS,
            ),
            batch: whole("batch", batch, 32, bounds::BATCH),
            learning_rate: real(
                "learning-rate",
                form.learning_rate.as_ref(),
                1e-3,
                bounds::LEARNING_RATE,
            ),
            clip: real("clip", form.clip.as_ref(), 5.0, bounds::CLIP),
            latent_points: whole("latent-points", points, 10_000, bounds::LATENT_POINTS),
            quirks: Own::check(
                checker,
                &path.key("quirks"),
                form.quirks.as_ref(),
                &quirks.pretrain,
                (&quirks.search, elsewhere),
            ),
            seeds: numbers::seeds(checker, &path.key("seeds"), &form.seeds),
            limits: limits::check(
                checker,
                path,
                form.time_limit.as_ref(),
                form.silence_limit.as_ref(),
                silence,
            ),
        };
        settings.bound_weights(checker, &sizes_path);
        settings
    }

    /// The largest combination is the one that may be too large.
    fn bound_weights(&self, checker: &Checker<'_>, path: &KeyPath) {
        let largest = |axis: &Axis<u32>| axis.values.iter().copied().max().unwrap_or_default();
        let sizes = ModelSizes {
            hidden: largest(&self.hidden),
            layers: largest(&self.layers),
            ..ModelSizes::default()
        };
        let (weights, most) = (sizes.weights(), bounds::WEIGHTS);
        if weights > most {
            let problem = Problem::WrongValue {
                path: path.clone(),
                found: format!("a model of {weights} weights"),
                expected: format!("at most {most} for `2 x layers x hidden x hidden`"),
            };
            checker.note(checker.at_key(path, problem));
        }
    }

    fn levels(&self) -> usize {
        combinations([
            self.model.len(),
            self.hidden.len(),
            self.latent.len(),
            self.layers.len(),
            self.dropout.len(),
            self.epochs.len(),
            self.batch.len(),
            self.learning_rate.len(),
            self.clip.len(),
            self.latent_points.len(),
            self.quirks.count(),
        ])
    }

    /// Every level as an entry of its own.
    fn plans(&self, name: &Option<String>) -> Vec<PretrainPlan> {
        let total = self.levels();
        let plans = (0..total).map(|place| {
            let mut at = Combination::new(place, total);
            let plan = PretrainPlan {
                name: name.clone(),
                level: Vec::new(),
                model: at.pick(&self.model),
                sizes: ModelSizes {
                    hidden: at.pick(&self.hidden),
                    latent: at.pick(&self.latent),
                    layers: at.pick(&self.layers),
                    dropout: at.pick(&self.dropout),
                },
                epochs: at.pick(&self.epochs),
                batch: at.pick(&self.batch),
                learning_rate: at.pick(&self.learning_rate),
                clip: at.pick(&self.clip),
                latent_points: at.pick(&self.latent_points),
                quirks: self.quirks.pick(&mut at),
                seeds: self.seeds.clone(),
                limits: self.limits,
            };
            PretrainPlan {
                level: at.level,
                ..plan
            }
        });
        plans.collect()
    }
}
