//! The UCI handwritten digits with their fixed split. Licence and origin are in
//! `digits/NOTICE`.

use std::sync::OnceLock;

/// Pixels of an image.
pub(super) const PIXELS: usize = 64;

/// Images of one split.
#[derive(Debug, Default)]
pub(super) struct Split {
    /// `[images, 64]`, values in [0, 1].
    pub(super) pixels: Vec<f32>,
    /// `[images]`, 0 to 9.
    pub(super) labels: Vec<i64>,
}

/// The three splits.
#[derive(Debug, Default)]
pub(super) struct Digits {
    pub(super) train: Split,
    pub(super) validation: Split,
    pub(super) test: Split,
}

static CSV: &str = include_str!("digits/digits.csv");

/// The data, read once. Of the images of each label in file order, every eight in
/// turn: two train, three validate, three test. Each split then has all writers
/// and all labels in proportion; few images train, because what tells cells apart
/// is measured on the others.
pub(super) fn digits() -> &'static Digits {
    static DIGITS: OnceLock<Digits> = OnceLock::new();
    DIGITS.get_or_init(|| {
        let mut digits = Digits::default();
        let mut seen = [0_usize; 10];
        for line in CSV.lines() {
            let mut numbers: Vec<u8> = line
                .split(',')
                .map(|number| number.parse().expect("the embedded file is numbers"))
                .collect();
            let label = numbers.pop().expect("the embedded file has labels");
            let count = &mut seen[usize::from(label)];
            let split = match *count % 8 {
                0 | 4 => &mut digits.train,
                1 | 2 | 6 => &mut digits.validation,
                _ => &mut digits.test,
            };
            *count += 1;
            split
                .pixels
                .extend(numbers.iter().map(|&pixel| f32::from(pixel) / 16.0));
            split.labels.push(i64::from(label));
        }
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_covers_every_image_once() {
        let digits = digits();
        let sizes =
            [&digits.train, &digits.validation, &digits.test].map(|split| split.labels.len());
        assert_eq!(sizes.iter().sum::<usize>(), 1_797);
        assert_eq!(sizes, [454, 675, 668]);
        for split in [&digits.train, &digits.validation, &digits.test] {
            assert_eq!(split.pixels.len(), split.labels.len() * PIXELS);
            assert!(
                (0..10).all(|label| split.labels.iter().filter(|&&l| l == label).count() >= 40)
            );
        }
    }
}
