//! Groups of rows that all but coincide, so that one row can stand for a group
//! where only bounds are wanted. The encoder sees a cell without the direction of
//! its edges and averages over its nodes: of NAS-Bench-101's 423,624 cells a third
//! have the embedding of another one but for rounding.
//!
//! Not here: what is concluded from a row about the others of its group.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};

use super::Embedding;
use crate::surrogate::kernel::{LANES, Lane};

/// A partition of an embedding's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Clusters {
    /// The first row of each cluster, ascending.
    leaders: Vec<u32>,
    /// Where each cluster's rows begin in `members`; one more entry than clusters.
    starts: Vec<u32>,
    /// All rows, cluster by cluster, ascending in each.
    members: Vec<u32>,
    /// Distance from each leader to the farthest of its cluster.
    radii: Vec<f32>,
    /// The leaders' features, `[blocks, dims]`: a block is sixteen leaders, the last
    /// one filled up by repeating its last.
    lanes: Vec<Lane>,
}

impl Clusters {
    /// No row lies farther from the leader of its cluster (Euclidean). Some five
    /// times what single precision leaves between embeddings that are equal but
    /// for the order of their sums.
    pub const RADIUS: f32 = 1e-6;

    pub(super) fn of(table: &Embedding) -> Self {
        let mut leaders: Vec<u32> = Vec::new();
        let mut radii: Vec<f32> = Vec::new();
        let mut cluster_of = Vec::with_capacity(table.len());
        let mut known: HashMap<u64, u32> = HashMap::new();
        for (row, features) in table.rows().chunks_exact(table.dims()).enumerate() {
            let next = leaders.len() as u32;
            let cluster = *known.entry(cell(features)).or_insert(next);
            let distance = leaders.get(cluster as usize).map(|&leader| {
                let start = leader as usize * table.dims();
                distance(&table.rows()[start..start + table.dims()], features)
            });
            if let Some(distance) = distance.filter(|&distance| distance <= Self::RADIUS) {
                let radius = &mut radii[cluster as usize];
                *radius = radius.max(distance);
                cluster_of.push(cluster);
            } else {
                leaders.push(row as u32);
                radii.push(0.0);
                cluster_of.push(next);
            }
        }
        let mut starts = vec![0_u32; leaders.len() + 1];
        for &cluster in &cluster_of {
            starts[cluster as usize + 1] += 1;
        }
        for cluster in 0..leaders.len() {
            starts[cluster + 1] += starts[cluster];
        }
        let mut free = starts.clone();
        let mut members = vec![0; cluster_of.len()];
        for (row, &cluster) in cluster_of.iter().enumerate() {
            let place = &mut free[cluster as usize];
            members[*place as usize] = row as u32;
            *place += 1;
        }
        let lanes = lanes(table, &leaders);
        Self {
            leaders,
            starts,
            members,
            radii,
            lanes,
        }
    }

    /// The row that stands for each cluster, one of its own.
    pub fn leaders(&self) -> &[u32] {
        &self.leaders
    }

    /// The rows of a cluster, ascending.
    ///
    /// # Panics
    /// If there is no such cluster.
    pub fn members(&self, cluster: usize) -> &[u32] {
        &self.members[self.starts[cluster] as usize..self.starts[cluster + 1] as usize]
    }

    /// How far the rows of a cluster lie from its leader at most; zero where all are
    /// equal to it.
    ///
    /// # Panics
    /// If there is no such cluster.
    pub fn radius(&self, cluster: usize) -> f32 {
        self.radii[cluster]
    }

    /// The leaders' features, sixteen leaders in a lane: `[blocks, dims]`.
    pub(crate) fn lanes(&self) -> &[Lane] {
        &self.lanes
    }
}

/// A grid cell of rows near each other. Rows on either side of a border are in two
/// clusters, and cells that share a hash are told apart by distance: both cost
/// time and nothing else.
fn cell(features: &[f32]) -> u64 {
    /// A hundred times the radius, so that few clusters lie on a border.
    const PITCH: f32 = 100.0 * Clusters::RADIUS;
    let mut hasher = DefaultHasher::new();
    for value in features {
        hasher.write_i64((value / PITCH).round() as i64);
    }
    hasher.finish()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    let squares = a
        .iter()
        .zip(b)
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    // Up by more than the conversion can take away.
    (squares.sum::<f64>().sqrt() * (1.0 + 1e-6)) as f32
}

fn lanes(table: &Embedding, leaders: &[u32]) -> Vec<Lane> {
    let dims = table.dims();
    let mut lanes = Vec::with_capacity(leaders.len().div_ceil(LANES) * dims);
    for block in leaders.chunks(LANES) {
        for dim in 0..dims {
            lanes.push(std::array::from_fn(|lane| {
                let leader = block[lane.min(block.len() - 1)];
                table.rows()[leader as usize * dims + dim]
            }));
        }
    }
    lanes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_that_coincide_but_for_rounding_are_one_cluster() {
        let rows = vec![0.5, 1.0, 0.7, 1.0, 0.5 + 3e-7, 1.0, 0.5, 1.0 + 2e-6];
        let table = Embedding::new(rows, 2).unwrap();
        let clusters = table.clusters();
        assert_eq!(clusters.leaders(), [0, 1, 3]);
        assert_eq!(clusters.members(0), [0, 2]);
        assert_eq!(clusters.members(1), [1]);
        assert_eq!(clusters.lanes()[1][..2], [1.0; 2]);
        assert_eq!(clusters.lanes()[0][2..], [0.5; LANES - 2]);
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_cluster_near_its_leader(
            cells in prop::collection::vec((0_u8..4, 0_u8..4, -9_i8..9), 1..80),
        ) {
            let values = cells.iter().flat_map(|&(x, y, noise)| {
                [f32::from(x) * 1e-4, f32::from(y) * 0.25 + f32::from(noise) * 1e-7]
            });
            let table = Embedding::new(values.collect(), 2).unwrap();
            let clusters = table.clusters();
            let mut seen = vec![0; table.len()];
            for (cluster, &leader) in clusters.leaders().iter().enumerate() {
                let members = clusters.members(cluster);
                prop_assert_eq!(members[0], leader);
                prop_assert!(members.is_sorted());
                for &row in members {
                    seen[row as usize] += 1;
                    let at = |row: u32| &table.rows()[2 * row as usize..][..2];
                    let distance = distance(at(leader), at(row));
                    prop_assert!(distance <= clusters.radius(cluster));
                    prop_assert!(distance <= Clusters::RADIUS);
                }
            }
            prop_assert!(seen.iter().all(|&times| times == 1));
        }
    }
}
