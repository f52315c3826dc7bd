//! Whether a journal is whole: every record and row is what was written, the records
//! make a state, and the stored results are those that the state speaks of.
//!
//! It reads one state of the database from the first read to the last, so that it can
//! be asked of a journal that a coordinator is using.

use std::collections::HashMap;
use std::fmt;

use reprise_core::Timestamp;
use reprise_core::lifecycle::{Core, SNAPSHOT_FORMAT, Settings, SnapshotError};
use reprise_domain::{Digest, TaskKey, TaskResult, TaskSpec};

use super::{Reader, Sequence, StoreError, StoredResult};

/// What a check found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Everything that is wrong, with the way out.
    pub faults: Vec<String>,
    /// Records that were read.
    pub records: u64,
    /// Number of the newest record, 0 without any; none where that cannot be read.
    pub newest: Option<Sequence>,
    /// Finished tasks whose stored results were compared.
    pub results: u64,
}

impl Findings {
    fn add(&mut self, fault: impl fmt::Display) {
        self.faults.push(fault.to_string());
    }
}

/// Reads everything in a journal.
pub async fn check(reader: &dyn Reader) -> Result<Findings, StoreError> {
    let reader = reader.frozen().await?;
    let mut findings = Findings::default();
    let faults = reader.faults().await?;
    findings
        .faults
        .extend(faults.into_iter().map(|fault| format!("database: {fault}")));
    // What hinders this is found again where the records are read.
    findings.newest = reader.newest().await.ok();
    let core = state(reader.as_ref(), &mut findings).await;
    results(reader.as_ref(), core.as_ref(), &mut findings).await;
    Ok(findings)
}

/// The state by the snapshot and the records, if they give one. Where the records
/// alone give one too, both must be the same.
async fn state(reader: &dyn Reader, findings: &mut Findings) -> Option<Core> {
    let settings = Settings::default();
    let snapshot = match reader.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            findings.add(error);
            None
        }
    };
    let mut restored: Option<(Core, Sequence)> = None;
    if let Some(snapshot) = snapshot {
        match Core::restore(settings, &snapshot.state) {
            Ok(core) => restored = Some((core, snapshot.through)),
            // It is replaced by the next one.
            Err(SnapshotError::Format { found }) if (1..SNAPSHOT_FORMAT).contains(&found) => {}
            Err(error) => findings.add(format!(
                "the journal's {error}; `reprise journal compact` writes another one, unless \
                 records that it covers were removed: then restore a backup"
            )),
        }
    }
    let compacted = match reader.is_compacted().await {
        Ok(compacted) => compacted,
        Err(error) => {
            findings.add(error);
            return None;
        }
    };
    if compacted && restored.is_none() {
        findings.add(
            "the records before the snapshot were removed, and it cannot be used; restore a backup",
        );
        return None;
    }
    // A compacted journal begins somewhere.
    let after = match &restored {
        Some((_, through)) if compacted => *through,
        _ => 0,
    };
    let mut replayed = (!compacted).then(|| Core::new(settings));
    let mut misfit = None;
    let read = reader
        .replay(after, &mut |sequence, at, events| {
            let beyond = restored
                .as_mut()
                .filter(|(_, through)| sequence > *through)
                .map(|(core, _)| core);
            let mut states: Vec<&mut Core> = beyond.into_iter().chain(&mut replayed).collect();
            for event in events {
                for core in &mut states {
                    if let (None, Err(error)) = (&misfit, core.replay(&event, at)) {
                        misfit = Some(format!("record {sequence}: {error}; restore a backup"));
                    }
                }
            }
        })
        .await;
    match read {
        Ok(read) => findings.records = read.records,
        Err(error) => {
            findings.add(error);
            return None;
        }
    }
    if let Some(misfit) = misfit {
        findings.add(misfit);
        return None;
    }
    for core in restored
        .iter_mut()
        .map(|(core, _)| core)
        .chain(&mut replayed)
    {
        // A snapshot does not have who was connected.
        core.resume(Timestamp::default());
    }
    match (restored, replayed) {
        (Some((restored, _)), Some(replayed)) if restored != replayed => {
            findings.add("the snapshot is not the state that its records give; restore a backup");
            None
        }
        (Some((core, _)), _) | (None, Some(core)) => Some(core),
        (None, None) => None,
    }
}

/// Compares every stored result with the task that it is of. Without a state each is
/// still compared with its own checksum.
async fn results(reader: &dyn Reader, core: Option<&Core>, findings: &mut Findings) {
    let mut missing: HashMap<TaskKey, Digest> = core
        .map(|core| core.finished().collect())
        .unwrap_or_default();
    let finished = missing.clone();
    let mut records: HashMap<Digest, TaskKey> = HashMap::new();
    let mut faults = Vec::new();
    let mut compared = 0;
    let scanned = reader
        .scan(&mut |key, row| {
            let expected = finished.get(&key).copied();
            let again = core.is_some() && expected.is_some() && missing.remove(&key).is_none();
            let named = || named(core, key);
            match row {
                _ if again => faults.push(format!("the result of {} is stored twice", named())),
                Err(error) => faults.push(format!("{error} ({})", named())),
                Ok((found, stored)) => {
                    if let Some(core) = core
                        && let Some(fault) = misfit(core, key, expected, found, &stored)
                    {
                        faults.push(format!("the stored result of {} {fault}", named()));
                    }
                    compared += 1;
                    records.extend(stored.provenance.map(|digest| (digest, key)));
                }
            }
        })
        .await;
    findings.results = compared;
    for key in missing.keys() {
        faults.push(format!(
            "the stored result of {} is missing; restore a backup, or let the task run again \
             with `reprise invalidate {key}`",
            named(core, *key)
        ));
    }
    faults.sort();
    findings.faults.extend(faults);
    if let Err(error) = scanned {
        findings.add(error);
    }
    for (digest, key) in records {
        match reader.provenance(digest).await {
            Ok(Some(_)) => {}
            Ok(None) => findings.add(format!(
                "the record of what the result of {} was made with is missing; restore a backup",
                named(core, key)
            )),
            Err(error) => findings.add(format!("{error} ({})", named(core, key))),
        }
    }
}

/// Why a stored result is not that of its task.
fn misfit(
    core: &Core,
    key: TaskKey,
    expected: Option<Digest>,
    found: Digest,
    stored: &StoredResult,
) -> Option<String> {
    let way_out = format!("; let the task run again with `reprise invalidate {key}`");
    match (expected, core.spec(key)) {
        (None, _) => Some("is of no finished task; restore a backup".to_owned()),
        (Some(expected), _) if expected != found => Some(format!(
            "has digest `{found}`, but the task finished with `{expected}`{way_out}"
        )),
        (_, Some(spec)) if !is_of_kind(&spec, &stored.result) => {
            Some(format!("is not of the task's kind{way_out}"))
        }
        _ => None,
    }
}

const fn is_of_kind(spec: &TaskSpec, result: &TaskResult) -> bool {
    matches!(
        (spec, result),
        (TaskSpec::Pretrain(_), TaskResult::Pretrain(_))
            | (TaskSpec::Search(_), TaskResult::Search(_))
            | (TaskSpec::Evaluate(_), TaskResult::Evaluate(_))
            | (TaskSpec::Noop(_), TaskResult::Noop)
            | (TaskSpec::Program(_), TaskResult::Program(_))
    )
}

/// A task with its studies, as it is named to people.
fn named(core: Option<&Core>, key: TaskKey) -> String {
    let studies: Vec<String> = core
        .into_iter()
        .flat_map(|core| core.studies_of(key))
        .map(|name| format!("`{name}`"))
        .collect();
    match studies.as_slice() {
        [] => format!("task `{key}`"),
        studies => format!("task `{key}` of study {}", studies.join(", ")),
    }
}
