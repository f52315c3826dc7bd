//! Text of unknown origin made fit for one line of a terminal, a log or a table:
//! bounded in length, and without characters that a terminal acts on.
//!
//! Not here: quoting for a format. Markdown, LaTeX, CSV and SVG escape for
//! themselves.

use std::fmt::Write as _;

/// What stands for the rest of a text that was cut.
const ELLIPSIS: char = '…';

/// `text` as at most `max` printable characters on one line.
///
/// Line breaks and tabs become spaces. Other controls, among them the escape that
/// begins a terminal's commands, and characters that reorder or hide text become
/// visible: `\u{1b}`. A text that is too long ends with an ellipsis.
pub fn printable(text: &str, max: usize) -> String {
    // Nobody needs to look at megabytes to keep a few characters of them: each
    // character gives at least one.
    let mut shown = String::with_capacity(text.len().min(max));
    let mut length = 0;
    for (index, char) in text.chars().enumerate() {
        if index > max {
            break;
        }
        let before = shown.len();
        if is_break(char) {
            shown.push(' ');
        } else if is_unprintable(char) {
            // Memory takes what it is given.
            let _ = write!(shown, "{}", char.escape_unicode());
        } else {
            shown.push(char);
        }
        length += shown[before..].chars().count();
    }
    if length > max {
        let kept = shown.char_indices().nth(max.saturating_sub(1));
        shown.truncate(kept.map_or(shown.len(), |(at, _)| at));
        if max > 0 {
            shown.push(ELLIPSIS);
        }
    }
    shown
}

/// Whether a character ends a line or moves to a column.
const fn is_break(char: char) -> bool {
    matches!(
        char,
        '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// Whether a character is a control, reorders what stands beside it, or cannot be
/// seen.
fn is_unprintable(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, max: usize, expected: &str) {
        assert_eq!(printable(text, max), expected, "{text:?} in {max}");
    }

    #[test]
    fn plain_text_of_any_script_stays_as_it_is() {
        for text in ["", "vm-7.eu-west", "Größe 大きさ", "a  b", "🦀"] {
            check(text, 40, text);
        }
    }

    #[test]
    fn what_a_terminal_acts_on_becomes_visible() {
        check("\u{1b}]0;title\u{7}", 40, "\\u{1b}]0;title\\u{7}");
        check("a\u{9b}31m", 40, "a\\u{9b}31m");
        check("x\u{202e}gpj.exe", 40, "x\\u{202e}gpj.exe");
        check("no\u{200b}break\u{7f}", 40, "no\\u{200b}break\\u{7f}");
    }

    #[test]
    fn a_text_is_one_line() {
        check(
            "one\nerror: two\r\nthree\tfour",
            40,
            "one error: two  three four",
        );
        check("a\u{2028}b\u{85}c", 40, "a b c");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        check("abcdef", 6, "abcdef");
        check("abcdefg", 6, "abcde…");
        check("äöüß", 3, "äö…");
        check("\u{1b}abc", 4, "\\u{…");
        check("abc", 0, "");
    }

    proptest! {
        #[test]
        fn the_result_is_bounded_and_stays_the_same_when_asked_again(
            text in ".*", max in 0_usize..64
        ) {
            let shown = printable(&text, max);
            prop_assert!(shown.chars().count() <= max);
            prop_assert!(!shown.chars().any(|char| is_break(char) || is_unprintable(char)));
            prop_assert_eq!(printable(&shown, max), shown);
        }
    }
}
