//! The screen against all predictions, and its bounds one by one.

use proptest::prelude::*;

use super::*;
use crate::rng::Stream;
use crate::surrogate::evidence::{Likelihood, Precision};

/// A table of rows about a few centres, some of them twice but for rounding.
fn table(rows: usize, dims: usize, seed: u64) -> Embedding {
    let mut rng = Stream::new(b"screen", "table", seed);
    let centres: Vec<f32> = (0..8 * dims).map(|_| rng.normal() as f32).collect();
    let mut values: Vec<f32> = Vec::with_capacity(rows * dims);
    for row in 0..rows {
        if row > 0 && rng.index(3) == 0 {
            let twin = rng.index(row) * dims;
            for dim in 0..dims {
                let value = values[twin + dim];
                values.push(value + (rng.index(3) as f32 - 1.0) * 1e-7);
            }
        } else {
            let centre = &centres[rng.index(8) * dims..][..dims];
            values.extend(
                centre
                    .iter()
                    .map(|centre| centre + 0.2 * rng.normal() as f32),
            );
        }
    }
    Embedding::new(values, dims).unwrap()
}

fn surrogate(table: &Embedding, observed: usize, likelihood: Likelihood, seed: u64) -> Surrogate {
    let mut rng = Stream::new(b"screen", "targets", seed);
    let (mut rows, mut targets) = (Vec::new(), Vec::new());
    for _ in 0..observed {
        let row = rng.index(table.len()) * table.dims();
        let features = &table.rows()[row..row + table.dims()];
        rows.extend_from_slice(features);
        targets.push(0.92 + 0.01 * features[0].tanh() + 0.01 * rng.normal() as f32);
    }
    let mut initial = Stream::new(b"screen", "network", seed);
    let mut shuffles = Stream::new(b"screen", "shuffles", seed);
    Surrogate::train(&rows, &targets, 20, likelihood, &mut initial, &mut shuffles).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_screen_chooses_what_all_predictions_choose(
        seed: u64,
        observed in 5_usize..300,
        count in 1_usize..8,
        target in 0.9_f64..1.1,
        likelihood in prop::sample::select(vec![
            Likelihood::Exact,
            Likelihood::Defective(Precision::Single),
            Likelihood::Defective(Precision::Double),
        ]),
        uses_variance: bool,
        is_ranked: bool,
        leaves_out: bool,
    ) {
        let table = table(1_500, 6, seed);
        let surrogate = surrogate(&table, observed, likelihood, seed);
        let improvement = ExpectedImprovement { target, uses_variance };
        let mut rng = Stream::new(b"screen", "order", seed);
        let ranks = rng.permutation(table.len());
        let taken: Vec<bool> = (0..table.len()).map(|_| rng.index(5) == 0).collect();
        let likely: Vec<u32> = (0..10).map(|_| rng.index(table.len()) as u32).collect();
        let ranks = is_ranked.then_some(ranks.as_slice());
        let taken = leaves_out.then_some(taken.as_slice());

        let mut all = Choice::new(count, ranks, taken);
        surrogate.choose_from_all(&table, improvement, &mut all);
        let mut screened = Choice::new(count, ranks, taken);
        surrogate.choose(&table, improvement, &likely, &mut screened);
        prop_assert_eq!(all.rows().collect::<Vec<_>>(), screened.rows().collect::<Vec<_>>());
    }
}

/// Each bound holds for every row of its cluster, and most rows need nothing else.
#[test]
fn bounds_hold_and_leave_few() {
    let table = table(4_000, 16, 7);
    let likelihood = Likelihood::Defective(Precision::Single);
    let surrogate = surrogate(&table, 200, likelihood, 7);
    let screen = Screen::of(&surrogate).unwrap();
    let clusters = table.clusters();
    let mut loose = 0.0;
    let mut columns = Columns::new(16);
    let lanes = clusters.lanes().chunks(ROWS / LANES * 16);
    for (first, lanes) in (0..).step_by(ROWS).zip(lanes) {
        pulp::Arch::new().dispatch(First {
            network: &screen.network,
            lanes,
            columns: &mut columns,
        });
        for (number, stage) in screen.stages.iter().enumerate() {
            stage.add(&mut columns);
            let (means, spreads) = screen.limits.of_leaders(&columns);
            for cluster in first..clusters.leaders().len().min(first + ROWS) {
                let (mean, spread) = (means[cluster - first], spreads[cluster - first]);
                let radius = clusters.radius(cluster);
                let (mean, variance) = screen.limits.of_cluster(mean, spread, radius);
                for prediction in surrogate.predict(clusters.members(cluster), &table) {
                    assert!(prediction.mean <= mean, "{prediction:?} {mean}");
                    assert!(prediction.variance <= variance, "{prediction:?} {variance}");
                    if number == STAGES - 1 {
                        loose += variance / prediction.variance;
                    }
                }
            }
        }
    }
    // Last seen at 1.04 times the variance.
    let loose = loose / table.len() as f32;
    assert!(loose < 1.2, "{loose}");
}
