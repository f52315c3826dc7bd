//! The `search` section.

use std::collections::BTreeMap;

use reprise_domain::bounds::study;
use reprise_domain::study::{MethodPlan, Pairing};
use reprise_domain::{Quirks, Seconds};

use super::checker::{Checker, tasks};
use super::method::Around;
use super::pretrain::Pretrained;
use super::{budget, method, numbers};
use crate::error::Problem;
use crate::file::{BenchmarkSource, Search};
use crate::form::{MethodForm, SearchForm};
use crate::path::KeyPath;

/// The sections that a search refers to.
pub(super) struct Sections<'a> {
    pub(super) pretrained: &'a Pretrained,
    pub(super) quirks: &'a Quirks,
    pub(super) silence: Option<Seconds>,
    /// The benchmark; none where it is missing or wrong.
    pub(super) benchmark: Option<BenchmarkSource>,
    /// Whether the file has one, right or wrong.
    pub(super) names_benchmark: bool,
}

/// Checks the section against the benchmark and the pretraining of the study; nothing
/// where the benchmark is not known.
pub(super) fn check(
    checker: &Checker<'_>,
    form: SearchForm,
    sections: Sections<'_>,
) -> Option<Search> {
    let path = KeyPath::root().key("search");
    if !sections.names_benchmark {
        let problem = Problem::MissingKey {
            path: KeyPath::root(),
            key: "benchmark".to_owned(),
        };
        let hint = "a search needs one, such as `benchmark: {builtin: nasbench201-digits}`";
        checker.note(checker.at_key(&path, problem).with_hint(hint.to_owned()));
    }
    let benchmark = sections.benchmark.as_ref();
    let datasets = budget::check(checker, &path, &form.datasets, &form.budget, benchmark);
    let seeds = numbers::seeds(checker, &path.key("seeds"), &form.seeds);
    let pairing = form.pairing.map_or_else(Pairing::default, |name| name.0);
    let rows = form.datasets.len().max(1);
    let around = Around {
        pretrained: sections.pretrained,
        quirks: sections.quirks,
        silence: sections.silence,
        most: study::STAGES.saturating_sub(sections.pretrained.plans.len()) / rows,
    };
    let methods = methods(checker, &path.key("methods"), &form.methods, &around);
    let planned = methods.iter().map(|plan| {
        let trials = method::trials(plan, sections.pretrained, pairing);
        tasks(&[datasets.len(), seeds.len(), trials])
    });
    checker.bound(&path, planned.fold(0, u64::saturating_add));
    let place = checker.place(&KeyPath::root().key("benchmark"));
    Some(Search {
        datasets,
        methods,
        seeds,
        pairing,
        benchmark: sections.benchmark?,
        place,
    })
}

fn methods(
    checker: &Checker<'_>,
    path: &KeyPath,
    forms: &[MethodForm],
    around: &Around<'_>,
) -> Vec<MethodPlan> {
    if forms.is_empty() {
        checker.note(checker.wrong(path, "at least one method"));
    }
    let mut labels = BTreeMap::new();
    let mut plans: Vec<(usize, MethodPlan)> = Vec::with_capacity(forms.len());
    for (index, form) in forms.iter().enumerate() {
        let entry = path.index(index);
        let left = Around {
            most: around.most.saturating_sub(plans.len()),
            ..*around
        };
        let (label, levels) = method::check(checker, &entry, form, &left);
        let before = label.clone().and_then(|label| labels.insert(label, index));
        if let (Some(first), Some(label)) = (before, label) {
            let problem = Problem::DuplicateLabel {
                path: entry.clone(),
                label,
                first: path.index(first),
            };
            let shown = match form.label {
                Some(_) => entry.key("label"),
                None => entry.key("name"),
            };
            let hint = "give one of them another `label`".to_owned();
            checker.note(checker.at_value(&shown, problem).with_hint(hint));
        }
        let runs_before = |plan: &MethodPlan| plans.iter().find(|(_, known)| known.runs_as(plan));
        if let Some((first, _)) = levels.iter().find_map(runs_before) {
            let problem = Problem::MethodTwice {
                path: entry.clone(),
                first: path.index(*first),
            };
            let hint = "both would run the same trials: remove one of them".to_owned();
            let mistake = checker.at_value(&entry.key("name"), problem);
            checker.note(mistake.with_hint(hint));
        }
        plans.extend(levels.into_iter().map(|plan| (index, plan)));
    }
    plans.into_iter().map(|(_, plan)| plan).collect()
}
