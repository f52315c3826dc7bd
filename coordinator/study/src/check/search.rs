//! The `search` section.

use std::collections::BTreeMap;

use reprise_domain::Seconds;
use reprise_domain::study::{MethodPlan, PretrainPlan};

use super::checker::Checker;
use super::{budget, method, numbers};
use crate::error::{Problem, StudyFileError};
use crate::file::{BenchmarkSource, Search};
use crate::form::{MethodForm, SearchForm};
use crate::path::KeyPath;

/// Checks the section against the benchmark and the pretraining of the study.
pub(super) fn check(
    checker: &Checker<'_>,
    form: SearchForm,
    benchmark: Option<BenchmarkSource>,
    pretrain: &[PretrainPlan],
    silence: Option<Seconds>,
) -> Result<Search, StudyFileError> {
    let path = KeyPath::root().key("search");
    let Some(benchmark) = benchmark else {
        let problem = Problem::MissingKey {
            path: KeyPath::root(),
            key: "benchmark".to_owned(),
        };
        return Err(checker.at_key(&path, problem).with_hint(
            "a search needs one, such as `benchmark: {builtin: nasbench201-digits}`".to_owned(),
        ));
    };
    let datasets = budget::check(checker, &path, &form.datasets, &form.budget, &benchmark)?;
    let seeds = numbers::seeds(checker, &path.key("seeds"), form.seeds)?;
    let methods = methods(
        checker,
        &path.key("methods"),
        &form.methods,
        pretrain,
        silence,
    )?;
    checker.bound(&path, &[datasets.len(), methods.len(), seeds.len()])?;
    let place = checker.place(&KeyPath::root().key("benchmark"));
    Ok(Search {
        datasets,
        methods,
        seeds,
        benchmark,
        place,
    })
}

fn methods(
    checker: &Checker<'_>,
    path: &KeyPath,
    forms: &[MethodForm],
    pretrain: &[PretrainPlan],
    silence: Option<Seconds>,
) -> Result<Vec<MethodPlan>, StudyFileError> {
    if forms.is_empty() {
        return Err(checker.wrong(path, "at least one method"));
    }
    let mut labels = BTreeMap::new();
    let mut plans: Vec<MethodPlan> = Vec::with_capacity(forms.len());
    for (index, form) in forms.iter().enumerate() {
        let entry = path.index(index);
        let plan = method::check(checker, &entry, form, pretrain, silence)?;
        if let Some(first) = labels.insert(plan.label.clone(), index) {
            let problem = Problem::DuplicateLabel {
                path: entry.clone(),
                label: plan.label,
                first: path.index(first),
            };
            let shown = match form.label {
                Some(_) => entry.key("label"),
                None => entry.key("name"),
            };
            return Err(checker
                .at_value(&shown, problem)
                .with_hint("give one of them another `label`".to_owned()));
        }
        if let Some(first) = plans.iter().position(|known| known.runs_as(&plan)) {
            let problem = Problem::MethodTwice {
                path: entry.clone(),
                first: path.index(first),
            };
            return Err(checker
                .at_value(&entry.key("name"), problem)
                .with_hint("both would run the same trials: remove one of them".to_owned()));
        }
        plans.push(plan);
    }
    Ok(plans)
}
