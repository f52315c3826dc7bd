//! The list of all NAS-Bench-101 cells in the published order.
//!
//! A matrix stands for its class when no order of its vertices gives a smaller
//! triangle; the orders that give the same triangle are its symmetries, and among
//! the label sequences that these exchange the smallest stands for the cell. So
//! each cell is met exactly once, and nothing has to be remembered or hashed.

use std::ops::ControlFlow;

use super::cell::{Cell, LABELS, column};
use super::graph::{Graph, MAX_EDGES, MAX_VERTICES};

/// Number of cells in the published space.
pub(super) const CELLS: usize = 423_624;

/// All cells, ascending.
pub(super) fn all_cells() -> Vec<Cell> {
    let mut cells = Vec::with_capacity(CELLS);
    for vertices in 2..=MAX_VERTICES {
        for triangle in 0..1_u32 << column_end(vertices) {
            if triangle.count_ones() <= MAX_EDGES {
                push_cells(vertices, triangle, &mut cells);
            }
        }
    }
    cells
}

/// Bits of the strict upper triangle of `vertices`.
const fn column_end(vertices: usize) -> usize {
    column(vertices - 1) + vertices - 1
}

/// Appends the cells that `triangle` stands for, if any.
fn push_cells(vertices: usize, triangle: u32, cells: &mut Vec<Cell>) {
    let graph = Graph::from_triangle(vertices, triangle);
    if !graph.is_full() {
        return;
    }
    let mut symmetries: Vec<[u8; MAX_VERTICES]> = Vec::new();
    let smaller = graph.for_each_order(&mut |other, order| {
        if other < triangle {
            return ControlFlow::Break(());
        }
        if other == triangle && !order.is_sorted() {
            let mut symmetry = [0; MAX_VERTICES];
            symmetry[..order.len()].copy_from_slice(order);
            symmetries.push(symmetry);
        }
        ControlFlow::Continue(())
    });
    if smaller.is_break() {
        return;
    }
    let interior = vertices - 2;
    for code in 0..u32::from(LABELS).pow(interior as u32) {
        let cell = Cell::pack(vertices, triangle, code);
        let labelled = cell.graph();
        let smallest = symmetries
            .iter()
            .all(|symmetry| labelled.code(&symmetry[..interior]) >= code);
        if smallest {
            cells.push(cell);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_cells_as_published_of_each_size() {
        let cells = all_cells();
        assert_eq!(cells.len(), CELLS);
        assert!(cells.is_sorted_by(|a, b| a < b));
        let expected = [
            (2, 1),
            (3, 6),
            (4, 84),
            (5, 2_441),
            (6, 62_010),
            (7, 359_082),
        ];
        for (vertices, count) in expected {
            let found = cells.iter().filter(|cell| cell.vertices() == vertices);
            assert_eq!(found.count(), count, "{vertices} vertices");
        }
    }
}
