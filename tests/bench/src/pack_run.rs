//! Packs of seeds on one device: time of a step by size of the pack, and a whole
//! pretraining of a pack, against the baseline on the same device. It is a part of its
//! own, since it wants a machine with a graphics card: its numbers go into a file that
//! the suite's report reads.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use reprise_child::TorchDevice;
use reprise_domain::{PretrainSpec, Seed};
use reprise_model::GraphSet;
use reprise_search::space::SearchSpace;
use reprise_torch::autoencoder::{Pack, best, probe};
use serde_json::json;

use crate::machine::timed;
use crate::pack::{PackPoint, PackScaling, WholePack};
use crate::samples::Samples;
use crate::setting::{baseline, published, space_and_graphs};

/// Steps of the baseline's repeats.
const BASELINE_STEPS: u64 = 300;

/// What to measure.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) device: TorchDevice,
    pub(crate) python: &'a Path,
    /// Repeats in turns with the baseline.
    pub(crate) repeats: usize,
    /// Seeds of the largest pack whose steps are timed.
    pub(crate) most: usize,
    /// Seeds of packs that are pretrained from beginning to end.
    pub(crate) whole: &'a [usize],
    /// Epochs of those.
    pub(crate) epochs: u32,
}

/// Measures packs on a device.
pub(crate) fn measure(plan: &Plan<'_>) -> anyhow::Result<PackScaling> {
    let &Plan { device, most, .. } = plan;
    let (space, graphs) = space_and_graphs()?;
    let temporary = tempfile::tempdir()?;
    let mut baseline = baseline(space.as_ref(), plan.python, temporary.path())?;
    let on = match device {
        TorchDevice::Cpu => "cpu",
        TorchDevice::Cuda(_) => "cuda",
    };
    let mut theirs = [Samples::default(), Samples::default()];
    let mut ours: Vec<(usize, Samples)> = Vec::new();
    for _ in 0..plan.repeats {
        for (mode, seconds) in ["train", "eval"].into_iter().zip(&mut theirs) {
            let request = json!({
                "measure": "pretrain", "mode": mode, "device": on, "steps": BASELINE_STEPS,
            });
            seconds.push(baseline.number(&request, "seconds")? / BASELINE_STEPS as f64);
        }
        let probed = probe(published(32), &space, &graphs, device, most)?;
        for (row, probed) in probed.iter().enumerate() {
            if ours.len() == row {
                ours.push((probed.members, Samples::default()));
            }
            ours[row].1.push(probed.step.as_secs_f64());
        }
        crate::say(&format!("best size {}: {probed:?}", best(&probed)));
    }
    let points = ours.iter().map(|&(seeds, ref step)| PackPoint {
        seeds: seeds as u32,
        seconds_per_step: step.median(),
    });
    let whole: Vec<_> = plan
        .whole
        .iter()
        .map(|&seeds| pretrain(&space, &graphs, device, seeds, plan.epochs))
        .collect::<anyhow::Result<_>>()?;
    Ok(PackScaling {
        device: name(device),
        points: points.collect(),
        baseline_seconds_per_step: theirs[0].median(),
        baseline_seconds_per_later_step: theirs[1].median(),
        whole,
    })
}

/// Pretrains a pack as published, embeddings included.
fn pretrain(
    space: &Arc<dyn SearchSpace>,
    graphs: &Arc<GraphSet>,
    device: TorchDevice,
    seeds: usize,
    epochs: u32,
) -> anyhow::Result<WholePack> {
    let members: Vec<_> = (1..=seeds as u64)
        .map(|seed| {
            let seed = Seed(seed);
            let spec = PretrainSpec {
                seed,
                epochs,
                ..published(32)
            };
            (spec, None)
        })
        .collect();
    let mut pack = Pack::new(&members, space, graphs, device)?;
    let mut times = Vec::new();
    while !pack.is_over() {
        let steps = pack.progress().steps_per_epoch;
        let (seconds, progress) = timed(|| pack.advance(steps));
        crate::say(&format!("{seconds:.1} s: {progress:?}"));
        times.push(seconds);
    }
    let (embedding, embedded) = timed(|| -> anyhow::Result<()> {
        for result in pack.results() {
            pack.embed(&result?.params)?;
        }
        Ok(())
    });
    embedded?;
    Ok(WholePack {
        seeds: seeds as u32,
        cores: thread::available_parallelism()?.get() as u32,
        steps: pack.progress().steps_per_epoch as u32,
        epochs: times,
        embedding_seconds: embedding,
    })
}

fn name(device: TorchDevice) -> String {
    match device {
        TorchDevice::Cpu => crate::machine::processor(),
        TorchDevice::Cuda(index) => {
            reprise_torch::cuda_name(index).unwrap_or_else(|| format!("CUDA device {index}"))
        }
    }
}
