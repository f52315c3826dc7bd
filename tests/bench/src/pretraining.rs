//! Training the autoencoder: graphs a second, and the share of the machine's
//! matrix product that is.

use std::sync::Barrier;
use std::thread;

use anyhow::Context as _;
use reprise_model::Pretrainer;
use serde_json::json;

use crate::baseline::Baseline;
use crate::machine::{cores, pin, timed};
use crate::report::{Better, Row, Section};
use crate::samples::Samples;
use crate::setting::Setting;

/// Graphs of a published batch.
const BATCH: u32 = 32;

/// Steps of one repeat, ours and the baseline's: about a second each.
const STEPS: u64 = 400;
const BASELINE_STEPS: u64 = 150;

/// Floating-point operations of one training step on one graph: seven nodes, seven
/// products with 128 by 128 weights, forward and twice that backward. What the
/// small layers at both ends take, some 4 %, is left out.
const OPERATIONS: f64 = 7.0 * 7.0 * 128.0 * 128.0 * 2.0 * 3.0;

/// Measures the published settings.
pub(crate) fn measure(
    setting: &Setting,
    baseline: &mut Baseline,
    repeats: usize,
) -> anyhow::Result<Section> {
    let mut first = setting.fresh(BATCH)?;
    let mut later = setting.later()?;
    let mut large = setting.fresh(1024)?;
    let mut ours = [const { Vec::new() }; 3];
    let mut theirs = [const { Vec::new() }; 3];
    let mut peak = Samples::default();
    for _ in 0..repeats {
        theirs[0].push(baseline.rate(&request("train", BATCH, BASELINE_STEPS))?);
        ours[0].push(rate(&mut first, BATCH, STEPS)?);
        theirs[1].push(baseline.rate(&request("eval", BATCH, BASELINE_STEPS))?);
        ours[1].push(rate(&mut later, BATCH, STEPS)?);
        peak.push(baseline.number(
            &json!({"measure": "gemm", "size": 1024, "repeats": 10}),
            "gflops",
        )?);
        theirs[2].push(baseline.rate(&request("train", 1024, 8))?);
        ours[2].push(rate(&mut large, 1024, 12)?);
    }
    let [train, eval, large] = ours.map(Samples::from_iter);
    let [their_train, their_eval, their_large] = theirs.map(Samples::from_iter);
    let all = train.with(&eval, whole);
    let their_all = their_train.with(&their_eval, whole);
    let share = all.with(&peak, |rate, peak| 100.0 * rate * OPERATIONS / (peak * 1e9));
    let (one, two) = slots(setting, repeats)?;
    let higher = |what: &str, ours, theirs| {
        Row::alone(what, "graphs/s", Better::Higher, ours).against(theirs)
    };
    Ok(Section {
        title: "Pretraining".to_owned(),
        about: "The published model on NAS-Bench-101, one thread of one core. The first of \
                the eight published epochs is in training mode, the others in evaluation mode \
                (protocol notes, Q1)."
            .to_owned(),
        rows: vec![
            higher("batch 32, eight epochs", all, their_all),
            higher("batch 32, first epoch", train, their_train),
            higher("batch 32, later epochs", eval, their_eval),
            higher("batch 1024, first epoch", large, their_large),
            Row::alone(
                "matrix product, 1024 cubed",
                "GFLOP/s",
                Better::Higher,
                peak,
            )
            .noting("PyTorch's, one thread"),
            Row::alone("share of that, eight epochs", "%", Better::Higher, share)
                .noting("4.8 MFLOP a graph and step"),
            Row::alone("two slots on two cores", "graphs/s", Better::Higher, two)
                .against(one)
                .noting("baseline: one slot of the same"),
        ],
    })
}

fn request(mode: &str, batch: u32, steps: u64) -> serde_json::Value {
    json!({"measure": "pretrain", "mode": mode, "batch": batch, "steps": steps})
}

/// Graphs a second over one training epoch and seven in evaluation mode.
fn whole(train: f64, eval: f64) -> f64 {
    8.0 / (1.0 / train + 7.0 / eval)
}

fn rate(pretrainer: &mut Pretrainer, batch: u32, steps: u64) -> anyhow::Result<f64> {
    let (seconds, done) = timed(|| pretrainer.advance(steps));
    done?;
    Ok((u64::from(batch) * steps) as f64 / seconds)
}

/// Later epochs on one slot, and on two at once, in turns: graphs a second in all.
fn slots(setting: &Setting, repeats: usize) -> anyhow::Result<(Samples, Samples)> {
    let (mut one, mut two) = (Samples::default(), Samples::default());
    if cores() < 2 {
        return Ok((one, two));
    }
    let mut pretrainers = [setting.later()?, setting.later()?];
    for _ in 0..repeats {
        one.push(rate(&mut pretrainers[0], BATCH, STEPS)?);
        let start = Barrier::new(2);
        let rates = thread::scope(|scope| {
            let slots = pretrainers
                .iter_mut()
                .enumerate()
                .map(|(core, pretrainer)| {
                    let start = &start;
                    scope.spawn(move || {
                        pin([core])?;
                        start.wait();
                        rate(pretrainer, BATCH, 2 * STEPS)
                    })
                });
            let slots: Vec<_> = slots.collect();
            slots
                .into_iter()
                .map(|slot| slot.join().ok().context("a slot panicked")?)
                .sum::<anyhow::Result<f64>>()
        });
        two.push(rates?);
    }
    Ok((one, two))
}
