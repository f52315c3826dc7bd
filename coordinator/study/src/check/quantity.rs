//! Quantities as written: a number and a unit, such as `12000 s` or `4 GiB`.

/// A unit, and how much of the smallest one it is.
pub(super) type Unit = (&'static str, f64);

/// What is wrong with the text of a quantity.
#[derive(Debug, PartialEq)]
pub(super) enum Mistake {
    /// There is a number alone.
    NoUnit,
    /// The unit is not known.
    Unit(String),
    /// It does not begin with a number.
    Number,
}

/// Reads a quantity in one of `units`.
pub(super) fn read(text: &str, units: &[Unit]) -> Result<f64, Mistake> {
    let text = text.trim();
    // Plain decimals only: an exponent would swallow the start of a unit.
    let end = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().map_err(|_| Mistake::Number)?;
    let unit = text[end..].trim();
    if unit.is_empty() {
        return Err(Mistake::NoUnit);
    }
    let known = units.iter().find(|(name, _)| *name == unit);
    known
        .map(|(_, amount)| number * amount)
        .ok_or_else(|| Mistake::Unit(unit.to_owned()))
}
