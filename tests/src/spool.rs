//! What waits in a worker's spool, read from its log while the worker runs.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

/// Outcomes that wait to be acknowledged; none if there is no spool yet. A line that is
/// still being written does not count.
pub fn waiting(directory: &Path) -> io::Result<usize> {
    let log = match fs::read_to_string(directory.join("log")) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut waiting = BTreeSet::new();
    for line in log
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        // Before the text of a line stands its checksum.
        let json = line.find('{').map_or(line, |start| &line[start..]);
        let line: serde_json::Value = serde_json::from_str(json)?;
        if let Some(attempt) = line["kept"][0].as_str() {
            waiting.insert(attempt.to_owned());
        } else if let Some(attempt) = line["forgotten"].as_str() {
            waiting.remove(attempt);
        }
    }
    Ok(waiting.len())
}
