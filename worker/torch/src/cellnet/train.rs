//! The recipe: trains one cell's network on the digits and measures it.

use std::time::Instant;

use reprise_domain::{Accuracy, EvaluateResult, EvaluateSpec, Seconds};
use reprise_search::rng::Stream;
use tch::{Kind, Tensor};

use super::CellNetError;
use super::digits::{PIXELS, Split, digits};
use super::network::{CHANNELS, Network};
use super::op::{CellOp, kernel, live};

/// Images a step. At this size a step costs little more than its operations'
/// fixed overhead, so the number of steps decides the training time.
const BATCH: usize = 40;

/// Passes over the training images: few, so that accuracies stay apart instead of
/// meeting near 99 %.
const EPOCHS: usize = 5;

/// Peak of the one-cycle learning rate, and the share of steps that it rises for.
/// Of the rates 0.05 to 0.4 and five pairs of batch and passes with about 55
/// steps, these rank 140 cells most like their published CIFAR-10 accuracies
/// (Kendall tau 0.41).
const PEAK_RATE: f64 = 0.2;
const WARM_UP: f64 = 0.3;

const MOMENTUM: f64 = 0.9;
const WEIGHT_DECAY: f64 = 5e-4;

/// A finished training.
#[derive(Debug, Clone, Copy)]
pub struct Trained {
    /// What it measured.
    pub result: EvaluateResult,
    /// Wall-clock time of the training loop.
    pub training: Seconds,
}

/// Trains a cell, its operations in the order of its architecture string, by the
/// recipe of `spec`. Deterministic on one kind of processor, given one intra-op
/// thread. `should_stop` is asked before every step.
pub fn train(
    cell: [CellOp; 6],
    spec: &EvaluateSpec,
    should_stop: &mut dyn FnMut() -> bool,
) -> Result<Trained, CellNetError> {
    let key = serde_json::to_vec(spec).expect("specs serialise");
    let digits = digits();
    let started = Instant::now();
    let mut network = Network::new(cell, &key);
    let images = digits.train.labels.len();
    let steps = images / BATCH * EPOCHS;
    let mut step = 0;
    for epoch in 0..EPOCHS {
        let order = Stream::new(&key, "order", epoch as u64).permutation(images);
        for rows in order.chunks_exact(BATCH) {
            if should_stop() {
                return Err(CellNetError::Stopped);
            }
            let (x, y) = batch(&digits.train, rows);
            network
                .forward(&x, true)
                .cross_entropy_for_logits(&y)
                .backward();
            network.step(rate(step, steps), MOMENTUM, WEIGHT_DECAY);
            step += 1;
        }
    }
    let training = Seconds::new(started.elapsed().as_secs_f64()).unwrap_or_default();
    let result = EvaluateResult {
        validation: accuracy(&network, &digits.validation),
        test: accuracy(&network, &digits.test),
        parameters: network.parameters(),
        flops: flops(cell),
    };
    Ok(Trained { result, training })
}

/// Multiply-accumulates of the convolutions and the classifier for one image;
/// additions, pooling and normalisation are not counted.
pub fn flops(cell: [CellOp; 6]) -> u64 {
    let (narrow, wide) = (CHANNELS as u64, 2 * CHANNELS as u64);
    let kernels: u64 = live(cell)
        .iter()
        .filter_map(|op| kernel(*op))
        .map(|side| (side * side) as u64)
        .sum();
    let stem = 64 * 9 * narrow;
    let reduction = 16 * (9 * narrow * wide + 9 * wide * wide + narrow * wide);
    let cells = kernels * (64 * narrow * narrow + 16 * wide * wide);
    stem + reduction + cells + 10 * wide
}

/// One cycle: up in a line, then down to nothing in a line.
fn rate(step: usize, steps: usize) -> f64 {
    let progress = (step as f64 + 0.5) / steps as f64;
    let factor = if progress < WARM_UP {
        progress / WARM_UP
    } else {
        (1.0 - progress) / (1.0 - WARM_UP)
    };
    PEAK_RATE * factor
}

fn batch(split: &Split, rows: &[u32]) -> (Tensor, Tensor) {
    let mut pixels = Vec::with_capacity(rows.len() * PIXELS);
    for &row in rows {
        pixels.extend_from_slice(&split.pixels[row as usize * PIXELS..][..PIXELS]);
    }
    let labels: Vec<i64> = rows.iter().map(|&row| split.labels[row as usize]).collect();
    (
        Tensor::from_slice(&pixels).view([rows.len() as i64, 1, 8, 8]),
        Tensor::from_slice(&labels),
    )
}

fn accuracy(network: &Network, split: &Split) -> Accuracy {
    let rows: Vec<u32> = (0..split.labels.len() as u32).collect();
    let (x, y) = batch(split, &rows);
    let right = tch::no_grad(|| {
        network
            .forward(&x, false)
            .argmax(1, false)
            .eq_tensor(&y)
            .sum(Kind::Int64)
    });
    let share = right.int64_value(&[]) as f64 / rows.len() as f64;
    Accuracy::new(share).expect("a share of images lies in [0, 1]")
}

#[cfg(test)]
mod tests {
    use reprise_domain::{ArchIndex, Dataset, Recipe, Seed, SpaceName};

    use super::*;
    use crate::cellnet::op::tests::parse;

    fn run(arch: &str, seed: u64) -> EvaluateResult {
        crate::use_one_thread();
        let spec = EvaluateSpec {
            space: SpaceName::Nasbench201,
            arch: ArchIndex(0),
            dataset: Dataset::Digits,
            recipe: Recipe::DigitsSmall,
            seed: Seed(seed),
        };
        train(parse(arch), &spec, &mut || false).unwrap().result
    }

    const GOOD: &str = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|";
    const NOTHING: &str = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|";

    #[test]
    fn a_good_cell_learns_the_same_twice_and_an_empty_one_nothing() {
        let good = run(GOOD, 1);
        assert!(good.test.fraction() > 0.8, "{good:?}");
        assert_eq!(run(GOOD, 1), good);
        assert_ne!(run(GOOD, 2), good);
        assert!(run(NOTHING, 1).test.fraction() < 0.25);
    }

    #[test]
    fn parts_that_reach_no_output_change_nothing() {
        let lean = "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|";
        let with_dead_end =
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|";
        assert_eq!(run(lean, 1), run(with_dead_end, 1));
    }

    #[test]
    fn counts_agree_with_a_count_by_hand() {
        // Stem 72+16; reduction 1152+32+2304+32+128; last norm 32; classifier 170.
        assert_eq!(run(NOTHING, 1).parameters, 88 + 3_648 + 32 + 170);
        assert_eq!(flops(parse(NOTHING)), 4_608 + 16 * 3_584 + 160);
        // A 3x3 convolution with its norm at 8 and at 16 channels.
        let one = "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|";
        assert_eq!(run(one, 1).parameters, 3_938 + (576 + 16) + (2_304 + 32));
    }

    #[test]
    fn a_stop_is_obeyed() {
        let spec = EvaluateSpec {
            space: SpaceName::Nasbench201,
            arch: ArchIndex(0),
            dataset: Dataset::Digits,
            recipe: Recipe::DigitsSmall,
            seed: Seed(1),
        };
        assert!(matches!(
            train(parse(GOOD), &spec, &mut || true),
            Err(CellNetError::Stopped)
        ));
    }
}
