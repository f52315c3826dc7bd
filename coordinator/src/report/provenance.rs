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

/// What some of the results have in common. What is not known is left out.
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
