//! The `pretrain` section.

use reprise_domain::bounds::pretrain as bounds;
use reprise_domain::study::PretrainPlan;
use reprise_domain::task::ModelSizes;
use reprise_domain::{Seconds, SpaceName};

use super::checker::Checker;
use super::{limits, numbers};
use crate::error::{Problem, StudyFileError};
use crate::form::{PretrainForm, SizesForm};
use crate::path::KeyPath;

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
    forms: Vec<PretrainForm>,
    silence: Option<Seconds>,
) -> Result<Vec<PretrainPlan>, StudyFileError> {
    let section = KeyPath::root().key("pretrain");
    let mut plans: Vec<PretrainPlan> = Vec::with_capacity(forms.len());
    for (index, form) in forms.into_iter().enumerate() {
        let path = section.index(index);
        let plan = entry(checker, &path, form, silence)?;
        if let Some(first) = plans.iter().position(|known| known.model == plan.model) {
            let problem = Problem::ModelTwice {
                path: path.clone(),
                model: plan.model.as_str(),
                first: section.index(first),
            };
            let hint = "keep one of them, and put the other into a study of its own";
            return Err(checker
                .at_value(&path.key("model"), problem)
                .with_hint(hint.to_owned()));
        }
        plans.push(plan);
    }
    checker.bound(&section, &[plans.iter().map(|plan| plan.seeds.len()).sum()])?;
    Ok(plans)
}

/// Defaults are the published ones (protocol notes, section 3).
fn entry(
    checker: &Checker<'_>,
    path: &KeyPath,
    form: PretrainForm,
    silence: Option<Seconds>,
) -> Result<PretrainPlan, StudyFileError> {
    let whole =
        |key: &str, given, default, bound| checker.whole(&path.key(key), given, default, bound);
    let real =
        |key: &str, given, default, bound| checker.real(&path.key(key), given, default, bound);
    let epochs = published_epochs(checker.space);
    let rate = form.learning_rate;
    let points = form.latent_points;
    Ok(PretrainPlan {
        model: form.model.0,
        sizes: sizes(checker, &path.key("sizes"), &form.sizes.unwrap_or_default())?,
        epochs: whole("epochs", form.epochs, epochs, bounds::EPOCHS)?,
        batch: whole("batch", form.batch, 32, bounds::BATCH)?,
        learning_rate: real("learning-rate", rate, 1e-3, bounds::LEARNING_RATE)?,
        clip: real("clip", form.clip, 5.0, bounds::CLIP)?,
        latent_points: whole("latent-points", points, 10_000, bounds::LATENT_POINTS)?,
        seeds: numbers::seeds(checker, &path.key("seeds"), form.seeds)?,
        limits: limits::check(
            checker,
            path,
            form.time_limit.as_ref(),
            form.silence_limit.as_ref(),
            silence,
        )?,
    })
}

fn sizes(
    checker: &Checker<'_>,
    path: &KeyPath,
    form: &SizesForm,
) -> Result<ModelSizes, StudyFileError> {
    let default = ModelSizes::default();
    let whole =
        |key: &str, given, default, bound| checker.whole(&path.key(key), given, default, bound);
    let latent = bounds::latent(checker.space);
    let dropout = &path.key("dropout");
    let sizes = ModelSizes {
        hidden: whole("hidden", form.hidden, default.hidden, bounds::HIDDEN)?,
        latent: whole("latent", form.latent, default.latent, latent)?,
        layers: whole("layers", form.layers, default.layers, bounds::LAYERS)?,
        dropout: checker.real(dropout, form.dropout, default.dropout, bounds::DROPOUT)?,
    };
    let (weights, most) = (sizes.weights(), bounds::WEIGHTS);
    if weights > most {
        let problem = Problem::WrongValue {
            path: path.clone(),
            found: format!("a model of {weights} weights"),
            expected: format!("at most {most} for `2 x layers x hidden x hidden`"),
        };
        return Err(checker.at_key(path, problem));
    }
    Ok(sizes)
}
