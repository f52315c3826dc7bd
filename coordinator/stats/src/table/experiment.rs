//! Tables of experiments: a row a level, with the factors as columns.

use reprise_domain::program::Goal;
use reprise_domain::study::MetricPlan;

use super::factor::{distinct, exact, factors, level_cells};
use super::{Cell, Column, Estimate, Table};
use crate::experiment::LevelSet;
use crate::format::plural;
use crate::interval::{Bootstrap, Interval, LEVEL};
use crate::summary::Summary;

const NO_RUN: &str = "no finished run";
const ONE_RUN: &str = "spread needs two runs";
const NOT_A_FACTOR: &str = "not a factor of the experiment";
const NOT_A_METRIC: &str = "not a metric of the experiment";

/// Most decimals of a number that is shown to people.
const MOST_DECIMALS: usize = 12;

/// One row a level as `mean ± std [low, high]` a metric, for people.
pub fn experiment_overview(sets: &[LevelSet]) -> Table {
    let factors = factors(sets.iter().map(LevelSet::level));
    let metrics = metrics(sets);
    let mut columns = vec![Column::new("experiment")];
    columns.extend(factors.iter().map(|name| Column::new(*name)));
    columns.extend(metrics.iter().map(|metric| {
        let column = Column::new(&metric.name).precision(decimals(sets, &metric.name));
        match &metric.unit {
            Some(unit) => column.unit(unit.clone()),
            None => column,
        }
    }));
    columns.push(Column::new("runs"));
    let mut table = Table::new("Experiments, mean ± standard deviation", columns);
    for set in sets {
        let mut row = head(set, &factors);
        row.extend(metrics.iter().map(|metric| estimate(set, &metric.name)));
        row.push(Cell::count(set.runs().len()));
        table.push(row);
    }
    table.notes.push(format!(
        "mean ± sample standard deviation [{:.0} % bootstrap interval of the mean] over runs",
        100.0 * LEVEL
    ));
    table.notes.extend(goals(&metrics));
    table.notes.extend(absences(sets));
    distinct(table)
}

/// One row a level, one number a column, for spreadsheets and data frames.
pub fn experiment_table(sets: &[LevelSet]) -> Table {
    let factors = factors(sets.iter().map(LevelSet::level));
    let metrics = metrics(sets);
    let mut columns = vec![Column::new("experiment")];
    columns.extend(factors.iter().map(|name| Column::new(*name)));
    columns.extend(["planned", "finished", "failed", "missing"].map(Column::new));
    for metric in &metrics {
        let statistics = ["n", "mean", "std", "median", "ci low", "ci high"];
        columns.extend(statistics.map(|statistic| {
            let column = Column::new(format!("{} {statistic}", metric.name));
            match &metric.unit {
                Some(unit) if statistic != "n" => column.unit(unit.clone()),
                _ => column,
            }
        }));
    }
    let mut table = Table::new("Experiments", columns);
    for set in sets {
        let mut row = head(set, &factors);
        row.extend([
            Cell::count(set.planned()),
            Cell::count(set.runs().len()),
            Cell::count(set.failed()),
            Cell::count(set.missing()),
        ]);
        for metric in &metrics {
            row.extend(statistics(set, &metric.name));
        }
        table.push(row);
    }
    table.notes.push(format!(
        "n = finished runs with the metric; std = sample standard deviation; \
         ci = {:.0} % percentile bootstrap interval of the mean",
        100.0 * LEVEL
    ));
    table.notes.extend(goals(&metrics));
    table.notes.extend(absences(sets));
    distinct(table)
}

/// The experiment and its values.
fn head(set: &LevelSet, factors: &[&str]) -> Vec<Cell> {
    let mut row = vec![Cell::text(set.experiment())];
    row.extend(level_cells(factors, set.level(), NOT_A_FACTOR));
    row
}

fn estimate(set: &LevelSet, metric: &str) -> Cell {
    if !has(set, metric) {
        return Cell::missing(NOT_A_METRIC);
    }
    let values = set.values(metric);
    Summary::of(&values).map_or_else(
        || Cell::missing(NO_RUN),
        |summary| {
            Cell::Estimate(Estimate {
                mean: summary.mean,
                std: summary.std,
                interval: interval(set, metric, &values),
            })
        },
    )
}

fn statistics(set: &LevelSet, metric: &str) -> Vec<Cell> {
    if !has(set, metric) {
        return vec![Cell::missing(NOT_A_METRIC); 6];
    }
    let values = set.values(metric);
    let summary = Summary::of(&values);
    let ends = interval(set, metric, &values);
    let why = if summary.is_some() { ONE_RUN } else { NO_RUN };
    let or = |value: Option<f64>, why| value.map_or_else(|| Cell::missing(why), exact);
    vec![
        Cell::count(values.len()),
        or(summary.map(|summary| summary.mean), NO_RUN),
        or(summary.and_then(|summary| summary.std), why),
        or(summary.map(|summary| summary.median), NO_RUN),
        or(ends.map(|ends| ends.low), why),
        or(ends.map(|ends| ends.high), why),
    ]
}

/// Bootstrap interval of a metric's mean, on a stream of its own.
fn interval(set: &LevelSet, metric: &str, values: &[f64]) -> Option<Interval> {
    Bootstrap::keyed(&["experiment", &set.label(), metric]).percentile(values, LEVEL)
}

fn has(set: &LevelSet, metric: &str) -> bool {
    set.metrics().iter().any(|known| known.name == metric)
}

/// The metrics of all sets, in order of first appearance, each as it appeared first.
fn metrics(sets: &[LevelSet]) -> Vec<&MetricPlan> {
    let mut metrics: Vec<&MetricPlan> = Vec::new();
    for metric in sets.iter().flat_map(LevelSet::metrics) {
        if metrics.iter().all(|known| known.name != metric.name) {
            metrics.push(metric);
        }
    }
    metrics
}

/// Decimals that show two digits of the smallest spread, or four of the largest mean
/// where there is none.
fn decimals(sets: &[LevelSet], metric: &str) -> usize {
    let summaries = sets
        .iter()
        .filter_map(|set| Summary::of(&set.values(metric)));
    let (mut spread, mut mean) = (f64::INFINITY, 0.0_f64);
    for summary in summaries {
        let std = summary.std.filter(|std| *std > 0.0);
        spread = spread.min(std.unwrap_or(f64::INFINITY));
        mean = mean.max(summary.mean.abs());
    }
    let (value, digits) = match (spread.is_finite(), mean > 0.0) {
        (true, _) => (spread, 2.0),
        (false, true) => (mean, 4.0),
        (false, false) => return 2,
    };
    let decimals = digits - 1.0 - value.log10().floor();
    (decimals.max(0.0) as usize).min(MOST_DECIMALS)
}

fn goals(metrics: &[&MetricPlan]) -> Vec<String> {
    let better = |goal, what: &str| {
        let names = metrics.iter().filter(|metric| metric.goal == Some(goal));
        let names: Vec<_> = names.map(|metric| metric.name.as_str()).collect();
        (!names.is_empty()).then(|| format!("{what} is better: {}", names.join(", ")))
    };
    let sentences = [better(Goal::Min, "smaller"), better(Goal::Max, "larger")];
    sentences.into_iter().flatten().collect()
}

/// A sentence for every set that lacks runs (INV-8).
fn absences(sets: &[LevelSet]) -> Vec<String> {
    let absent = sets.iter().filter_map(|set| {
        let parts = [(set.failed(), "failed"), (set.missing(), "not finished")];
        let parts: Vec<_> = parts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        (!parts.is_empty()).then(|| {
            let planned = plural(set.planned(), "run");
            format!(
                "{}: of {planned} planned, {}",
                set.label(),
                parts.join(", ")
            )
        })
    });
    absent.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use reprise_domain::{Factor, Scalar, Seed};

    use super::*;
    use crate::experiment::ProgramRun;
    use crate::export::csv;

    fn metric(name: &str, unit: Option<&str>, goal: Option<Goal>) -> MetricPlan {
        MetricPlan {
            name: name.to_owned(),
            unit: unit.map(str::to_owned),
            goal,
        }
    }

    fn set(size: i64, values: &[f64], (planned, failed): (usize, usize)) -> LevelSet {
        let level = vec![Factor {
            name: "size".to_owned(),
            value: Scalar::Whole(size),
        }];
        let runs = values
            .iter()
            .enumerate()
            .rev()
            .map(|(place, value)| ProgramRun {
                seed: Seed(place as u64 + 1),
                metrics: BTreeMap::from([("loss".to_owned(), *value)]),
            });
        let metrics = vec![metric("loss", Some("nats"), Some(Goal::Min))];
        LevelSet::new("port", level, metrics, (planned, failed), runs.collect()).unwrap()
    }

    #[test]
    fn a_level_is_a_row_and_a_factor_a_column() {
        let sets = [
            set(8, &[1.0, 2.0, 3.0], (5, 1)),
            set(16, &[-4.0], (1, 0)),
            set(32, &[], (1, 1)),
        ];
        let text = csv(&experiment_table(&sets));
        let mut lines = text.lines();
        assert_eq!(
            lines.next().unwrap(),
            "experiment,size,planned,finished,failed,missing,\
             loss_n,loss_mean,loss_std,loss_median,loss_ci_low,loss_ci_high"
        );
        assert!(
            lines
                .next()
                .unwrap()
                .starts_with("port,8,5,3,1,1,3,2,1,2,1")
        );
        assert_eq!(lines.next().unwrap(), "port,16,1,1,0,0,1,-4,,-4,,");
        assert_eq!(lines.next().unwrap(), "port,32,1,0,1,0,0,,,,,");
        let overview = experiment_overview(&sets);
        let Cell::Estimate(loss) = overview.rows[0][2] else {
            panic!("{:?}", overview.rows[0])
        };
        assert!((loss.mean - 2.0).abs() < 1e-12 && (loss.std.unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(overview.rows[2][2], Cell::missing(NO_RUN));
        assert_eq!(overview.columns[2].precision, 1, "two digits of the spread");
        assert_eq!(
            overview.notes[1..],
            [
                "smaller is better: loss",
                "port size=8: of 5 runs planned, 1 failed, 1 not finished",
                "port size=32: of 1 run planned, 1 failed"
            ]
        );
    }

    #[test]
    fn experiments_of_other_factors_and_metrics_share_a_table() {
        let other = LevelSet::new(
            "other",
            Vec::new(),
            vec![metric("Loss", None, None)],
            (1, 0),
            Vec::new(),
        )
        .unwrap();
        let table = experiment_table(&[set(8, &[1.0], (1, 0)), other]);
        assert_eq!(table.rows[1][1], Cell::missing(NOT_A_FACTOR));
        assert_eq!(table.rows[1][7], Cell::missing(NOT_A_METRIC));
        assert_eq!(table.rows[1][12], Cell::Count(0));
    }

    #[test]
    fn contradictions_are_refused() {
        let mut twice = set(8, &[1.0, 2.0], (2, 0)).runs().to_vec();
        twice[1].seed = Seed(1);
        let new = |planned, runs| {
            LevelSet::new("port", Vec::new(), Vec::new(), planned, runs)
                .unwrap_err()
                .to_string()
        };
        assert!(new((2, 0), twice.clone()).contains("two runs of seed `1`"));
        twice[1].seed = Seed(2);
        assert!(new((2, 1), twice).contains("more than the `2` planned"));
    }
}
