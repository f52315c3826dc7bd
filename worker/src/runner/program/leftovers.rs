//! Processes of attempts whose worker was killed. Their supervisor ends them when its
//! worker dies; this is for those whose supervisor was killed too. They are known by a
//! name in their environment, whose value is the directory of their attempt.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid};

use super::contract::MARK;

/// Ends all processes of attempts below a directory; says how many there were.
pub(super) fn end(directory: &Path) -> usize {
    let mut mark = format!("{MARK}=").into_bytes();
    mark.extend_from_slice(directory.as_os_str().as_bytes());
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut ended = 0;
    for entry in entries {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid.map(Pid::from_raw).filter(|pid| *pid != getpid()) else {
            continue;
        };
        // That of another user's process cannot be read.
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let is_marked = environment
            .split(|byte| *byte == 0)
            .filter_map(|variable| variable.strip_prefix(mark.as_slice()))
            .any(|rest| rest.is_empty() || rest.starts_with(b"/"));
        if is_marked && kill(pid, Signal::SIGKILL).is_ok() {
            ended += 1;
        }
    }
    ended
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn marked_processes_are_ended_and_no_others() {
        let home = tempfile::tempdir().unwrap();
        let start = |directory: &Path| {
            let mut command = Command::new("sleep");
            command.arg("60").env(MARK, directory).stdin(Stdio::null());
            command.spawn().unwrap()
        };
        let mut inside = start(&home.path().join("a.1"));
        let other = format!("{}x/a.1", home.path().display());
        let mut outside = start(Path::new(&other));
        // Its environment is there once it is another program than this one.
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut ended = 0;
        while ended == 0 && Instant::now() < deadline {
            ended = end(home.path());
        }
        assert_eq!(ended, 1);
        inside.wait().unwrap();
        assert!(outside.try_wait().unwrap().is_none());
        outside.kill().unwrap();
        outside.wait().unwrap();
    }
}
