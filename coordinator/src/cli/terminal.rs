//! What the commands write: data to standard output, the rest to standard error,
//! and neither with anything that a terminal would act on.

use std::io::Write as _;

use reprise_domain::text::printable;

/// Says something to the user, beside the data. There is nobody to tell when that
/// fails.
pub(super) fn eprint_block(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", clean(text));
}

/// Writes data. A reader that stops reading, as `head` does, is not an error.
pub(super) fn print_block(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{}", clean(text));
}

/// A text of several lines with its control characters as escapes.
fn clean(text: &str) -> String {
    lines(text, "\n")
}

/// The same with every line but the first indented: a text from outside cannot
/// begin a line, so it cannot look like a message of this program.
pub(super) fn indented(text: &str) -> String {
    lines(text, "\n    ")
}

fn lines(text: &str, between: &str) -> String {
    let line = |line| printable(line, usize::MAX);
    let lines: Vec<_> = text.split('\n').map(line).collect();
    lines.join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_and_controls_become_visible() {
        assert_eq!(clean("a\n\x1b[31mb\u{202e}"), "a\n\\u{1b}[31mb\\u{202e}");
        assert_eq!(
            indented("failed: a\nerror: b\r"),
            "failed: a\n    error: b "
        );
    }
}
