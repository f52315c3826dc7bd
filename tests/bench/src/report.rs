//! The rows of a run as Markdown.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::samples::Samples;

/// Which of two values is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    /// A rate, say.
    Higher,
    /// A time, say.
    Lower,
}

/// One thing that was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What it is.
    pub(crate) what: String,
    /// Unit of the values.
    pub(crate) unit: String,
    /// Whether more or less is better.
    pub(crate) better: Better,
    /// Of this program.
    pub(crate) ours: Samples,
    /// Of what it is compared with.
    pub(crate) baseline: Option<Samples>,
    /// What the baseline is, where it is not the section's.
    pub(crate) note: String,
}

impl Row {
    /// A row without a comparison.
    pub(crate) fn alone(
        what: impl Into<String>,
        unit: impl Into<String>,
        better: Better,
        ours: Samples,
    ) -> Self {
        Self {
            what: what.into(),
            unit: unit.into(),
            better,
            ours,
            baseline: None,
            note: String::new(),
        }
    }

    /// A row with a comparison.
    pub(crate) fn against(self, baseline: Samples) -> Self {
        Self {
            baseline: Some(baseline),
            ..self
        }
    }

    /// With a remark.
    pub(crate) fn noting(self, note: impl Into<String>) -> Self {
        Self {
            note: note.into(),
            ..self
        }
    }

    /// With the most that it may be, and whether every repeat kept to that.
    pub(crate) fn within(self, limit: f64) -> Self {
        let (_, highest) = self.ours.range();
        let verdict = if highest <= limit { "kept" } else { "missed" };
        let note = format!("limit {limit} {}, {verdict}", self.unit);
        self.noting(note)
    }

    /// How many times better this program is, repeat by repeat.
    pub(crate) fn ratio(&self) -> Option<Samples> {
        let baseline = self.baseline.as_ref()?;
        Some(match self.better {
            Better::Higher => self.ours.with(baseline, |ours, theirs| ours / theirs),
            Better::Lower => self.ours.with(baseline, |ours, theirs| theirs / ours),
        })
    }
}

/// Rows that belong together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Section {
    /// Its heading.
    pub(crate) title: String,
    /// What was measured and how, in a sentence or two.
    pub(crate) about: String,
    /// Its rows.
    pub(crate) rows: Vec<Row>,
}

/// A section as Markdown.
pub(crate) fn markdown(section: &Section) -> String {
    let mut text = format!("## {}\n\n{}\n\n", section.title, section.about);
    let compared = section.rows.iter().any(|row| row.baseline.is_some());
    text.push_str(if compared {
        "| measure | unit | Reprise | baseline | ratio | |\n|---|---|---|---|---|---|\n"
    } else {
        "| measure | unit | Reprise | |\n|---|---|---|---|\n"
    });
    for row in &section.rows {
        let Row {
            what, unit, note, ..
        } = row;
        let ours = spread(&row.ours);
        let baseline = row.baseline.as_ref().map(spread).unwrap_or_default();
        let ratio = row.ratio().as_ref().map(spread).unwrap_or_default();
        let against = if compared {
            format!("{baseline} | {ratio} | ")
        } else {
            String::new()
        };
        writeln!(text, "| {what} | {unit} | {ours} | {against}{note} |")
            .expect("a string takes every write");
    }
    text
}

/// Median and, in brackets, range.
fn spread(samples: &Samples) -> String {
    let (low, high) = samples.range();
    format!(
        "{} ({} to {})",
        number(samples.median()),
        number(low),
        number(high)
    )
}

/// A number with three significant digits, or all digits of a larger one.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.1 => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let grouped = grouped(whole);
    if fraction.is_empty() {
        grouped
    } else {
        format!("{grouped}.{fraction}")
    }
}

/// Digits in groups of three.
fn grouped(whole: &str) -> String {
    let mut text = String::new();
    for (position, digit) in whole.chars().enumerate() {
        let left = whole.len() - position;
        if position > 0 && left.is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_or_more() {
        for (value, expected) in [
            (423_624.4, "423,624"),
            (1_000.0, "1,000"),
            (100.4, "100"),
            (12.34, "12.3"),
            (1.234, "1.23"),
            (0.1234, "0.123"),
            (0.01234, "0.0123"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn a_shorter_time_is_a_higher_ratio() {
        let row = Row::alone("run", "s", Better::Lower, [2.0].into_iter().collect())
            .against([10.0].into_iter().collect());
        assert!((row.ratio().unwrap().median() - 5.0).abs() < 1e-12);
        let section = Section {
            title: "Search".to_owned(),
            about: "One run.".to_owned(),
            rows: vec![row],
        };
        assert!(markdown(&section).contains(
            "| run | s | 2.00 (2.00 to 2.00) | 10.0 (10.0 to 10.0) | 5.00 (5.00 to 5.00) |  |"
        ));
    }
    #[test]
    fn a_limit_is_for_every_repeat() {
        let within = |limit| {
            let samples = [0.5, 1.5].into_iter().collect();
            Row::alone("start", "s", Better::Lower, samples).within(limit)
        };
        assert_eq!(within(2.0).note, "limit 2 s, kept");
        assert_eq!(within(1.0).note, "limit 1 s, missed");
        let section = Section {
            title: "Start-up".to_owned(),
            about: "One start.".to_owned(),
            rows: vec![within(2.0)],
        };
        let row = "| start | s | 1.00 (0.500 to 1.50) | limit 2 s, kept |";
        assert!(markdown(&section).contains(row));
    }
}
