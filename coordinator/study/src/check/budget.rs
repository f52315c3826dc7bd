//! The data sets of a search and the budget on each.

use reprise_domain::bounds::search;
use reprise_domain::study::DatasetBudget;
use reprise_domain::{Budget, Dataset};

use super::checker::Checker;
use super::{benchmark, duration};
use crate::error::{Problem, StudyFileError};
use crate::file::BenchmarkSource;
use crate::form::BudgetForm;
use crate::names;
use crate::path::KeyPath;
use crate::value::{Count, Name};

/// Checks `search.datasets` and `search.budget` together; `source` where it is known.
pub(super) fn check(
    checker: &Checker<'_>,
    section: &KeyPath,
    names: &[Name<Dataset>],
    form: &BudgetForm,
    source: Option<&BenchmarkSource>,
) -> Vec<DatasetBudget> {
    let path = section.key("datasets");
    let datasets: Vec<Dataset> = names.iter().map(|name| name.0).collect();
    if datasets.is_empty() {
        checker.note(checker.wrong(&path, "at least one data set"));
        return Vec::new();
    }
    for (index, dataset) in datasets.iter().enumerate() {
        let path = path.index(index);
        if datasets[..index].contains(dataset) {
            checker.note(checker.wrong(&path, "every data set once"));
        }
        let Some(source) = source else {
            continue;
        };
        let answered = benchmark::datasets(source, checker.space);
        if !answered.contains(dataset) {
            let known: Vec<&str> = answered.iter().map(|dataset| dataset.as_str()).collect();
            let benchmark = benchmark::describe(source, checker.space);
            let dataset = dataset.as_str();
            let problem = Problem::DatasetNotAnswered {
                path: path.clone(),
                dataset,
                benchmark,
            };
            let hint = format!("it answers for {}", names::listed(&known, ", "));
            checker.note(checker.at_value(&path, problem).with_hint(hint));
        }
    }
    let path = section.key("budget");
    if let Some(queries) = form.queries {
        return of_queries(checker, &path, &datasets, form, queries);
    }
    for (dataset, _) in form.durations() {
        if !datasets.contains(&dataset) {
            let dataset = dataset.as_str();
            let key = path.key(dataset);
            let path = path.clone();
            let problem = Problem::UnusedBudget { path, dataset };
            let hint = "remove it, or add the data set to `search.datasets`".to_owned();
            checker.note(checker.at_key(&key, problem).with_hint(hint));
        }
    }
    datasets
        .into_iter()
        .filter_map(|dataset| checker.keep(simulated(checker, &path, form, dataset)))
        .collect()
}

fn of_queries(
    checker: &Checker<'_>,
    path: &KeyPath,
    datasets: &[Dataset],
    form: &BudgetForm,
    queries: Count,
) -> Vec<DatasetBudget> {
    if form.durations().next().is_some() {
        let expected = "either `queries` or a duration for each data set";
        checker.note(checker.wrong(path, expected));
    }
    let queries = checker.whole(&path.key("queries"), Some(queries), 1, search::QUERIES);
    let budget = Budget::Queries(queries);
    datasets
        .iter()
        .map(|&dataset| DatasetBudget { dataset, budget })
        .collect()
}

fn simulated(
    checker: &Checker<'_>,
    path: &KeyPath,
    form: &BudgetForm,
    dataset: Dataset,
) -> Result<DatasetBudget, StudyFileError> {
    let text = form.durations().find(|(given, _)| *given == dataset);
    let Some((_, text)) = text else {
        let dataset = dataset.as_str();
        let problem = Problem::NoBudget {
            path: path.clone(),
            dataset,
        };
        return Err(checker.at_key(path, problem).with_hint(format!(
            "add a duration such as `{dataset}: 12000 s`, or give all of them `queries: 150`"
        )));
    };
    let path = path.key(dataset.as_str());
    let seconds = duration::check(checker, &path, text, search::SIMULATED)?;
    Ok(DatasetBudget {
        dataset,
        budget: Budget::Simulated(seconds),
    })
}
