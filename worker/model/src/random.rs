//! Bulk draws from [`Stream`] in single precision. The transcendental functions
//! are a library's portable ones, so that a draw is the same on every machine.

use reprise_search::rng::Stream;

/// Fills `out` with standard normal numbers (Box and Muller, both numbers of a
/// pair used, one 64-bit draw a pair).
pub fn fill_normal(stream: &mut Stream, out: &mut [f32]) {
    /// 2^-32: one half of a draw as a fraction.
    const HALF: f32 = 1.0 / 4_294_967_296.0;
    for pair in out.chunks_mut(2) {
        let bits = stream.next_u64();
        // 1 - u lies in (0, 1], where the logarithm is finite; u of 32 bits
        // bounds the radius at 6.7.
        let u = f64::from((bits >> 32) as u32) / 4_294_967_296.0;
        let radius = libm::sqrtf(-2.0 * libm::logf((1.0 - u) as f32));
        let angle = std::f32::consts::TAU * (bits as u32 as f32 * HALF);
        let (sin, cos) = libm::sincosf(angle);
        pair[0] = radius * cos;
        if let Some(second) = pair.get_mut(1) {
            *second = radius * sin;
        }
    }
}

/// Fills `out` with dropout factors: zero with the given probability, else the
/// factor that keeps the mean, `1 / (1 - probability)`.
pub fn fill_dropout(stream: &mut Stream, probability: f64, out: &mut [f32]) {
    let threshold = (probability * 4_294_967_296.0) as u64;
    let kept = (1.0 / (1.0 - probability)) as f32;
    for pair in out.chunks_mut(2) {
        let bits = stream.next_u64();
        let halves = [bits >> 32, bits & 0xffff_ffff];
        for (factor, half) in pair.iter_mut().zip(halves) {
            *factor = if half < threshold { 0.0 } else { kept };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(draws: &[f32], power: i32) -> f64 {
        draws.iter().map(|&x| f64::from(x).powi(power)).sum::<f64>() / draws.len() as f64
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        // 100,001 draws: the bounds are more than five standard errors wide.
        let mut draws = vec![0.0; 100_001];
        fill_normal(&mut Stream::new(b"k", "normal", 0), &mut draws);
        for (power, expected, bound) in [
            (1, 0.0, 0.02),
            (2, 1.0, 0.03),
            (3, 0.0, 0.07),
            (4, 3.0, 0.2),
        ] {
            let found = moment(&draws, power);
            assert!((found - expected).abs() < bound, "moment {power}: {found}");
        }

        fill_dropout(&mut Stream::new(b"k", "dropout", 0), 0.3, &mut draws);
        let mean = moment(&draws, 1);
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        let dropped = draws.iter().filter(|&&x| x == 0.0).count();
        assert!((29_000..31_000).contains(&dropped), "{dropped}");
    }

    #[test]
    fn nothing_is_dropped_at_probability_zero() {
        let mut factors = [0.0; 999];
        fill_dropout(&mut Stream::new(b"k", "dropout", 1), 0.0, &mut factors);
        assert!(
            factors
                .iter()
                .all(|factor| factor.to_bits() == 1.0_f32.to_bits())
        );
    }
}
