//! Lines of bounded size of which the last are kept.

use std::collections::VecDeque;

/// Most bytes that are kept: what a log may have, less its first line.
const MOST_BYTES: usize = 60 << 10;

/// What stands where lines were dropped.
const CUT: &str = "(earlier lines are not kept)\n";

/// The last lines of a log.
#[derive(Debug, Default)]
pub(super) struct Ring {
    lines: VecDeque<String>,
    bytes: usize,
    is_cut: bool,
}

impl Ring {
    /// Adds a line; drops the first ones while there is too much.
    pub(super) fn push(&mut self, line: String) {
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.bytes > MOST_BYTES - CUT.len() {
            let Some(dropped) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= dropped.len() + 1;
            self.is_cut = true;
        }
    }

    /// Writes all of it after `text`.
    pub(super) fn write(&self, text: &mut String) {
        text.reserve(self.bytes + CUT.len());
        if self.is_cut {
            text.push_str(CUT);
        }
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
    }

    /// The last lines, at most `most`, oldest first.
    pub(super) fn last(&self, most: usize) -> impl Iterator<Item = &str> {
        let skipped = self.lines.len().saturating_sub(most);
        self.lines.range(skipped..).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ring: &Ring) -> String {
        let mut text = String::new();
        ring.write(&mut text);
        text
    }

    #[test]
    fn the_end_is_kept_in_whole_lines() {
        let mut ring = Ring::default();
        for number in 0..10_000 {
            ring.push(format!("line {number}"));
        }
        let text = text(&ring);
        assert!(text.len() <= MOST_BYTES && text.len() > MOST_BYTES - 100);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(CUT.trim_end()));
        assert!(lines.all(|line| line.starts_with("line ")));
        assert!(text.ends_with("line 9999\n"));
    }

    #[test]
    fn a_line_that_is_longer_than_all_is_dropped() {
        let mut ring = Ring::default();
        ring.push("x".repeat(MOST_BYTES));
        ring.push("short".to_owned());
        assert_eq!(text(&ring), format!("{CUT}short\n"));
    }
}
