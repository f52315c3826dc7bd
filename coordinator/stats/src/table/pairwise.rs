//! Every pair of methods on a data set, by final test accuracy.

use super::{Cell, Column, Table};
use crate::hypothesis::mean::{paired, welch};
use crate::hypothesis::rank::{cliffs_delta, mann_whitney, probability_of_improvement};
use crate::hypothesis::{Moments, TestError};
use crate::multiplicity::holm;
use crate::sample::{RunSet, Split, datasets};
use crate::summary::Summary;

/// One row a pair: difference of means, Welch's test adjusted by Holm over the
/// pairs of the data set, the paired test over common seeds, Mann-Whitney, and two
/// effect sizes.
pub fn pairwise_table(sets: &[RunSet]) -> Table {
    let mut table = Table::new(
        "Methods against each other, test accuracy",
        vec![
            Column::new("dataset"),
            Column::new("method"),
            Column::new("against"),
            Column::new("difference").unit("points").precision(3),
            Column::new("p Welch").precision(4),
            Column::new("p Holm").precision(4),
            Column::new("p paired").precision(4),
            Column::new("p Mann-Whitney").precision(4),
            Column::new("probability of improvement").precision(3),
            Column::new("Cliff delta").precision(3),
        ],
    );
    for dataset in datasets(sets) {
        let sets: Vec<_> = sets.iter().filter(|set| set.dataset() == dataset).collect();
        let pairs: Vec<Pair> = (0..sets.len())
            .flat_map(|left| (left + 1..sets.len()).map(move |right| (left, right)))
            .map(|(left, right)| Pair::of(sets[left], sets[right]))
            .collect();
        // Pairs that cannot be tested are not members of the family.
        let family: Vec<f64> = pairs.iter().filter_map(|pair| pair.welch.ok()).collect();
        let mut adjusted = holm(&family).into_iter();
        for pair in pairs {
            let holm = pair.welch.map(|p| adjusted.next().unwrap_or(p));
            table.push(vec![
                Cell::text(dataset.as_str()),
                Cell::text(pair.left),
                Cell::text(pair.right),
                Cell::optional(pair.difference, "no run with a value"),
                Cell::probability(pair.welch),
                Cell::probability(holm),
                Cell::probability(pair.paired),
                Cell::probability(pair.mann_whitney),
                or_reason(pair.improvement),
                or_reason(pair.delta),
            ]);
        }
    }
    table.notes.push(
        "two-sided p-values; Holm over all pairs of a data set; the paired test compares runs of equal \
         seed and is meant for methods that start from the same architectures"
            .to_owned(),
    );
    table
}

struct Pair<'a> {
    left: &'a str,
    right: &'a str,
    difference: Option<f64>,
    welch: Result<f64, TestError>,
    paired: Result<f64, TestError>,
    mann_whitney: Result<f64, TestError>,
    improvement: Result<f64, TestError>,
    delta: Result<f64, TestError>,
}

impl<'a> Pair<'a> {
    fn of(left: &'a RunSet, right: &'a RunSet) -> Self {
        let (x, y) = (left.accuracies(Split::Test), right.accuracies(Split::Test));
        let test = Moments::of(&x)
            .and_then(|x| Ok((x, Moments::of(&y)?)))
            .and_then(|(x, y)| welch(x, y));
        let (common_x, common_y) = common_seeds(left, right);
        Self {
            left: left.label(),
            right: right.label(),
            difference: Summary::of(&x)
                .zip(Summary::of(&y))
                .map(|(x, y)| x.mean - y.mean),
            welch: test.map(|test| test.p),
            paired: paired(&common_x, &common_y).map(|test| test.p),
            mann_whitney: mann_whitney(&x, &y).map(|test| test.p),
            improvement: probability_of_improvement(&x, &y),
            delta: cliffs_delta(&x, &y),
        }
    }
}

/// Test accuracies of the seeds that both sets have, in the order of the seeds.
fn common_seeds(left: &RunSet, right: &RunSet) -> (Vec<f64>, Vec<f64>) {
    let others = right.seeded_accuracies(Split::Test);
    left.seeded_accuracies(Split::Test)
        .into_iter()
        .filter_map(|(id, value)| {
            let position = others.binary_search_by_key(&id, |other| other.0).ok()?;
            Some((value, others[position].1))
        })
        .unzip()
}

fn or_reason(value: Result<f64, TestError>) -> Cell {
    match value {
        Ok(value) => Cell::number(value),
        Err(error) => Cell::missing(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Oracle, one_query_runs, run, run_set};

    #[test]
    fn pairs_carry_the_oracles_values() {
        let oracle = Oracle::load();
        let sets = ["a", "b", "c"].map(|name| one_query_runs(name, &oracle.sample(name)));
        let table = pairwise_table(&sets);
        assert_eq!(table.rows.len(), 3);
        let value = |column: usize| match table.rows[0][column] {
            Cell::Number(value) | Cell::Probability(value) => value,
            ref other => panic!("{other:?}"),
        };
        // Accuracies pass through fractions, which costs a few digits.
        let close = |column, path: &[&str], index: Option<usize>| {
            let expected = match index {
                Some(index) => oracle.numbers(path)[index],
                None => oracle.number(path),
            };
            assert!((value(column) - expected).abs() < 1e-6, "{path:?}");
        };
        close(4, &["welch_t_ab"], Some(1));
        close(5, &["welch_t_ab"], Some(1));
        close(6, &["paired_t_ab"], Some(1));
        close(7, &["mwu_ab_asymptotic_cc_two_sided"], Some(1));
        close(8, &["prob_improvement_a_over_b"], None);
        close(9, &["cliffs_delta_ab"], None);
    }

    #[test]
    fn only_common_seeds_are_paired() {
        let left = run_set(
            "x",
            vec![run(1, &[(1.0, 10.0, 1.0)]), run(3, &[(1.0, 30.0, 1.0)])],
        );
        let right = run_set(
            "y",
            vec![run(2, &[(1.0, 21.0, 1.0)]), run(3, &[(1.0, 31.0, 1.0)])],
        );
        let (x, y) = common_seeds(&left, &right);
        assert_eq!((x.len(), y.len()), (1, 1));
        assert!((x[0] - 30.0).abs() < 1e-9 && (y[0] - 31.0).abs() < 1e-9);
    }

    #[test]
    fn a_pair_that_cannot_be_tested_says_why() {
        let table = pairwise_table(&[one_query_runs("x", &[94.0]), one_query_runs("y", &[])]);
        assert!(
            table.rows[0][3..]
                .iter()
                .all(|cell| matches!(cell, Cell::Missing(_)))
        );
    }
}
