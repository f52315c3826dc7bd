//! Which decoded graphs count as one: a fingerprint that is equal for two graphs
//! exactly where the published hash of them, unpruned, is.
//!
//! The published hash refines colours of the vertices, as many rounds as there are
//! vertices: a vertex's next colour stands for its own and for those of its
//! predecessors and of its successors without their order; MD5 only names the
//! colours. Whoever names them otherwise tells the same graphs apart. Here a colour
//! is 128 well mixed bits, made in a few multiplications where MD5 takes two or three
//! blocks of written-out digits. Two colours that differ have one name about as seldom
//! as by MD5; neither name withstands an attacker.

use super::hash::{MAX_VERTICES, bits, predecessors};

/// Two independent halves.
type Colour = [u64; 2];

/// Odd factors without a pattern: the fractional bits of square roots of primes.
const OWN: Colour = [0x6a09_e667_f3bc_c909, 0xbb67_ae85_84ca_a73b];
const BEFORE: Colour = [0x3c6e_f372_fe94_f82b, 0xa54f_f53a_5f1d_36f1];
const AFTER: Colour = [0x510e_527f_ade6_82d1, 0x9b05_688c_2b3e_6c1f];

/// The fingerprint of a decoded graph as it is, its operation numbers the labels.
///
/// # Panics
/// If there are more than [`MAX_VERTICES`] nodes, or fewer entries than the square
/// matrix of as many nodes has.
pub(super) fn fingerprint(adjacency: &[u8], operations: &[u8]) -> u128 {
    let nodes = operations.len();
    let predecessors = predecessors(adjacency, nodes, nodes);
    let mut successors = [0_u8; MAX_VERTICES];
    for (to, &mask) in predecessors.iter().enumerate() {
        for from in bits(mask) {
            successors[from] |= 1 << to;
        }
    }
    let mut colours = [[0; 2]; MAX_VERTICES];
    for (v, &operation) in operations.iter().enumerate() {
        let (out, into) = (successors[v].count_ones(), predecessors[v].count_ones());
        let label = u64::from(out) << 16 | u64::from(into) << 8 | u64::from(operation);
        colours[v] = mixed([label; 2], [0; 2], [0; 2]);
    }
    for _ in 0..nodes {
        let previous = colours;
        for v in 0..nodes {
            let before = total(&previous, predecessors[v]);
            let after = total(&previous, successors[v]);
            colours[v] = mixed(previous[v], before, after);
        }
    }
    let all = total(&colours, u8::MAX >> (MAX_VERTICES - nodes));
    let [high, low] = mixed([nodes as u64; 2], all, [0; 2]);
    u128::from(high) << 64 | u128::from(low)
}

/// The sum of some colours, which no order of them changes. They are well mixed, so
/// that different ones have different sums.
fn total(colours: &[Colour; MAX_VERTICES], mask: u8) -> Colour {
    let mut total = [0_u64; 2];
    for v in bits(mask) {
        for (total, half) in total.iter_mut().zip(colours[v]) {
            *total = total.wrapping_add(half);
        }
    }
    total
}

/// One name for a colour and two sums.
fn mixed(own: Colour, before: Colour, after: Colour) -> Colour {
    std::array::from_fn(|half| {
        let parts = [
            own[half].wrapping_mul(OWN[half]),
            before[half].wrapping_mul(BEFORE[half]),
            after[half].wrapping_mul(AFTER[half]),
        ];
        let sum = parts.into_iter().fold(AFTER[half], u64::wrapping_add);
        // The finaliser of SplitMix64 (Steele, Lea and Flood, 2014), a bijection.
        let sum = (sum ^ sum >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let sum = (sum ^ sum >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        sum ^ sum >> 31
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::rng::Stream;
    use crate::space::hash::hash_labellings;

    /// The published hash of an unpruned graph.
    fn published(adjacency: &[u8], operations: &[u8]) -> u128 {
        let nodes = operations.len();
        let masks = predecessors(adjacency, nodes, nodes);
        let labels: Vec<i16> = operations.iter().map(|&op| i16::from(op)).collect();
        let [hash] = hash_labellings(&masks[..nodes], [&labels]);
        hash
    }

    /// Small graphs of few labels, so that equal, isomorphic and equally coloured
    /// graphs are frequent, and renumbered ones of all sizes.
    #[test]
    fn graphs_are_told_apart_as_by_the_published_hash() {
        let mut rng = Stream::new(b"fingerprint", "graphs", 0);
        let (mut to_hash, mut to_fingerprint) = (HashMap::new(), HashMap::new());
        let mut seen = 0;
        for number in 0..40_000 {
            let nodes = 1 + rng.index(if number % 2 == 0 { 5 } else { MAX_VERTICES });
            let labels = 1 + rng.index(3);
            let density = 1 + rng.index(7);
            let mut adjacency = vec![0; nodes * nodes];
            for (at, entry) in adjacency.iter_mut().enumerate() {
                *entry = u8::from(at % nodes > at / nodes && rng.index(8) < density);
            }
            let operations: Vec<u8> = (0..nodes).map(|_| rng.index(labels) as u8).collect();
            let hash = published(&adjacency, &operations);
            let print = fingerprint(&adjacency, &operations);
            seen += usize::from(to_fingerprint.contains_key(&hash));
            assert_eq!(*to_fingerprint.entry(hash).or_insert(print), print);
            assert_eq!(*to_hash.entry(print).or_insert(hash), hash);
        }
        assert!(seen > 10_000, "{seen} graphs were seen before");
    }
}
