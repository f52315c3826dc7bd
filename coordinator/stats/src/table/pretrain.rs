//! Table of pretraining runs: the measures of the last epoch, in percent. Seeds that
//! have no result are counted.

use reprise_domain::{EpochMeasures, Factor, Seed};

use super::factor::{distinct, factors, level_cells};
use super::{Cell, Column, Estimate, Table};
use crate::format::plural;
use crate::summary::Summary;

/// One finished pretraining run.
#[derive(Debug, Clone, PartialEq)]
pub struct PretrainRow {
    /// Repetition seed.
    pub seed: Seed,
    /// Measures of every epoch.
    pub epochs: Vec<EpochMeasures>,
}

/// The runs of a pretraining entry, and the count of those that are not there.
#[derive(Debug, Clone, PartialEq)]
pub struct PretrainSet {
    /// Name of the model.
    pub model: String,
    /// Name of the entry, where it has one of its own.
    pub name: Option<String>,
    /// Values of its factors, in the order of the study.
    pub level: Vec<Factor>,
    /// Seeds planned.
    pub planned: usize,
    /// Seeds given up after failing.
    pub failed: usize,
    /// The finished runs.
    pub runs: Vec<PretrainRow>,
}

impl PretrainSet {
    /// Seeds that are neither finished nor failed: not run yet, or cancelled.
    pub fn missing(&self) -> usize {
        let ended = self.failed.saturating_add(self.runs.len());
        self.planned.saturating_sub(ended)
    }

    /// The entry with its level, for people.
    fn label(&self) -> String {
        let mut label = self.name.clone().unwrap_or_else(|| self.model.clone());
        for factor in &self.level {
            label.push_str(&format!(" {}={}", factor.name, factor.value));
        }
        label
    }
}

/// Which columns tell of an entry.
struct Head<'a> {
    /// Whether an entry has a name.
    names: bool,
    factors: Vec<&'a str>,
}

impl<'a> Head<'a> {
    fn of(sets: &'a [PretrainSet]) -> Self {
        let mut factors = factors(sets.iter().map(|set| set.level.as_slice()));
        // These two have a column anyway.
        factors.retain(|name| !matches!(*name, "model" | "epochs"));
        Self {
            names: sets.iter().any(|set| set.name.is_some()),
            factors,
        }
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![Column::new("model")];
        columns.extend(self.names.then(|| Column::new("name")));
        columns.extend(self.factors.iter().map(|name| Column::new(*name)));
        columns
    }

    fn cells(&self, set: &PretrainSet) -> Vec<Cell> {
        let mut cells = vec![Cell::text(&set.model)];
        cells.extend(self.names.then(|| match &set.name {
            Some(name) => Cell::text(name),
            None => Cell::missing("no name of its own"),
        }));
        let not_a_factor = "not a factor of the entry";
        cells.extend(level_cells(&self.factors, &set.level, not_a_factor));
        cells
    }
}

/// A fraction of the last epoch, and its heading.
type Measure = (&'static str, fn(&EpochMeasures) -> f64);

const MEASURES: [Measure; 6] = [
    ("edge accuracy", |epoch| epoch.edge_accuracy),
    ("operation accuracy", |epoch| epoch.ops_accuracy),
    ("operation accuracy (real nodes)", |epoch| {
        epoch.ops_accuracy_real_nodes
    }),
    ("exact match", |epoch| epoch.exact_match),
    ("validity", |epoch| epoch.validity),
    ("uniqueness", |epoch| epoch.uniqueness),
];

/// Every run by set and seed, and after the runs of a set their mean and sample
/// standard deviation. A set that lacks seeds says so in that row and in a note
/// (INV-8).
pub fn pretrain_table(sets: &[PretrainSet]) -> Table {
    let head = Head::of(sets);
    let mut columns = head.columns();
    columns.extend(["seed", "epochs"].map(Column::new));
    columns.extend(MEASURES.map(|(name, _)| Column::percent(name)));
    let mut table = Table::new("Pretraining after the last epoch", columns);
    for set in sets {
        let mut runs: Vec<_> = set.runs.iter().collect();
        runs.sort_by_key(|row| row.seed);
        for run in &runs {
            table.push(run_row(&head, set, run));
        }
        table.push(summary_row(&head, set, &runs));
    }
    table.notes.push(
        "percent; the last row of a model is the mean ± sample standard deviation over its seeds"
            .to_owned(),
    );
    table.notes.extend(sets.iter().filter_map(absence));
    distinct(table)
}

/// A sentence for a set that lacks seeds.
fn absence(set: &PretrainSet) -> Option<String> {
    let parts = [(set.failed, "failed"), (set.missing(), "not finished")];
    let parts: Vec<_> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let planned = plural(set.planned, "seed");
    let text = || {
        format!(
            "{}: of {planned} planned, {}",
            set.label(),
            parts.join(", ")
        )
    };
    (!parts.is_empty()).then(text)
}

fn run_row(head: &Head<'_>, set: &PretrainSet, run: &PretrainRow) -> Vec<Cell> {
    let mut row = head.cells(set);
    row.extend([
        Cell::text(run.seed.to_string()),
        Cell::count(run.epochs.len()),
    ]);
    row.extend(MEASURES.map(|(_, measure)| match run.epochs.last() {
        Some(epoch) => Cell::number(100.0 * measure(epoch)),
        None => Cell::missing("no epoch"),
    }));
    row
}

fn summary_row(head: &Head<'_>, set: &PretrainSet, runs: &[&PretrainRow]) -> Vec<Cell> {
    let lengths: Vec<usize> = runs.iter().map(|run| run.epochs.len()).collect();
    let epochs = if runs.is_empty() {
        Cell::missing("no finished seed")
    } else if lengths.windows(2).all(|pair| pair[0] == pair[1]) {
        Cell::count(lengths.first().copied().unwrap_or(0))
    } else {
        Cell::missing("differs between seeds")
    };
    let mut row = head.cells(set);
    row.extend([Cell::text(mean_of(set)), epochs]);
    row.extend(MEASURES.map(|(_, measure)| {
        let values: Vec<f64> = runs
            .iter()
            .filter_map(|run| Some(100.0 * measure(run.epochs.last()?)))
            .collect();
        // A mean over some of the seeds would pass for one over all of them.
        match Summary::of(&values) {
            Some(summary) if summary.n == runs.len() => Cell::Estimate(Estimate {
                mean: summary.mean,
                std: summary.std,
                interval: None,
            }),
            _ => Cell::missing("a seed has no value"),
        }
    }));
    row
}

/// How many seeds a mean is over, and how many are not there.
fn mean_of(set: &PretrainSet) -> String {
    let finished = set.runs.len();
    if finished >= set.planned {
        return format!("mean of {}", plural(finished, "seed"));
    }
    let failed = match set.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    format!(
        "mean of {finished} of {}{failed}",
        plural(set.planned, "seed")
    )
}

#[cfg(test)]
mod tests {
    use reprise_domain::Scalar;

    use super::*;

    fn row(seed: u64, validity: f64) -> PretrainRow {
        let epoch = |validity| EpochMeasures {
            loss: 0.5,
            ops_accuracy: 1.0,
            ops_accuracy_real_nodes: 0.99,
            edge_accuracy: 0.98,
            true_edge_probability: 0.9,
            false_edge_probability: 0.1,
            exact_match: 0.97,
            validity,
            uniqueness: 0.5,
        };
        PretrainRow {
            seed: Seed(seed),
            epochs: vec![epoch(0.1), epoch(validity)],
        }
    }

    fn set(label: &str, (planned, failed): (usize, usize), runs: Vec<PretrainRow>) -> PretrainSet {
        PretrainSet {
            model: label.to_owned(),
            name: None,
            level: Vec::new(),
            planned,
            failed,
            runs,
        }
    }

    #[test]
    fn the_last_epoch_counts_and_seeds_are_summarised_per_model() {
        let table = pretrain_table(&[
            set("arch2vec", (2, 0), vec![row(10, 0.46), row(2, 0.44)]),
            set("gae", (1, 0), vec![row(1, 0.3)]),
        ]);
        let seeds: Vec<_> = table.rows.iter().map(|row| row[1].clone()).collect();
        assert_eq!(
            seeds,
            ["2", "10", "mean of 2 seeds", "1", "mean of 1 seed"].map(Cell::text)
        );
        let Cell::Estimate(validity) = table.rows[2][7] else {
            panic!("{:?}", table.rows[2][7]);
        };
        assert!((validity.mean - 45.0).abs() < 1e-9);
        assert!((validity.std.unwrap() - 2f64.sqrt()).abs() < 1e-9);
        assert_eq!(table.notes.len(), 1);
    }

    #[test]
    fn seeds_without_a_result_are_counted() {
        let table = pretrain_table(&[
            set("arch2vec", (4, 2), vec![row(2, 0.44)]),
            set("gae", (3, 3), Vec::new()),
            set("vgae", (2, 0), vec![row(1, 0.3)]),
        ]);
        let seeds: Vec<_> = table.rows.iter().map(|row| row[1].clone()).collect();
        assert_eq!(
            seeds,
            [
                "2",
                "mean of 1 of 4 seeds, 2 failed",
                "mean of 0 of 3 seeds, 3 failed",
                "1",
                "mean of 1 of 2 seeds"
            ]
            .map(Cell::text)
        );
        assert_eq!(table.rows[2][2], Cell::missing("no finished seed"));
        assert_eq!(
            table.notes[1..],
            [
                "arch2vec: of 4 seeds planned, 2 failed, 1 not finished",
                "gae: of 3 seeds planned, 3 failed",
                "vgae: of 2 seeds planned, 1 not finished"
            ]
        );
    }

    #[test]
    fn levels_have_rows_and_their_factors_columns() {
        let sized = |latent, seeds: &[u64]| PretrainSet {
            level: vec![Factor {
                name: "latent".to_owned(),
                value: Scalar::Whole(latent),
            }],
            ..set(
                "arch2vec",
                (2, 0),
                seeds.iter().map(|&seed| row(seed, 0.4)).collect(),
            )
        };
        let table = pretrain_table(&[sized(8, &[1, 2]), sized(16, &[1])]);
        let keys: Vec<_> = table.columns.iter().take(4).map(Column::key).collect();
        assert_eq!(keys, ["model", "latent", "seed", "epochs"]);
        let found: Vec<_> = table.rows.iter().map(|row| row[1..3].to_vec()).collect();
        let expected = [
            (8, "1"),
            (8, "2"),
            (8, "mean of 2 seeds"),
            (16, "1"),
            (16, "mean of 1 of 2 seeds"),
        ];
        let expected = expected.map(|(latent, seed)| vec![Cell::Count(latent), Cell::text(seed)]);
        assert_eq!(found, expected);
        assert_eq!(
            table.notes.last().unwrap(),
            "arch2vec latent=16: of 2 seeds planned, 1 not finished"
        );
    }

    #[test]
    fn a_missing_value_is_not_averaged_away() {
        let mut empty = row(2, 0.3);
        empty.epochs.clear();
        for broken in [empty, row(2, f64::NAN)] {
            let table = pretrain_table(&[set("gae", (2, 0), vec![row(1, 0.3), broken])]);
            assert!(matches!(table.rows[1][7], Cell::Missing(_)));
            assert_eq!(table.rows[2][7], Cell::missing("a seed has no value"));
        }
    }
}
