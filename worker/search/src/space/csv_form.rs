//! A space as CSV, in the columns of the published tables.

use std::io::{self, Write};

use reprise_domain::{ArchIndex, SpaceName};

use super::nasbench101::{Cell, OPERATIONS};
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
    for (&cell, &hash) in space.cells().iter().zip(space.hashes()) {
        writeln!(out, "{}", nasbench101_row(cell, hash))?;
    }
    Ok(())
}

fn nasbench101_row(cell: Cell, hash: u128) -> String {
    let (vertices, edges) = (cell.vertices(), cell.edges());
    let triangle: String = (0..vertices)
        .flat_map(|from| (from + 1..vertices).map(move |to| (from, to)))
        .map(|(from, to)| if cell.has_edge(from, to) { '1' } else { '0' })
        .collect();
    let names: Vec<&str> = cell
        .operations()
        .map(|operation| OPERATIONS[usize::from(operation)])
        .collect();
    let names = names.join(",");
    format!("{hash:032x},{vertices},{edges},{triangle},\"{names}\"")
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

    #[test]
    fn nasbench101_rows_are_those_of_the_published_sample() {
        // Three rows of the sample; the other columns are measurements.
        let space = Nasbench101::enumerate();
        for row in [
            "00005c142e6f48ac74fdcf73e3439874,7,9,100110100001001010101,\"input,conv3x3-bn-relu,maxpool3x3,conv3x3-bn-relu,conv3x3-bn-relu,conv1x1-bn-relu,output\"",
            "001a6fcc8b38cbc515be788a86bdc804,4,4,110101,\"input,maxpool3x3,maxpool3x3,output\"",
            "00040b38293651f17fb665401c671bbb,6,9,101101001100111,\"input,conv3x3-bn-relu,conv3x3-bn-relu,maxpool3x3,conv3x3-bn-relu,output\"",
        ] {
            let hash = u128::from_str_radix(&row[..32], 16).unwrap();
            let written = |cell: &Cell| nasbench101_row(*cell, hash) == row;
            let cell = space.cells().iter().copied().find(written).expect(row);
            assert_eq!(cell.hash(), hash);
        }
    }

    #[test]
    fn nasbench201_lists_architecture_strings_by_index() {
        let mut text = Vec::new();
        write_csv(SpaceName::Nasbench201, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 15_625 + 1);
        assert_eq!(lines[0], "index,arch_str");
        let tenth = "9,|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|";
        assert_eq!(lines[10], tenth);
    }

    #[test]
    fn a_full_disk_is_reported() {
        let mut small = [0_u8; 100];
        let error = write_csv(SpaceName::Nasbench201, &mut &mut small[..]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
