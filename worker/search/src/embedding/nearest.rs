//! The rows nearest to a point: an exact index. A scan over the clusters' leaders
//! finds which rows can be among the nearest; only these are measured one by one.

#![expect(
    clippy::inline_always,
    reason = "only inlined code gets the vector width"
)]

use super::{Clusters, Embedding};
use crate::surrogate::kernel::{self, LANES, Lane};

/// A row with its squared distance. The nearer is the smaller, and of two that are
/// equally near the first row.
type Found = (f32, usize);

const FAR: Found = (f32::INFINITY, usize::MAX);

/// The rows nearest to a point; `None` where there is no such row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nearest {
    /// Nearest of all rows.
    pub of_all: Option<usize>,
    /// Nearest of those that were not visited.
    pub unvisited: Option<usize>,
    /// Second nearest of these.
    pub second: Option<usize>,
}

impl Nearest {
    /// Searches a table for the rows nearest to `point`, `[dims]`; `visited` has an
    /// entry a row.
    pub fn to(point: &[f32], table: &Embedding, visited: &[bool]) -> Self {
        let mut search = Search::new(point, table, visited);
        kernel::dispatch(Scan(&mut search));
        search.end()
    }
}

struct Search<'a> {
    table: &'a Embedding,
    point: &'a [f32],
    visited: &'a [bool],
    of_all: Found,
    unvisited: Found,
    second: Found,
}

struct Scan<'a, 'b>(&'a mut Search<'b>);

impl pulp::WithSimd for Scan<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let search = self.0;
        let clusters = search.table.clusters();
        let dims = search.table.dims();
        let mut limit = search.limit();
        for (block, lanes) in clusters.lanes().chunks_exact(dims).enumerate() {
            let distances = square_distances(lanes, search.point);
            let nearest = distances.iter().copied().fold(f32::INFINITY, f32::min);
            if nearest > limit {
                continue;
            }
            let first = block * LANES;
            let last = clusters.leaders().len().min(first + LANES);
            for cluster in first..last {
                if distances[cluster - first] <= limit {
                    for &row in clusters.members(cluster) {
                        search.measure(row as usize);
                    }
                    limit = search.limit();
                }
            }
        }
    }
}

impl<'a> Search<'a> {
    fn new(point: &'a [f32], table: &'a Embedding, visited: &'a [bool]) -> Self {
        Self {
            table,
            point,
            visited,
            of_all: FAR,
            unvisited: FAR,
            second: FAR,
        }
    }

    /// What was found.
    fn end(self) -> Nearest {
        let row = |found: Found| (found.1 != FAR.1).then_some(found.1);
        Nearest {
            of_all: row(self.of_all),
            unvisited: row(self.unvisited),
            second: row(self.second),
        }
    }

    /// No row of a cluster matters whose leader is measured farther away than this:
    /// the rows lie within a radius of it, and both distances are rounded.
    fn limit(&self) -> f32 {
        // What 30 roundings of a sum of positive terms can make of it, both ways.
        const ROUNDING: f64 = 1.0 + 60.0 * f32::EPSILON as f64;
        let distance = (f64::from(self.second.0) * ROUNDING).sqrt();
        let farthest = (distance + f64::from(Clusters::RADIUS)).powi(2) * ROUNDING;
        farthest as f32
    }

    /// Measures one row.
    fn measure(&mut self, row: usize) {
        let start = row * self.table.dims();
        let features = &self.table.rows()[start..start + self.table.dims()];
        let found = (square_distance(features, self.point), row);
        if is_nearer(found, self.of_all) {
            self.of_all = found;
        }
        if self.visited[row] {
            return;
        }
        if is_nearer(found, self.unvisited) {
            self.second = self.unvisited;
            self.unvisited = found;
        } else if is_nearer(found, self.second) {
            self.second = found;
        }
    }
}

fn is_nearer(a: Found, b: Found) -> bool {
    a.0 < b.0 || (a.0 <= b.0 && a.1 < b.1)
}

/// Squared distances of sixteen leaders from a point.
#[inline(always)]
fn square_distances(lanes: &[Lane], point: &[f32]) -> Lane {
    let mut total = [0.0; LANES];
    for (lane, value) in lanes.iter().zip(point) {
        for (total, feature) in total.iter_mut().zip(lane) {
            *total += (feature - value) * (feature - value);
        }
    }
    total
}

fn square_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut total = [0.0; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for (total, (a, b)) in total.iter_mut().zip(a.iter().zip(b)) {
            *total += (a - b) * (a - b);
        }
    }
    kernel::sum(&total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One row after the other.
    fn exhaustive(point: &[f32], table: &Embedding, visited: &[bool]) -> Nearest {
        let mut search = Search::new(point, table, visited);
        (0..table.len()).for_each(|row| search.measure(row));
        search.end()
    }

    proptest! {
        /// Few distinct values and noise within a cluster's radius: ties and near
        /// ties are the rule.
        #[test]
        fn the_index_finds_what_a_scan_of_all_rows_finds(
            rows in prop::collection::vec((0_u8..5, 0_u8..5, 0_u8..5, -4_i8..5), 1..120),
            point in (-2.0_f32..6.0, -2.0_f32..6.0, -2.0_f32..6.0),
            seed: u64,
        ) {
            let visited: Vec<bool> = (0..rows.len()).map(|row| seed >> (row % 64) & 1 == 1).collect();
            let values = rows.iter().flat_map(|&(x, y, z, noise)| {
                [f32::from(x), f32::from(y) + f32::from(noise) * 1e-7, f32::from(z)]
            });
            let table = Embedding::new(values.collect(), 3).unwrap();
            for point in [[point.0, point.1, point.2], [point.0.round(), point.1.round(), 2.0]] {
                prop_assert_eq!(
                    Nearest::to(&point, &table, &visited),
                    exhaustive(&point, &table, &visited)
                );
            }
        }
    }
}
