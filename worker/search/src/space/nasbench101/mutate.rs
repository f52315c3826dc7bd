//! One random edit of a NAS-Bench-101 cell.

use super::cell::{Cell, LABELS, column};
use super::graph::{Graph, MAX_VERTICES};
use crate::rng::Stream;

/// Edges that can be flipped: the strict upper triangle of the padded matrix.
const EDGES: usize = column(MAX_VERTICES - 1) + MAX_VERTICES - 1;
/// Operations that can be changed.
const INTERIOR: usize = MAX_VERTICES - 2;

/// A different cell one random edit away: an edge of the padded matrix flipped or
/// an interior operation changed, each of the 26 with the same probability, as in
/// the regularised evolution that the published curves come from.
///
/// An edit that pruning undoes is kept and another one follows, as the published
/// genotype keeps its dead parts: otherwise a cell could never gain a vertex,
/// which takes two edges. An edit that makes the cell invalid is drawn again from
/// the parent.
pub(super) fn mutate(parent: Cell, rng: &mut Stream) -> Cell {
    loop {
        let mut draft = spread(parent, rng);
        loop {
            edit(&mut draft, rng);
            match draft.to_cell() {
                Some(child) if child == parent => {}
                Some(child) => return child,
                None => break,
            }
        }
    }
}

/// The cell on seven vertices: the ones that it does not have stand at random
/// places, with random operations and no edges.
fn spread(cell: Cell, rng: &mut Stream) -> Graph {
    let compact = cell.graph();
    let output = compact.vertices - 1;
    let mut places: Vec<u32> = rng.permutation(INTERIOR);
    places.truncate(output - 1);
    places.sort_unstable();
    // New place of each old vertex.
    let mut place = [0; MAX_VERTICES];
    for (v, chosen) in (1..output).zip(places) {
        place[v] = chosen as usize + 1;
    }
    place[output] = MAX_VERTICES - 1;

    let mut spread = Graph::from_triangle(MAX_VERTICES, 0);
    for label in &mut spread.labels[1..=INTERIOR] {
        *label = rng.below(u64::from(LABELS)) as u8;
    }
    for to in 1..=output {
        if to < output {
            spread.labels[place[to]] = compact.labels[to];
        }
        for from in 0..to {
            let edge = compact.predecessors[to] >> from & 1;
            spread.predecessors[place[to]] |= edge << place[from];
        }
    }
    spread
}

/// Flips one edge or changes one operation.
fn edit(graph: &mut Graph, rng: &mut Stream) {
    let choice = rng.index(EDGES + INTERIOR);
    if choice < EDGES {
        let to = (1..MAX_VERTICES)
            .rfind(|&to| column(to) <= choice)
            .expect("the first column begins at edge 0");
        graph.predecessors[to] ^= 1 << (choice - column(to));
    } else {
        let label = &mut graph.labels[choice - EDGES + 1];
        *label = (*label + 1 + rng.below(u64::from(LABELS) - 1) as u8) % LABELS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreading_a_cell_over_seven_vertices_does_not_change_it() {
        // input -> conv1x1 -> maxpool -> output with a skip from the input.
        let triangle = 0b1 | 0b10 << column(2) | 0b101 << column(3);
        let cell = Cell::pack(4, triangle, 5);
        let mut rng = Stream::new(b"spread", "test", 0);
        for _ in 0..100 {
            assert_eq!(spread(cell, &mut rng).to_cell(), Some(cell));
        }
    }

    #[test]
    fn the_smallest_cell_grows_and_reaches_seven_vertices() {
        let mut rng = Stream::new(b"grow", "test", 0);
        let mut cell = Cell::pack(2, 1, 0);
        let mut sizes = [false; MAX_VERTICES + 1];
        for _ in 0..2_000 {
            cell = mutate(cell, &mut rng);
            sizes[cell.vertices()] = true;
        }
        assert_eq!(sizes[3..], [true; 5], "sizes met on a random walk");
    }

    #[test]
    fn every_edit_changes_exactly_one_edge_or_operation() {
        let mut rng = Stream::new(b"edit", "test", 0);
        let start = Graph::from_triangle(MAX_VERTICES, 0b1_0000_0000_0000_0000_0001);
        for _ in 0..500 {
            let mut edited = start;
            edit(&mut edited, &mut rng);
            let flipped: u32 = (0..MAX_VERTICES)
                .map(|v| (edited.predecessors[v] ^ start.predecessors[v]).count_ones())
                .sum();
            let changed = (1..=INTERIOR).filter(|&v| edited.labels[v] != start.labels[v]);
            assert_eq!(flipped as usize + changed.count(), 1);
        }
    }
}
#[cfg(test)]
mod exper {
    use super::*;
    fn preimage(cell: Cell, rng: &mut Stream) -> Graph {
        loop {
            let mut g = spread(cell, rng);
            let base = g;
            let full = base.prune();
            let mut used = 1u8; 
            for v in 1..MAX_VERTICES { if base.predecessors[v] != 0 { used |= 1 << v; } }
            for to in 1..MAX_VERTICES { for from in 0..to {
                if used >> to & 1 == 0 || used >> from & 1 == 0 {
                    g.predecessors[to] |= (rng.below(2) as u8) << from;
                }
            } }
            if g.prune() == full { return g; }
        }
    }
    fn mutate2(parent: Cell, rng: &mut Stream) -> Cell {
        loop {
            let mut draft = preimage(parent, rng);
            edit(&mut draft, rng);
            match draft.to_cell() { Some(c) if c != parent => return c, _ => {} }
        }
    }
    #[test]
    fn exper() {
        for f in [mutate, mutate2] {
            let mut rng = Stream::new(b"grow", "test", 0);
            let mut cell = Cell::pack(2, 1, 0);
            let mut trans = [[0; 8]; 8];
            let t = std::time::Instant::now();
            for _ in 0..200_000 { let c = f(cell, &mut rng); trans[cell.vertices()][c.vertices()] += 1; cell = c; }
            println!("{:?} {:?}", t.elapsed(), trans);
        }
    }
}
