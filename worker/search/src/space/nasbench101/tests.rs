//! Properties of the whole space, and the published sample as an oracle.

use std::sync::LazyLock;

use super::*;

static SPACE: LazyLock<Nasbench101> = LazyLock::new(Nasbench101::enumerate);

#[test]
fn timing() {
    let start = std::time::Instant::now();
    let space = Nasbench101::enumerate();
    println!("enumerate {:?}", start.elapsed());
    let start = std::time::Instant::now();
    space.hashes();
    println!("hashes {:?}", start.elapsed());
    let mut h = space.hashes().to_vec();
    h.sort();
    h.dedup();
    println!("distinct {}", h.len());
}
