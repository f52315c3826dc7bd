//! Benchmarks that ship inside the programs. How they were measured is told in
//! `benchmarks/README.md` of this package.

use reprise_domain::{BuiltinBenchmark, Digest};

use crate::bytes::{digest, gunzip_if_packed};
use crate::digits_benchmark::DigitsTable;

const NASBENCH201_DIGITS: &[u8] = include_bytes!("../benchmarks/nasbench201-digits.csv.gz");

/// Uncompressed, the table takes about 1.5 MB.
const LIMIT: u64 = 16 << 20;

/// The table of a builtin benchmark and the BLAKE3 of its uncompressed form.
///
/// # Panics
///
/// Where the embedded file is not what a test of this package saw.
pub fn builtin(name: BuiltinBenchmark) -> (Digest, DigitsTable) {
    let packed = match name {
        BuiltinBenchmark::Nasbench201Digits => NASBENCH201_DIGITS,
    };
    let bytes = gunzip_if_packed(packed.to_vec(), LIMIT).expect("the embedded table unpacks");
    let table = DigitsTable::read(name.as_str(), &bytes).expect("the embedded table reads");
    (digest(&bytes), table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_table_covers_the_space_with_its_4930_distinct_cells() {
        let (digest, table) = builtin(BuiltinBenchmark::Nasbench201Digits);
        let notice = include_str!("../benchmarks/README.md");
        assert!(notice.contains(&digest.to_string()), "{digest}");
        let rows = table.rows();
        let trained = (0..rows.len()).filter(|&row| rows[row].representative.row() == row);
        assert_eq!((rows.len(), trained.count()), (15_625, 4_930));
        for row in rows {
            let own = rows[row.representative.row()];
            assert_eq!((row.validation, row.test), (own.validation, own.test));
        }
        // A cell that passes nothing on can only guess one of ten digits.
        let empty = rows
            .iter()
            .filter(|row| row.test.iter().all(|test| test.fraction() < 0.2));
        assert!(empty.count() > 0);
    }
}
