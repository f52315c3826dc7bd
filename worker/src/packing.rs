//! The thread that trains packs: takes what waits with equal settings, as many seeds
//! as the device takes well, and tries with half of them where its memory was short.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use reprise_domain::PretrainSpec;
use reprise_torch::autoencoder::TorchDevice;

use crate::queue::{Waiting, settings};
use crate::runner::Runner;
use crate::runner::pack::pack_size;
use crate::slots::{Ended, lacked_memory, outcome, panicked};

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

/// Takes packs and trains them until there will be none.
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
    while let Some(members) = waiting.next_pack(|spec| sizes.of(spec)) {
        let Some(spec) = members.first().and_then(settings) else {
            continue;
        };
        let started = Instant::now();
        // Libtorch reports its errors by unwinding; one bad pack must not take the
        // others down with it.
        let trained = catch_unwind(AssertUnwindSafe(|| {
            runner.pretrain_pack(packs.device, &members)
        }));
        match trained {
            Ok(results) => {
                for ((assignment, _), result) in members.into_iter().zip(results) {
                    ended(Ended {
                        attempt: assignment.attempt,
                        outcome: outcome(result, started.elapsed()),
                    });
                }
            }
            Err(panic) => {
                let failure = panicked(panic.as_ref());
                if lacked_memory(&failure) && members.len() > 1 {
                    let half = members.len() / 2;
                    tracing::warn!(
                        seeds = members.len(),
                        half,
                        "memory was short; trying fewer seeds at once"
                    );
                    sizes.learn(spec, half);
                    waiting.put_back(members);
                    continue;
                }
                for (assignment, _) in members {
                    ended(Ended {
                        attempt: assignment.attempt,
                        outcome: failure.clone(),
                    });
                }
            }
        }
    }
}

/// Sizes of packs by settings.
struct Sizes {
    packs: Packs,
    known: Vec<(PretrainSpec, usize)>,
}

impl Sizes {
    fn of(&mut self, spec: &PretrainSpec) -> usize {
        if let Some((_, size)) = self.known.iter().find(|(known, _)| known == spec) {
            return *size;
        }
        let Packs {
            device,
            most,
            probe,
        } = self.packs;
        let size = if probe {
            let probed = catch_unwind(AssertUnwindSafe(|| pack_size(device, spec, most)));
            // What does not run in a probe fails as a task, with its reason.
            probed.ok().flatten().unwrap_or(1)
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
