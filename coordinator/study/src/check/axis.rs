//! Settings with several values, and their combinations.

use std::collections::BTreeSet;

use reprise_domain::bounds::{Real, Whole, study};
use reprise_domain::{Factor, ModelName, Scalar};

use super::checker::Checker;
use crate::each::Each;
use crate::error::{Problem, StudyFileError};
use crate::names::shorten;
use crate::path::KeyPath;
use crate::value::Count;

/// The values of a setting: never empty.
#[derive(Debug, Clone)]
pub(super) struct Axis<T> {
    /// Name of the factor, where the file has a list.
    factor: Option<String>,
    pub(super) values: Vec<T>,
}

/// A value that a table can show.
pub(super) trait Value: Clone {
    fn scalar(&self) -> Scalar;
}

impl Value for u32 {
    fn scalar(&self) -> Scalar {
        Scalar::Whole((*self).into())
    }
}

impl Value for f64 {
    fn scalar(&self) -> Scalar {
        Scalar::Real(*self)
    }
}

impl Value for bool {
    fn scalar(&self) -> Scalar {
        Scalar::Flag(*self)
    }
}

impl Value for ModelName {
    fn scalar(&self) -> Scalar {
        Scalar::Text(self.to_string())
    }
}

impl<T: Value> Axis<T> {
    /// A setting with one value, which is no factor.
    pub(super) fn one(value: T) -> Self {
        Self {
            factor: None,
            values: vec![value],
        }
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}

impl Checker<'_> {
    /// The values of a setting at `path`: what `check` makes of each, or `default`
    /// where none is given, or nothing but mistakes. `factor` is its name in tables.
    pub(super) fn axis<T: Clone, V: Value>(
        &self,
        path: &KeyPath,
        factor: &str,
        given: Option<&Each<T>>,
        default: V,
        check: impl Fn(&KeyPath, T) -> Result<V, StudyFileError>,
    ) -> Axis<V> {
        let list = match given {
            None => return Axis::one(default),
            Some(Each::One(value)) => {
                let checked = self.keep(check(path, value.clone()));
                return Axis::one(checked.unwrap_or(default));
            }
            Some(Each::List(list)) => list,
        };
        if list.is_empty() || list.len() > study::STAGES {
            let expected = format!("1 to {} values", study::STAGES);
            self.note(self.wrong(path, expected));
            return Axis::one(default);
        }
        let checked = list.iter().enumerate();
        let checked = checked
            .filter_map(|(index, value)| self.keep(check(&path.index(index), value.clone())));
        let mut values: Vec<V> = checked.collect();
        let mut seen = BTreeSet::new();
        let texts = values.iter().map(|value| value.scalar().to_string());
        if let Some(twice) = texts.into_iter().find(|text| !seen.insert(text.clone())) {
            let problem = Problem::WrongValue {
                path: path.clone(),
                found: format!("a list with `{}` twice", shorten(&twice)),
                expected: "every value once".to_owned(),
            };
            self.note(self.at_value(path, problem));
        }
        if values.is_empty() {
            values.push(default);
        }
        Axis {
            factor: Some(factor.to_owned()),
            values,
        }
    }

    /// Whole numbers within a bound.
    pub(super) fn wholes(
        &self,
        path: &KeyPath,
        factor: &str,
        given: Option<&Each<Count>>,
        default: u32,
        bound: Whole,
    ) -> Axis<u32> {
        let check = |path: &KeyPath, count| self.whole_of(path, count, bound);
        self.axis(path, factor, given, default, check)
    }

    /// Numbers within a bound.
    pub(super) fn reals(
        &self,
        path: &KeyPath,
        factor: &str,
        given: Option<&Each<f64>>,
        default: f64,
        bound: Real,
    ) -> Axis<f64> {
        self.axis(path, factor, given, default, |path, number| {
            if bound.contains(number) {
                Ok(number)
            } else {
                Err(self.wrong(path, bound.to_string()))
            }
        })
    }
}

/// One of the combinations of the values of several axes.
#[derive(Debug)]
pub(super) struct Combination {
    place: usize,
    left: usize,
    /// The value of each factor that was picked so far.
    pub(super) level: Vec<Factor>,
}

impl Combination {
    /// Number `place` of `total` combinations; the last axis that is picked changes
    /// first.
    pub(super) fn new(place: usize, total: usize) -> Self {
        Self {
            place,
            left: total,
            level: Vec::new(),
        }
    }

    /// The value of an axis in this combination. Every axis is picked once, in an order
    /// that is the same for all combinations.
    pub(super) fn pick<T: Value>(&mut self, axis: &Axis<T>) -> T {
        self.left /= axis.len();
        let value = axis.values[self.place / self.left].clone();
        self.place %= self.left;
        if let Some(name) = &axis.factor {
            self.level.push(Factor {
                name: name.clone(),
                value: value.scalar(),
            });
        }
        value
    }
}

/// How many combinations axes of these lengths have; saturates.
pub(super) fn combinations(lengths: impl IntoIterator<Item = usize>) -> usize {
    lengths.into_iter().fold(1, usize::saturating_mul)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_picked_once_and_the_last_axis_changes_first() {
        let axis = |name: &str, values: &[u32]| Axis {
            factor: Some(name.to_owned()),
            values: values.to_vec(),
        };
        let axes = [axis("a", &[1, 2]), axis("b", &[3, 4, 5])];
        let fixed = Axis::one(9);
        let total = combinations([axes[0].len(), fixed.len(), axes[1].len()]);
        assert_eq!(total, 6);
        let picked = (0..total).map(|place| {
            let mut combination = Combination::new(place, total);
            let a = combination.pick(&axes[0]);
            assert_eq!(combination.pick(&fixed), 9);
            let b = combination.pick(&axes[1]);
            assert_eq!(combination.level.len(), 2, "a single value is no factor");
            (a, b)
        });
        let expected = [(1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)];
        assert_eq!(picked.collect::<Vec<_>>(), expected);
        assert_eq!(combinations([usize::MAX, 2]), usize::MAX);
    }
}
