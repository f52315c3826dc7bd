//! The little dense linear algebra that the regression needs, in double
//! precision: symmetric tridiagonal form, tridiagonal solves and Cholesky.
//!
//! Matrices are square, row-major slices `[n, n]`.

/// A symmetric tridiagonal matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Tridiagonal {
    /// The diagonal, `[n]`.
    pub diagonal: Vec<f64>,
    /// The entries beside the diagonal, `[n - 1]`.
    pub beside: Vec<f64>,
}

/// Reduces the symmetric matrix `a`, `[n, n]`, to tridiagonal form `Qᵀ a Q` by
/// Householder reflections (Golub and Van Loan, 8.3.1) and replaces `vector` by
/// `Qᵀ vector`. Destroys `a`.
pub fn tridiagonalise(a: &mut [f64], vector: &mut [f64]) -> Tridiagonal {
    reflect(a, vector.len(), |below, v, scale| {
        let along = scale * inner(&vector[below..], v);
        let into = vector[below..].iter_mut();
        into.zip(v).for_each(|(entry, v)| *entry -= along * v);
    })
}

/// The same, telling `each` of every reflection `I - scale · v vᵀ` in turn: the
/// first of the entries that it changes, `v`, and the scale.
pub fn reflect(a: &mut [f64], n: usize, mut each: impl FnMut(usize, &[f64], f64)) -> Tridiagonal {
    let mut beside = Vec::with_capacity(n.saturating_sub(1));
    let (mut v, mut w) = (vec![0.0; n], vec![0.0; n]);
    for column in 0..n.saturating_sub(1) {
        let below = column + 1;
        for row in below..n {
            v[row] = a[row * n + column];
        }
        let v = &mut v[below..];
        let norm = inner(v, v).sqrt();
        // The sign avoids cancellation in the reflection's first entry.
        let image = if v[0] > 0.0 { -norm } else { norm };
        beside.push(image);
        v[0] -= image;
        let square = inner(v, v);
        if square == 0.0 {
            continue;
        }
        let w = &mut w[below..];
        for (row, w) in w.iter_mut().enumerate() {
            let start = (below + row) * n + below;
            *w = 2.0 / square * inner(&a[start..start + v.len()], v);
        }
        let along = inner(v, w) / square;
        w.iter_mut().zip(&*v).for_each(|(w, v)| *w -= along * v);
        for row in 0..v.len() {
            let start = (below + row) * n + below;
            let (v_row, w_row) = (v[row], w[row]);
            let into = a[start..start + v.len()].iter_mut();
            for (entry, (v, w)) in into.zip(v.iter().zip(&*w)) {
                *entry -= v_row * w + w_row * v;
            }
        }
        each(below, v, 2.0 / square);
    }
    let diagonal = (0..n).map(|i| a[i * n + i]).collect();
    Tridiagonal { diagonal, beside }
}

impl Tridiagonal {
    /// Solves `(scale · self + shift · I) x = right` for a positive definite
    /// left-hand side by its `L D Lᵀ` factors and returns the logarithm of its
    /// determinant. `pivots` is overwritten with `D`.
    pub fn solve(
        &self,
        scale: f64,
        shift: f64,
        right: &[f64],
        x: &mut [f64],
        pivots: &mut [f64],
    ) -> f64 {
        let mut log_determinant = 0.0;
        for i in 0..x.len() {
            let mut pivot = scale * self.diagonal[i] + shift;
            x[i] = right[i];
            if i > 0 {
                let beside = scale * self.beside[i - 1];
                let factor = beside / pivots[i - 1];
                pivot -= beside * factor;
                x[i] -= factor * x[i - 1];
            }
            // The smallest eigenvalue is at least `shift`, hence every pivot
            // too; rounding may take one below.
            pivots[i] = pivot.max(shift);
            log_determinant += libm::log(pivots[i]);
        }
        for i in (0..x.len()).rev() {
            x[i] /= pivots[i];
            if i + 1 < x.len() {
                x[i] -= scale * self.beside[i] / pivots[i] * x[i + 1];
            }
        }
        log_determinant
    }

    /// The quadratic form `xᵀ self x`.
    pub fn quadratic(&self, x: &[f64]) -> f64 {
        let diagonal: f64 = self.diagonal.iter().zip(x).map(|(d, x)| d * x * x).sum();
        let pairs = self.beside.iter().zip(x.iter().zip(&x[1..]));
        diagonal + 2.0 * pairs.map(|(b, (x, next))| b * x * next).sum::<f64>()
    }
}

/// A matrix that is not positive definite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the matrix is not positive definite at row {row}")]
pub struct NotPositiveDefinite {
    /// The first row whose pivot is not positive.
    pub row: usize,
}

/// Replaces the lower triangle of `a`, `[n, n]`, by its Cholesky factor.
pub fn cholesky(a: &mut [f64], n: usize) -> Result<(), NotPositiveDefinite> {
    for row in 0..n {
        let (above, current) = a.split_at_mut(row * n);
        for column in 0..row {
            let other = &above[column * n..];
            let known = inner(&current[..column], &other[..column]);
            current[column] = (current[column] - known) / other[column];
        }
        let square = current[row] - inner(&current[..row], &current[..row]);
        if square.is_nan() || square <= 0.0 {
            return Err(NotPositiveDefinite { row });
        }
        current[row] = square.sqrt();
    }
    Ok(())
}

/// Solves `L x = b` in place for the lower triangle `L` of `a`, `[n, n]`.
pub fn solve_lower(a: &[f64], n: usize, b: &mut [f64]) {
    for row in 0..n {
        let known = inner(&a[row * n..row * n + row], &b[..row]);
        b[row] = (b[row] - known) / a[row * n + row];
    }
}

/// Solves `Lᵀ x = b` in place for the lower triangle `L` of `a`, `[n, n]`.
pub fn solve_lower_transposed(a: &[f64], n: usize, b: &mut [f64]) {
    for row in (0..n).rev() {
        b[row] /= a[row * n + row];
        let (before, x) = (&a[row * n..row * n + row], b[row]);
        b[..row]
            .iter_mut()
            .zip(before)
            .for_each(|(b, a)| *b -= a * x);
    }
}

/// Inner product in four interleaved sums, which vectorise.
pub fn inner(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a_chunks, b_chunks) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    /// A random positive semi-definite matrix of the given rank, and a vector.
    fn problem(n: usize, rank: usize) -> (Vec<f64>, Vec<f64>) {
        let mut rng = Stream::new(b"linalg", "test", n as u64);
        let rows: Vec<f64> = (0..n * rank).map(|_| rng.normal()).collect();
        let row = |i: usize| &rows[i * rank..(i + 1) * rank];
        let a = (0..n * n)
            .map(|at| inner(row(at / n), row(at % n)))
            .collect();
        (a, (0..n).map(|_| rng.normal()).collect())
    }

    /// Both routes to `(2 a + 0.3 I)⁻¹ b` and its determinant agree: tridiagonal
    /// form and Cholesky share no code but the inner product.
    #[test]
    fn tridiagonal_solves_agree_with_cholesky() {
        for (n, rank) in [(1, 1), (2, 2), (3, 1), (17, 30), (40, 5)] {
            let (a, b) = problem(n, rank);
            let (mut reduced, mut rotated) = (a.clone(), b.clone());
            let form = tridiagonalise(&mut reduced, &mut rotated);
            let (mut z, mut pivots) = (vec![0.0; n], vec![0.0; n]);
            let log_determinant = form.solve(2.0, 0.3, &rotated, &mut z, &mut pivots);

            let mut factor: Vec<f64> = a.iter().map(|entry| 2.0 * entry).collect();
            (0..n).for_each(|i| factor[i * n + i] += 0.3);
            cholesky(&mut factor, n).unwrap();
            let expected: f64 = (0..n).map(|i| 2.0 * factor[i * n + i].ln()).sum();
            assert!((log_determinant - expected).abs() < 1e-9 * expected.abs().max(1.0));
            let mut x = b.clone();
            solve_lower(&factor, n, &mut x);
            solve_lower_transposed(&factor, n, &mut x);
            // Lengths, products and quadratic forms do not see the rotation.
            let close = |got: f64, expected: f64| {
                let scale = expected.abs().max(1.0);
                assert!((got - expected).abs() < 1e-8 * scale, "{got} {expected}");
            };
            close(inner(&z, &z), inner(&x, &x));
            close(inner(&z, &rotated), inner(&x, &b));
            let image: Vec<f64> = a.chunks_exact(n).map(|row| inner(row, &x)).collect();
            close(form.quadratic(&z), inner(&x, &image));
        }
    }

    #[test]
    fn an_indefinite_matrix_is_refused() {
        let mut a = vec![1.0, 2.0, 2.0, 1.0];
        assert_eq!(cholesky(&mut a, 2), Err(NotPositiveDefinite { row: 1 }));
        let mut a = vec![f64::NAN];
        assert_eq!(cholesky(&mut a, 1), Err(NotPositiveDefinite { row: 0 }));
    }
}
