//! Names in messages: the nearest known one, lists of them, and the shortening
//! of what a file may have in their place.

use crate::source::printable;

/// Longest piece of a study file that a message repeats, in characters.
const SHOWN: usize = 60;

/// `text`, cut to what a message can carry and safe to print.
pub(crate) fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).map(printable).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// The known name that `found` was probably meant to be.
pub(crate) fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    // No known name is near one of this length, and the distance costs the
    // product of both lengths.
    if found.len() > SHOWN {
        return None;
    }
    let found = found.to_lowercase().replace(['_', ' '], "-");
    let (distance, name) = known
        .iter()
        .map(|&name| (strsim::damerau_levenshtein(&found, name), name))
        .min()?;
    // A third of the letters may differ, but never all of them.
    let shorter = name.len().min(found.len());
    if distance <= (name.len() / 3).max(1) && distance < shorter {
        return Some(name);
    }
    let begins = |name: &&&str| found.len() >= 3 && name.starts_with(&found);
    known.iter().find(begins).copied()
}

/// What to tell somebody who wrote `found` where one of `known` belongs.
pub(crate) fn hint(found: &str, known: &[&str]) -> Option<String> {
    if known.is_empty() {
        return None;
    }
    let list = listed(known, ", ");
    Some(match nearest(found, known) {
        Some(name) if known.len() == 1 => format!("did you mean `{name}`?"),
        Some(name) => format!("did you mean `{name}`? (known here: {list})"),
        None => format!("known here: {list}"),
    })
}

/// "`a`, `b` or `c`".
pub(crate) fn alternatives(names: &[&str]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} or `{last}`", listed(first, ", ")),
        names => listed(names, ", "),
    }
}

/// The names in backticks.
pub(crate) fn listed(names: &[&str], separator: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_what_was_meant() {
        let known = ["population", "sample", "learning-rate", "label", "epochs"];
        let check = |found: &str, expected: Option<&str>| {
            assert_eq!(nearest(found, &known), expected, "{found}");
        };
        check("populaton", Some("population"));
        check("learning_rate", Some("learning-rate"));
        check("Epochs", Some("epochs"));
        check("epoch", Some("epochs"));
        check("smaple", Some("sample"));
        check("pop", Some("population"));
        check("temperature", None);
        check("x", None);
        check("", None);
        check(&"population".repeat(100), None);
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(alternatives(&["a"]), "`a`");
        assert_eq!(alternatives(&["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(shorten(&"é".repeat(61)), format!("{}…", "é".repeat(60)));
    }
}
