//! Tables of search trials: a tidy one for machines, and the compact one of the
//! paper (means over runs of the accuracies of the final incumbents, percent).

use reprise_domain::Dataset;

use super::factor::{distinct, factors, level_cells};
use super::{Cell, Column, Estimate, Table};
use crate::format::plural;
use crate::interval::{Bootstrap, Interval, LEVEL};
use crate::sample::{RunSet, Split, datasets, labels};
use crate::summary::Summary;

const NO_RUN: &str = "no finished run with a query";
const ONE_RUN: &str = "spread needs two runs";
const NOT_PLANNED: &str = "not planned";
pub(super) const NOT_A_FACTOR: &str = "not a factor of the method";

/// Bootstrap interval of a set's mean accuracy, on a stream of its own.
pub(crate) fn accuracy_interval(set: &RunSet, split: Split, values: &[f64]) -> Option<Interval> {
    Bootstrap::keyed(&[set.label(), set.dataset().as_str(), split.as_str()])
        .percentile(values, LEVEL)
}

/// One row a method and data set, one number a column, for spreadsheets and data
/// frames: counts of runs, then per split the summary of the final incumbents'
/// reported accuracies in percent, then the mean cost of a run.
pub fn search_table(sets: &[RunSet]) -> Table {
    let factors = factors(sets.iter().map(RunSet::level));
    let mut columns = vec![Column::new("method")];
    columns.extend(factors.iter().map(|name| Column::new(*name)));
    columns.extend(
        [
            "dataset", "planned", "finished", "failed", "missing", "measured",
        ]
        .map(Column::new),
    );
    for split in Split::ALL {
        for statistic in [
            "mean",
            "std",
            "population std",
            "median",
            "q1",
            "q3",
            "ci low",
            "ci high",
        ] {
            let name = format!("{} {statistic}", split.as_str());
            columns.push(Column::percent(name).precision(4));
        }
    }
    columns.push(Column::new("queries mean").precision(1));
    columns.push(Column::new("simulated seconds mean").unit("s").precision(1));
    let mut table = Table::new("Search results", columns);
    for set in by_method(sets) {
        table.push(tidy_row(set, &factors));
    }
    table.notes.push(format!(
        "accuracies in percent of the incumbent by guiding validation accuracy when the trial ended; \
         measured = finished runs with an incumbent; std = sample standard deviation; \
         ci = {:.0} % percentile bootstrap interval of the mean",
        100.0 * LEVEL
    ));
    table.notes.extend(crossing(sets));
    table.notes.extend(absences(sets));
    distinct(table)
}

fn tidy_row(set: &RunSet, factors: &[&str]) -> Vec<Cell> {
    let measured = set.accuracies(Split::Test).len();
    let mut row = vec![Cell::text(set.method())];
    row.extend(level_cells(factors, set.level(), NOT_A_FACTOR));
    row.extend([
        Cell::text(set.dataset().as_str()),
        Cell::count(set.planned()),
        Cell::count(set.finished()),
        Cell::count(set.failed()),
        Cell::count(set.missing()),
        Cell::count(measured),
    ]);
    for split in Split::ALL {
        let values = set.accuracies(split);
        let summary = Summary::of(&values);
        let interval = accuracy_interval(set, split, &values);
        let of = |value: fn(&Summary) -> f64| Cell::optional(summary.as_ref().map(value), NO_RUN);
        let why = if summary.is_some() { ONE_RUN } else { NO_RUN };
        row.push(of(|s| s.mean));
        row.push(Cell::optional(summary.and_then(|s| s.std), why));
        row.push(of(|s| s.population_std));
        row.push(of(|s| s.median));
        row.push(of(|s| s.q1));
        row.push(of(|s| s.q3));
        row.push(Cell::optional(interval.map(|i| i.low), why));
        row.push(Cell::optional(interval.map(|i| i.high), why));
    }
    let queries: Vec<f64> = set.finals().map(|end| end.queries as f64).collect();
    let seconds: Vec<f64> = set.finals().map(|end| end.simulated.get()).collect();
    for values in [queries, seconds] {
        let mean = Summary::of(&values).map(|summary| summary.mean);
        row.push(Cell::optional(mean, "no finished run"));
    }
    row
}

/// One row a method, validation and test of every data set side by side as
/// `mean ± std [low, high]`, for the paper.
pub fn search_overview(sets: &[RunSet]) -> Table {
    let datasets = datasets(sets);
    let factors = factors(sets.iter().map(RunSet::level));
    let mut columns = vec![Column::new("method")];
    columns.extend(factors.iter().map(|name| Column::new(*name)));
    for dataset in &datasets {
        for split in Split::ALL {
            columns.push(Column::percent(split.as_str()).group(dataset.as_str()));
        }
    }
    columns.push(Column::new("runs"));
    let mut table = Table::new("Search results, mean ± standard deviation", columns);
    for label in labels(sets) {
        let of_dataset = |dataset: Dataset| {
            sets.iter()
                .find(|set| set.label() == label && set.dataset() == dataset)
        };
        let named = sets.iter().find(|set| set.label() == label);
        let (method, level) = named.map_or((label, &[][..]), |set| (set.method(), set.level()));
        let mut row = vec![Cell::text(method)];
        row.extend(level_cells(&factors, level, NOT_A_FACTOR));
        for &dataset in &datasets {
            for split in Split::ALL {
                row.push(
                    of_dataset(dataset)
                        .map_or_else(|| Cell::missing(NOT_PLANNED), |set| estimate(set, split)),
                );
            }
        }
        let counts = datasets.iter().filter_map(|&dataset| of_dataset(dataset));
        row.push(Cell::text(run_counts(counts)));
        table.push(row);
    }
    table.notes.push(format!(
        "percent, mean ± sample standard deviation [{:.0} % bootstrap interval of the mean] over runs, \
         of the incumbent by guiding validation accuracy when the trial ended",
        100.0 * LEVEL
    ));
    table.notes.extend(crossing(sets));
    table.notes.extend(absences(sets));
    distinct(table)
}

fn estimate(set: &RunSet, split: Split) -> Cell {
    let values = set.accuracies(split);
    Summary::of(&values).map_or_else(
        || Cell::missing(NO_RUN),
        |summary| {
            Cell::Estimate(Estimate {
                mean: summary.mean,
                std: summary.std,
                interval: accuracy_interval(set, split, &values),
            })
        },
    )
}

/// The number of measured runs: one number when all data sets agree, else one each.
fn run_counts<'a>(sets: impl Iterator<Item = &'a RunSet>) -> String {
    let counts: Vec<usize> = sets.map(|set| set.accuracies(Split::Test).len()).collect();
    if counts.windows(2).all(|pair| pair[0] == pair[1]) {
        return counts.first().map_or_else(String::new, usize::to_string);
    }
    let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
    counts.join(" / ")
}

/// What to know of intervals over runs of which some share an embedding.
fn crossing(sets: &[RunSet]) -> Option<String> {
    let is_crossed = sets.iter().any(RunSet::is_crossed);
    is_crossed.then(|| {
        "every search seed has a run on every embedding: runs that share a seed or an embedding \
         are not independent, and the intervals take them as if they were"
            .to_owned()
    })
}

/// A sentence for every set that lacks runs (INV-8).
fn absences(sets: &[RunSet]) -> Vec<String> {
    by_method(sets)
        .into_iter()
        .filter_map(|set| {
            let without = set.finished() - set.accuracies(Split::Test).len();
            let parts: Vec<String> = [
                (set.failed(), "failed"),
                (set.blocked(), "blocked by a failed pretraining"),
                (set.missing() - set.blocked(), "not finished"),
                (without, "finished without a query"),
            ]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
            (!parts.is_empty()).then(|| {
                format!(
                    "{} on {}: of {} planned, {}",
                    set.label(),
                    set.dataset(),
                    plural(set.planned(), "run"),
                    parts.join(", ")
                )
            })
        })
        .collect()
}

/// Methods in the order of the study, data sets in the order of the tables.
fn by_method(sets: &[RunSet]) -> Vec<&RunSet> {
    let mut rows = Vec::with_capacity(sets.len());
    for label in labels(sets) {
        let start = rows.len();
        rows.extend(sets.iter().filter(|set| set.label() == label));
        rows[start..].sort_by_key(|set| set.dataset());
    }
    rows
}

#[cfg(test)]
mod tests {
    use reprise_domain::{Factor, Scalar, Seed};

    use super::*;
    use crate::sample::{Group, Runs};
    use crate::testing::{gathered, one_query_runs, run, run_set, trajectory};

    #[test]
    fn the_tidy_table_holds_numbers_and_reasons() {
        let sets = [
            one_query_runs("random", &[93.0, 94.0, 95.0]),
            one_query_runs("single", &[94.0]),
            run_set("none", vec![run(1, &[])]),
        ];
        let table = search_table(&sets);
        let column = |key: &str| table.columns.iter().position(|c| c.key() == key).unwrap();
        let cell = |row: usize, key: &str| &table.rows[row][column(key)];
        let number = |row, key| match cell(row, key) {
            Cell::Number(value) => *value,
            other => panic!("{other:?}"),
        };
        assert!((number(0, "test_mean") - 94.0).abs() < 1e-9);
        assert!((number(0, "validation_mean") - 92.0).abs() < 1e-9);
        assert!((number(0, "test_std") - 1.0).abs() < 1e-9);
        assert!((number(0, "test_q1") - 93.5).abs() < 1e-9);
        assert!(number(0, "test_ci_low") < 94.0 && number(0, "test_ci_high") > 94.0);
        assert!((number(1, "test_mean") - 94.0).abs() < 1e-9);
        assert_eq!(cell(1, "test_std"), &Cell::missing(ONE_RUN));
        assert_eq!(cell(2, "test_mean"), &Cell::missing(NO_RUN));
        assert_eq!(cell(2, "measured"), &Cell::Count(0));
    }

    #[test]
    fn absent_runs_are_named_below_the_table() {
        let runs = vec![run(1, &[(90.0, 91.0, 1.0)]), run(2, &[])];
        let set = RunSet::new("dngo", Dataset::Cifar10, 9, 3, gathered(runs)).unwrap();
        let table = search_overview(&[set.with_blocked(3)]);
        assert_eq!(
            table.notes.last().unwrap(),
            "dngo on cifar10: of 9 runs planned, 3 failed, 3 blocked by a failed pretraining, \
             1 not finished, 1 finished without a query"
        );
        assert_eq!(table.rows[0].last(), Some(&Cell::text("1")));
    }

    #[test]
    fn factors_are_columns_where_there_are_any() {
        let leveled = |latent, values: &[f64]| {
            let group = Group {
                level: vec![Factor {
                    name: "latent".to_owned(),
                    value: Scalar::Whole(latent),
                }],
                crossed: true,
                ..Group::new("rl", Dataset::Cifar10)
            };
            let mut runs = Runs::default();
            for (place, test) in values.iter().enumerate() {
                let trajectory = trajectory(&[(90.0, *test, 1.0)]);
                let pretrain_seed = Some(Seed(place as u64 + 1));
                runs.push_on(Seed(1), pretrain_seed, &trajectory).unwrap();
            }
            RunSet::of(group, (values.len(), 0), runs).unwrap()
        };
        let random = one_query_runs("random", &[93.0]);
        let sets = [leveled(8, &[93.0, 94.0]), leveled(16, &[95.0]), random];
        let table = search_table(&sets);
        let keys: Vec<_> = table.columns.iter().take(4).map(Column::key).collect();
        assert_eq!(keys, ["method", "latent", "dataset", "planned"]);
        let head = |row: usize| table.rows[row][..2].to_vec();
        assert_eq!(head(0), [Cell::text("rl"), Cell::Count(8)]);
        assert_eq!(head(1), [Cell::text("rl"), Cell::Count(16)]);
        assert_eq!(head(2), [Cell::text("random"), Cell::missing(NOT_A_FACTOR)]);
        assert!(
            table.notes[1].contains("not independent"),
            "{:?}",
            table.notes
        );
        let overview = search_overview(&sets);
        assert_eq!(overview.columns[1].name, "latent");
        assert_eq!(overview.rows[1][1], Cell::Count(16));
        let plain = search_table(&[one_query_runs("random", &[93.0])]);
        assert!(plain.columns.iter().all(|column| column.name != "latent"));
        assert_eq!(plain.notes.len(), 1);
    }

    #[test]
    fn a_row_does_not_depend_on_its_neighbours() {
        let a = one_query_runs("a", &[93.0, 94.0, 95.0]);
        let b = one_query_runs("b", &[92.0, 94.0, 95.5]);
        let both = search_table(&[b, a.clone()]);
        assert_eq!(both.rows[1], search_table(&[a]).rows[0]);
    }
}
