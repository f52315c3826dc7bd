//! What a trained model is used for: embedding the whole space, and the validity of
//! points of its latent space.

use reprise_model::{CodeGaussian, embed};
use reprise_search::rng::Stream;
use serde_json::json;

use crate::baseline::Baseline;
use crate::machine::timed;
use crate::report::{Better, Row, Section};
use crate::samples::Samples;
use crate::setting::Setting;

/// Published number of latent points.
const POINTS: usize = 10_000;

/// Measures both.
pub(crate) fn measure(
    setting: &Setting,
    baseline: &mut Baseline,
    repeats: usize,
) -> anyhow::Result<Section> {
    let gaussian = CodeGaussian::of(&setting.params, &setting.graphs);
    let (mut embedded, mut points) = (Samples::default(), Samples::default());
    let (mut their_embedded, mut their_points) = (Samples::default(), Samples::default());
    let mut valid = 0.0;
    for repeat in 0..repeats {
        their_embedded.push(baseline.rate(&json!({"measure": "embed", "graphs": 4_000}))?);
        let (seconds, embedding) = timed(|| embed::embed(&setting.params, &setting.graphs));
        embedded.push(embedding?.len() as f64 / seconds);
        their_points.push(baseline.rate(&json!({"measure": "validity", "points": 3_000}))?);
        let mut stream = Stream::new(b"benchmark suite", "latent points", repeat as u64);
        let space = setting.space.as_ref();
        let (seconds, prior) =
            timed(|| gaussian.measure(&setting.params, space, POINTS, false, &mut stream));
        points.push(POINTS as f64 / seconds);
        valid = prior.validity;
    }
    Ok(Section {
        title: "Embedding and validity".to_owned(),
        about: "The whole of NAS-Bench-101, 423,624 cells, and 10,000 latent points; the \
                baseline takes graphs and points one at a time, as published. One core."
            .to_owned(),
        rows: vec![
            Row::alone("embedding", "graphs/s", Better::Higher, embedded).against(their_embedded),
            Row::alone(
                "validity and uniqueness",
                "points/s",
                Better::Higher,
                points,
            )
            .against(their_points)
            .noting(format!("{:.1} % valid", 100.0 * valid)),
        ],
    })
}
