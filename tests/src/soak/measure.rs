//! What a process costs, as the kernel counts it, and what a journal takes on disk.

use std::fs;
use std::io;
use std::path::Path;

/// Ticks in a second, in which the kernel counts processor time for programs.
const TICKS: f64 = 100.0;

/// Seconds of processor time that a process has used so far, in all its threads.
pub fn processor_seconds(id: u32) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    parsed(&stat).ok_or_else(|| io::Error::other(format!("`{stat}` has no times")))
}

fn parsed(stat: &str) -> Option<f64> {
    // The name may hold anything, in parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS)
}

/// Bytes of the journal's files in a state directory.
pub fn journal_bytes(state: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(state)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("journal") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_come_after_the_name_whatever_it_is() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 4 0 8 9 1 184";
        assert_eq!(parsed(stat), Some(2.0));
        assert_eq!(parsed("7 (cut"), None);
        assert!(processor_seconds(std::process::id()).unwrap() >= 0.0);
    }
}
