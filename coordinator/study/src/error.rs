//! What can be wrong with a study file, and how it is told.

use std::fmt;

use crate::path::{KeyPath, Step};
use crate::source::{MAX_BYTES, Place};

/// A mistake in a study file.
///
/// `Display` gives one line, `FILE:LINE:COLUMN: PROBLEM`;
/// [`StudyFileError::report`] adds the source line and the hint.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyFileError(Box<Inner>);

#[derive(Debug, Clone, PartialEq)]
struct Inner {
    place: Place,
    problem: Problem,
    hint: Option<String>,
}

/// The kind of a mistake. A [`KeyPath`] prints in backticks by itself.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the messages say what each variant and field means"
)]
pub enum Problem {
    #[error("the file has {bytes} bytes, expected at most {MAX_BYTES}")]
    TooLarge { bytes: usize },
    #[error("character U+{code:04X} is not allowed in a study file")]
    Character { code: u32 },
    #[error("tab in the indentation")]
    Tab,
    #[error("not YAML: {message}")]
    Syntax { message: String },
    #[error("the file is empty, expected a study")]
    Empty,
    #[error("a second YAML document starts here, expected one study a file")]
    SecondDocument,
    #[error("{path} is nested too deeply")]
    TooDeep { path: KeyPath },
    #[error("anchors and aliases (`&`, `*`) are not allowed, here in {path}")]
    Reference { path: KeyPath },
    #[error("YAML tags (`!`) are not allowed, here in {path}")]
    Tag { path: KeyPath },
    #[error("a key of {path} is a list or a mapping, expected text")]
    KeyNotText { path: KeyPath },
    #[error("key `{key}` is twice in {path}, first on line {first_line}")]
    DuplicateKey {
        path: KeyPath,
        key: String,
        first_line: usize,
    },
    #[error("{path} has no value")]
    NoValue { path: KeyPath },
    #[error("this is form version {found}, expected version {expected}")]
    Version { found: u32, expected: u32 },
    #[error("unknown key `{key}` in {path}")]
    UnknownKey { path: KeyPath, key: String },
    #[error("missing key `{key}` in {path}")]
    MissingKey { path: KeyPath, key: String },
    #[error("{path} is {found}, expected {expected}")]
    WrongValue {
        path: KeyPath,
        found: String,
        expected: String,
    },
    #[error("{path} plans {tasks} tasks, expected at most {most}")]
    TooManyTasks {
        path: KeyPath,
        tasks: u64,
        most: u64,
    },
    #[error("`{key}` is not a setting of `{method}`, in {path}")]
    NotASetting {
        path: KeyPath,
        key: String,
        method: &'static str,
    },
    #[error("{path} has the label `{label}`, which {first} has already")]
    DuplicateLabel {
        path: KeyPath,
        label: String,
        first: KeyPath,
    },
    #[error("{path} has the name `{name}`, which {first} has already")]
    DuplicateName {
        path: KeyPath,
        name: String,
        first: KeyPath,
    },
    #[error("{path} is `{file}`, which cannot be shipped: {why}")]
    File {
        path: KeyPath,
        file: String,
        why: String,
    },
    #[error("{path} searches the embedding of `{model}`, which the study does not pretrain")]
    NotPretrained { path: KeyPath, model: &'static str },
    #[error("{path} pretrains `{model}`, which {first} does already")]
    ModelTwice {
        path: KeyPath,
        model: &'static str,
        first: KeyPath,
    },
    #[error("{path} trains with a seed what {first} trains with it already")]
    EntryTwice { path: KeyPath, first: KeyPath },
    #[error("{path} differs from {first} in its label alone")]
    MethodTwice { path: KeyPath, first: KeyPath },
    #[error("{path} has `{dataset}`, which {benchmark} does not answer for")]
    DatasetNotAnswered {
        path: KeyPath,
        dataset: &'static str,
        benchmark: String,
    },
    #[error("{path} has no budget for `{dataset}`")]
    NoBudget {
        path: KeyPath,
        dataset: &'static str,
    },
    #[error("{path} has a budget for `{dataset}`, which is not searched")]
    UnusedBudget {
        path: KeyPath,
        dataset: &'static str,
    },
    #[error("`{name}` is for the space `nasbench201`, in {path}")]
    OtherSpace { path: KeyPath, name: &'static str },
    #[error("{path} has nothing to do")]
    NothingToDo { path: KeyPath },
    #[error("{path} was resolved to another kind of benchmark than the file names")]
    OtherBenchmark { path: KeyPath },
}

impl Problem {
    /// What it is about, where that is in the tree of keys.
    pub(crate) fn path(&self) -> Option<&KeyPath> {
        match self {
            Self::TooLarge { .. }
            | Self::Character { .. }
            | Self::Tab
            | Self::Syntax { .. }
            | Self::Empty
            | Self::SecondDocument
            | Self::Version { .. } => None,
            Self::TooDeep { path }
            | Self::Reference { path }
            | Self::Tag { path }
            | Self::KeyNotText { path }
            | Self::DuplicateKey { path, .. }
            | Self::NoValue { path }
            | Self::UnknownKey { path, .. }
            | Self::MissingKey { path, .. }
            | Self::WrongValue { path, .. }
            | Self::TooManyTasks { path, .. }
            | Self::NotASetting { path, .. }
            | Self::DuplicateLabel { path, .. }
            | Self::DuplicateName { path, .. }
            | Self::File { path, .. }
            | Self::NotPretrained { path, .. }
            | Self::ModelTwice { path, .. }
            | Self::EntryTwice { path, .. }
            | Self::MethodTwice { path, .. }
            | Self::DatasetNotAnswered { path, .. }
            | Self::NoBudget { path, .. }
            | Self::UnusedBudget { path, .. }
            | Self::OtherSpace { path, .. }
            | Self::NothingToDo { path }
            | Self::OtherBenchmark { path } => Some(path),
        }
    }

    /// The same with every path translated.
    fn at(mut self, translate: &dyn Fn(&KeyPath) -> KeyPath) -> Self {
        if let Self::DuplicateLabel { first, .. }
        | Self::DuplicateName { first, .. }
        | Self::ModelTwice { first, .. }
        | Self::EntryTwice { first, .. }
        | Self::MethodTwice { first, .. } = &mut self
        {
            *first = translate(first);
        }
        if let Self::UnknownKey { path, .. }
        | Self::MissingKey { path, .. }
        | Self::WrongValue { path, .. }
        | Self::TooManyTasks { path, .. }
        | Self::NotASetting { path, .. }
        | Self::DuplicateLabel { path, .. }
        | Self::DuplicateName { path, .. }
        | Self::NotPretrained { path, .. }
        | Self::ModelTwice { path, .. }
        | Self::EntryTwice { path, .. }
        | Self::MethodTwice { path, .. }
        | Self::DatasetNotAnswered { path, .. }
        | Self::NoBudget { path, .. }
        | Self::UnusedBudget { path, .. }
        | Self::OtherSpace { path, .. } = &mut self
        {
            *path = translate(path);
        }
        self
    }

    /// Whether it may be a consequence of a mistake elsewhere in the file.
    pub(crate) fn is_about_several_sections(&self) -> bool {
        let is_reference = |path: &KeyPath| {
            let steps = path.steps().iter();
            steps
                .rev()
                .any(|step| matches!(step, Step::Key(key) if key == "encoding"))
        };
        match self {
            Self::NotPretrained { .. }
            | Self::ModelTwice { .. }
            | Self::EntryTwice { .. }
            | Self::MethodTwice { .. }
            | Self::DatasetNotAnswered { .. }
            | Self::NoBudget { .. }
            | Self::UnusedBudget { .. }
            | Self::OtherSpace { .. }
            | Self::NothingToDo { .. } => true,
            Self::WrongValue { path, .. } => is_reference(path),
            _ => false,
        }
    }
}

/// The mistakes of a study file, at least one and at most [`StudyFileErrors::MOST`].
///
/// `Display` gives the first of them in one line, and how many there are;
/// [`StudyFileErrors::report`] all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyFileErrors {
    listed: Vec<StudyFileError>,
    /// Whether there are others.
    more: bool,
}

impl StudyFileErrors {
    /// More mistakes than these are not listed.
    pub const MOST: usize = 20;

    /// The mistakes in the order of the file, each once; nothing where there are none.
    pub(crate) fn of(mut listed: Vec<StudyFileError>) -> Option<Self> {
        listed.sort_by_key(|error| (error.line(), error.column()));
        listed.dedup();
        let more = listed.len() > Self::MOST;
        listed.truncate(Self::MOST);
        (!listed.is_empty()).then_some(Self { listed, more })
    }

    /// The mistakes that are listed, in the order of the file.
    pub fn listed(&self) -> &[StudyFileError] {
        &self.listed
    }

    /// Every listed mistake as [`StudyFileError::report`] shows it, with an empty line
    /// between two of them, and whether there are more.
    pub fn report(&self) -> String {
        let mut reports: Vec<_> = self.listed.iter().map(StudyFileError::report).collect();
        if self.more {
            reports.push(format!("only {} mistakes are shown", Self::MOST));
        }
        reports.join("\n\n")
    }
}

impl fmt::Display for StudyFileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(first) = self.listed.first() {
            first.fmt(f)?;
        }
        match self.listed.len() {
            0 | 1 => Ok(()),
            several => write!(f, "; and {} more mistakes", several - 1),
        }
    }
}

impl std::error::Error for StudyFileErrors {}

impl From<StudyFileError> for StudyFileErrors {
    fn from(error: StudyFileError) -> Self {
        Self {
            listed: vec![error],
            more: false,
        }
    }
}

impl StudyFileError {
    pub(crate) fn new(place: Place, problem: Problem) -> Self {
        Self(Box::new(Inner {
            place,
            problem,
            hint: None,
        }))
    }

    /// The same with advice, a sentence without a full stop.
    pub(crate) fn with_hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.0.hint = hint.into();
        self
    }

    /// The same with every path translated.
    pub(crate) fn at(mut self, translate: &dyn Fn(&KeyPath) -> KeyPath) -> Self {
        self.0.problem = self.0.problem.at(translate);
        self
    }

    /// What the caller called the file.
    pub fn source_name(&self) -> &str {
        &self.0.place.source_name
    }

    /// Line of the mistake, from 1.
    pub fn line(&self) -> usize {
        self.0.place.span.line
    }

    /// Column of the mistake in characters, from 1.
    pub fn column(&self) -> usize {
        self.0.place.span.column
    }

    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// What to do about it, where that can be guessed.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The mistake with its source line and the hint, over several lines
    /// without a final line break.
    pub fn report(&self) -> String {
        let Place {
            span,
            excerpt,
            offset,
            ..
        } = &self.0.place;
        let gutter = " ".repeat(span.line.to_string().len());
        let room = excerpt.chars().count().saturating_sub(*offset);
        let carets = "^".repeat(span.width.min(room).max(1));
        let indent = " ".repeat(*offset);
        let source_line = format!("{} | {excerpt}", span.line);
        let mut lines = vec![
            format!("error: {self}"),
            format!("{gutter} |"),
            source_line.trim_end().to_owned(),
            format!("{gutter} | {indent}{carets}"),
        ];
        lines.extend(self.hint().map(|hint| format!("hint: {hint}")));
        lines.join("\n")
    }
}

impl fmt::Display for StudyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, line, column) = (self.source_name(), self.line(), self.column());
        write!(f, "{name}:{line}:{column}: {}", self.problem())
    }
}

impl std::error::Error for StudyFileError {}
