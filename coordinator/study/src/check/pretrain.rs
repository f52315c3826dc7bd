//! The `pretrain` section.

use reprise_domain::study::PretrainPlan;
use reprise_domain::task::ModelSizes;
use reprise_domain::{Limits, SpaceName};

use super::checker::{Checker, DROPOUT, POSITIVE};
use super::numbers;
use crate::error::StudyFileError;
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
) -> Result<Vec<PretrainPlan>, StudyFileError> {
    let section = KeyPath::root().key("pretrain");
    let plans = forms
        .into_iter()
        .enumerate()
        .map(|(index, form)| entry(checker, &section.index(index), form))
        .collect::<Result<Vec<_>, _>>()?;
    checker.bound(&section, &[plans.iter().map(|plan| plan.seeds.len()).sum()])?;
    Ok(plans)
}

/// Defaults are the published ones (protocol notes, section 3).
fn entry(
    checker: &Checker<'_>,
    path: &KeyPath,
    form: PretrainForm,
) -> Result<PretrainPlan, StudyFileError> {
    let whole =
        |key: &str, given, default, most| checker.whole(&path.key(key), given, default, 1..=most);
    let epochs = published_epochs(checker.space);
    let rate = path.key("learning-rate");
    Ok(PretrainPlan {
        model: form.model.0,
        sizes: sizes(checker, &path.key("sizes"), &form.sizes.unwrap_or_default())?,
        epochs: whole("epochs", form.epochs, epochs, 100_000)?,
        batch: whole("batch", form.batch, 32, 1_000_000)?,
        learning_rate: checker.real(&rate, form.learning_rate, 1e-3, &POSITIVE)?,
        clip: checker.real(&path.key("clip"), form.clip, 5.0, &POSITIVE)?,
        latent_points: whole("latent-points", form.latent_points, 10_000, 10_000_000)?,
        seeds: numbers::seeds(checker, &path.key("seeds"), form.seeds)?,
        limits: Limits::NONE,
    })
}

fn sizes(
    checker: &Checker<'_>,
    path: &KeyPath,
    form: &SizesForm,
) -> Result<ModelSizes, StudyFileError> {
    let default = ModelSizes::default();
    let whole =
        |key: &str, given, default, most| checker.whole(&path.key(key), given, default, 1..=most);
    Ok(ModelSizes {
        hidden: whole("hidden", form.hidden, default.hidden, 8192)?,
        latent: whole("latent", form.latent, default.latent, 1024)?,
        layers: whole("layers", form.layers, default.layers, 64)?,
        dropout: checker.real(
            &path.key("dropout"),
            form.dropout,
            default.dropout,
            &DROPOUT,
        )?,
    })
}
