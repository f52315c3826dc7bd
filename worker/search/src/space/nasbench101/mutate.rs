//! One random edit of a NAS-Bench-101 cell.

use super::cell::{Cell, LABELS, column};
use super::graph::{Graph, MAX_VERTICES};
use crate::rng::Stream;
use crate::space::hash::bits;

/// Edges that can be flipped: the strict upper triangle of the padded matrix.
const EDGES: usize = column(MAX_VERTICES - 1) + MAX_VERTICES - 1;
/// Operations that can be changed.
const INTERIOR: usize = MAX_VERTICES - 2;

/// A different cell one random edit away: an edge of a seven-vertex genotype of
/// `parent` flipped or an interior operation changed, each of the 26 with the same
/// probability, drawn again until the edit matters and the cell stays valid.
///
/// This is the edit of the regularised evolution that the published curves come
/// from (`nas_benchmarks`, encoding A). That search keeps the dead parts of its
/// genotypes; here an architecture is its cell alone, so its genotype is drawn
/// from all that prune to it. Without dead edges a cell could never gain a vertex,
/// which takes two edges.
pub(super) fn mutate(parent: Cell, rng: &mut Stream) -> Cell {
    loop {
        let mut genotype = genotype(parent, rng);
        edit(&mut genotype, rng);
        if let Some(child) = genotype.to_cell().filter(|&child| child != parent) {
            return child;
        }
    }
}

/// A graph of seven vertices that prunes to `cell`, drawn uniformly from the
/// placements of its vertices and the dead edges and operations around them.
fn genotype(cell: Cell, rng: &mut Stream) -> Graph {
    let compact = cell.graph();
    loop {
        let (mut genotype, live) = spread(&compact, rng);
        for to in bits(live ^ ALL) {
            genotype.labels[to] = rng.below(u64::from(LABELS)) as u8;
        }
        for to in 1..MAX_VERTICES {
            let below = (1_u8 << to) - 1;
            // Any edge that touches a dead vertex may be there or not.
            let open = if live >> to & 1 == 1 {
                below & !live
            } else {
                below
            };
            genotype.predecessors[to] |= rng.next_u64() as u8 & open;
        }
        if genotype.prune().as_ref() == Some(&compact) {
            return genotype;
        }
    }
}

/// All vertices.
const ALL: u8 = (1 << MAX_VERTICES) - 1;

/// `compact` on seven vertices with its interior at random places in the same
/// order, and the set of vertices that it takes.
fn spread(compact: &Graph, rng: &mut Stream) -> (Graph, u8) {
    let output = compact.vertices - 1;
    let chosen = rng.permutation(INTERIOR).into_iter().take(output - 1);
    let ends = 1 | 1 << (MAX_VERTICES - 1);
    let live = chosen.fold(ends, |live, v| live | 2 << v);

    let mut wide = Graph::from_triangle(MAX_VERTICES, 0);
    for (old_to, to) in bits(live).enumerate() {
        wide.labels[to] = compact.labels[old_to];
        for (old_from, from) in bits(live).enumerate() {
            wide.predecessors[to] |= (compact.predecessors[old_to] >> old_from & 1) << from;
        }
    }
    (wide, live)
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

    /// Input -> conv1x1 -> maxpool -> output with a skip from the input.
    fn small_cell() -> Cell {
        Cell::pack(4, 0b1 | 0b10 << column(2) | 0b101 << column(3), 5)
    }

    #[test]
    fn a_genotype_computes_its_cell_and_uses_every_vertex() {
        let mut rng = Stream::new(b"genotype", "test", 0);
        let mut touched = 0;
        for _ in 0..200 {
            let genotype = genotype(small_cell(), &mut rng);
            assert_eq!(genotype.to_cell(), Some(small_cell()));
            for (to, &mask) in genotype.predecessors.iter().enumerate() {
                touched |= mask | u8::from(mask != 0) << to;
            }
        }
        assert_eq!(touched, ALL, "vertices with a live or dead edge");
    }

    #[test]
    fn the_smallest_cell_grows_to_every_size() {
        let mut rng = Stream::new(b"grow", "test", 0);
        let mut cell = Cell::pack(2, 1, 0);
        let mut met = [false; MAX_VERTICES + 1];
        for _ in 0..20_000 {
            cell = mutate(cell, &mut rng);
            met[cell.vertices()] = true;
        }
        assert_eq!(met[3..], [true; 5], "sizes met on a random walk");
    }

    #[test]
    fn every_edit_changes_exactly_one_edge_or_operation() {
        let mut rng = Stream::new(b"edit", "test", 0);
        let start = Graph::from_triangle(MAX_VERTICES, 0b1_0000_0000_0000_0000_0001);
        let mut edits = std::collections::BTreeSet::new();
        for _ in 0..2_000 {
            let mut edited = start;
            edit(&mut edited, &mut rng);
            let vertices = 0..MAX_VERTICES;
            let flips = vertices.clone().flat_map(|to| {
                let changed = edited.predecessors[to] ^ start.predecessors[to];
                bits(changed).map(move |from| (from, to))
            });
            let relabels = vertices.filter(|&v| edited.labels[v] != start.labels[v]);
            let changes: Vec<_> = flips.chain(relabels.map(|v| (v, v))).collect();
            assert_eq!(changes.len(), 1, "{changes:?}");
            edits.extend(changes);
        }
        assert_eq!(edits.len(), 26, "all edits are drawn: {edits:?}");
    }
}
