//! Which cells of NAS-Bench-201 compute the same function, by three definitions.
//!
//! Not here: NAS-Bench-101, which lists isomorphic cells once.

use std::collections::HashMap;

use reprise_domain::ArchIndex;

use super::{CellOp, EDGES, Nasbench201};
use crate::space::SearchSpace as _;

/// When two cells count as the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Definition {
    /// The benchmark's own strings, which keep zero terms in sums: 6,466 classes.
    ZerosKept,
    /// The same with zero terms left out: 5,390 classes.
    ZerosDropped,
    /// Sums flattened through skip connections as well: 4,930 classes. Addition
    /// is associative, so these cells still compute the same function.
    Flattened,
}

/// Text of the zero tensor.
const ZERO: &str = "#";

/// For every index the smallest index of its class.
pub fn classes(space: &Nasbench201, definition: Definition) -> Vec<ArchIndex> {
    let mut first = HashMap::new();
    (0..space.len() as u32)
        .map(ArchIndex)
        .map(|arch| {
            *first
                .entry(function(space.cell_ops(arch), definition))
                .or_insert(arch)
        })
        .collect()
}

/// The function of a cell as text: equal texts, equal functions.
fn function(ops: [CellOp; 6], definition: Definition) -> String {
    // The terms whose sum each node is.
    let mut nodes: [Vec<String>; 4] = [vec!["0".to_owned()], Vec::new(), Vec::new(), Vec::new()];
    for target in 1..nodes.len() {
        let mut terms = Vec::new();
        for (op, (source, _)) in ops.iter().zip(EDGES).filter(|(_, (_, to))| *to == target) {
            let value = sum(&nodes[source]);
            match op {
                _ if *op == CellOp::None || value == ZERO => terms.push(ZERO.to_owned()),
                CellOp::SkipConnect if definition == Definition::Flattened => {
                    terms.extend_from_slice(&nodes[source]);
                }
                CellOp::SkipConnect => terms.push(value),
                op => terms.push(format!("({value})@{}", op.as_str())),
            }
        }
        if definition != Definition::ZerosKept {
            terms.retain(|term| term != ZERO);
        }
        terms.sort_unstable();
        nodes[target] = terms;
    }
    sum(&nodes[3])
}

fn sum(terms: &[String]) -> String {
    if terms.is_empty() {
        ZERO.to_owned()
    } else {
        terms.join("+")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_as_many_as_published() {
        let space = Nasbench201::new();
        for (definition, expected) in [
            (Definition::ZerosKept, 6_466),
            (Definition::ZerosDropped, 5_390),
            (Definition::Flattened, 4_930),
        ] {
            let classes = classes(&space, definition);
            let own = classes
                .iter()
                .enumerate()
                .filter(|(index, first)| first.row() == *index);
            assert_eq!(own.count(), expected, "{definition:?}");
            // A representative stands for itself.
            assert!(classes.iter().all(|first| classes[first.row()] == *first));
        }
    }
}
