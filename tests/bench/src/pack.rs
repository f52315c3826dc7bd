//! Pretraining of many seeds in one pack on an accelerator: what a step costs against
//! the number of seeds. Measured on a machine that has one and brought here as a file.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::plot::{Curve, Panel};
use crate::report::number;
use crate::samples::Samples;

/// What is shown of `pack.json`, which may hold more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PackScaling {
    /// What it was measured on, in words.
    pub(crate) device: String,
    /// Packs of different sizes, the smallest first.
    pub(crate) points: Vec<PackPoint>,
    /// A step of one seed in plain PyTorch on the same device, in the first epoch.
    pub(crate) baseline_seconds_per_step: f64,
    /// The same in a later epoch.
    pub(crate) baseline_seconds_per_later_step: f64,
    /// Packs that were pretrained for some epochs.
    pub(crate) whole: Vec<WholePack>,
}

/// A pack that was pretrained, its measures at the end of each epoch included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WholePack {
    /// Seeds that train in it.
    pub(crate) seeds: u32,
    /// Cores of the machine, which measure.
    pub(crate) cores: u32,
    /// Steps of an epoch.
    pub(crate) steps: u32,
    /// Seconds of each epoch.
    pub(crate) epochs: Vec<f64>,
    /// Seconds of embedding the space with every seed.
    pub(crate) embedding_seconds: f64,
}

/// Epochs of the published pretraining.
const EPOCHS: f64 = 8.0;

impl WholePack {
    /// Seconds of the published number of epochs, the later ones as long as the last
    /// that was measured.
    fn seconds(&self) -> Option<f64> {
        let (first, last) = (self.epochs.first()?, self.epochs.last()?);
        Some(first + (EPOCHS - 1.0) * last + self.embedding_seconds)
    }
}

/// A pack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct PackPoint {
    /// Seeds that train in it.
    pub(crate) seeds: u32,
    /// A step of all of them.
    pub(crate) seconds_per_step: f64,
}

impl PackScaling {
    /// What a file holds; nothing when there is no such file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let shown = path.display();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("read `{shown}`")),
        };
        let packs: Self = serde_json::from_str(&text).with_context(|| format!("read `{shown}`"))?;
        packs.check().with_context(|| format!("read `{shown}`"))?;
        Ok(Some(packs))
    }

    /// The figure's axes are logarithmic, and its line goes from left to right.
    fn check(&self) -> anyhow::Result<()> {
        let seeds: Vec<u32> = self.points.iter().map(|point| point.seeds).collect();
        ensure!(
            !seeds.is_empty() && seeds[0] > 0 && seeds.is_sorted_by(|a, b| a < b),
            "`points` must have ascending `seeds` from 1, not {seeds:?}"
        );
        let times = self.points.iter().map(|point| point.seconds_per_step);
        let baseline = [
            self.baseline_seconds_per_step,
            self.baseline_seconds_per_later_step,
        ];
        for seconds in times.chain(baseline) {
            ensure!(
                seconds.is_finite() && seconds > 0.0,
                "a step cannot take `{seconds}` seconds"
            );
        }
        Ok(())
    }

    /// A step of so many seeds in plain PyTorch, one after another.
    fn one_by_one(&self, seeds: u32) -> f64 {
        f64::from(seeds) * self.baseline_seconds_per_step
    }
}

/// The panel of the figure; without packs it says so.
pub(crate) fn panel(packs: Option<&PackScaling>) -> Panel {
    let one = |value: f64| -> Samples { [value].into_iter().collect() };
    let points = packs.into_iter().flat_map(|packs| &packs.points);
    let one_by_one = packs.map(|packs| Curve {
        label: "plain PyTorch, one seed after another".to_owned(),
        points: packs
            .points
            .iter()
            .map(|point| (f64::from(point.seeds), packs.one_by_one(point.seeds)))
            .collect(),
    });
    Panel {
        title: match packs {
            Some(packs) => format!("a step of a whole pack, {}", packs.device),
            None => "a step of a whole pack".to_owned(),
        },
        work: "seeds in the pack".to_owned(),
        cost: "seconds".to_owned(),
        points: points
            .map(|point| (f64::from(point.seeds), one(point.seconds_per_step)))
            .collect(),
        baseline: one_by_one,
    }
}

/// The section of RESULTS.md; without packs it says so.
pub(crate) fn markdown(packs: Option<&PackScaling>) -> String {
    let mut text = "## Seeds in a pack\n\n".to_owned();
    let Some(packs) = packs else {
        text.push_str(
            "Not measured: it takes a GPU. Its measurements come in the file `pack.json`.\n",
        );
        return text;
    };
    let write = |text: &mut String, line: std::fmt::Arguments<'_>| {
        text.write_fmt(line).expect("a string takes every write");
    };
    write(
        &mut text,
        format_args!(
            "Pretraining on {}, many seeds in one process and one pack. The baseline is plain \
             PyTorch in eager mode on the same device, a step of each seed after another: {} ms \
             a seed.\n\n\
             | seeds | ms a step of the pack | ms a seed | baseline, ms | ratio |\n\
             |---|---|---|---|---|\n",
            packs.device,
            number(1e3 * packs.baseline_seconds_per_step)
        ),
    );
    for point in &packs.points {
        let (ours, theirs) = (point.seconds_per_step, packs.one_by_one(point.seeds));
        write(
            &mut text,
            format_args!(
                "| {} | {} | {} | {} | {} |\n",
                point.seeds,
                number(1e3 * ours),
                number(1e3 * ours / f64::from(point.seeds)),
                number(1e3 * theirs),
                number(theirs / ours)
            ),
        );
    }
    for whole in &packs.whole {
        let Some(seconds) = whole.seconds() else {
            continue;
        };
        let a_seed = f64::from(whole.steps)
            * (packs.baseline_seconds_per_step
                + (EPOCHS - 1.0) * packs.baseline_seconds_per_later_step);
        let per_hour = f64::from(whole.seeds) * 3600.0 / seconds;
        write(
            &mut text,
            format_args!(
                "\nA pack of {} from beginning to end, eight epochs of NAS-Bench-101 with their \
                 measures and all embeddings, {} cores beside the card: {} s (first epoch {} s, a \
                 later one {} s), {} seeds an hour; the baseline's steps alone: {} seeds an hour, \
                 {} times fewer.\n",
                whole.seeds,
                whole.cores,
                number(seconds),
                number(whole.epochs[0]),
                number(whole.epochs[whole.epochs.len() - 1]),
                number(per_hour),
                number(3600.0 / a_seed),
                number(per_hour * a_seed / 3600.0)
            ),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
        "device": "NVIDIA H100",
        "points": [
            {"seeds": 1, "seconds_per_step": 0.001},
            {"seeds": 64, "seconds_per_step": 0.004}
        ],
        "baseline_seconds_per_step": 0.005,
        "baseline_seconds_per_later_step": 0.004,
        "whole": [{
            "seeds": 32, "cores": 16, "steps": 10000, "epochs": [80.0, 40.0],
            "embedding_seconds": 5.0
        }]
    }"#;

    fn read(text: &str) -> anyhow::Result<Option<PackScaling>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pack.json");
        fs::write(&path, text).unwrap();
        PackScaling::read(&path)
    }

    #[test]
    fn a_pack_is_compared_with_its_seeds_one_after_another() {
        let packs = read(TEXT).unwrap();
        let text = markdown(packs.as_ref());
        assert!(
            text.contains("| 64 | 4.00 | 0.0625 | 320 | 80.0 |"),
            "{text}"
        );
        // 80 + 7 x 40 + 5 s against 10,000 x (5 + 7 x 4) ms a seed.
        assert!(text.contains(": 365 s"), "{text}");
        assert!(text.contains("316 seeds an hour"), "{text}");
        assert!(text.contains("10.9 seeds an hour, 28.9 times"), "{text}");
        let panel = panel(packs.as_ref());
        assert_eq!(panel.points.len(), 2);
        assert_eq!(panel.baseline.unwrap().points[1], (64.0, 0.32));
    }

    #[test]
    fn without_the_file_nothing_was_measured() {
        let missing = Path::new("/nonexistent/pack.json");
        assert_eq!(PackScaling::read(missing).unwrap(), None);
        assert!(markdown(None).contains("Not measured"));
        assert!(panel(None).points.is_empty());
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        for (from, to) in [
            ("0.004", "0.0"),
            ("\"seeds\": 64", "\"seeds\": 1"),
            ("\"device\"", "\"devices\""),
        ] {
            let error = read(&TEXT.replace(from, to)).unwrap_err();
            assert!(format!("{error:#}").contains("pack.json"), "{error:#}");
        }
    }
}
