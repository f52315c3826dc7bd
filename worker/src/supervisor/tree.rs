//! The descendants of this process, as the kernel lists them. Those whose parent has
//! ended have this process as their parent, which is their reaper.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use nix::unistd::{Pid, SysconfVar, getpid, sysconf};

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

/// Resident memory of processes together, in bytes. What they share is counted for
/// each of them.
pub(super) fn resident(processes: &[Pid]) -> u64 {
    let page = sysconf(SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .unwrap_or(4096);
    let pages = processes.iter().map(|pid| {
        let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        let mut fields = statm.split_whitespace().skip(1);
        // Pages of files and of memory that is shared on purpose do not count.
        let mut next = || fields.next().and_then(|field| field.parse::<u64>().ok());
        let (resident, shared) = (next().unwrap_or(0), next().unwrap_or(0));
        resident.saturating_sub(shared)
    });
    pages.sum::<u64>() * page as u64
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
