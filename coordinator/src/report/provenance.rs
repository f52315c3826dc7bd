//! What the results of a study were made with, and how many of them.

use std::collections::{BTreeMap, HashMap};

use reprise_domain::record::TaskRecord;
use reprise_domain::{Capability, Digest};
use serde::Serialize;

/// Descriptions of programs and devices, with the results that name each.
#[derive(Debug, Default)]
pub(super) struct Provenance {
    known: HashMap<Digest, Capability>,
    results: HashMap<Option<Digest>, u64>,
}

/// What some of the results have in common; nothing where it is not known.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct MadeWith {
    host: Option<String>,
    device: Option<String>,
    driver: Option<String>,
    os: Option<String>,
    version: Option<String>,
    commit: Option<String>,
    libtorch: Option<String>,
}

/// The same with the number of results.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Count {
    #[serde(flatten)]
    made_with: MadeWith,
    results: u64,
}

impl Provenance {
    /// Takes a record.
    pub(super) fn add(&mut self, record: &TaskRecord) {
        let Some(outcome) = &record.outcome else {
            return;
        };
        if let (Some(digest), Some(made_with)) = (outcome.provenance, &record.made_with) {
            self.known.insert(digest, made_with.clone());
        }
        *self.results.entry(outcome.provenance).or_default() += 1;
    }

    /// How many results come from each program, device and host, in an order that
    /// depends on nothing else. Results of which nothing is known are counted together.
    pub(super) fn counts(&self) -> Vec<Count> {
        let mut counts: BTreeMap<MadeWith, u64> = BTreeMap::new();
        for (digest, results) in &self.results {
            let known = digest.and_then(|digest| self.known.get(&digest));
            let made_with = known.map(MadeWith::from).unwrap_or_default();
            *counts.entry(made_with).or_default() += results;
        }
        let counts = counts.into_iter();
        counts
            .map(|(made_with, results)| Count { made_with, results })
            .collect()
    }
}

impl From<&Capability> for MadeWith {
    fn from(offer: &Capability) -> Self {
        let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Self {
            host: known(&offer.host),
            device: known(&offer.device.to_string()),
            driver: known(&offer.driver),
            os: known(&offer.os),
            version: known(&offer.version),
            commit: known(&offer.commit),
            libtorch: known(&offer.libtorch),
        }
    }
}

#[cfg(test)]
mod tests {
    use reprise_domain::record::{Outcome, Task, TaskState};
    use reprise_domain::task::NoopSpec;
    use reprise_domain::{Seed, Stage, TaskKey, TaskResult, TaskSpec, Usage};
    use serde_json::json;

    use super::*;

    fn record(named: Option<u8>, made_with: Option<Capability>) -> TaskRecord {
        TaskRecord {
            task: Task {
                key: TaskKey(Digest::from_bytes([0; 32])),
                title: String::new(),
                stage: Stage::Noop,
                stage_index: 0,
                seed: 1,
                pretrain_seed: None,
                state: TaskState::Finished,
                attempts: 1,
            },
            spec: TaskSpec::Noop(NoopSpec {
                seed: Seed(1),
                hold_ms: 0,
                failures: 0,
            }),
            outcome: Some(Outcome {
                result: TaskResult::Noop,
                usage: Usage::default(),
                host: "den".to_owned(),
                worker: None,
                provenance: named.map(|byte| Digest::from_bytes([byte; 32])),
            }),
            made_with,
        }
    }

    fn offer(host: &str, slots: u32) -> Capability {
        Capability {
            slots,
            host: host.to_owned(),
            version: "0.1.0".to_owned(),
            libtorch: "none".to_owned(),
            ..Capability::default()
        }
    }

    #[test]
    fn results_are_counted_by_what_they_were_made_with() {
        let mut provenance = Provenance::default();
        for record in [
            record(Some(1), Some(offer("nest", 2))),
            record(Some(2), Some(offer("den", 1))),
            record(Some(1), None),
            // The same program and device with more slots.
            record(Some(3), Some(offer("den", 4))),
            record(None, None),
        ] {
            provenance.add(&record);
        }
        let mut unfinished = record(Some(1), None);
        unfinished.outcome = None;
        provenance.add(&unfinished);
        let known = |host: &str, results: u64| {
            json!({
                "host": host, "device": null, "driver": null, "os": null,
                "version": "0.1.0", "commit": null, "libtorch": "none", "results": results,
            })
        };
        let unknown = json!({
            "host": null, "device": null, "driver": null, "os": null,
            "version": null, "commit": null, "libtorch": null, "results": 1,
        });
        assert_eq!(
            serde_json::to_value(provenance.counts()).unwrap(),
            json!([unknown, known("den", 2), known("nest", 2)])
        );
    }
}
