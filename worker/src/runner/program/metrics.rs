//! The metrics that a program gives while it runs, read from its file as it grows.
//!
//! A line with a step replaces what was said of these metrics at that step before: a
//! program that goes on from a checkpoint says some of its lines again. Programs append
//! to the file; one that got shorter is read anew.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use reprise_domain::bounds::program as bounds;
use serde_json::{Map, Value};

use super::error::ProgramError;
use super::workspace::open_regular;

/// Bytes that are read at once.
const PIECE_BYTES: u64 = 1 << 20;

/// The key of a line that is not a metric.
const STEP: &str = "step";

/// What was said so far.
#[derive(Debug)]
pub(super) struct Metrics {
    path: PathBuf,
    declared: Vec<String>,
    offset: u64,
    /// Bytes of a line that is not whole yet.
    pending: Vec<u8>,
    /// Lines and bytes so far.
    lines: u64,
    bytes: u64,
    series: BTreeMap<u64, BTreeMap<String, f64>>,
    last: BTreeMap<String, f64>,
    /// The newest line, for people.
    newest: String,
}

impl Metrics {
    pub(super) fn new(path: PathBuf, declared: Vec<String>) -> Self {
        Self {
            path,
            declared,
            offset: 0,
            pending: Vec::new(),
            lines: 0,
            bytes: 0,
            series: BTreeMap::new(),
            last: BTreeMap::new(),
            newest: String::new(),
        }
    }

    /// Reads what is new; the rest of a line too where nothing will follow. Returns the
    /// number of new lines.
    pub(super) fn read(&mut self, is_end: bool) -> Result<u64, ProgramError> {
        let before = self.lines;
        while self
            .read_piece()
            .map_err(ProgramError::io("read the metrics"))?
        {
            self.take_lines()?;
            if self.bytes > bounds::METRIC_BYTES {
                let most = bounds::in_units(bounds::METRIC_BYTES);
                return Err(ProgramError::TooManyMetrics { most });
            }
        }
        if is_end && !self.pending.is_empty() {
            let line = std::mem::take(&mut self.pending);
            self.line(&line)?;
        }
        Ok(self.lines - before)
    }

    /// Reads a piece; says whether there was one.
    fn read_piece(&mut self) -> io::Result<bool> {
        let mut file = match open_regular(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        if file.metadata()?.len() < self.offset {
            self.offset = 0;
            self.pending.clear();
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let read = file.take(PIECE_BYTES).read_to_end(&mut self.pending)?;
        self.offset += read as u64;
        self.bytes += read as u64;
        Ok(read > 0)
    }

    fn take_lines(&mut self) -> Result<(), ProgramError> {
        let mut pending = std::mem::take(&mut self.pending);
        let mut begin = 0;
        while let Some(length) = pending[begin..].iter().position(|byte| *byte == b'\n') {
            self.line(&pending[begin..begin + length])?;
            begin += length + 1;
        }
        pending.drain(..begin);
        self.pending = pending;
        if self.pending.len() > bounds::LINE_BYTES {
            return Err(self.bad("is longer than a line may be"));
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), ProgramError> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        self.lines += 1;
        let place = format!("line {} of `REPRISE_METRICS`", self.lines);
        let said = object(line, &place)?.map_err(|why| self.bad(&why))?;
        let step = match said.get(STEP) {
            None => None,
            Some(step) => {
                let whole = step
                    .as_u64()
                    .ok_or_else(|| self.bad("has a `step` that is not a whole number from 0"))?;
                Some(whole)
            }
        };
        let mut values = BTreeMap::new();
        for (metric, value) in said.iter().filter(|(name, _)| *name != STEP) {
            let value = number(&place, metric, value, &self.declared)?;
            values.insert(metric.clone(), value);
        }
        self.newest = shown(step, &values);
        self.last.extend(values.clone());
        if let Some(step) = step {
            self.series.entry(step).or_default().extend(values);
            if self.series.len() as u64 > bounds::STEPS {
                let most = format!("{} steps", bounds::STEPS);
                return Err(ProgramError::TooManyMetrics { most });
            }
        }
        Ok(())
    }

    fn bad(&self, why: &str) -> ProgramError {
        ProgramError::BadLine {
            line: self.lines,
            why: why.to_owned(),
        }
    }

    /// Takes up what an earlier attempt had said, in the form of [`Metrics::saved`].
    pub(super) fn restore(&mut self, saved: &[u8]) -> Result<(), ProgramError> {
        for line in saved.split(|byte| *byte == b'\n') {
            self.line(line)?;
        }
        self.lines = 0;
        Ok(())
    }

    /// All that was said, as lines that say it again.
    pub(super) fn saved(&self) -> Vec<u8> {
        let mut saved = self.series();
        if !self.last.is_empty() {
            saved.extend(line(None, &self.last));
        }
        saved
    }

    /// The lines with steps, by ascending step.
    pub(super) fn series(&self) -> Vec<u8> {
        let lines = self.series.iter();
        lines
            .flat_map(|(step, values)| line(Some(*step), values))
            .collect()
    }

    /// How many steps were given.
    pub(super) fn steps(&self) -> u64 {
        self.series.len() as u64
    }

    /// What was said last of each metric.
    pub(super) fn last(&self) -> &BTreeMap<String, f64> {
        &self.last
    }

    /// The newest line, for people.
    pub(super) fn newest(&self) -> &str {
        &self.newest
    }
}

/// A JSON object, or what is wrong with it. `NaN` is an error of its own: some
/// languages write it, though JSON has no word for it.
pub(super) fn object(
    text: &[u8],
    place: &str,
) -> Result<Result<Map<String, Value>, String>, ProgramError> {
    let error = match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => return Ok(Ok(object)),
        Ok(_) => return Ok(Err("is not a JSON object".to_owned())),
        Err(error) => error,
    };
    let text = String::from_utf8_lossy(text);
    for found in ["NaN", "-Infinity", "Infinity"] {
        if let Some((before, _)) = text.split_once(found) {
            // The key is the last text in quotes before it.
            let metric = before.rsplit('"').nth(1).unwrap_or("a metric");
            return Err(ProgramError::NotFinite {
                place: place.to_owned(),
                metric: reprise_domain::text::printable(metric, 60),
                found: found.to_owned(),
            });
        }
    }
    Ok(Err(format!("is not JSON: {error}")))
}

/// The value of a declared metric.
pub(super) fn number(
    place: &str,
    metric: &str,
    value: &Value,
    declared: &[String],
) -> Result<f64, ProgramError> {
    if !declared.iter().any(|known| known == metric) {
        return Err(unknown(place, metric, declared));
    }
    // A number beyond those of double precision is not read as one.
    let number = value.as_f64().filter(|number| number.is_finite());
    number.ok_or_else(|| ProgramError::NotFinite {
        place: place.to_owned(),
        metric: metric.to_owned(),
        found: reprise_domain::text::printable(&value.to_string(), 60),
    })
}

fn unknown(place: &str, metric: &str, declared: &[String]) -> ProgramError {
    let near = declared
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, metric), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 2);
    let hint = if let Some((_, known)) = near {
        format!("did you mean `{known}`?")
    } else {
        let names: Vec<_> = declared.iter().map(|name| format!("`{name}`")).collect();
        format!("the study declares {}", names.join(", "))
    };
    ProgramError::UnknownMetric {
        place: place.to_owned(),
        metric: reprise_domain::text::printable(metric, 60),
        hint,
    }
}

fn line(step: Option<u64>, values: &BTreeMap<String, f64>) -> Vec<u8> {
    let step = step.map(|step| (STEP.to_owned(), Value::from(step)));
    let values = values.iter();
    let values = values.map(|(name, value)| (name.clone(), Value::from(*value)));
    let object: Map<String, Value> = step.into_iter().chain(values).collect();
    let mut line = Value::Object(object).to_string().into_bytes();
    line.push(b'\n');
    line
}

fn shown(step: Option<u64>, values: &BTreeMap<String, f64>) -> String {
    let step = step.map(|step| format!("step {step}"));
    let values = values.iter().map(|(name, value)| format!("{name} {value}"));
    step.into_iter()
        .chain(values)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    struct Bench {
        _home: tempfile::TempDir,
        metrics: Metrics,
    }

    impl Bench {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            let declared = vec!["accuracy".to_owned(), "loss".to_owned()];
            let metrics = Metrics::new(home.path().join("m"), declared);
            Self {
                _home: home,
                metrics,
            }
        }

        fn append(&self, text: &str) {
            let mut file = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&self.metrics.path)
                .unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn said(mut self, text: &str) -> String {
            self.append(text);
            self.metrics.read(true).unwrap_err().to_string()
        }
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn whole_lines_are_read_as_they_come_and_steps_replace_each_other() {
        let mut bench = Bench::new();
        assert_eq!(
            bench.metrics.read(false).unwrap(),
            0,
            "there is no file yet"
        );
        bench.append("{\"step\": 2, \"loss\": 0.5}\n\n{\"step\": 1, \"lo");
        assert_eq!(bench.metrics.read(false).unwrap(), 1);
        bench.append("ss\": 0.75}\n{\"step\": 2, \"loss\": 0.25, \"accuracy\": 1}\n");
        assert_eq!(bench.metrics.read(false).unwrap(), 2);
        bench.append("{\"accuracy\": 0.5}");
        assert_eq!(bench.metrics.read(false).unwrap(), 0);
        assert_eq!(bench.metrics.read(true).unwrap(), 1);
        let series = "{\"loss\":0.75,\"step\":1}\n{\"accuracy\":1.0,\"loss\":0.25,\"step\":2}\n";
        assert_eq!(text(bench.metrics.series()), series);
        assert_eq!(bench.metrics.steps(), 2);
        assert_eq!(bench.metrics.last().get("accuracy"), Some(&0.5));
        let mut other = Bench::new();
        other.metrics.restore(&bench.metrics.saved()).unwrap();
        assert_eq!(text(other.metrics.series()), series);
        assert_eq!(other.metrics.last(), bench.metrics.last());
    }

    #[test]
    fn a_file_that_was_written_anew_is_read_anew() {
        let mut bench = Bench::new();
        bench.append("{\"step\": 1, \"loss\": 0.5}\n{\"step\": 2, \"loss\": 0.5}\n");
        bench.metrics.read(false).unwrap();
        fs::write(&bench.metrics.path, "{\"step\": 3, \"loss\": 0.1}\n").unwrap();
        bench.metrics.read(false).unwrap();
        assert_eq!(bench.metrics.steps(), 3);
    }

    #[test]
    fn what_is_not_a_metric_is_named_with_its_line() {
        let check = |text: &str, expected: &str| {
            let said = Bench::new().said(text);
            assert!(said.contains(expected), "{said}, not {expected}");
        };
        let good = "{\"loss\": 1}\n";
        check(
            &format!("{good}{{\"los\": 1}}\n"),
            "line 2 of `REPRISE_METRICS` has the unknown metric `los`; did you mean `loss`?",
        );
        check("{\"f1\": 1}\n", "the study declares `accuracy`, `loss`");
        check(
            "{\"accuracy\": 1, \"loss\": NaN}\n",
            "line 1 of `REPRISE_METRICS`: `loss` is NaN, expected a finite number",
        );
        check("{\"loss\": -Infinity}\n", "`loss` is -Infinity");
        check("{\"loss\": null}\n", "`loss` is null");
        check("{\"loss\": \"1\"}\n", "`loss` is \"1\"");
        check(
            "{\"loss\": 1e999}\n",
            "line 1 of `REPRISE_METRICS` is not JSON",
        );
        check("{\"loss\": 1\n", "line 1 of `REPRISE_METRICS` is not JSON");
        check("[1]\n", "is not a JSON object");
        check("{\"step\": -1}\n", "a `step` that is not a whole number");
        check(&"x".repeat(70_000), "longer than a line may be");
    }

    #[test]
    fn there_is_an_end_to_steps() {
        let lines = (0..=bounds::STEPS).map(|step| format!("{{\"step\":{step}}}\n"));
        let said = Bench::new().said(&lines.collect::<String>());
        assert!(said.contains("more than 100000 steps"), "{said}");
    }
}
