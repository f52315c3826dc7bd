//! The descendants of this process, as the kernel lists them. Those whose parent has
//! ended have this process as their parent, which is their reaper.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use nix::unistd::{Pid, getpid};

/// All descendants that have not ended.
pub(super) fn descendants() -> Vec<Pid> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that has ended meanwhile has no file.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some(parent) = living_parent(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = BTreeSet::new();
    let mut open = vec![getpid().as_raw()];
    while let Some(pid) = open.pop() {
        for &child in children.get(&pid).into_iter().flatten() {
            if found.insert(child) {
                open.push(child);
            }
        }
    }
    found.into_iter().map(Pid::from_raw).collect()
}

/// The parent in the `stat` of a process, unless that has ended and is only waited for.
fn living_parent(stat: &str) -> Option<i32> {
    // The name stands in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(parent)
}

/// Resident memory of processes together, in bytes, without pages of files. Memory that
/// they share is counted for each of them.
pub(super) fn resident(processes: &[Pid]) -> u64 {
    let used = processes.iter().map(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let kilobytes = status.lines().filter_map(counted);
        kilobytes.sum::<u64>()
    });
    used.sum::<u64>() << 10
}

/// The kilobytes of a line of `status` that count: memory of its own, and memory that is
/// shared on purpose.
fn counted(line: &str) -> Option<u64> {
    let (name, amount) = line.split_once(':')?;
    let counts = matches!(name, "RssAnon" | "RssShmem");
    let number = amount.trim().strip_suffix(" kB").filter(|_| counts)?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_name_cannot_pretend_to_be_a_parent() {
        let stat = "12 (evil) S 1 (x) R 7 12 12 0 -1";
        assert_eq!(living_parent(stat), Some(7));
        assert_eq!(living_parent("12 (sh) Z 7 12 12 0 -1"), None);
        assert_eq!(living_parent(""), None);
    }

    #[test]
    fn pages_of_files_do_not_count() {
        let status = "VmRSS:\t 9 kB\nRssAnon:\t 3 kB\nRssFile:\t 4 kB\nRssShmem:\t 2 kB\n";
        assert_eq!(status.lines().filter_map(counted).sum::<u64>(), 5);
    }

    #[test]
    fn children_are_found_with_their_memory() {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        assert!(descendants().contains(&pid));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!descendants().contains(&pid));
        assert!(resident(&[getpid()]) > 0);
    }
}
