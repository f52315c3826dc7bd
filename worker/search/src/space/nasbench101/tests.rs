//! Properties of the whole space, and the published sample as an oracle.

#![expect(clippy::disallowed_methods, reason = "a test reads its fixture")]

use std::ops::ControlFlow;
use std::sync::LazyLock;

use flate2::read::GzDecoder;
use proptest::prelude::*;
use proptest::sample::Index;
use reprise_skip::{Lack, skip};

use super::*;

static SPACE: LazyLock<Nasbench101> = LazyLock::new(Nasbench101::enumerate);

fn encode(arch: ArchIndex) -> (Vec<u8>, Vec<u8>) {
    let (mut adjacency, mut operations) = (vec![9; 49], vec![9; 7]);
    SPACE.encode(arch, &mut adjacency, &mut operations);
    (adjacency, operations)
}

/// Row-major matrix of a published row's upper triangle.
fn matrix(vertices: usize, upper_triangle: &str) -> Vec<u8> {
    let mut adjacency = vec![0; vertices * vertices];
    let mut digits = upper_triangle.bytes();
    for from in 0..vertices {
        for to in from + 1..vertices {
            adjacency[from * vertices + to] = digits.next().unwrap() - b'0';
        }
    }
    adjacency
}

#[test]
fn every_published_row_is_listed_with_its_matrix_and_hash() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/data/nasbench101-sample.csv.gz"
    );
    let Ok(file) = std::fs::File::open(path) else {
        skip(Lack::Data, &format!("`{path}` is not there")).unwrap();
        return;
    };
    let mut rows = csv::Reader::from_reader(GzDecoder::new(file));
    let mut count = 0;
    for row in rows.records() {
        let row = row.unwrap();
        let (hash, vertices, edges) = (&row[0], row[1].parse().unwrap(), &row[2]);
        let operations: Vec<u8> = row[4]
            .split(',')
            .map(|name| OPERATIONS.iter().position(|&op| op == name).unwrap() as u8)
            .collect();
        let adjacency = matrix(vertices, &row[3]);
        let arch = SPACE.find(&adjacency, &operations).expect(hash);
        let cell = SPACE.cell(arch);
        assert_eq!(format!("{:032x}", cell.hash()), hash);
        assert_eq!(cell.edges().to_string(), edges, "{hash}");
        // Not just some matrix of the cell: the published one.
        assert!(cell.operations().eq(operations.iter().copied()), "{hash}");
        for (position, &entry) in adjacency.iter().enumerate() {
            let (from, to) = (position / vertices, position % vertices);
            assert_eq!(u8::from(cell.has_edge(from, to)), entry, "{hash}");
        }
        count += 1;
    }
    assert_eq!(count, 30_001);
}

#[test]
fn a_hash_finds_its_architecture_and_no_two_share_one() {
    let hashes = SPACE.hashes();
    let Hashes { ascending, .. } = SPACE.hashes_both_ways();
    let strictly = ascending.is_sorted_by(|&a, &b| hashes[a as usize] < hashes[b as usize]);
    assert!(strictly, "the published space tells cells apart by hash");
    for row in (0..hashes.len()).step_by(997) {
        let arch = ArchIndex(row as u32);
        assert_eq!(SPACE.find_hash(SPACE.cell(arch).hash()), Some(arch));
    }
    assert_eq!(SPACE.find_hash(0), None);
}

/// A graph given by its edges, and operations by their positions.
fn check_valid(operations: &[u8], edges: &[(usize, usize)], expected: bool) {
    let nodes = operations.len();
    let mut adjacency = vec![0; nodes * nodes];
    for &(from, to) in edges {
        adjacency[from * nodes + to] = 1;
    }
    for lenient in [false, true] {
        let valid = SPACE.is_valid(&adjacency, operations, lenient);
        assert_eq!(valid, expected, "{operations:?} {edges:?}");
    }
}

#[test]
fn validity_is_decided_after_pruning() {
    let chain = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)];
    check_valid(&[0, 1, 2, 3, 1, 2, 4], &chain, true);
    // Not connected.
    check_valid(&[0, 1, 2, 3, 1, 2, 4], &chain[..5], false);
    check_valid(&[0, 1, 2, 3, 1, 2, 4], &[], false);
    // Wrong ends.
    check_valid(&[1, 1, 2, 3, 1, 2, 4], &chain, false);
    check_valid(&[0, 1, 2, 3, 1, 2, 1], &chain, false);
    // An input or output inside counts only on a path.
    check_valid(&[0, 1, 0, 3, 1, 2, 4], &chain, false);
    check_valid(&[0, 1, 4, 3, 1, 2, 4], &chain, false);
    check_valid(
        &[0, 1, 4, 3, 0, 2, 4],
        &[(0, 5), (5, 6), (0, 2), (4, 6)],
        true,
    );
    // Nine edges are allowed and ten are not, dead ones apart.
    let nine = [&chain[..], &[(0, 2), (0, 3), (0, 4)]].concat();
    check_valid(&[0, 1, 2, 3, 1, 2, 4], &nine, true);
    check_valid(
        &[0, 1, 2, 3, 1, 2, 4],
        &[&nine[..], &[(0, 5)]].concat(),
        false,
    );
    let dead = [
        (0, 6),
        (0, 1),
        (0, 2),
        (0, 3),
        (0, 4),
        (0, 5),
        (1, 2),
        (1, 3),
        (1, 4),
        (1, 5),
    ];
    check_valid(&[0, 1, 1, 1, 1, 1, 4], &dead, true);
}

#[test]
fn hostile_graphs_are_not_valid_and_do_not_panic() {
    for (adjacency, operations) in [
        (vec![], vec![]),
        (vec![1; 49], vec![PADDING; 7]),
        (vec![1; 49], vec![200; 7]),
        (vec![1; 10], vec![0, 4]),
        (vec![1; 64], vec![0, 1, 1, 1, 1, 1, 1, 4]),
        (vec![1], vec![0]),
    ] {
        assert!(!SPACE.is_valid(&adjacency, &operations, true));
        assert_eq!(SPACE.find(&adjacency, &operations), None);
    }
}

#[test]
fn identity_sees_dead_parts_but_not_the_order_of_vertices() {
    let operations = [0, 1, 2, 1, 1, 1, 4];
    let identity = |edges: &[(usize, usize)], operations: &[u8]| {
        let mut adjacency = vec![0; 49];
        for &(from, to) in edges {
            adjacency[from * 7 + to] = 1;
        }
        SPACE.identity(&adjacency, operations)
    };
    let plain = identity(&[(0, 1), (1, 6)], &operations);
    assert_ne!(plain, identity(&[(0, 1), (1, 6), (0, 3)], &operations));
    assert_eq!(plain, identity(&[(0, 3), (3, 6)], &operations));
    assert_ne!(plain, identity(&[(0, 2), (2, 6)], &operations));
}

#[test]
fn samples_are_spread_over_the_whole_space() {
    let mut rng = Stream::new(b"sample", "test", 0);
    let half = SPACE.len() as u32 / 2;
    let low = (0..10_000).filter(|_| SPACE.sample(&mut rng).0 < half);
    // Four standard errors.
    assert!(low.count().abs_diff(5_000) < 200);
}

fn any_arch() -> impl Strategy<Value = ArchIndex> {
    any::<Index>().prop_map(|index| ArchIndex(index.index(SPACE.len()) as u32))
}

proptest! {
    #[test]
    fn every_permissible_order_has_the_same_canonical_form_and_hash(arch in any_arch()) {
        let cell = SPACE.cell(arch);
        let graph = cell.graph();
        let mut orders = 0;
        let _ = graph.for_each_order(&mut |triangle, order| {
            let reordered = Cell::pack(graph.vertices, triangle, graph.code(order));
            assert_eq!(reordered.graph().canonical(), cell);
            assert!(reordered >= cell, "the listed form is the smallest");
            orders += 1;
            // Hashing is slow; the first orders will do.
            if orders < 10 {
                assert_eq!(reordered.hash(), cell.hash());
            }
            ControlFlow::<()>::Continue(())
        });
        prop_assert!(orders >= 1);
    }

    #[test]
    fn an_encoding_is_valid_and_finds_its_architecture(arch in any_arch()) {
        let (adjacency, operations) = encode(arch);
        prop_assert!(adjacency.iter().all(|&entry| entry <= 1));
        prop_assert!(SPACE.is_valid(&adjacency, &operations, false));
        prop_assert_eq!(SPACE.find(&adjacency, &operations), Some(arch));
    }

    #[test]
    fn a_mutant_is_another_valid_architecture_and_repeats_with_its_stream(
        arch in any_arch(), step: u64,
    ) {
        let mutant = |()| SPACE.mutate(arch, &mut Stream::new(b"mutate", "test", step));
        prop_assert_ne!(mutant(()), arch);
        prop_assert!(mutant(()).row() < SPACE.len());
        prop_assert_eq!(mutant(()), mutant(()));
    }
}
