//! Eigenvalues and eigenvectors of a symmetric matrix in double precision: implicit
//! QL steps on its tridiagonal form (Golub and Van Loan, 8.3.3).

use super::linalg::{self, Tridiagonal};

/// The decomposition `a = Σ value · vector vectorᵀ`.
#[derive(Debug, Clone, PartialEq)]
pub struct Eigen {
    /// Descending.
    pub values: Vec<f64>,
    /// Orthonormal, `[n, n]`: a row belongs to the value of its position.
    pub vectors: Vec<f64>,
}

/// Decomposes the symmetric matrix `a`, `[n, n]`, which is destroyed. `None` if an
/// eigenvalue does not settle, which takes numbers that are not finite.
pub fn eigen(a: &mut [f64], n: usize) -> Option<Eigen> {
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    // The rows of `vectors` are the columns of the product of all reflections.
    let mut products = vec![0.0; n];
    let tridiagonal = linalg::reflect(a, n, |below, v, scale| {
        products.fill(0.0);
        for (row, value) in v.iter().enumerate() {
            let vector = &vectors[(below + row) * n..][..n];
            products
                .iter_mut()
                .zip(vector)
                .for_each(|(p, x)| *p += value * x);
        }
        for (row, value) in v.iter().enumerate() {
            let vector = &mut vectors[(below + row) * n..][..n];
            vector
                .iter_mut()
                .zip(&products)
                .for_each(|(x, p)| *x -= scale * value * p);
        }
    });
    let Tridiagonal {
        mut diagonal,
        mut beside,
    } = tridiagonal;
    beside.push(0.0);
    let sizes = diagonal.iter().zip(&beside).map(|(d, b)| d.abs() + b.abs());
    let nothing = f64::EPSILON * sizes.fold(0.0, f64::max);
    for low in 0..n {
        settle(low, nothing, &mut diagonal, &mut beside, &mut vectors)?;
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| diagonal[j].total_cmp(&diagonal[i]));
    Some(Eigen {
        values: order.iter().map(|&i| diagonal[i]).collect(),
        vectors: order
            .iter()
            .flat_map(|&i| vectors[i * n..][..n].iter().copied())
            .collect(),
    })
}

/// Rotates until the entry beside position `low` is no larger than `nothing`.
fn settle(
    low: usize,
    nothing: f64,
    diagonal: &mut [f64],
    beside: &mut [f64],
    vectors: &mut [f64],
) -> Option<()> {
    const MOST_STEPS: usize = 60;
    let n = diagonal.len();
    for _ in 0..MOST_STEPS {
        let high = (low..n - 1).find(|&i| beside[i].abs() <= nothing);
        let high = high.unwrap_or(n - 1);
        if high == low {
            return Some(());
        }
        // Wilkinson's shift.
        let mut g = (diagonal[low + 1] - diagonal[low]) / (2.0 * beside[low]);
        let root = libm::hypot(g, 1.0);
        g = diagonal[high] - diagonal[low] + beside[low] / (g + root.copysign(g));
        let (mut sin, mut cos, mut shift) = (1.0, 1.0, 0.0);
        let mut is_early = false;
        for i in (low..high).rev() {
            let (f, b) = (sin * beside[i], cos * beside[i]);
            let root = libm::hypot(f, g);
            beside[i + 1] = root;
            if root == 0.0 {
                // Split on the way.
                diagonal[i + 1] -= shift;
                beside[high] = 0.0;
                is_early = true;
                break;
            }
            sin = f / root;
            cos = g / root;
            g = diagonal[i + 1] - shift;
            let middle = (diagonal[i] - g) * sin + 2.0 * cos * b;
            shift = sin * middle;
            diagonal[i + 1] = g + shift;
            g = cos * middle - b;
            let (first, second) = vectors.split_at_mut((i + 1) * n);
            let pair = first[i * n..].iter_mut().zip(&mut second[..n]);
            for (x, y) in pair {
                let old = *y;
                *y = sin * *x + cos * old;
                *x = cos * *x - sin * old;
            }
        }
        if !is_early {
            diagonal[low] -= shift;
            beside[low] = g;
            beside[high] = 0.0;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    fn check(n: usize, rank: usize) {
        let mut rng = Stream::new(b"eigen", "test", n as u64);
        let rows: Vec<f64> = (0..n * rank).map(|_| rng.normal()).collect();
        let row = |i: usize| &rows[i * rank..(i + 1) * rank];
        let a: Vec<f64> = (0..n * n)
            .map(|at| linalg::inner(row(at / n), row(at % n)))
            .collect();
        let Eigen { values, vectors } = eigen(&mut a.clone(), n).unwrap();
        assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
        let scale = values[0].abs().max(1.0);
        for (i, vector) in vectors.chunks_exact(n).enumerate() {
            for (j, other) in vectors.chunks_exact(n).enumerate() {
                let expected = f64::from(u8::from(i == j));
                assert!((linalg::inner(vector, other) - expected).abs() < 1e-12);
            }
            for (line, x) in a.chunks_exact(n).zip(vector) {
                let image = linalg::inner(line, vector);
                assert!((image - values[i] * x).abs() < 1e-12 * scale, "{n} {rank}");
            }
        }
    }

    #[test]
    fn vectors_are_orthonormal_and_are_only_stretched() {
        for (n, rank) in [(1, 1), (2, 1), (3, 3), (16, 4), (40, 60), (128, 20)] {
            check(n, rank);
        }
    }

    #[test]
    fn numbers_that_are_not_finite_have_no_decomposition() {
        assert_eq!(eigen(&mut [f64::NAN; 9], 3), None);
    }
}
