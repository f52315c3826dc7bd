//! The text of a study file: what may be in it at all, and how a place in it is
//! shown to people.

use crate::error::{Problem, StudyFileError};

/// Longest study file, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// Characters of a source line that a report shows, around the place.
const EXCERPT: usize = 100;
/// How many of them may stand before the place.
const LEAD: usize = 60;

/// A study file's text that has passed [`Source::new`].
#[derive(Debug)]
pub(crate) struct Source<'a> {
    name: &'a str,
    pub(crate) text: &'a str,
}

/// A piece of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Line, from 1.
    pub(crate) line: usize,
    /// First character, from 1.
    pub(crate) column: usize,
    /// Number of characters; a report clips it to the line.
    pub(crate) width: usize,
}

/// A span with what a report shows of it, so that a report outlives the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) source_name: String,
    pub(crate) span: Span,
    /// The line, or the part of it around the span, safe to print.
    pub(crate) excerpt: String,
    /// First character of the span in the excerpt, from 0.
    pub(crate) offset: usize,
}

impl<'a> Source<'a> {
    /// Takes the text if it is short enough and free of characters that would
    /// make a terminal, or the two YAML parsers that read it, see another text
    /// than the person did.
    pub(crate) fn new(name: &'a str, text: &'a str) -> Result<Self, StudyFileError> {
        let source = Self { name, text };
        if text.len() > MAX_BYTES {
            let start = Span {
                line: 1,
                column: 1,
                width: 1,
            };
            let problem = Problem::TooLarge { bytes: text.len() };
            return Err(StudyFileError::new(source.place(start), problem));
        }
        for (index, line) in text.split('\n').enumerate() {
            source.check_line(index + 1, line.strip_suffix('\r').unwrap_or(line))?;
        }
        Ok(source)
    }

    /// The place of `span`, with its excerpt.
    pub(crate) fn place(&self, span: Span) -> Place {
        let line = self.text.split('\n').nth(span.line - 1).unwrap_or_default();
        let before = (span.column - 1).min(line.chars().count());
        let skipped = before.saturating_sub(LEAD);
        let mut excerpt: String = line
            .chars()
            .skip(skipped)
            .take(EXCERPT)
            .map(printable)
            .collect();
        if line.chars().nth(skipped + EXCERPT).is_some() {
            excerpt.push('…');
        }
        let mut offset = before - skipped;
        if skipped > 0 {
            excerpt.insert(0, '…');
            offset += 1;
        }
        excerpt.truncate(excerpt.trim_end().len());
        Place {
            source_name: self.name.to_owned(),
            span,
            excerpt,
            offset,
        }
    }

    fn check_line(&self, line: usize, text: &str) -> Result<(), StudyFileError> {
        let content = text.trim_start();
        let indentation = &text[..text.len() - content.len()];
        if let Some(tab) = indentation.find('\t')
            && !content.is_empty()
            && !content.starts_with('#')
        {
            let span = Span {
                line,
                column: indentation[..tab].chars().count() + 1,
                width: 1,
            };
            return Err(StudyFileError::new(self.place(span), Problem::Tab)
                .with_hint("indent with spaces".to_owned()));
        }
        match text.chars().position(|c| c != '\t' && is_refused(c)) {
            None => Ok(()),
            Some(position) => {
                let span = Span {
                    line,
                    column: position + 1,
                    width: 1,
                };
                let code = text.chars().nth(position).map_or(0, u32::from);
                Err(StudyFileError::new(
                    self.place(span),
                    Problem::Character { code },
                ))
            }
        }
    }
}

/// Whether `character` has no place in a study file: control characters, the two
/// Unicode line separators (a line break to one parser and text to the other),
/// marks that turn the direction of writing, and a byte order mark that is not
/// the first character.
pub(crate) fn is_refused(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}')
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `character`, or what stands for it where it would not print as itself.
pub(crate) fn printable(character: char) -> char {
    match character {
        '\t' | '\r' => ' ',
        character if is_refused(character) => '\u{fffd}',
        character => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let text = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let source = Source::new("f", &text).unwrap();
        let place = source.place(Span {
            line: 1,
            column: 501,
            width: 1,
        });
        assert_eq!(place.excerpt.chars().nth(place.offset), Some('X'));
        assert_eq!(place.excerpt.chars().count(), EXCERPT + 2);
    }

    #[test]
    fn a_place_past_the_end_is_shown_as_an_empty_line() {
        let source = Source::new("f", "a: 1\n").unwrap();
        let place = source.place(Span {
            line: 9,
            column: 7,
            width: 3,
        });
        assert_eq!((place.excerpt.as_str(), place.offset), ("", 0));
    }

    #[test]
    fn characters_that_deceive_are_refused() {
        for text in [
            "a\u{7}",
            "a\u{1b}[31m",
            "a: \u{202e}x",
            "a\rb",
            "a\u{2028}b",
            "a\u{85}b",
        ] {
            assert!(Source::new("f", text).is_err(), "{text:?}");
        }
        for text in ["a: é\r\n", "a: b\t# c\n", "\t# comment\n", ""] {
            assert!(Source::new("f", text).is_ok(), "{text:?}");
        }
    }
}
