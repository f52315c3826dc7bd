//! Small matrix products: at `[224, 128] x [128, 128]`, the product that training
//! consists of, this reaches the processor's peak within a fifth, which the
//! libraries tried did not, and lets what follows a product be done while its
//! result is still in registers.
//!
//! The right operand is packed into panels of [`PANEL`] columns; a tile of
//! [`TILE`] rows times one panel is accumulated in registers.

use super::vector::vectorised;

/// Columns of a panel: two registers of eight.
const PANEL: usize = 16;
/// Rows of a tile: with a panel of two registers, twelve accumulators of the
/// sixteen registers that processors without AVX-512 have.
const TILE: usize = 6;

/// A right operand `[depth, columns]` in panels, the last one padded by zeros.
#[derive(Debug, Default)]
pub(super) struct Packed {
    panels: Vec<[f32; PANEL]>,
    depth: usize,
    columns: usize,
}

impl Packed {
    fn resize(&mut self, depth: usize, columns: usize) {
        self.depth = depth;
        self.columns = columns;
        self.panels
            .resize(depth * columns.div_ceil(PANEL), [0.0; PANEL]);
    }

    /// Packs `matrix`, `[depth, columns]` row-major.
    pub(super) fn pack(&mut self, matrix: &[f32], depth: usize, columns: usize) {
        self.resize(depth, columns);
        for (panel, start) in self
            .panels
            .chunks_exact_mut(depth)
            .zip((0..columns).step_by(PANEL))
        {
            let width = PANEL.min(columns - start);
            for (packed, row) in panel.iter_mut().zip(matrix.chunks_exact(columns)) {
                if width == PANEL {
                    packed.copy_from_slice(&row[start..start + PANEL]);
                } else {
                    packed[..width].copy_from_slice(&row[start..]);
                    packed[width..].fill(0.0);
                }
            }
        }
    }

    /// The same with row `i` multiplied by `factors[i]`.
    pub(super) fn pack_scaled(&mut self, matrix: &[f32], factors: &[f32], columns: usize) {
        self.pack(matrix, factors.len(), columns);
        for panel in self.panels.chunks_exact_mut(factors.len()) {
            for (row, factor) in panel.iter_mut().zip(factors) {
                for value in row {
                    *value *= factor;
                }
            }
        }
    }

    /// Packs the transpose of `matrix`, `[columns, depth]` row-major.
    pub(super) fn pack_transposed(&mut self, matrix: &[f32], depth: usize, columns: usize) {
        self.resize(depth, columns);
        for (panel, rows) in self
            .panels
            .chunks_exact_mut(depth)
            .zip(matrix.chunks(depth * PANEL))
        {
            if rows.len() == depth * PANEL {
                let rows: [&[f32]; PANEL] = std::array::from_fn(|j| &rows[j * depth..][..depth]);
                for (i, packed) in panel.iter_mut().enumerate() {
                    *packed = std::array::from_fn(|j| rows[j][i]);
                }
            } else {
                panel.fill([0.0; PANEL]);
                for (j, row) in rows.chunks_exact(depth).enumerate() {
                    for (packed, &value) in panel.iter_mut().zip(row) {
                        packed[j] = value;
                    }
                }
            }
        }
    }
}

/// What is done with a product before it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) enum Finish<'a> {
    /// Nothing.
    Plain,
    /// `[columns]` is added to every row.
    Bias(&'a [f32]),
    /// `max(0, product * scale + shift)`, both `[columns]`.
    AffineRelu { scale: &'a [f32], shift: &'a [f32] },
    /// Zero where this matrix of the same shape is not positive: the derivative
    /// of a `ReLU` that gave the matrix.
    Where(&'a [f32]),
}

type Tile = [[f32; PANEL]; TILE];

/// Writes the product of one tile and one panel to `out`.
#[expect(
    clippy::inline_always,
    reason = "only inlined code gets the vector unit"
)]
#[inline(always)]
fn tile(panel: &[[f32; PANEL]], left: impl Iterator<Item = [f32; TILE]>, out: &mut Tile) {
    let mut sums = [[0.0_f32; PANEL]; TILE];
    for (right, left) in panel.iter().zip(left) {
        for i in 0..TILE {
            for j in 0..PANEL {
                sums[i][j] = left[i].mul_add(right[j], sums[i][j]);
            }
        }
    }
    // Entry by entry: sums that are only ever named by constant positions stay in
    // registers, three times as fast as an array that is read some other way.
    for i in 0..TILE {
        for j in 0..PANEL {
            out[i][j] = sums[i][j];
        }
    }
}

vectorised! {
    /// `out = finish(left * right)`, `left` `[rows, depth]` row-major, `out`
    /// `[rows, columns]` row-major.
    pub(super) fn multiply<'a>(
        left: &'a [f32],
        right: &'a Packed,
        finish: Finish<'a>,
        out: &'a mut [f32],
    ) {
        let Packed { panels, depth, columns } = right;
        let (depth, columns) = (*depth, *columns);
        let rows = out.len() / columns;
        let mut sums = [[0.0_f32; PANEL]; TILE];
        for top in (0..rows).step_by(TILE) {
            let height = TILE.min(rows - top);
            // A tile that sticks out repeats its first row and drops the result.
            let inputs: [&[f32]; TILE] = std::array::from_fn(|i| {
                let row = if i < height { top + i } else { top };
                &left[row * depth..][..depth]
            });
            for (number, panel) in panels.chunks_exact(depth).enumerate() {
                let [a, b, c, d, e, f] = inputs.map(|row| row.iter());
                // Zipped, the six are read without a check of each index.
                let entries = a.zip(b).zip(c).zip(d).zip(e).zip(f);
                let left = entries.map(|(((((a, b), c), d), e), f)| [*a, *b, *c, *d, *e, *f]);
                tile(panel, left, &mut sums);
                let start = number * PANEL;
                let width = PANEL.min(columns - start);
                for i in 0..height {
                    let at = (top + i) * columns + start;
                    let sums = &sums[i][..width];
                    let out = &mut out[at..][..width];
                    match finish {
                        Finish::Plain => out.copy_from_slice(sums),
                        Finish::Bias(bias) => {
                            let bias = &bias[start..][..width];
                            for j in 0..width {
                                out[j] = sums[j] + bias[j];
                            }
                        }
                        Finish::AffineRelu { scale, shift } => {
                            let (scale, shift) = (&scale[start..][..width], &shift[start..][..width]);
                            for j in 0..width {
                                out[j] = sums[j].mul_add(scale[j], shift[j]).max(0.0);
                            }
                        }
                        Finish::Where(active) => {
                            let active = &active[at..][..width];
                            for j in 0..width {
                                out[j] = if active[j] > 0.0 { sums[j] } else { 0.0 };
                            }
                        }
                    }
                }
            }
        }
    }
}

vectorised! {
    /// `out = left^T * right`, `left` `[depth, rows]` row-major: the gradient of a
    /// weight, summed over a batch.
    pub(super) fn multiply_transposed<'a>(
        left: &'a [f32],
        right: &'a Packed,
        out: &'a mut [f32],
    ) {
        let Packed { panels, depth, columns } = right;
        let (depth, columns) = (*depth, *columns);
        let rows = out.len() / columns;
        let mut sums = [[0.0_f32; PANEL]; TILE];
        for top in (0..rows).step_by(TILE) {
            // The last tile overlaps the one before it where there is one.
            let top = top.min(rows.saturating_sub(TILE));
            let height = TILE.min(rows);
            for (number, panel) in panels.chunks_exact(depth).enumerate() {
                let inputs = left.chunks_exact(rows);
                if rows >= TILE {
                    let columns = inputs.map(|row| {
                        let row = &row[top..top + TILE];
                        std::array::from_fn(|i| row[i])
                    });
                    tile(panel, columns, &mut sums);
                } else {
                    let columns = inputs.map(|row| {
                        std::array::from_fn(|i| row.get(i).copied().unwrap_or(0.0))
                    });
                    tile(panel, columns, &mut sums);
                }
                let start = number * PANEL;
                let width = PANEL.min(columns - start);
                for i in 0..height {
                    out[(top + i) * columns + start..][..width].copy_from_slice(&sums[i][..width]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        let value = |i: usize| ((i * 7_919 + seed * 104_729) % 1_000) as f32 * 1e-3 - 0.5;
        (0..len).map(value).collect()
    }

    fn transpose(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
        (0..columns)
            .flat_map(|j| (0..rows).map(move |i| matrix[i * columns + j]))
            .collect()
    }

    fn naive(left: &[f32], right: &[f32], depth: usize, columns: usize) -> Vec<f32> {
        let row = |left: &[f32], j: usize| -> f64 {
            (0..depth)
                .map(|p| f64::from(left[p]) * f64::from(right[p * columns + j]))
                .sum()
        };
        left.chunks_exact(depth)
            .flat_map(|left| {
                (0..columns)
                    .map(|j| row(left, j) as f32)
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    fn close(a: &[f32], b: &[f32]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn products_of_any_size_agree_with_the_definition(
            rows in 1_usize..40, depth in 1_usize..40, columns in 1_usize..40,
        ) {
            let left = numbers(rows * depth, 1);
            let right = numbers(depth * columns, 2);
            let expected = naive(&left, &right, depth, columns);
            let mut packed = Packed::default();
            let mut out = vec![f32::NAN; rows * columns];

            packed.pack(&right, depth, columns);
            multiply(&left, &packed, Finish::Plain, &mut out);
            prop_assert!(close(&out, &expected));
            multiply_transposed(&transpose(&left, rows, depth), &packed, &mut out);
            prop_assert!(close(&out, &expected));

            packed.pack_transposed(&transpose(&right, depth, columns), depth, columns);
            let bias = numbers(columns, 3);
            multiply(&left, &packed, Finish::Bias(&bias), &mut out);
            let biased: Vec<f32> =
                expected.iter().enumerate().map(|(i, e)| e + bias[i % columns]).collect();
            prop_assert!(close(&out, &biased));

            let scale = numbers(columns, 4);
            multiply(&left, &packed, Finish::AffineRelu { scale: &scale, shift: &bias }, &mut out);
            let affine: Vec<f32> = expected
                .iter()
                .enumerate()
                .map(|(i, e)| (e * scale[i % columns] + bias[i % columns]).max(0.0))
                .collect();
            prop_assert!(close(&out, &affine));

            let active = numbers(rows * columns, 5);
            multiply(&left, &packed, Finish::Where(&active), &mut out);
            let masked: Vec<f32> =
                expected.iter().zip(&active).map(|(&e, &a)| if a > 0.0 { e } else { 0.0 }).collect();
            prop_assert!(close(&out, &masked));

            let factors = numbers(depth, 6);
            packed.pack_scaled(&right, &factors, columns);
            multiply(&left, &packed, Finish::Plain, &mut out);
            let scaled: Vec<f32> =
                right.iter().enumerate().map(|(i, r)| r * factors[i / columns]).collect();
            prop_assert!(close(&out, &naive(&left, &scaled, depth, columns)));
        }
    }
}
