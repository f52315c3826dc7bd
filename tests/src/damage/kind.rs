//! The kinds of damage, and which of them a state can take.

use std::fmt;

/// What a state directory was copied from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A study that is finished, its journal as it grew.
    Finished,
    /// The same, shortened: a snapshot holds the state.
    Compacted,
    /// A study that was killed in the middle, with its workers.
    Killed,
}

/// One kind of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A bit of the journal's file is another.
    JournalFlip,
    /// The journal's file ends early.
    JournalCut,
    /// A page of the journal's file holds zeros.
    JournalZeroPage,
    /// A digit somewhere in the journal's file is another.
    JournalDigit,
    /// The journal's file is empty, its log is gone.
    JournalEmpty,
    /// The journal's file is gone, and its log.
    JournalRemoved,
    /// An older backup is in the place of the journal.
    JournalBackup,
    /// A bit of the write-ahead log is another.
    LogFlip,
    /// The write-ahead log ends early.
    LogCut,
    /// The write-ahead log is gone, and records with it.
    LogRemoved,
    /// A digit in a stored result is another; the text stays valid JSON.
    ResultDigit,
    /// Rows of results are gone.
    ResultDeleted,
    /// Two tasks have each other's results.
    ResultSwapped,
    /// The table of results is gone.
    ResultsDropped,
    /// A digit in a record of events is another; the text stays valid JSON.
    RecordDigit,
    /// A record of events is gone.
    RecordDeleted,
    /// A record of events is there twice.
    RecordRepeated,
    /// A bit of the snapshot is another.
    SnapshotFlip,
    /// The snapshot ends early.
    SnapshotCut,
    /// The snapshot is gone.
    SnapshotRemoved,
    /// A bit of an artifact is another, of the coordinator's or a worker's copy.
    ArtifactFlip,
    /// An artifact ends early.
    ArtifactCut,
    /// An artifact is gone.
    ArtifactRemoved,
    /// All artifacts are gone, with the workers' directories.
    ArtifactsRemoved,
    /// A bit of a worker's spool is another.
    SpoolFlip,
    /// A digit in a worker's spool is another.
    SpoolDigit,
    /// A worker's spool ends early.
    SpoolCut,
}

/// Kinds that every state can take.
const ALWAYS: [Kind; 18] = [
    Kind::JournalFlip,
    Kind::JournalCut,
    Kind::JournalZeroPage,
    Kind::JournalDigit,
    Kind::JournalEmpty,
    Kind::JournalRemoved,
    Kind::JournalBackup,
    Kind::ResultDigit,
    Kind::ResultDeleted,
    Kind::ResultSwapped,
    Kind::ResultsDropped,
    Kind::RecordDigit,
    Kind::RecordDeleted,
    Kind::RecordRepeated,
    Kind::ArtifactFlip,
    Kind::ArtifactCut,
    Kind::ArtifactRemoved,
    Kind::ArtifactsRemoved,
];

const WITH_LOG: [Kind; 3] = [Kind::LogFlip, Kind::LogCut, Kind::LogRemoved];

const WITH_SNAPSHOT: [Kind; 3] = [Kind::SnapshotFlip, Kind::SnapshotCut, Kind::SnapshotRemoved];

const WITH_SPOOL: [Kind; 3] = [Kind::SpoolFlip, Kind::SpoolDigit, Kind::SpoolCut];

impl Origin {
    /// Every origin.
    pub const ALL: [Self; 3] = [Self::Finished, Self::Compacted, Self::Killed];

    /// The kinds of damage that it can take.
    pub fn kinds(self) -> Vec<Kind> {
        let more: &[&[Kind]] = match self {
            Self::Finished => &[],
            Self::Compacted => &[&WITH_SNAPSHOT],
            Self::Killed => &[&WITH_LOG, &WITH_SPOOL],
        };
        let own = more.iter().copied().flatten().copied();
        ALWAYS.into_iter().chain(own).collect()
    }
}

impl Kind {
    /// Whether finished tasks are lost with it, all or the newest, so that even an
    /// unchanged table must not come without a word.
    pub fn loses_history(self) -> bool {
        matches!(
            self,
            Self::JournalEmpty | Self::JournalRemoved | Self::JournalBackup | Self::LogRemoved
        )
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Finished => "finished",
            Self::Compacted => "compacted",
            Self::Killed => "killed",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::JournalFlip => "journal: bit flipped",
            Self::JournalCut => "journal: cut",
            Self::JournalZeroPage => "journal: page of zeros",
            Self::JournalDigit => "journal: digit changed",
            Self::JournalEmpty => "journal: emptied",
            Self::JournalRemoved => "journal: removed",
            Self::JournalBackup => "journal: older backup",
            Self::LogFlip => "write-ahead log: bit flipped",
            Self::LogCut => "write-ahead log: cut",
            Self::LogRemoved => "write-ahead log: removed",
            Self::ResultDigit => "result: digit changed",
            Self::ResultDeleted => "results: rows deleted",
            Self::ResultSwapped => "results: two swapped",
            Self::ResultsDropped => "results: table dropped",
            Self::RecordDigit => "record: digit changed",
            Self::RecordDeleted => "record: deleted",
            Self::RecordRepeated => "record: repeated",
            Self::SnapshotFlip => "snapshot: bit flipped",
            Self::SnapshotCut => "snapshot: cut",
            Self::SnapshotRemoved => "snapshot: removed",
            Self::ArtifactFlip => "artifact: bit flipped",
            Self::ArtifactCut => "artifact: cut",
            Self::ArtifactRemoved => "artifact: removed",
            Self::ArtifactsRemoved => "artifacts: all removed",
            Self::SpoolFlip => "spool: bit flipped",
            Self::SpoolDigit => "spool: digit changed",
            Self::SpoolCut => "spool: cut",
        })
    }
}
