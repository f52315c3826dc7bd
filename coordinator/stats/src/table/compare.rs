//! Published numbers beside ours, with a verdict each.

use reprise_domain::Dataset;

use super::{Cell, Column, Table};
use crate::format::plural;
use crate::hypothesis::mean::welch;
use crate::hypothesis::{Equivalence, MeanTest, Moments, TestError, Verdict};
use crate::sample::{RunSet, Split};
use crate::summary::Summary;

/// A number from a paper, in percent.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Row label, as in the study.
    pub label: String,
    /// Data set.
    pub dataset: Dataset,
    /// Split.
    pub split: Split,
    /// Mean over the paper's runs.
    pub mean: f64,
    /// Standard deviation and number of those runs, where the paper states both.
    /// Without them the mean is taken as exact.
    pub spread: Option<(f64, usize)>,
}

/// What counts as reproduced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Criterion {
    /// Largest difference that does not matter, in percentage points.
    pub margin: f64,
    /// Error rate of each test.
    pub alpha: f64,
}

/// One published number and what our runs say of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The published number.
    pub published: Published,
    /// Our runs; absent when none has a value.
    pub ours: Option<Summary>,
    /// Ours less published, tested by Welch's t; or why it cannot be tested.
    pub test: Result<MeanTest, TestError>,
    /// The p-value of equivalence; or why there is none.
    pub equivalence: Result<f64, TestError>,
    /// The verdict; or why there is none.
    pub verdict: Result<Verdict, TestError>,
}

/// Compares every published number with the runs of the same label and data set.
pub fn compare(sets: &[RunSet], published: &[Published], criterion: Criterion) -> Vec<Comparison> {
    published
        .iter()
        .map(|published| {
            let values = sets
                .iter()
                .find(|set| set.label() == published.label && set.dataset() == published.dataset)
                .map(|set| set.accuracies(published.split))
                .unwrap_or_default();
            let test = difference(&values, published);
            Comparison {
                published: published.clone(),
                ours: Summary::of(&values),
                equivalence: test.map(|test| Equivalence::of(&test, criterion.margin).p),
                verdict: test.map(|test| Verdict::of(&test, criterion.margin, criterion.alpha)),
                test,
            }
        })
        .collect()
}

fn difference(values: &[f64], published: &Published) -> Result<MeanTest, TestError> {
    let theirs = match published.spread {
        Some((std, runs)) => Moments::published(published.mean, std, runs)?,
        None => Moments::exact(published.mean)?,
    };
    welch(Moments::of(values)?, theirs)
}

/// The comparisons as a table: published and our mean, the difference with its
/// interval, both p-values, the verdict.
pub fn compare_table(comparisons: &[Comparison], criterion: Criterion) -> Table {
    let level = 100.0 * (1.0 - 2.0 * criterion.alpha);
    let points = |name: &str| {
        Column::new(name)
            .group("difference")
            .unit("points")
            .precision(3)
    };
    let mut table = Table::new(
        "Published numbers beside ours",
        vec![
            Column::new("method"),
            Column::new("dataset"),
            Column::new("split"),
            Column::percent("mean").group("published"),
            Column::percent("std").group("published"),
            Column::new("runs").group("published"),
            Column::percent("mean").group("ours"),
            Column::percent("std").group("ours"),
            Column::new("runs").group("ours"),
            points("mean"),
            points("low"),
            points("high"),
            Column::new("p difference").precision(4),
            Column::new("p equivalence").precision(4),
            Column::new("verdict"),
        ],
    );
    for comparison in comparisons {
        table.push(row(comparison, criterion));
    }
    table.notes.push(format!(
        "difference: ours less published, with the ends of its {level:.0} % interval; \
         reproduced: it is within ±{} points (two one-sided tests, alpha {}); \
         not reproduced: Welch's test finds a difference and the interval lies outside; \
         otherwise inconclusive, which more runs can settle",
        criterion.margin, criterion.alpha
    ));
    let exact = comparisons
        .iter()
        .filter(|comparison| comparison.published.spread.is_none())
        .count();
    if exact > 0 {
        table.notes.push(format!(
            "{} without spread or number of runs, taken as exact",
            plural(exact, "published number")
        ));
    }
    table
}

fn row(comparison: &Comparison, criterion: Criterion) -> Vec<Cell> {
    let published = &comparison.published;
    let ours = comparison.ours;
    let interval = comparison
        .test
        .map(|test| test.interval(1.0 - 2.0 * criterion.alpha));
    let untested = |value: Result<f64, TestError>| match value {
        Ok(value) => Cell::number(value),
        Err(error) => Cell::missing(error.to_string()),
    };
    let unpublished = "not published";
    vec![
        Cell::text(&published.label),
        Cell::text(published.dataset.as_str()),
        Cell::text(published.split.as_str()),
        Cell::number(published.mean),
        Cell::optional(published.spread.map(|(std, _)| std), unpublished),
        match published.spread {
            Some((_, runs)) => Cell::count(runs),
            None => Cell::missing(unpublished),
        },
        Cell::optional(ours.map(|ours| ours.mean), "no run with a value"),
        Cell::optional(
            ours.and_then(|ours| ours.std),
            "fewer than two runs with a value",
        ),
        Cell::count(ours.map_or(0, |ours| ours.n)),
        Cell::optional(
            ours.map(|ours| ours.mean - published.mean),
            "no run with a value",
        ),
        untested(interval.map(|interval| interval.low)),
        untested(interval.map(|interval| interval.high)),
        Cell::probability(comparison.test.map(|test| test.p)),
        Cell::probability(comparison.equivalence),
        match comparison.verdict {
            Ok(verdict) => Cell::text(verdict.as_str()),
            Err(error) => Cell::missing(error.to_string()),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::one_query_runs;

    const CRITERION: Criterion = Criterion {
        margin: 0.1,
        alpha: 0.05,
    };

    fn verdict(values: &[f64], mean: f64, spread: Option<(f64, usize)>) -> Option<Verdict> {
        let published = Published {
            label: "dngo".to_owned(),
            dataset: Dataset::Cifar10,
            split: Split::Test,
            mean,
            spread,
        };
        let sets = [one_query_runs("dngo", values)];
        let comparisons = compare(&sets, &[published], CRITERION);
        let table = compare_table(&comparisons, CRITERION);
        assert_eq!(table.rows.len(), 1);
        comparisons[0].verdict.ok()
    }

    #[test]
    fn every_verdict_is_reached() {
        let ours: Vec<f64> = (0..100).map(|i| 94.1 + f64::from(i % 5) * 0.04).collect();
        let spread = Some((0.24, 500));
        assert_eq!(verdict(&ours, 94.18, spread), Some(Verdict::Reproduced));
        assert_eq!(verdict(&ours, 94.5, spread), Some(Verdict::NotReproduced));
        assert_eq!(
            verdict(&ours[..3], 94.18, Some((0.24, 5))),
            Some(Verdict::Inconclusive)
        );
        assert_eq!(verdict(&ours, 94.18, None), Some(Verdict::Reproduced));
    }

    #[test]
    fn without_enough_runs_there_is_no_verdict_and_a_reason() {
        assert_eq!(verdict(&[94.0], 94.18, None), None);
        assert_eq!(verdict(&[], 94.18, Some((0.24, 500))), None);
        // All runs alike against an exact number: no scale to judge by.
        assert_eq!(verdict(&[94.37; 9], 94.37, None), None);
        // Against a published spread the same runs can be judged.
        assert!(verdict(&[94.37; 9], 94.37, Some((0.1, 500))).is_some());
    }
}
