//! Every finished run in one row, so that anybody can check a summary.

use super::factor::{distinct, factors, level_cells};
use super::search::NOT_A_FACTOR;
use super::{Cell, Column, Table};
use crate::sample::{RunSet, Split};

/// One row a finished run: what it cost and the reported accuracies of its final
/// incumbent in percent.
pub fn runs_table(sets: &[RunSet]) -> Table {
    let factors = factors(sets.iter().map(RunSet::level));
    let mut finals = sets.iter().flat_map(RunSet::finals);
    let tells_embeddings = finals.any(|end| end.pretrain_seed.is_some());
    let mut columns = vec![Column::new("method")];
    columns.extend(factors.iter().map(|name| Column::new(*name)));
    columns.extend(["dataset", "seed"].map(Column::new));
    columns.extend(tells_embeddings.then(|| Column::new("pretrain seed")));
    columns.push(Column::new("queries"));
    columns.push(Column::new("simulated seconds").unit("s").precision(3));
    columns.push(Column::new("architecture"));
    columns.extend(Split::ALL.map(|split| Column::percent(split.as_str()).precision(4)));
    let mut table = Table::new("Runs", columns);
    for set in sets {
        for end in set.finals() {
            let mut row = vec![Cell::text(set.method())];
            row.extend(level_cells(&factors, set.level(), NOT_A_FACTOR));
            row.extend([Cell::text(set.dataset().as_str()), Cell::Count(end.seed.0)]);
            row.extend(tells_embeddings.then(|| match end.pretrain_seed {
                Some(seed) => Cell::Count(seed.0),
                None => Cell::missing("searches no embedding"),
            }));
            row.extend([Cell::count(end.queries), Cell::number(end.simulated.get())]);
            if let Some(incumbent) = end.incumbent {
                row.push(Cell::Count(u64::from(incumbent.arch.0)));
                row.extend(
                    Split::ALL.map(|split| Cell::number(incumbent.accuracy(split).percent())),
                );
            } else {
                row.resize(table.columns.len(), Cell::missing("no query"));
            }
            table.push(row);
        }
    }
    distinct(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{run, run_set};

    #[test]
    fn a_run_without_a_query_keeps_its_row() {
        let table = runs_table(&[run_set(
            "random",
            vec![run(2, &[]), run(1, &[(91.0, 94.0, 2.5)])],
        )]);
        assert_eq!(table.rows[0][2], Cell::Count(1));
        assert_eq!(table.rows[0][4], Cell::Number(2.5));
        assert_eq!(table.rows[1][3], Cell::Count(0));
        assert_eq!(table.rows[1][7], Cell::missing("no query"));
    }
}
