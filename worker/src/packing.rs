//! The thread that trains packs: takes what waits with equal settings, as many seeds
//! as the device takes well, and tries with half of them where its memory was short.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use reprise_child::TorchDevice;
use reprise_domain::{FailureClass, PretrainSpec};

use crate::logs::capture;
use crate::outcome::{Start, outcome, panicked};
use crate::queue::{Attempt, Waiting, settings};
use crate::runner::{Done, RunError, Runner};
use crate::slots::Ended;

/// How pretraining is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packs {
    /// Where packs are trained.
    pub device: TorchDevice,
    /// Most seeds of a pack.
    pub most: usize,
    /// Whether fewer than that may be better, which is then found out.
    pub probe: bool,
}

/// Takes packs and trains them until the worker ends.
pub(crate) fn train_packs(
    packs: Packs,
    waiting: &Waiting,
    runner: &Arc<Runner>,
    ended: &impl Fn(Ended),
) {
    let mut sizes = Sizes {
        packs,
        known: Vec::new(),
    };
    while let Some(members) = waiting.next_pack(|spec| sizes.of(spec, runner)) {
        let Some(spec) = members.first().and_then(settings) else {
            continue;
        };
        let start = Start::now();
        for (assignment, _) in &members {
            runner.begin(assignment);
        }
        let logs = members.iter().map(|(assignment, _)| assignment.log.clone());
        let capturing = capture(logs.collect());
        // One bad pack must not take the others down with it.
        let trained = catch_unwind(AssertUnwindSafe(|| {
            runner.pretrain_pack(packs.device, &members)
        }));
        drop(capturing);
        let end = |(assignment, _): Attempt, outcome| {
            runner.end(&assignment, &outcome);
            ended(Ended {
                attempt: assignment.attempt,
                outcome,
            });
        };
        match trained {
            Ok(results) => {
                let lacked = results
                    .iter()
                    .filter(|result| lacked_memory(result))
                    .count();
                let mut again = Vec::new();
                for (member, result) in members.into_iter().zip(results) {
                    if lacked > 1 && lacked_memory(&result) {
                        again.push(member);
                        continue;
                    }
                    let outcome = outcome(result, &start, &member.0.log);
                    end(member, outcome);
                }
                if lacked > 1 {
                    let half = lacked / 2;
                    tracing::warn!(
                        seeds = lacked,
                        half,
                        "memory was short; trying fewer seeds at once"
                    );
                    sizes.learn(spec, half);
                    waiting.put_back(again);
                }
            }
            Err(panic) => {
                for member in members {
                    let outcome = panicked(panic.as_ref(), &member.0.log);
                    end(member, outcome);
                }
            }
        }
    }
}

fn lacked_memory(result: &Result<Done, RunError>) -> bool {
    matches!(result, Err(error) if error.class() == FailureClass::OutOfMemory)
}

/// Sizes of packs by settings.
struct Sizes {
    packs: Packs,
    known: Vec<(PretrainSpec, usize)>,
}

impl Sizes {
    fn of(&mut self, spec: &PretrainSpec, runner: &Runner) -> usize {
        if let Some((_, size)) = self.known.iter().find(|(known, _)| known == spec) {
            return *size;
        }
        let Packs {
            device,
            most,
            probe,
        } = self.packs;
        let size = if probe {
            match runner.pack_size(device, spec, most) {
                Some(size) => size,
                // What does not run in a probe fails as a task, with its reason. The next
                // probe may do better.
                None => return 1,
            }
        } else {
            most
        };
        self.known.push((*spec, size));
        size
    }

    fn learn(&mut self, spec: PretrainSpec, size: usize) {
        self.known.retain(|(known, _)| *known != spec);
        self.known.push((spec, size));
    }
}
