//! Nelder and Mead's simplex search in two dimensions, with the defaults and the
//! stopping rules of `scipy.optimize.fmin`.
//!
//! The details matter: where the objective is infinite on the whole first
//! simplex, no comparison succeeds, the simplex shrinks onto its first corner
//! until the evaluations are used up, and the start point is returned (protocol
//! notes, section 11).

/// Evaluations, and iterations, after which the search stops: 200 a dimension.
const LIMIT: usize = 400;

/// Both absolute tolerances, of the simplex's size and of its values.
const TOLERANCE: f64 = 1e-4;

type Point = [f64; 2];

/// The result of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Minimum {
    /// The best point.
    pub point: Point,
    /// Its value.
    pub value: f64,
    /// How often the objective was evaluated.
    pub evaluations: usize,
}

/// Marks the end of the allowed evaluations.
struct LimitReached;

struct Search<F> {
    objective: F,
    /// Corners with their values, best first.
    simplex: [(Point, f64); 3],
    evaluations: usize,
}

/// Minimises `objective` from `start`.
pub fn minimise(objective: impl FnMut(Point) -> f64, start: Point) -> Minimum {
    let mut search = Search {
        objective,
        simplex: [(start, f64::INFINITY); 3],
        evaluations: 0,
    };
    for axis in 0..2 {
        let coordinate = &mut search.simplex[axis + 1].0[axis];
        *coordinate = if *coordinate == 0.0 {
            0.000_25
        } else {
            1.05 * *coordinate
        };
    }
    for corner in &mut search.simplex {
        corner.1 = (search.objective)(corner.0);
    }
    search.evaluations = 3;
    search.sort();
    for _ in 1..LIMIT {
        if search.evaluations >= LIMIT || search.has_converged() {
            break;
        }
        let outcome = search.iterate();
        search.sort();
        if outcome.is_err() {
            break;
        }
    }
    Minimum {
        point: search.simplex[0].0,
        value: search.simplex[0].1,
        evaluations: search.evaluations,
    }
}

impl<F: FnMut(Point) -> f64> Search<F> {
    fn evaluate(&mut self, point: Point) -> Result<f64, LimitReached> {
        if self.evaluations >= LIMIT {
            return Err(LimitReached);
        }
        self.evaluations += 1;
        Ok((self.objective)(point))
    }

    /// Best first; equal values keep their order.
    fn sort(&mut self) {
        self.simplex.sort_by(|a, b| a.1.total_cmp(&b.1));
    }

    /// Differences of infinite values are not numbers, hence not small.
    fn has_converged(&self) -> bool {
        let [best, others @ ..] = &self.simplex;
        others.iter().all(|(point, value)| {
            (best.1 - value).abs() <= TOLERANCE
                && (0..2).all(|axis| (point[axis] - best.0[axis]).abs() <= TOLERANCE)
        })
    }

    /// The point at `factor` on the line from the worst corner (-1) through the
    /// centre of the others (0).
    fn along(&self, factor: f64) -> Point {
        let [best, second, worst] = &self.simplex;
        std::array::from_fn(|axis| {
            let centre = 0.5 * (best.0[axis] + second.0[axis]);
            (1.0 + factor) * centre - factor * worst.0[axis]
        })
    }

    fn iterate(&mut self) -> Result<(), LimitReached> {
        let [best, second, worst] = self.simplex.map(|corner| corner.1);
        let reflected = self.along(1.0);
        let value = self.evaluate(reflected)?;
        if value < best {
            let expanded = self.along(2.0);
            let further = self.evaluate(expanded)?;
            self.simplex[2] = if further < value {
                (expanded, further)
            } else {
                (reflected, value)
            };
        } else if value < second {
            self.simplex[2] = (reflected, value);
        } else {
            let outside = value < worst;
            let contracted = self.along(if outside { 0.5 } else { -0.5 });
            let nearer = self.evaluate(contracted)?;
            if (outside && nearer <= value) || (!outside && nearer < worst) {
                self.simplex[2] = (contracted, nearer);
            } else {
                self.shrink()?;
            }
        }
        Ok(())
    }

    fn shrink(&mut self) -> Result<(), LimitReached> {
        let best = self.simplex[0].0;
        for corner in 1..3 {
            let old = self.simplex[corner].0;
            let moved = std::array::from_fn(|axis| best[axis] + 0.5 * (old[axis] - best[axis]));
            self.simplex[corner].0 = moved;
            self.simplex[corner].1 = self.evaluate(moved)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Objective, start, expected end and number of evaluations.
    type Case<'a> = (&'a dyn Fn(Point) -> f64, Point, Point, usize);

    fn rosenbrock([x, y]: Point) -> f64 {
        100.0 * (y - x * x).powi(2) + (1.0 - x).powi(2)
    }

    /// Points and evaluation counts of `scipy` 1.17.1's `fmin`, which agrees with
    /// 1.11.4.
    #[test]
    fn searches_end_where_scipy_ends() {
        let bowl = |[x, y]: Point| (x - 3.0).powi(2) + 2.0 * (y + 1.0).powi(2) + x * y;
        let kinked = |[x, y]: Point| (x + 0.3).abs() + 3.0 * (y - 0.2 * x).abs();
        let cases: [Case; SCIPY.len()] = [
            (&rosenbrock, [-1.2, 1.0], SCIPY[0].0, SCIPY[0].1),
            (&bowl, [0.0, 0.0], SCIPY[1].0, SCIPY[1].1),
            (&kinked, [1.5, 0.0], SCIPY[2].0, SCIPY[2].1),
        ];
        for (objective, start, point, evaluations) in cases {
            let minimum = minimise(objective, start);
            assert_eq!(minimum.evaluations, evaluations);
            for (got, expected) in minimum.point.iter().zip(point) {
                assert!((got - expected).abs() < 1e-9, "{minimum:?}");
            }
        }
    }

    #[test]
    fn an_infinite_objective_returns_the_start() {
        let minimum = minimise(|_| f64::INFINITY, [0.7, -3.1]);
        assert_eq!(
            minimum.point.map(f64::to_bits),
            [0.7, -3.1].map(f64::to_bits)
        );
        assert_eq!(minimum.evaluations, LIMIT);
    }

    #[test]
    fn one_finite_corner_is_found() {
        // Only points further out than the start are finite.
        let minimum = minimise(
            |[x, y]| {
                if x > 1.0 {
                    (x - 2.0).powi(2) + y * y
                } else {
                    f64::INFINITY
                }
            },
            [1.0, 1.0],
        );
        assert!((minimum.point[0] - 2.0).abs() < 1e-3 && minimum.point[1].abs() < 1e-3);
    }

    const SCIPY: [(Point, usize); 3] = [
        ([1.000_022_021_783_569_6, 1.000_042_219_751_771_5], 159),
        ([3.999_951_421_551_709, -1.999_980_432_713_922], 134),
        ([-0.300_001_248_773_808_96, -0.060_004_204_095_505_026], 187),
    ];
}
