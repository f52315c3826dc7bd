//! Factors as columns: which there are, and the value of each in a row.

use reprise_domain::{Factor, Scalar};

use super::{Cell, Table};

/// The factors of all levels, in order of first appearance.
pub(super) fn factors<'a>(levels: impl Iterator<Item = &'a [Factor]>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for Factor { name, .. } in levels.flatten() {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

/// A cell for each of `factors`; `reason` stands where a level has none of that name.
pub(super) fn level_cells(factors: &[&str], level: &[Factor], reason: &str) -> Vec<Cell> {
    let cells = factors.iter().map(|name| {
        let value = level.iter().find(|factor| factor.name == *name);
        value.map_or_else(|| Cell::missing(reason), |factor| value_cell(&factor.value))
    });
    cells.collect()
}

fn value_cell(value: &Scalar) -> Cell {
    match value {
        Scalar::Whole(number) => match u64::try_from(*number) {
            Ok(count) => Cell::Count(count),
            Err(_) => exact(*number as f64),
        },
        Scalar::Real(number) => exact(*number),
        Scalar::Flag(_) | Scalar::Text(_) => Cell::text(value.to_string()),
    }
}

pub(super) fn exact(value: f64) -> Cell {
    if value.is_finite() {
        Cell::Exact(value)
    } else {
        Cell::missing("not a finite number")
    }
}

/// A number after the name of a column whose name for machines another one has:
/// people name factors and metrics as they like.
pub(super) fn distinct(mut table: Table) -> Table {
    for place in 1..table.columns.len() {
        let name = table.columns[place].name.clone();
        let mut number = 1;
        while table.columns[..place]
            .iter()
            .any(|before| before.key() == table.columns[place].key())
        {
            number += 1;
            table.columns[place].name = format!("{name} {number}");
        }
    }
    table
}
