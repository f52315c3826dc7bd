//! The worker's commands about files: what they say of wrong ones, and with which
//! exit code.

use std::path::Path;
use std::process::Command;

use nix::sys::stat::Mode;

/// Exit code and standard error of a command line.
fn run(arguments: &[&str], file: &Path) -> anyhow::Result<(Option<i32>, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_reprise-worker"))
        .args(arguments)
        .arg(file)
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    Ok((output.status.code(), said))
}

fn check(arguments: &[&str], file: &Path, expected: &str) -> anyhow::Result<()> {
    let (code, said) = run(arguments, file)?;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.starts_with("error: "), "{said}");
    assert!(said.contains(expected), "{said}");
    assert!(
        said.lines()
            .all(|line| line.starts_with("error: ") || line.starts_with("caused by: ")),
        "{said}"
    );
    Ok(())
}

#[test]
fn wrong_files_are_named_in_plain_lines_with_exit_code_2() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let fixture = ["selftest", "--fixture"];
    let import = ["import", "--out", "/dev/null", "--"];
    let missing = home.path().join("missing");
    check(&fixture, &missing, "missing`")?;
    check(&import, &missing, "missing`")?;
    let text = home.path().join("text");
    std::fs::write(&text, "neither\n")?;
    check(&fixture, &text, "text` is not a fixture")?;
    check(&import, &text, "text`")?;
    let odd = home.path().join("\u{1b}[31m");
    check(&fixture, &odd, "\\u{1b}[31m")
}

#[test]
fn pipes_and_devices_are_refused_before_they_are_read() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let pipe = home.path().join("pipe");
    nix::unistd::mkfifo(&pipe, Mode::S_IRWXU)?;
    for file in [Path::new("/dev/zero"), &pipe] {
        check(&["selftest", "--fixture"], file, "is not a regular file")?;
        check(
            &["import", "--out", "/dev/null", "--"],
            file,
            "is not a regular file",
        )?;
    }
    Ok(())
}
