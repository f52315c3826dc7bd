//! The published hash of a labelled graph: NAS-Bench-101's `hash_module`, an
//! iterated MD5 over neighbourhoods that no renumbering of the vertices changes
//! (file formats, 6.1).
//!
//! Not here: pruning, and what the labels stand for.

use std::io::Write;

use super::md5::digests;

/// Most vertices of a graph that can be hashed.
pub(super) const MAX_VERTICES: usize = 8;

/// A digest as the 32 hexadecimal digits that the next round hashes.
type Hex = [u8; 32];

/// Hashes the graph in which vertex `y` has the edges `x -> y` for every bit `x`
/// of `predecessors[y]`, with several labellings at once. The hexadecimal form of
/// a hash is its published text.
///
/// # Panics
/// If there are more than [`MAX_VERTICES`] vertices or another number of labels,
/// or if labels of the same vertex differ in their number of digits.
pub(super) fn hash_labellings<const L: usize>(
    predecessors: &[u8],
    labellings: [&[i16]; L],
) -> [u128; L] {
    let vertices = predecessors.len();
    assert!(vertices <= MAX_VERTICES, "{vertices} vertices are too many");
    for labels in labellings {
        assert_eq!(labels.len(), vertices, "every vertex needs a label");
    }
    let mut successors = [0_u8; MAX_VERTICES];
    for (to, &mask) in predecessors.iter().enumerate() {
        for from in bits(mask) {
            successors[from] |= 1 << to;
        }
    }

    let mut texts: [Vec<u8>; L] =
        std::array::from_fn(|_| Vec::with_capacity(2 * MAX_VERTICES * size_of::<Hex>()));
    let mut hashes = [[[0_u8; 32]; MAX_VERTICES]; L];
    for v in 0..vertices {
        let (out, into) = (successors[v].count_ones(), predecessors[v].count_ones());
        for (text, labels) in texts.iter_mut().zip(&labellings) {
            text.clear();
            write!(text, "({out}, {into}, {})", labels[v]).expect("memory takes every write");
        }
        store(&mut hashes, v, &mut texts);
    }
    // The graph's diameter would be rounds enough; the published hash takes one
    // for every vertex.
    for _ in 0..vertices {
        let previous = hashes;
        for v in 0..vertices {
            for (text, previous) in texts.iter_mut().zip(&previous) {
                text.clear();
                push_sorted(text, previous, predecessors[v]);
                text.push(b'|');
                push_sorted(text, previous, successors[v]);
                text.push(b'|');
                text.extend_from_slice(&previous[v]);
            }
            store(&mut hashes, v, &mut texts);
        }
    }
    for (text, hashes) in texts.iter_mut().zip(&mut hashes) {
        let hashes = &mut hashes[..vertices];
        hashes.sort_unstable();
        list(text, hashes);
    }
    digests(&mut texts).map(u128::from_be_bytes)
}

/// Puts the hash of each text into `hashes` at vertex `v`.
fn store<const L: usize>(
    hashes: &mut [[Hex; MAX_VERTICES]; L],
    v: usize,
    texts: &mut [Vec<u8>; L],
) {
    for (hashes, digest) in hashes.iter_mut().zip(digests(texts)) {
        hashes[v] = to_hex(digest);
    }
}

/// Writes `hashes` as Python writes a list of strings.
fn list(text: &mut Vec<u8>, hashes: &[Hex]) {
    text.clear();
    text.push(b'[');
    for (v, hash) in hashes.iter().enumerate() {
        text.extend_from_slice(if v == 0 { b"'" } else { b", '" });
        text.extend_from_slice(hash);
        text.push(b'\'');
    }
    text.push(b']');
}

/// Predecessor masks of the strict upper triangle of a row-major square matrix.
///
/// # Panics
/// If there are more than [`MAX_VERTICES`] vertices, or fewer entries than
/// `vertices` rows of `stride`.
pub(super) fn predecessors(adjacency: &[u8], stride: usize, vertices: usize) -> [u8; MAX_VERTICES] {
    let mut masks = [0_u8; MAX_VERTICES];
    for from in 0..vertices {
        for to in from + 1..vertices {
            masks[to] |= u8::from(adjacency[from * stride + to] != 0) << from;
        }
    }
    masks
}

/// The positions of the ones in `mask`, ascending.
pub(super) fn bits(mask: u8) -> impl Iterator<Item = usize> {
    (0..u8::BITS as usize).filter(move |&bit| mask >> bit & 1 == 1)
}

/// Appends the hashes that `mask` names in ascending order.
fn push_sorted(text: &mut Vec<u8>, hashes: &[Hex; MAX_VERTICES], mask: u8) {
    let mut chosen = [[0_u8; 32]; MAX_VERTICES];
    let mut count = 0;
    for v in bits(mask) {
        chosen[count] = hashes[v];
        count += 1;
    }
    chosen[..count].sort_unstable();
    text.extend_from_slice(chosen[..count].as_flattened());
}

fn to_hex(digest: [u8; 16]) -> Hex {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [0_u8; 32];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(digest) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_listed_in_ascending_order() {
        assert_eq!(bits(0b1010_0001).collect::<Vec<_>>(), [0, 5, 7]);
    }

    #[test]
    fn predecessors_come_from_the_upper_triangle_only() {
        // A self-loop at 1 and an edge 2 -> 0 are not edges of the graph.
        let adjacency = [0, 1, 1, 0, 1, 1, 1, 0, 0];
        assert_eq!(predecessors(&adjacency, 3, 3)[..3], [0, 0b1, 0b11]);
        assert_eq!(predecessors(&adjacency, 3, 2)[..3], [0, 0b1, 0]);
    }
}
