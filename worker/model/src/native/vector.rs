//! Loops compiled for each kind of vector unit and chosen at run time, and the
//! few reductions and functions that the kernels share.
//!
//! The order of every sum is written out and does not depend on the width of the
//! vector unit, and products are accumulated with fused multiply-add everywhere
//! (emulated where a processor has none): a training gives the same bits on every
//! processor.

/// Defines a function whose body is compiled once a kind of vector unit. The body
/// and all that it calls must be inlined for that to have an effect.
macro_rules! vectorised {
    (@result) => { () };
    (@result $result:ty) => { $result };
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident<$lt:lifetime>($($arg:ident: $ty:ty),* $(,)?) $(-> $result:ty)?
        $body:block
    ) => {
        $(#[$meta])*
        $vis fn $name<$lt>($($arg: $ty),*) $(-> $result)? {
            struct Call<$lt> { $($arg: $ty),* }
            impl<$lt> pulp::WithSimd for Call<$lt> {
                type Output = $crate::native::vector::vectorised!(@result $($result)?);
                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, _: S) -> Self::Output {
                    let Self { $($arg),* } = self;
                    $body
                }
            }
            pulp::Arch::new().dispatch(Call { $($arg),* })
        }
    };
}
pub(super) use vectorised;

/// Sum of products, in `LANES` independent partial sums.
#[expect(
    clippy::inline_always,
    reason = "only inlined code gets the vector unit"
)]
#[inline(always)]
pub(super) fn dot_lanes<const LANES: usize>(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] = a[lane].mul_add(b[lane], sums[lane]);
        }
    }
    let mut rest = 0.0_f32;
    for (&a, &b) in a_rest.iter().zip(b_rest) {
        rest = a.mul_add(b, rest);
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
    }
    sums[0] + rest
}

vectorised! {
    /// Sum of products of two equally long slices.
    pub(super) fn dot<'a>(a: &'a [f32], b: &'a [f32]) -> f32 {
        // Enough partial sums to keep any vector unit busy.
        dot_lanes::<32>(a, b)
    }
}

/// The exponential within 2 units in the last place, after the Cephes library's
/// `expf`; arguments beyond the range of single precision are held at its ends.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // ln 2 in two parts, the first exact in products with small integers.
    const LN2_HIGH: f32 = 355.0 / 512.0;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding it leaves a number rounded to an integer, in the lowest bits.
    const SHIFT: f32 = 12_582_912.0;
    let x = x.clamp(-86.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, SHIFT);
    let whole = shifted - SHIFT;
    let r = whole.mul_add(-LN2_LOW, whole.mul_add(-LN2_HIGH, x));
    let mut p = 1.987_569_1e-4_f32;
    for coefficient in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        5.0e-1,
    ] {
        p = p.mul_add(r, coefficient);
    }
    let power = p.mul_add(r * r, r + 1.0);
    f32::from_bits(power.to_bits().wrapping_add(shifted.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_accurate_over_its_range() {
        for step in -8_500..8_700 {
            let x = step as f32 * 0.01;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) / exact - 1.0).abs();
            assert!(error < 2.5e-7, "exp({x}): relative error {error}");
        }
        assert!(exp(-1000.0) < 1e-37 && exp(1000.0) > 1e38);
    }

    #[test]
    fn any_vector_unit_gives_the_bits_of_none() {
        let a: Vec<f32> = (0..1_003).map(|i| (i as f32 * 0.37).sin()).collect();
        let b: Vec<f32> = (0..1_003).map(|i| (i as f32 * 0.11).cos()).collect();
        // Outside `vectorised` the same code is compiled for the base processor.
        assert_eq!(dot(&a, &b).to_bits(), dot_lanes::<32>(&a, &b).to_bits());
        let exact: f64 = a
            .iter()
            .zip(&b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum();
        assert!((f64::from(dot(&a, &b)) - exact).abs() < 1e-4);
    }
}
