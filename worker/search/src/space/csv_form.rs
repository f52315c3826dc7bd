//! A space as CSV, in the columns of the published tables.

use std::io::{self, Write};

use reprise_domain::{ArchIndex, SpaceName};

use super::nasbench101::OPERATIONS;
use super::{Nasbench101, Nasbench201, SearchSpace as _};

/// Writes every architecture of a space in its order: for NAS-Bench-101 the
/// columns `hash,n_vertices,n_edges,upper_tri_bits,ops`, the bits row by row; for
/// NAS-Bench-201 `index,arch_str`.
///
/// # Errors
/// If `out` refuses a write.
pub fn write_csv(space: SpaceName, out: &mut impl Write) -> io::Result<()> {
    match space {
        SpaceName::Nasbench101 => nasbench101(&Nasbench101::enumerate(), out),
        SpaceName::Nasbench201 => nasbench201(&Nasbench201::new(), out),
    }
}

fn nasbench101(space: &Nasbench101, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "hash,n_vertices,n_edges,upper_tri_bits,ops")?;
    for (cell, hash) in space.cells().iter().zip(space.hashes()) {
        let vertices = cell.vertices();
        let triangle: String = (0..vertices)
            .flat_map(|from| (from + 1..vertices).map(move |to| (from, to)))
            .map(|(from, to)| if cell.has_edge(from, to) { '1' } else { '0' })
            .collect();
        let names: Vec<&str> = cell
            .operations()
            .map(|operation| OPERATIONS[usize::from(operation)])
            .collect();
        let (edges, names) = (cell.edges(), names.join(","));
        writeln!(out, "{hash:032x},{vertices},{edges},{triangle},\"{names}\"")?;
    }
    Ok(())
}

fn nasbench201(space: &Nasbench201, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "index,arch_str")?;
    for arch in (0..space.len() as u32).map(ArchIndex) {
        writeln!(out, "{arch},{}", space.arch_str(arch))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The written rows that `wanted` has, and the number of all of them.
    fn check(space: SpaceName, wanted: &[&str], rows: usize) {
        let mut text = Vec::new();
        write_csv(space, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        for row in wanted {
            assert!(text.lines().any(|line| line == *row), "{row}");
        }
        assert_eq!(text.lines().next(), wanted.first().copied());
        assert_eq!(text.lines().count(), rows + 1);
    }

    #[test]
    fn nasbench101_has_the_columns_of_the_published_sample() {
        let wanted = [
            "hash,n_vertices,n_edges,upper_tri_bits,ops",
            "00005c142e6f48ac74fdcf73e3439874,7,9,100110100001001010101,\"input,conv3x3-bn-relu,maxpool3x3,conv3x3-bn-relu,conv3x3-bn-relu,conv1x1-bn-relu,output\"",
        ];
        check(SpaceName::Nasbench101, &wanted, 423_624);
    }

    #[test]
    fn nasbench201_lists_architecture_strings() {
        let wanted = [
            "index,arch_str",
            "9,|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
        ];
        check(SpaceName::Nasbench201, &wanted, 15_625);
    }
}
