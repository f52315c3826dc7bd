//! The result that a program left.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;

use nix::sys::signal::Signal;
use reprise_domain::bounds::program as bounds;

use super::error::ProgramError;
use super::metrics::{Metrics, number, object};
use super::workspace::open_regular;

/// The exit code of a program that was interrupted and is to be run again: that of
/// `sysexits.h` for a failure that passes.
pub(super) const INTERRUPTED: i32 = 75;

/// The declared metrics: those of the result, and for the others what was said last
/// while the program ran.
pub(super) fn metrics(
    path: &Path,
    declared: &[String],
    said: &Metrics,
) -> Result<BTreeMap<String, f64>, ProgramError> {
    const PLACE: &str = "the result in `REPRISE_RESULT`";
    let text = read(path)?;
    let result = object(&text, PLACE)?.map_err(|why| ProgramError::BadResult { why })?;
    let mut metrics = BTreeMap::new();
    for (metric, value) in &result {
        let value = number(PLACE, metric, value, declared)?;
        metrics.insert(metric.clone(), value);
    }
    for metric in declared {
        if metrics.contains_key(metric) {
            continue;
        }
        let value = said.last().get(metric);
        let value = value.ok_or_else(|| ProgramError::NoMetric {
            metric: metric.clone(),
        })?;
        metrics.insert(metric.clone(), *value);
    }
    Ok(metrics)
}

fn read(path: &Path) -> Result<Vec<u8>, ProgramError> {
    let file = match open_regular(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ProgramError::NoResult);
        }
        opened => opened.map_err(ProgramError::io("read the result"))?,
    };
    let mut text = Vec::new();
    file.take(bounds::LINE_BYTES as u64 + 1)
        .read_to_end(&mut text)
        .map_err(ProgramError::io("read the result"))?;
    if text.len() > bounds::LINE_BYTES {
        let most = bounds::in_units(bounds::LINE_BYTES as u64);
        let why = format!("has more than {most}");
        return Err(ProgramError::BadResult { why });
    }
    Ok(text)
}

/// The name of a signal.
pub(super) fn signal_name(signal: i32) -> String {
    match Signal::try_from(signal) {
        Ok(known) => known.as_str().to_owned(),
        Err(_) => format!("signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn of(result: Option<&str>, said: &str) -> Result<BTreeMap<String, f64>, String> {
        let home = tempfile::tempdir().unwrap();
        let declared = ["accuracy", "loss"].map(str::to_owned).to_vec();
        let mut metrics_so_far = Metrics::new(home.path().join("m"), declared.clone());
        fs::write(home.path().join("m"), said).unwrap();
        metrics_so_far.read(true).unwrap();
        let path = home.path().join("r");
        if let Some(result) = result {
            fs::write(&path, result).unwrap();
        }
        metrics(&path, &declared, &metrics_so_far).map_err(|error| error.to_string())
    }

    #[test]
    fn the_result_goes_before_what_was_said_last() {
        let found = of(Some("{\"loss\": 1}"), "{\"loss\": 2, \"accuracy\": 0.5}\n").unwrap();
        let expected = [("accuracy".to_owned(), 0.5), ("loss".to_owned(), 1.0)];
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[test]
    fn what_is_not_a_result_is_named() {
        let check = |result: Option<&str>, expected: &str| {
            let error = of(result, "{\"loss\": 1}\n").unwrap_err();
            assert!(error.contains(expected), "{error}, not {expected}");
        };
        check(None, "left no result");
        check(Some("{}"), "the metric `accuracy` never appeared");
        check(Some("{\"acuracy\": 1}"), "did you mean `accuracy`?");
        check(Some("{\"accuracy\": Infinity}"), "`accuracy` is Infinity");
        check(Some(""), "is not JSON");
        check(Some("3"), "is not a JSON object");
        check(Some(&" ".repeat(70_000)), "has more than 64 KiB");
    }

    #[test]
    fn signals_have_names() {
        assert_eq!(signal_name(9), "SIGKILL");
        assert_eq!(signal_name(64), "signal 64");
    }
}
