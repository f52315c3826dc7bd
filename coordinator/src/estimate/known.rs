//! Finished tasks: which they are, and how long those of a kind took.

use std::collections::{HashMap, HashSet};

use reprise_core::lifecycle::{Core, TaskPhase};
use reprise_domain::{ArchIndex, Digest, EncodingName, Seed, TaskKey, TaskSpec};

/// The finished tasks of a state directory or a coordinator.
#[derive(Debug, Default)]
pub struct Known {
    finished: HashSet<TaskKey>,
    kinds: HashMap<String, Measured>,
    /// Whether some may have been finished on graphics cards, where the seeds of a pack
    /// are measured together.
    cards: bool,
}

/// How long the tasks of a kind took.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    /// How many there are.
    pub tasks: u64,
    /// Seconds that they held their slots, together.
    pub seconds: f64,
}

impl Known {
    /// The finished tasks of a state.
    pub fn of_state(core: &Core) -> Self {
        let mut known = Self::default();
        for worker in core.worker_page(None, usize::MAX) {
            known.add_device(&worker.capability.device.to_string());
        }
        for name in core.studies() {
            for task in core.study_tasks(name).into_iter().flatten() {
                if let TaskPhase::Finished { seconds, .. } = task.phase {
                    known.add(task.key, &task.spec, seconds.get());
                }
            }
        }
        // Those that no study has any more are taken up by one that plans them.
        known.finished.extend(core.finished().map(|(key, _)| key));
        known
    }

    /// Adds a device on which some may have been finished, as a `Device` is shown.
    pub fn add_device(&mut self, device: &str) {
        self.cards |= device.contains("(cuda:");
    }

    /// Adds a finished task that held its slot for so long; nothing if it is there.
    pub fn add(&mut self, key: TaskKey, spec: &TaskSpec, seconds: f64) {
        if self.finished.insert(key) {
            let kind = self.kinds.entry(kind(spec)).or_default();
            kind.tasks += 1;
            kind.seconds += seconds;
        }
    }

    /// Adds finished tasks of one kind, of which `spec` is one, that held their slots for
    /// so long together.
    pub fn add_kind(&mut self, keys: Vec<TaskKey>, spec: &TaskSpec, seconds: f64) {
        let kind = self.kinds.entry(kind(spec)).or_default();
        kind.tasks += keys.len() as u64;
        kind.seconds += seconds;
        self.finished.extend(keys);
    }

    /// Whether a task is finished.
    pub fn is_finished(&self, key: TaskKey) -> bool {
        self.finished.contains(&key)
    }

    /// How long tasks took that differ from `spec` in their seeds, inputs and
    /// architectures only. Pretrainings say nothing where there are graphics cards.
    pub fn measured(&self, spec: &TaskSpec) -> Option<Measured> {
        if self.cards && matches!(spec, TaskSpec::Pretrain(_)) {
            return None;
        }
        let measured = self.kinds.get(&kind(spec)).copied();
        measured.filter(|measured| measured.tasks > 0)
    }
}

/// What tasks have in common that take equally long.
fn kind(spec: &TaskSpec) -> String {
    let mut spec = spec.clone();
    match &mut spec {
        TaskSpec::Pretrain(spec) => spec.seed = Seed(0),
        TaskSpec::Search(spec) => {
            spec.seed = Seed(0);
            if let EncodingName::Embedding { pretrain } = &mut spec.encoding {
                *pretrain = TaskKey(Digest::from_bytes([0; 32]));
            }
        }
        TaskSpec::Evaluate(spec) => {
            spec.seed = Seed(0);
            spec.arch = ArchIndex(0);
        }
        TaskSpec::Noop(spec) => spec.seed = Seed(0),
        TaskSpec::Program(spec) => spec.seed = Seed(0),
    }
    serde_json::to_string(&spec).expect("domain types serialise without errors")
}

#[cfg(test)]
mod tests {
    use reprise_domain::Device;

    use super::*;

    #[test]
    fn a_card_is_known_by_how_it_is_shown() {
        let cards = |device: Device| {
            let mut known = Known::default();
            known.add_device(&device.to_string());
            known.cards
        };
        let model = "H100".to_owned();
        assert!(cards(Device::Cuda { index: 0, model }));
        assert!(!cards(Device::default()));
    }
}
