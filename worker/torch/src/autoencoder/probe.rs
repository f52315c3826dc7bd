//! Finds how many members a pack should have on a device, by training packs of
//! growing size for a few steps.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise_child::TorchDevice;
use reprise_domain::{PretrainSpec, Seed};
use reprise_model::PretrainError;
use reprise_model::graphs::GraphSet;
use reprise_search::space::SearchSpace;

use super::device::open;
use super::pack::Pack;
use super::packed::DeviceGraphs;

/// Steps before the clock runs: the first ones load kernels and fill the allocator.
const WARM_UP: u64 = 8;

/// Steps of one timing, and how many timings there are of a size.
const TIMED: u64 = 32;
const TIMINGS: usize = 3;

/// A pack twice as large gives its results later. It is worth that only if it makes at
/// least this many times as many members' steps a second.
const WORTHWHILE: f64 = 1.15;

/// The measured speed of one size of a pack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probed {
    /// Members.
    pub members: usize,
    /// Time of one step of all members.
    pub step: Duration,
}

impl Probed {
    fn throughput(self) -> f64 {
        self.members as f64 / self.step.as_secs_f64()
    }
}

/// Times packs of 1, 2, 4 … up to `most` members of `spec` with different seeds, as
/// far as they fit into the device's memory. Steps are those of the first epoch, in
/// training mode.
pub fn probe(
    spec: PretrainSpec,
    space: &Arc<dyn SearchSpace>,
    graphs: &Arc<GraphSet>,
    device: TorchDevice,
    most: usize,
) -> Result<Vec<Probed>, PretrainError> {
    let data = DeviceGraphs::new(graphs, open(device)?);
    let mut probed = Vec::new();
    for members in (0..usize::BITS).map(|power| 1 << power) {
        if members > most {
            break;
        }
        let specs: Vec<_> = (1..=members as u64)
            .map(|seed| {
                let seed = Seed(seed);
                (PretrainSpec { seed, ..spec }, None)
            })
            .collect();
        let pack = || Pack::on(&specs, space, graphs, data.shallow_clone(), device);
        // Libtorch reports a lack of memory by unwinding. The rest of the pack is not
        // used again.
        match catch_unwind(AssertUnwindSafe(|| pack().map(timed))) {
            Ok(step) => probed.push(Probed {
                members,
                step: step?,
            }),
            Err(_) if members > 1 => break,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    Ok(probed)
}

/// The best of the sizes that were tried: the largest for which doubling was worth it.
///
/// # Panics
/// If there are none.
pub fn best(probed: &[Probed]) -> usize {
    let worth_it = |pair: &&[Probed]| pair[1].throughput() >= WORTHWHILE * pair[0].throughput();
    let doublings = probed.windows(2).take_while(worth_it).count();
    probed[doublings].members
}

fn timed(mut pack: Pack) -> Duration {
    pack.advance(WARM_UP);
    let mut times: Vec<_> = (0..TIMINGS)
        .map(|_| {
            let start = Instant::now();
            pack.advance(TIMED);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[TIMINGS / 2] / TIMED as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_grow_while_it_is_worth_it() {
        let check = |micros: &[u64], expected| {
            let sizes = (0..micros.len()).map(|power| 1 << power);
            let probed: Vec<_> = sizes
                .zip(micros)
                .map(|(members, &micros)| Probed {
                    members,
                    step: Duration::from_micros(micros),
                })
                .collect();
            assert_eq!(best(&probed), expected, "{micros:?}");
        };
        check(&[100], 1);
        check(&[100, 101, 104, 110, 120, 150], 32);
        // From 8 on the device is full.
        check(&[100, 101, 110, 130, 255, 510], 8);
        // One core gains nothing.
        check(&[100, 200, 400], 1);
        // A larger size that was slower once does not hide behind a still larger one.
        check(&[100, 100, 200, 100], 2);
    }
}
