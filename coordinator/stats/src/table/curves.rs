//! The points of every curve, for those who draw their own figure.

use super::{Cell, Column, Table};
use crate::curve::Panel;

/// One row a point: test accuracy in percent of the incumbents at that position.
pub fn curve_table(panels: &[Panel]) -> Table {
    let mut columns = vec![
        Column::new("method"),
        Column::new("dataset"),
        Column::new("axis"),
        Column::new("x").precision(3),
    ];
    for statistic in ["mean", "median", "q1", "q3"] {
        columns.push(Column::percent(statistic).precision(4));
    }
    columns.push(Column::new("runs"));
    columns.push(Column::new("finished"));
    let mut table = Table::new("Test accuracy of the incumbent over the search", columns);
    for panel in panels {
        for curve in &panel.curves {
            for point in &curve.points {
                table.push(vec![
                    Cell::text(&curve.label),
                    Cell::text(panel.dataset.as_str()),
                    Cell::text(panel.axis.as_str()),
                    Cell::number(point.x),
                    Cell::number(point.mean),
                    Cell::number(point.median),
                    Cell::number(point.q1),
                    Cell::number(point.q3),
                    Cell::count(point.runs),
                    Cell::count(curve.finished),
                ]);
            }
        }
    }
    table
}
