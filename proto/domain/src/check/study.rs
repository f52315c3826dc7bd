//! A whole study: its sections, and what they need of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::experiment::level;
use super::{Checker, SpecProblem, shown};
use crate::benchmark::BenchmarkRef;
use crate::bounds::{Whole, noop, search as search_bounds, study};
use crate::limits::Limits;
use crate::space::{ArchIndex, Dataset, SpaceName};
use crate::study::{
    ArchSelection, EvaluatePlan, MethodPlan, NoopPlan, OnFailure, Pairing, PretrainPlan,
    SearchPlan, Seeds, StudySpec,
};
use crate::task::{MethodSpec, PretrainSpec};
use crate::units::Seed;

impl StudySpec {
    /// Checks the study against every bound, and its sections against each other.
    /// What a study that is stored already has is not asked: only a spec that comes
    /// from outside has to pass.
    ///
    /// # Errors
    /// The first problems found, at least one.
    pub fn check(&self) -> Result<(), Vec<SpecProblem>> {
        let mut checker = Checker::default();
        self.check_with(&mut checker);
        checker.end()
    }

    fn check_with(&self, checker: &mut Checker) {
        let mut tasks = 0_u64;
        let needs_space =
            !self.pretrain.is_empty() || self.search.is_some() || self.evaluate.is_some();
        let Some(space) = self
            .space
            .or((!needs_space).then_some(SpaceName::Nasbench201))
        else {
            let expected = "the space that `pretrain`, `search` and `evaluate` are about";
            return checker.wrong("space", "missing", expected);
        };
        for (index, plan) in self.pretrain.iter().enumerate() {
            checker.within(format_args!("pretrain[{index}]"), |checker| {
                self.pretrain(checker, plan, space);
            });
            tasks = tasks.saturating_add(plan.seeds.len() as u64);
        }
        let mut stages = self.pretrain.len();
        let titles = self.pretrain.iter().map(PretrainPlan::title);
        if let Some((first, second)) = repeated(titles) {
            checker.wrong(
                format_args!("pretrain[{second}].name"),
                format!("that of `pretrain[{first}]` again"),
                "every entry with a name or a level of its own",
            );
        }
        if let Some(plan) = &self.search {
            let rows = plan.datasets.len().saturating_mul(plan.methods.len());
            stages = stages.saturating_add(rows);
            let embeddings = self.pretrain.iter();
            let embeddings = embeddings.map(|plan| (plan.title(), plan.seeds.len()));
            let embeddings: Embeddings = embeddings.collect();
            checker.within("search", |checker| {
                search(checker, plan, &embeddings, space);
            });
            for method in &plan.methods {
                let count = match (&plan.pairing, &method.encoding) {
                    (Pairing::Crossed, Some(title)) => embeddings.get(title).copied().unwrap_or(0),
                    _ => 1,
                };
                let factors = [plan.datasets.len(), plan.seeds.len(), count];
                tasks = tasks.saturating_add(product(&factors));
            }
        }
        if let Some(plan) = &self.evaluate {
            checker.within("evaluate", |checker| evaluate(checker, plan, space));
            let count = selected(&plan.architectures, space);
            tasks = tasks.saturating_add(product(&[count, plan.seeds.len()]));
        }
        if let Some(plan) = &self.noop {
            checker.within("noop", |checker| noops(checker, plan));
            tasks = tasks.saturating_add(u64::from(plan.tasks));
        }
        for (index, plan) in self.experiments.iter().enumerate() {
            checker.within(format_args!("experiments[{index}]"), |checker| {
                seeds(checker, &plan.seeds);
                limits(checker, plan.limits);
                plan.check_with(checker);
            });
            stages = stages.saturating_add(plan.levels());
            tasks = tasks.saturating_add(product(&[plan.levels(), plan.seeds.len()]));
        }
        let names = self.experiments.iter().map(|plan| &plan.name);
        if let Some((first, second)) = repeated(names) {
            checker.wrong(
                format_args!("experiments[{second}].name"),
                format!("that of `experiments[{first}]` again"),
                "every name once",
            );
        }
        let most = u64::from(study::TASKS);
        if tasks == 0 {
            checker.wrong(
                "tasks",
                "none",
                "one of `pretrain`, `search`, `evaluate`, `experiments` and `noop`",
            );
        } else if tasks > most {
            let found = format!("a plan of {tasks} tasks");
            checker.wrong(
                SpecProblem::WHOLE_STUDY,
                found,
                format_args!("at most {most}"),
            );
        }
        if stages > study::STAGES {
            let found = format!("a plan of {stages} stages");
            checker.wrong(
                SpecProblem::WHOLE_STUDY,
                found,
                format_args!("at most {}", study::STAGES),
            );
        }
        checker.within("retry", |checker| {
            let retry = self.retry;
            checker.whole("attempts", retry.attempts, study::ATTEMPTS);
            checker.span("backoff", retry.backoff, study::BACKOFF);
            checker.whole("lost-workers", retry.lost_workers, study::LOST_WORKERS);
        });
        if let OnFailure::StopAfter(count) = self.on_failure {
            checker.whole("on-failure.stop-after", count, study::STOP_AFTER);
        }
    }

    fn pretrain(&self, checker: &mut Checker, plan: &PretrainPlan, space: SpaceName) {
        if let Some(name) = plan
            .name
            .as_ref()
            .filter(|name| !search_bounds::is_label(name))
        {
            checker.wrong("name", shown(name), search_bounds::LABEL);
        }
        level(checker, &plan.level);
        seeds(checker, &plan.seeds);
        limits(checker, plan.limits);
        let task = PretrainSpec {
            space,
            model: plan.model,
            sizes: plan.sizes,
            epochs: plan.epochs,
            batch: plan.batch,
            learning_rate: plan.learning_rate,
            clip: plan.clip,
            latent_points: plan.latent_points,
            quirks: plan.quirks.unwrap_or(self.quirks.pretrain),
            seed: Seed(1),
        };
        task.check_with(checker);
    }
}

/// How many embeddings there are of each pretraining entry, by its title.
type Embeddings = BTreeMap<String, usize>;

fn search(checker: &mut Checker, plan: &SearchPlan, embeddings: &Embeddings, space: SpaceName) {
    seeds(checker, &plan.seeds);
    datasets(checker, plan, space);
    if plan.methods.is_empty() {
        checker.wrong("methods", "empty", "at least one method");
    }
    for (index, method) in plan.methods.iter().enumerate() {
        checker.within(format_args!("methods[{index}]"), |checker| {
            self::method(checker, method, embeddings);
        });
    }
    let labels = plan.methods.iter().map(MethodPlan::title);
    if let Some((first, second)) = repeated(labels) {
        checker.wrong(
            format_args!("methods[{second}].label"),
            format!("that of `methods[{first}]` again"),
            "every label once",
        );
    }
    if let Some((first, second)) = plan.equal_methods() {
        checker.wrong(
            format_args!("methods[{second}]"),
            format!("equal to `methods[{first}]` but for the label"),
            "methods that differ in a setting or in the encoding",
        );
    }
}

fn method(checker: &mut Checker, plan: &MethodPlan, embeddings: &Embeddings) {
    limits(checker, plan.limits);
    level(checker, &plan.level);
    if !search_bounds::is_label(&plan.label) {
        checker.wrong("label", shown(&plan.label), search_bounds::LABEL);
    }
    plan.method.check_with(checker);
    let takes_embedding = matches!(
        plan.method,
        MethodSpec::Reinforce { .. } | MethodSpec::Dngo { .. }
    );
    match &plan.encoding {
        None if takes_embedding => {
            let expected = format!("the embedding that `{}` searches", plan.method.name());
            checker.wrong("encoding", "missing", expected);
        }
        Some(title) if !takes_embedding => {
            let expected = format!(
                "none: `{}` does not look at an embedding",
                plan.method.name()
            );
            checker.wrong("encoding", shown(title), expected);
        }
        Some(title) if !embeddings.contains_key(title) => {
            let expected = "the name of a `pretrain` entry with its level";
            checker.wrong("encoding", shown(title), expected);
        }
        _ => {}
    }
}

impl MethodPlan {
    /// Whether the trials of both are the same tasks: they differ in nothing but the
    /// label and the limits.
    pub fn runs_as(&self, other: &Self) -> bool {
        self.method == other.method
            && self.encoding == other.encoding
            && self.quirks == other.quirks
    }
}

impl SearchPlan {
    /// The positions of two methods that run the same trials. Not looked for among
    /// more methods than a study may have.
    fn equal_methods(&self) -> Option<(usize, usize)> {
        if self.methods.len() > study::STAGES {
            return None;
        }
        self.methods.iter().enumerate().find_map(|(second, later)| {
            let earlier = &self.methods[..second];
            let first = earlier.iter().position(|earlier| earlier.runs_as(later))?;
            Some((first, second))
        })
    }
}

fn datasets(checker: &mut Checker, plan: &SearchPlan, space: SpaceName) {
    let answered: &[Dataset] = match (plan.benchmark, space) {
        (BenchmarkRef::Table { .. }, SpaceName::Nasbench101) => &[Dataset::Cifar10],
        (BenchmarkRef::Table { .. }, SpaceName::Nasbench201) => &[
            Dataset::Cifar10,
            Dataset::Cifar100,
            Dataset::ImageNet16_120,
            Dataset::Digits,
        ],
        (_, SpaceName::Nasbench201) => &[Dataset::Digits],
        (_, SpaceName::Nasbench101) => {
            let expected = "a table, since the space is `nasbench101`";
            return checker.wrong("benchmark", "for `nasbench201`", expected);
        }
    };
    if plan.datasets.is_empty() {
        checker.wrong("datasets", "empty", "at least one data set");
    }
    let names: Vec<_> = answered.iter().map(|dataset| dataset.as_str()).collect();
    for (index, entry) in plan.datasets.iter().enumerate() {
        checker.within(format_args!("datasets[{index}]"), |checker| {
            if !answered.contains(&entry.dataset) {
                let expected = format!("one that the benchmark has: {}", names.join(", "));
                checker.wrong("dataset", format!("`{}`", entry.dataset), expected);
            }
            entry.budget.check_with(checker);
        });
    }
    if let Some((first, second)) = repeated(plan.datasets.iter().map(|entry| entry.dataset)) {
        checker.wrong(
            format_args!("datasets[{second}]"),
            format!("that of `datasets[{first}]` again"),
            "every data set once",
        );
    }
}

fn evaluate(checker: &mut Checker, plan: &EvaluatePlan, space: SpaceName) {
    seeds(checker, &plan.seeds);
    limits(checker, plan.limits);
    if space != SpaceName::Nasbench201 {
        let found = format!("for `{space}`");
        checker.wrong("architectures", found, "architectures of `nasbench201`");
    }
    if plan.dataset != Dataset::Digits {
        let expected = "`digits`, which the recipe trains on";
        checker.wrong("dataset", format!("`{}`", plan.dataset), expected);
    }
    let most = space.architectures();
    match &plan.architectures {
        ArchSelection::All | ArchSelection::Unique => {}
        ArchSelection::FirstUnique(count) => {
            let bound = Whole { least: 1, most };
            checker.whole("architectures.first-unique", *count, bound);
        }
        ArchSelection::Listed(listed) => {
            if listed.is_empty() {
                checker.wrong("architectures", "empty", "at least one architecture");
            }
            if let Some(ArchIndex(index)) = listed.iter().find(|arch| arch.0 >= most) {
                let expected = format!("indices from 0 to {}", most - 1);
                checker.wrong("architectures", format!("`{index}`"), expected);
            }
            once(checker, "architectures", listed);
        }
    }
}

fn noops(checker: &mut Checker, plan: &NoopPlan) {
    checker.whole("tasks", plan.tasks, noop::TASKS);
    checker.whole("hold-ms", plan.hold_ms, noop::HOLD_MS);
    checker.whole("failures", plan.failures, noop::FAILURES);
    limits(checker, plan.limits);
}

fn limits(checker: &mut Checker, limits: Limits) {
    if let Some(time) = limits.time {
        checker.span("time-limit", time, study::TIME_LIMIT);
    }
    if let Some(silence) = limits.silence {
        checker.span("silence-limit", silence, study::SILENCE_LIMIT);
    }
}

fn seeds(checker: &mut Checker, seeds: &Seeds) {
    if seeds.is_empty() {
        checker.wrong("seeds", "empty", "at least one seed");
    }
    once(checker, "seeds", &seeds.0);
}

/// Every item of a list once. Most lists count up, which is quick to see.
fn once<T: Ord + Copy + fmt::Display>(checker: &mut Checker, field: &str, items: &[T]) {
    if items.is_sorted_by(|a, b| a < b) {
        return;
    }
    let mut seen = BTreeSet::new();
    if let Some(item) = items.iter().find(|&item| !seen.insert(item)) {
        let found = format!("a list with `{item}` twice");
        checker.wrong(field, found, "every number once");
    }
}

fn repeated<T: Ord>(items: impl Iterator<Item = T>) -> Option<(usize, usize)> {
    let mut seen = BTreeMap::new();
    items
        .enumerate()
        .find_map(|(second, item)| seen.insert(item, second).map(|first| (first, second)))
}

/// How many architectures a selection has at most: which of them are distinct is
/// the planner's to count.
fn selected(selection: &ArchSelection, space: SpaceName) -> usize {
    match selection {
        ArchSelection::All | ArchSelection::Unique => space.architectures() as usize,
        ArchSelection::FirstUnique(count) => *count as usize,
        ArchSelection::Listed(listed) => listed.len(),
    }
}

fn product(factors: &[usize]) -> u64 {
    factors.iter().fold(1, |product: u64, &factor| {
        product.saturating_mul(factor as u64)
    })
}

#[cfg(test)]
#[path = "study_tests.rs"]
mod tests;
