//! The whole space, which is small enough, and the published table as an oracle.

#![expect(clippy::disallowed_methods, reason = "a test reads its fixture")]

use flate2::read::GzDecoder;
use reprise_skip::{Lack, skip};

use super::*;

#[test]
fn the_order_is_the_official_one() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/data/nasbench201.csv.gz"
    );
    let Ok(file) = std::fs::File::open(path) else {
        skip(Lack::Data, &format!("`{path}` is not there")).unwrap();
        return;
    };
    let space = Nasbench201::new();
    let mut rows = csv::Reader::from_reader(GzDecoder::new(file));
    let mut count = 0;
    for row in rows.records() {
        let row = row.unwrap();
        let arch = ArchIndex(count);
        assert_eq!(row[0], arch.to_string());
        assert_eq!(space.arch_str(arch), row[1]);
        assert_eq!(space.parse_arch_str(&row[1]), Ok(arch));
        count += 1;
    }
    assert_eq!(count, 15_625);
}

#[test]
fn known_cells_have_their_published_index() {
    // The cells by which the benchmark's own code checks its shuffle.
    let space = Nasbench201::new();
    for (index, text) in [
        (
            0,
            "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
        ),
        (
            9,
            "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
        ),
        (
            123,
            "|avg_pool_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|",
        ),
    ] {
        assert_eq!(space.arch_str(ArchIndex(index)), text);
    }
}

#[test]
fn every_cell_is_found_again_and_strictly_valid() {
    let space = Nasbench201::new();
    let (mut adjacency, mut operations) = ([9; 64], [9; 8]);
    let mut identities = std::collections::HashSet::new();
    for arch in (0..space.len() as u32).map(ArchIndex) {
        assert_eq!(space.find(space.cell_ops(arch)), arch);
        space.encode(arch, &mut adjacency, &mut operations);
        assert!(space.is_valid(&adjacency, &operations, false));
        assert!(space.is_valid(&adjacency, &operations, true));
        if arch.row() % 25 == 0 {
            identities.insert(space.identity(&adjacency, &operations));
        }
    }
    // The fixed graph is symmetric under no exchange of its nodes.
    assert_eq!(identities.len(), 625);
}

#[test]
fn a_mutant_differs_on_exactly_one_edge() {
    let space = Nasbench201::new();
    let mut rng = Stream::new(b"mutate", "test", 0);
    let parent = ArchIndex(6_111);
    let mut met = std::collections::BTreeSet::new();
    for _ in 0..1_000 {
        let child = space.mutate(parent, &mut rng);
        let pairs = space
            .cell_ops(parent)
            .into_iter()
            .zip(space.cell_ops(child));
        assert_eq!(pairs.filter(|(old, new)| old != new).count(), 1);
        met.insert(child);
    }
    assert_eq!(met.len(), 6 * 4, "all neighbours are drawn");
}

/// Changes to a valid graph, and whether it stays valid: leniently, strictly.
fn check_valid(change: impl Fn(&mut [u8; 64], &mut [u8; 8]), expected: (bool, bool)) {
    let space = Nasbench201::new();
    let (mut adjacency, mut operations) = ([0; 64], [0; 8]);
    space.encode(ArchIndex(0), &mut adjacency, &mut operations);
    change(&mut adjacency, &mut operations);
    let lenient = space.is_valid(&adjacency, &operations, true);
    let strict = space.is_valid(&adjacency, &operations, false);
    assert_eq!((lenient, strict), expected, "{operations:?}");
}

#[test]
fn lenient_validity_ignores_the_adjacency_and_the_first_edge() {
    check_valid(|_, _| {}, (true, true));
    check_valid(|adjacency, _| adjacency.fill(0), (true, false));
    check_valid(|adjacency, _| adjacency[3] = 1, (true, false));
    check_valid(|_, operations| operations[1] = INPUT, (true, false));
    check_valid(|_, operations| operations[2] = INPUT, (false, false));
    check_valid(|_, operations| operations[6] = OUTPUT, (false, false));
    check_valid(|_, operations| operations[0] = 1, (false, false));
    check_valid(|_, operations| operations[7] = 1, (false, false));
    check_valid(|_, operations| operations[4] = 255, (false, false));
}

#[test]
fn graphs_of_another_size_are_not_valid() {
    let space = Nasbench201::new();
    for (adjacency, operations) in [(0, 0), (64, 7), (49, 7), (63, 8), (81, 9), (4, 2)] {
        let mut operations = vec![1; operations];
        if let [first, .., last] = &mut operations[..] {
            (*first, *last) = (INPUT, OUTPUT);
        }
        assert!(!space.is_valid(&vec![0; adjacency], &operations, true));
    }
}
