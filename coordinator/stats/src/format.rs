//! Numbers as text, in one place: every exporter prints through here, so that no
//! two of them round differently and none prints `NaN`.

/// `value` with a fixed number of decimals; absent when it is not finite. A value
/// that rounds to zero has no sign.
pub fn fixed(value: f64, decimals: usize) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    let text = format!("{value:.decimals$}");
    let is_zero = text.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.'));
    Some(if is_zero {
        text.trim_start_matches('-').to_owned()
    } else {
        text
    })
}

/// A p-value for people: fixed decimals, and `<0.0001` for what would print as
/// zero.
pub fn probability(p: f64, decimals: usize) -> Option<String> {
    let smallest = 10f64.powi(-(decimals.min(300) as i32));
    if p.is_finite() && p < smallest {
        return fixed(smallest, decimals).map(|bound| format!("<{bound}"));
    }
    fixed(p, decimals)
}

/// The shortest text that reads back as `value`, for machines; absent when it is
/// not finite.
pub fn exact(value: f64) -> Option<String> {
    value.is_finite().then(|| {
        let magnitude = value.abs();
        if magnitude == 0.0 {
            "0".to_owned()
        } else if (1e-5..1e15).contains(&magnitude) {
            format!("{value}")
        } else {
            format!("{value:e}")
        }
    })
}

/// `count` with the noun in the right number: `1 run`, `2 runs`.
pub fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_decimals_never_print_a_signed_zero_or_a_nan() {
        let check = |value, decimals, expected: Option<&str>| {
            assert_eq!(fixed(value, decimals).as_deref(), expected);
        };
        check(94.176, 2, Some("94.18"));
        check(-0.001, 2, Some("0.00"));
        check(-0.4, 0, Some("0"));
        check(-1.5, 1, Some("-1.5"));
        check(f64::NAN, 2, None);
        check(f64::NEG_INFINITY, 2, None);
    }

    #[test]
    fn small_p_values_are_bounded_rather_than_zero() {
        let check = |p, expected: Option<&str>| {
            assert_eq!(probability(p, 4).as_deref(), expected);
        };
        check(0.04, Some("0.0400"));
        check(3e-47, Some("<0.0001"));
        check(0.0, Some("<0.0001"));
        check(f64::NAN, None);
    }

    #[test]
    fn exact_text_reads_back() {
        for value in [94.18, 1e-300, -3.5e20, 0.1 + 0.2, 3.88e-47] {
            assert_eq!(exact(value).unwrap().parse(), Ok(value));
        }
        assert_eq!(exact(-0.0).as_deref(), Some("0"));
        assert_eq!(exact(f64::INFINITY), None);
    }
}
