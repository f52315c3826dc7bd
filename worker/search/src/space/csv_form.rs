//! A space as CSV, in the columns of the published tables.

use std::io::{self, Write};

use reprise_domain::{ArchIndex, SpaceName};

use super::nasbench101::OPERATIONS;
use super::{Nasbench101, Nasbench201, SearchSpace as _};

/// Writes every architecture of a space in its order: `index,arch_str` for
/// NAS-Bench-201; `hash,n_vertices,n_edges,upper_tri_bits,ops` for NAS-Bench-101.
pub fn write_csv(space: SpaceName, out: &mut impl Write) -> io::Result<()> {
    match space {
        SpaceName::Nasbench101 => nasbench101(&Nasbench101::enumerate(), out),
        SpaceName::Nasbench201 => nasbench201(&Nasbench201::new(), out),
    }
}

fn nasbench201(space: &Nasbench201, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "index,arch_str")?;
    (0..space.len() as u32).map(ArchIndex).try_for_each(|arch| writeln!(out, "{arch},{}", space.arch_str(arch)))
}

fn nasbench101(space: &Nasbench101, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "hash,n_vertices,n_edges,upper_tri_bits,ops")?;
    let dims = space.dims();
    let mut adjacency = vec![0; dims.nodes * dims.nodes];
    let mut operations = vec![0; dims.nodes];
    for (row, hash) in space.hashes().iter().enumerate() {
        space.encode(ArchIndex(row as u32), &mut adjacency, &mut operations);
        let vertices = operations.iter().filter(|op| **op != super::PADDING).count();
        let upper = (0..vertices).flat_map(|from| (from + 1..vertices).map(move |to| (from, to)));
        let bits: String =
            upper.map(|(from, to)| if adjacency[from * dims.nodes + to] == 1 { '1' } else { '0' }).collect();
        let edges = bits.bytes().filter(|bit| *bit == b'1').count();
        let names: Vec<_> = operations[..vertices].iter().map(|op| OPERATIONS[usize::from(*op)]).collect();
        writeln!(out, "{hash:032x},{vertices},{edges},{bits},\"{}\"", names.join(","))?;
    }
    Ok(())
}
