//! Benchmarks that ship inside the programs. How they were measured is told in
//! `benchmarks/README.md` of this package.

use reprise_domain::BuiltinBenchmark;

use crate::bytes::gunzip_if_packed;

const NASBENCH201_DIGITS: &[u8] = include_bytes!("../benchmarks/nasbench201-digits.csv.gz");

/// Uncompressed, the table takes about 1.5 MB.
const LIMIT: u64 = 16 << 20;

/// The table of a builtin benchmark in its uncompressed form, whose digest names
/// it in a study.
///
/// # Panics
///
/// Where the embedded file is not what a test of this package saw.
pub fn builtin(name: BuiltinBenchmark) -> Vec<u8> {
    let packed = match name {
        BuiltinBenchmark::Nasbench201Digits => NASBENCH201_DIGITS,
    };
    gunzip_if_packed(packed.to_vec(), LIMIT).expect("the embedded table unpacks")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::digest;
    use crate::digits_benchmark::DigitsTable;

    #[test]
    fn the_embedded_table_covers_the_space_with_its_4930_distinct_cells() {
        let bytes = builtin(BuiltinBenchmark::Nasbench201Digits);
        let digest = digest(&bytes);
        let table = DigitsTable::read("builtin", &bytes).unwrap();
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
