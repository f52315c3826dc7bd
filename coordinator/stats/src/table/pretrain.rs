//! Table of pretraining runs: the measures of the last epoch, in percent.

use reprise_domain::{EpochMeasures, Factor, Seed};

use super::factor::{distinct, factors, level_cells};
use super::{Cell, Column, Estimate, Table};
use crate::format::plural;
use crate::summary::Summary;

/// One finished pretraining run.
#[derive(Debug, Clone, PartialEq)]
pub struct PretrainRow {
    /// Name of the model.
    pub model: String,
    /// Name of the entry, where it has one of its own.
    pub name: Option<String>,
    /// Values of its factors, in the order of the study.
    pub level: Vec<Factor>,
    /// Repetition seed.
    pub seed: Seed,
    /// Measures of every epoch.
    pub epochs: Vec<EpochMeasures>,
}

impl PretrainRow {
    /// The runs that differ in their seed only have the same of this.
    fn entry(&self) -> (&str, Option<&str>, &[Factor]) {
        (&self.model, self.name.as_deref(), &self.level)
    }
}

/// Which columns tell of an entry.
struct Head<'a> {
    /// Whether an entry has a name.
    names: bool,
    factors: Vec<&'a str>,
}

impl<'a> Head<'a> {
    fn of(rows: &'a [PretrainRow]) -> Self {
        let mut factors = factors(rows.iter().map(|row| row.level.as_slice()));
        // These two have a column anyway.
        factors.retain(|name| !matches!(*name, "model" | "epochs"));
        Self {
            names: rows.iter().any(|row| row.name.is_some()),
            factors,
        }
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![Column::new("model")];
        columns.extend(self.names.then(|| Column::new("name")));
        columns.extend(self.factors.iter().map(|name| Column::new(*name)));
        columns
    }

    fn cells(&self, run: &PretrainRow) -> Vec<Cell> {
        let mut cells = vec![Cell::text(&run.model)];
        cells.extend(self.names.then(|| match &run.name {
            Some(name) => Cell::text(name),
            None => Cell::missing("no name of its own"),
        }));
        let not_a_factor = "not a factor of the entry";
        cells.extend(level_cells(&self.factors, &run.level, not_a_factor));
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

/// Every run by entry and seed, and after the runs of an entry their mean and
/// sample standard deviation.
pub fn pretrain_table(rows: &[PretrainRow]) -> Table {
    let head = Head::of(rows);
    let mut columns = head.columns();
    columns.extend(["seed", "epochs"].map(Column::new));
    columns.extend(MEASURES.map(|(name, _)| Column::percent(name)));
    let mut table = Table::new("Pretraining after the last epoch", columns);
    let mut entries: Vec<_> = Vec::new();
    for row in rows {
        if !entries.contains(&row.entry()) {
            entries.push(row.entry());
        }
    }
    for entry in entries {
        let mut runs: Vec<_> = rows.iter().filter(|row| row.entry() == entry).collect();
        runs.sort_by_key(|row| row.seed);
        for run in &runs {
            table.push(run_row(&head, run));
        }
        table.push(summary_row(&head, &runs));
    }
    table.notes.push(
        "percent; the last row of a model is the mean ± sample standard deviation over its seeds"
            .to_owned(),
    );
    distinct(table)
}

fn run_row(head: &Head<'_>, run: &PretrainRow) -> Vec<Cell> {
    let mut row = head.cells(run);
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

fn summary_row(head: &Head<'_>, runs: &[&PretrainRow]) -> Vec<Cell> {
    let lengths: Vec<usize> = runs.iter().map(|run| run.epochs.len()).collect();
    let epochs = if lengths.windows(2).all(|pair| pair[0] == pair[1]) {
        Cell::count(lengths.first().copied().unwrap_or(0))
    } else {
        Cell::missing("differs between seeds")
    };
    let mut row = runs.first().map_or_else(Vec::new, |run| head.cells(run));
    row.extend([
        Cell::text(format!("mean of {}", plural(runs.len(), "seed"))),
        epochs,
    ]);
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

#[cfg(test)]
mod tests {
    use reprise_domain::Scalar;

    use super::*;

    fn row(label: &str, seed: u64, validity: f64) -> PretrainRow {
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
            model: label.to_owned(),
            name: None,
            level: Vec::new(),
            seed: Seed(seed),
            epochs: vec![epoch(0.1), epoch(validity)],
        }
    }

    #[test]
    fn the_last_epoch_counts_and_seeds_are_summarised_per_model() {
        let table = pretrain_table(&[
            row("arch2vec", 10, 0.46),
            row("gae", 1, 0.3),
            row("arch2vec", 2, 0.44),
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
    }

    #[test]
    fn levels_have_rows_and_their_factors_columns() {
        let sized = |latent, seed| PretrainRow {
            level: vec![Factor {
                name: "latent".to_owned(),
                value: Scalar::Whole(latent),
            }],
            ..row("arch2vec", seed, 0.4)
        };
        let table = pretrain_table(&[sized(8, 1), sized(16, 1), sized(8, 2)]);
        let keys: Vec<_> = table.columns.iter().take(4).map(Column::key).collect();
        assert_eq!(keys, ["model", "latent", "seed", "epochs"]);
        let found: Vec<_> = table.rows.iter().map(|row| row[1..3].to_vec()).collect();
        let expected = [
            (8, "1"),
            (8, "2"),
            (8, "mean of 2 seeds"),
            (16, "1"),
            (16, "mean of 1 seed"),
        ];
        let expected = expected.map(|(latent, seed)| vec![Cell::Count(latent), Cell::text(seed)]);
        assert_eq!(found, expected);
    }

    #[test]
    fn a_missing_value_is_not_averaged_away() {
        let mut empty = row("gae", 2, 0.3);
        empty.epochs.clear();
        for broken in [empty, row("gae", 2, f64::NAN)] {
            let table = pretrain_table(&[row("gae", 1, 0.3), broken]);
            assert!(matches!(table.rows[1][7], Cell::Missing(_)));
            assert_eq!(table.rows[2][7], Cell::missing("a seed has no value"));
        }
    }
}
