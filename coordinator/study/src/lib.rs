//! The study file: the YAML form in which people write a study, and messages
//! that say what is wrong with one, where, and what was meant.
//!
//! Text comes in, a validated [`StudySpec`](reprise_domain::study::StudySpec)
//! goes out. Reading files is not here: the caller brings the text, joins the
//! paths of a [`BenchmarkSource`] and of shipped files to the study file's directory,
//! and gives the digests of what it found there back to [`StudyFile::resolve`] and
//! [`StudyFile::ship`].
//!
//! A study file passes four steps. The first two end at the first mistake, since
//! nothing after it can be trusted; the others go on behind one:
//!
//! 1. `source`: size and characters;
//! 2. `tree`: YAML events into a tree that knows where every key and value
//!    stands; whatever could make reading slow or ambiguous is refused here;
//! 3. `form`: the keys and the types of their values, by serde;
//! 4. `check`: what the values mean together, defaults filled in.
//!
//! The reference of every key, for people, is `configs/README.md`.

#![warn(missing_docs)]

mod check;
mod each;
mod error;
mod experiment;
mod file;
mod form;
mod message;
mod names;
mod path;
mod reading;
mod source;
mod tree;
mod value;

pub use error::{Problem, StudyFileError, StudyFileErrors};
pub use file::{BenchmarkSource, StudyFile};
pub use path::KeyPath;
pub use source::MAX_BYTES;

/// Version of the file form that this package reads.
pub const FORM_VERSION: u32 = 1;

/// Reads the text of a study file.
///
/// `source_name` is what messages call the file; it is not opened. Time and
/// memory are linear in the length of `text`, which is at most [`MAX_BYTES`].
///
/// # Errors
/// As many mistakes of the file as could be found, each with its place.
pub fn parse(source_name: &str, text: &str) -> Result<StudyFile, StudyFileErrors> {
    // Editors on some systems put a byte order mark first; it carries nothing.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = source::Source::new(source_name, text)?;
    let tree = tree::Tree::read(&source)?;
    let mut reading = reading::read(&source, &tree)?;
    let mut mistakes = Vec::new();
    let mut file = None;
    if let Some(form) = reading.form.take() {
        match check::study(&source, &reading.left(&tree), form) {
            Ok(found) => file = Some(found),
            Err(found) => mistakes.extend(reading.own(&tree, found)),
        }
    }
    mistakes.extend(std::mem::take(&mut reading.mistakes));
    match (file, StudyFileErrors::of(mistakes)) {
        (_, Some(errors)) => Err(errors),
        (Some(file), None) => Ok(file),
        (None, None) => unreachable!("a file that cannot be read has a mistake"),
    }
}
