//! The share of tasks that is audited, such as `2 %`.

use reprise_domain::AuditShare;

use super::checker::Checker;
use crate::error::StudyFileError;
use crate::path::KeyPath;
use crate::value::PercentText;

/// Checks that `text` is a percentage above 0 and at most 100.
pub(super) fn check(
    checker: &Checker<'_>,
    path: &KeyPath,
    text: &PercentText,
) -> Result<AuditShare, StudyFileError> {
    let text = text.0.trim();
    read(text).ok_or_else(|| {
        let expected = "a percentage above 0 and at most 100, such as `2 %`";
        let is_number = text.parse::<f64>().is_ok();
        let hint = is_number.then(|| format!("did you mean `{text} %`?"));
        checker.wrong(path, expected).with_hint(hint)
    })
}

fn read(text: &str) -> Option<AuditShare> {
    let number = text.strip_suffix('%')?.trim_end();
    // Plain decimals only.
    let is_plain = |character: char| character.is_ascii_digit() || character == '.';
    if !number.chars().all(is_plain) {
        return None;
    }
    AuditShare::new(number.parse::<f64>().ok()? / 100.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage() {
        let check = |text: &str, expected: Option<f64>| {
            let found = read(text).map(f64::from);
            assert_eq!(found, expected, "{text}");
        };
        check("2%", Some(0.02));
        check("2 %", Some(0.02));
        check("0.5 %", Some(0.005));
        check("100%", Some(1.0));
        for wrong in [
            "2", "0%", "101%", "-1%", "1e1%", "inf%", "NaN%", "%", "two %",
        ] {
            check(wrong, None);
        }
    }
}
