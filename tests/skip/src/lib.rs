//! How a test says that it did not run. The test runner hides what a passed test
//! prints, so each skip is a line of a file in the target directory, which
//! `make test` lists and counts.
//!
//! Without dependencies, so that the tests of every package can use it. What a test
//! needs is looked for elsewhere.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The file in the target directory.
const FILE: &str = "skipped-tests";

/// What a test lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// A program or a right that continuous integration provides.
    Program,
    /// Data that is not part of the tree.
    Data,
    /// A program that not every machine should have installed.
    Elsewhere,
}

/// Records that the calling test does not run. Fails where it has to run: with
/// `CI=true`, every test that lacks a program; with `REPRISE_REQUIRE=all`, every
/// test.
pub fn skip(lack: Lack, reason: &str) -> io::Result<()> {
    let all = std::env::var_os("REPRISE_REQUIRE").is_some_and(|value| value == "all");
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    if must_run(lack, ci, all) {
        let message = format!("this test must run here, but {reason}");
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    let thread = std::thread::current();
    let line = line(thread.name().unwrap_or("a test"), reason);
    let executable = std::env::current_exe()?;
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(target(&executable).join(FILE))?;
    // One write, so that lines of tests that run at once do not mix.
    file.write_all(line.as_bytes())
}

fn must_run(lack: Lack, ci: bool, all: bool) -> bool {
    all || (ci && lack == Lack::Program)
}

fn line(test: &str, reason: &str) -> String {
    let reason: Vec<_> = reason.split_whitespace().collect();
    format!("{test}: {}\n", reason.join(" "))
}

/// The target directory: the one above the test's program that Cargo has tagged.
fn target(executable: &Path) -> PathBuf {
    executable
        .ancestors()
        .find(|place| place.join("CACHEDIR.TAG").exists())
        .map_or_else(std::env::temp_dir, Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_lacks_a_program_must_run_in_continuous_integration() {
        assert!(!must_run(Lack::Program, false, false));
        assert!(must_run(Lack::Program, true, false));
        assert!(!must_run(Lack::Data, true, false));
        assert!(!must_run(Lack::Elsewhere, true, false));
        assert!(must_run(Lack::Data, false, true));
    }

    #[test]
    fn a_reason_is_one_line() {
        let told = line("module::test", "no `ip`:\n  not found\n");
        assert_eq!(told, "module::test: no `ip`: not found\n");
    }

    #[test]
    fn the_file_is_in_the_directory_that_cargo_has_tagged() {
        let own = std::env::current_exe().unwrap();
        assert!(own.starts_with(target(&own)), "{}", own.display());
    }
}
