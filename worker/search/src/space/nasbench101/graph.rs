//! Small labelled graphs in topological order: pruning and the canonical form by
//! which NAS-Bench-101 cells are told apart.
//!
//! Not here: the compact form of a cell (`cell.rs`) and the list of all cells
//! (`enumerate.rs`).

use std::ops::ControlFlow;

use super::cell::{Cell, INPUT, LABELS, OPERATION_OF_LABEL, OUTPUT, column};
use crate::space::PADDING;
use crate::space::hash::{bits, predecessors};

/// Most vertices of a cell, input and output included.
pub(super) const MAX_VERTICES: usize = 7;
/// Most edges of a cell.
pub(super) const MAX_EDGES: u32 = 9;
/// Label of an interior vertex whose operation no cell may have there.
const NO_LABEL: u8 = u8::MAX;

/// A graph whose edges all point from a lower to a higher vertex; vertex 0 is
/// the input, the last one the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Graph {
    pub(super) vertices: usize,
    /// Bit `x` of entry `y`: the edge `x -> y`.
    pub(super) predecessors: [u8; MAX_VERTICES],
    /// Labels of the interior vertices: conv3x3 0, conv1x1 1, maxpool3x3 2.
    pub(super) labels: [u8; MAX_VERTICES],
}

impl Graph {
    /// The graph of a triangle numbered column by column, all labels 0.
    pub(super) fn from_triangle(vertices: usize, triangle: u32) -> Self {
        let mut predecessors = [0; MAX_VERTICES];
        for (to, mask) in predecessors.iter_mut().enumerate().take(vertices) {
            *mask = (triangle >> column(to)) as u8 & ((1 << to) - 1);
        }
        Self {
            vertices,
            predecessors,
            labels: [0; MAX_VERTICES],
        }
    }

    /// Reads a row-major square matrix and the operation of each vertex. Trailing
    /// padding is cut off. `None` unless there are 2 to 7 vertices, the first the
    /// input and the last the output.
    pub(super) fn read(adjacency: &[u8], operations: &[u8]) -> Option<Self> {
        let stride = operations.len();
        if adjacency.len() != stride * stride {
            return None;
        }
        let padding = operations.iter().rev().take_while(|&&op| op == PADDING);
        let vertices = stride - padding.count();
        if !(2..=MAX_VERTICES).contains(&vertices)
            || operations[0] != INPUT
            || operations[vertices - 1] != OUTPUT
        {
            return None;
        }
        let masks = predecessors(adjacency, stride, vertices);
        let mut graph = Self::from_triangle(vertices, 0);
        graph.predecessors.copy_from_slice(&masks[..MAX_VERTICES]);
        let interior = &operations[1..vertices - 1];
        for (slot, operation) in graph.labels[1..].iter_mut().zip(interior) {
            let label = OPERATION_OF_LABEL.iter().position(|op| op == operation);
            *slot = label.map_or(NO_LABEL, |label| label as u8);
        }
        Some(graph)
    }

    /// Number of edges.
    pub(super) fn edges(&self) -> u32 {
        self.predecessors.iter().map(|mask| mask.count_ones()).sum()
    }

    /// Whether every vertex lies on a path from the input to the output.
    pub(super) fn is_full(&self) -> bool {
        // In a topological order it is enough that no interior vertex is a dead
        // end in either direction.
        let into = &self.predecessors[1..self.vertices];
        let sources = into.iter().fold(0, |all, mask| all | mask);
        into.iter().all(|&mask| mask != 0) && sources == (1 << (self.vertices - 1)) - 1
    }

    /// Without the vertices that lie on no path from the input to the output.
    /// `None` when there is no such path.
    pub(super) fn prune(&self) -> Option<Self> {
        let output = self.vertices - 1;
        let (mut reached, mut needed) = (1_u8, 1_u8 << output);
        for v in 1..self.vertices {
            reached |= u8::from(self.predecessors[v] & reached != 0) << v;
        }
        for v in (1..self.vertices).rev() {
            if needed >> v & 1 == 1 {
                needed |= self.predecessors[v];
            }
        }
        let kept = reached & needed;
        if kept >> output & 1 == 0 || kept & 1 == 0 {
            return None;
        }
        let mut pruned = Self::from_triangle(kept.count_ones() as usize, 0);
        for (new, old) in bits(kept).enumerate() {
            pruned.labels[new] = self.labels[old];
            for (rank, from) in bits(kept).enumerate() {
                pruned.predecessors[new] |= (self.predecessors[old] >> from & 1) << rank;
            }
        }
        Some(pruned)
    }

    /// The cell that this graph computes once pruned, or `None` when it is not in
    /// the space: the benchmark's own notion of validity (protocol notes, 3).
    pub(super) fn to_cell(self) -> Option<Cell> {
        Some(self.pruned_cell()?.canonical())
    }

    /// The same in the order that the vertices have here.
    pub(super) fn pruned_cell(&self) -> Option<Self> {
        let pruned = self.prune()?;
        let interior = &pruned.labels[1..pruned.vertices - 1];
        let valid = pruned.edges() <= MAX_EDGES && interior.iter().all(|&label| label < LABELS);
        valid.then_some(pruned)
    }

    /// The published representative: the smallest packed cell over all orders of
    /// the interior vertices that keep edges pointing forward.
    pub(super) fn canonical(&self) -> Cell {
        let mut best = None;
        let _: ControlFlow<()> = self.for_each_order(&mut |triangle, order| {
            let cell = Cell::pack(self.vertices, triangle, self.code(order));
            best = Some(best.map_or(cell, |best: Cell| best.min(cell)));
            ControlFlow::Continue(())
        });
        best.expect("the given order itself keeps edges pointing forward")
    }

    /// The labels of the vertices in `order` as a number in base three.
    pub(super) fn code(&self, order: &[u8]) -> u32 {
        order.iter().fold(0, |code, &v| {
            code * u32::from(LABELS) + u32::from(self.labels[usize::from(v)])
        })
    }

    /// Calls `visit` with the triangle and the order of the interior vertices for
    /// every order that keeps edges pointing forward, until it breaks.
    pub(super) fn for_each_order<B>(
        &self,
        visit: &mut impl FnMut(u32, &[u8]) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let orders = Orders {
            graph: self,
            order: [0; MAX_VERTICES],
            position: [0; MAX_VERTICES],
        };
        orders.extend(1, 1, 0, visit)
    }
}

/// A partly built vertex order.
#[derive(Clone, Copy)]
struct Orders<'a> {
    graph: &'a Graph,
    /// The vertex at each position so far.
    order: [u8; MAX_VERTICES],
    /// The position of each vertex in `placed`.
    position: [u8; MAX_VERTICES],
}

impl Orders<'_> {
    /// Fills the positions from `next` on; `placed` holds the vertices before it
    /// and `triangle` the edges among them.
    fn extend<B>(
        mut self,
        next: usize,
        placed: u8,
        triangle: u32,
        visit: &mut impl FnMut(u32, &[u8]) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let output = self.graph.vertices - 1;
        if next == output {
            let triangle = triangle | self.edges_into(output, next);
            return visit(triangle, &self.order[1..output]);
        }
        for v in 1..output {
            let free = placed >> v & 1 == 0 && self.graph.predecessors[v] & !placed == 0;
            if free {
                self.order[next] = v as u8;
                self.position[v] = next as u8;
                let triangle = triangle | self.edges_into(v, next);
                self.extend(next + 1, placed | 1 << v, triangle, visit)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// The edges into vertex `v`, standing at `position`, as bits of a triangle.
    fn edges_into(&self, v: usize, position: usize) -> u32 {
        bits(self.graph.predecessors[v])
            .map(|from| 1 << (column(position) + usize::from(self.position[from])))
            .fold(0, |all, edge: u32| all | edge)
    }
}
