//! Where a program spends its time: samples of the processor's clock that `perf`
//! takes, counted by function.
//!
//! Not here: what is sampled, and what is said of it.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::{ErrorKind, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::symbols::{self, Named};

/// Samples a second; odd, so that nothing periodic keeps step with them.
pub(crate) const RATE: u32 = 997;

/// How the kernel names its system calls.
const CALL: &str = "__x64_sys_";

/// Whose code a sample was in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The sampled program's.
    Program,
    /// The kernel's.
    Kernel,
    /// The C library's, its mathematics and memory included.
    Libc,
    /// Another library's, by its file name.
    Library(String),
}

impl Place {
    fn of(object: &str) -> Self {
        let name = object.rsplit('/').next().unwrap_or(object);
        if object.starts_with('[') {
            Self::Kernel
        } else if ["libc.", "libm.", "ld-linux", "libpthread."]
            .iter()
            .any(|start| name.starts_with(start))
        {
            Self::Libc
        } else if name.contains(".so") {
            Self::Library(name.to_owned())
        } else {
            Self::Program
        }
    }

    /// In words.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Program => "program",
            Self::Kernel => "kernel",
            Self::Libc => "libc",
            Self::Library(name) => name,
        }
    }
}

/// The samples of a program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    /// Functions with their samples; the most first.
    pub(crate) functions: Vec<(Named, Place, usize)>,
}

impl Samples {
    /// All samples.
    pub(crate) fn total(&self) -> usize {
        self.functions.iter().map(|(.., samples)| samples).sum()
    }

    /// Samples of the functions for which this holds, as a share of all.
    pub(crate) fn share(&self, holds: impl Fn(&Named, &Place) -> bool) -> f64 {
        let found = self.functions.iter();
        let found = found.filter(|(named, place, _)| holds(named, place));
        let samples: usize = found.map(|(.., samples)| samples).sum();
        samples as f64 / self.total().max(1) as f64
    }

    /// Whose code ran, with shares; the most first.
    pub(crate) fn places(&self) -> Vec<(&str, f64)> {
        let places: HashSet<&Place> = self.functions.iter().map(|(_, place, _)| place).collect();
        let places = places.into_iter();
        let mut shares: Vec<_> = places
            .map(|place| (place.name(), self.share(|_, other| other == place)))
            .collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        shares
    }
}

/// Samples a command from its start to its end, into a file.
pub(crate) fn record(program: &Path, arguments: &[&OsStr], file: &Path) -> anyhow::Result<()> {
    let mut command = recorder(file);
    command.arg("--").arg(program).args(arguments);
    finished(&started(&mut command)?.wait_with_output()?)
}

/// `perf` at a running process.
#[derive(Debug)]
pub(crate) struct Recording {
    perf: Child,
    file: PathBuf,
}

impl Recording {
    /// Begins with a process and all its threads.
    pub(crate) fn of(process: u32, file: &Path) -> anyhow::Result<Self> {
        let mut command = recorder(file);
        command.args(["-p", &process.to_string()]);
        Ok(Self {
            perf: started(&mut command)?,
            file: file.to_owned(),
        })
    }

    /// Ends it; the file that it wrote.
    pub(crate) fn stop(self) -> anyhow::Result<PathBuf> {
        kill(Pid::from_raw(self.perf.id().cast_signed()), Signal::SIGINT)?;
        finished(&self.perf.wait_with_output()?)?;
        Ok(self.file)
    }
}

fn recorder(file: &Path) -> Command {
    let mut command = Command::new("perf");
    // There may be no counters to sample by: virtual machines often hide them.
    command
        .args(["record", "--quiet", "-g", "-e", "cpu-clock", "-F"])
        .arg(RATE.to_string())
        .arg("-o")
        .arg(file);
    command
}

fn started(command: &mut Command) -> anyhow::Result<Child> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    match child {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("`perf` is missing; install it with: sudo apt-get install linux-perf")
        }
        child => child.context("start `perf`"),
    }
}

fn finished(output: &Output) -> anyhow::Result<()> {
    // What it was told to end by is how it ends.
    let interrupted = output.status.signal() == Some(Signal::SIGINT as i32);
    ensure!(
        output.status.success() || interrupted,
        "`perf record`: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Counts what was recorded.
pub(crate) fn read(file: &Path) -> anyhow::Result<Samples> {
    let output = Command::new("perf")
        .args(["script", "--no-demangle", "--no-inline"])
        .args(["-F", "ip,sym,symoff,dso", "-i"])
        .arg(file)
        .output()
        .context("start `perf`")?;
    ensure!(
        output.status.success(),
        "`perf script`: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let mut counted: HashMap<Line<'_>, usize> = HashMap::new();
    for line in text.split("\n\n").filter_map(Line::parse) {
        *counted.entry(line).or_default() += 1;
    }
    ensure!(!counted.is_empty(), "`perf` has taken no sample");
    let symbols: HashSet<&str> = counted.keys().map(|line| line.symbol).collect();
    let plain = symbols::demangled(&symbols)?;
    let programs: HashSet<&str> = counted.keys().map(|line| line.object).collect();
    let programs = programs
        .into_iter()
        .filter(|object| Place::of(object) == Place::Program);
    let mut inlined = HashMap::new();
    for program in programs {
        let places = counted.keys().filter(|line| line.object == program);
        let places = places.map(|line| (line.symbol, line.offset));
        inlined.extend(symbols::inlined(Path::new(program), places, &plain)?);
    }
    let mut functions: HashMap<(Named, Place), usize> = HashMap::new();
    for (line, samples) in counted {
        let named = inlined.get(&(line.symbol, line.offset)).cloned();
        let named = named.unwrap_or_else(|| Named {
            name: plain[line.symbol].clone(),
            part: line.call.map(str::to_owned),
        });
        *functions
            .entry((named, Place::of(line.object)))
            .or_default() += samples;
    }
    let functions = functions.into_iter();
    let mut functions: Vec<_> = functions
        .map(|((named, place), samples)| (named, place, samples))
        .collect();
    functions.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| (&a.0, &a.1).cmp(&(&b.0, &b.1))));
    Ok(Samples { functions })
}

/// A sample as `perf script` prints it.
///
/// Of the functions that called each other only the system call is kept: programs are
/// built without what it takes to find theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Line<'a> {
    symbol: &'a str,
    offset: u64,
    object: &'a str,
    /// The system call that the kernel was in.
    call: Option<&'a str>,
}

impl<'a> Line<'a> {
    /// Reads lines of `ADDRESS SYMBOL+0xOFFSET (OBJECT)`, the innermost function first;
    /// without a symbol it has no offset.
    fn parse(lines: &'a str) -> Option<Self> {
        let line = lines.trim_start().lines().next()?;
        let (_, rest) = line.trim().split_once(' ')?;
        let (place, object) = rest.rsplit_once(" (")?;
        let (symbol, offset) = match place.rsplit_once("+0x") {
            Some((symbol, offset)) => (symbol, u64::from_str_radix(offset, 16).ok()?),
            None => (place, 0),
        };
        Some(Self {
            symbol: symbol.trim(),
            offset,
            object: object.strip_suffix(')')?,
            call: lines.split_once(CALL).and_then(|(_, call)| {
                let end = call.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
                Some(&call[..end])
            }),
        })
    }
}

/// Runs a program of binutils on lines of input.
pub(crate) fn filtered(program: &str, arguments: &[&OsStr], input: &str) -> anyhow::Result<String> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match child {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("`{program}` is missing; install it with: sudo apt-get install binutils")
        }
        child => child.with_context(|| format!("start `{program}`"))?,
    };
    let mut requests = child.stdin.take().context("a piped input is there")?;
    // It answers while it reads: whoever writes cannot be the one who reads.
    let output = std::thread::scope(|scope| {
        scope.spawn(move || requests.write_all(input.as_bytes()));
        child.wait_with_output()
    })?;
    ensure!(output.status.success(), "`{program}`: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_and_without_a_symbol() {
        let line = |symbol, offset, object, call| {
            Some(Line {
                symbol,
                offset,
                object,
                call,
            })
        };
        for (text, expected) in [
            (
                "    55d0 _ZN4pulp3x86E+0x1f (/opt/reprise-worker)",
                line("_ZN4pulp3x86E", 0x1f, "/opt/reprise-worker", None),
            ),
            (
                "\n ffff81 tcp_ack+0x5 ([kernel.kallsyms])\n ffff80 __x64_sys_writev+0x1 ([kernel.kallsyms])\n 55d0 run+0x3 (/opt/reprise)",
                line("tcp_ack", 5, "[kernel.kallsyms]", Some("writev")),
            ),
            (
                "    7f3a [unknown] (/usr/lib/libtorch_cpu.so)",
                line("[unknown]", 0, "/usr/lib/libtorch_cpu.so", None),
            ),
            ("", None),
        ] {
            assert_eq!(Line::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn code_belongs_to_its_object() {
        for (object, expected) in [
            ("/opt/target/release/reprise", "program"),
            ("[kernel.kallsyms]", "kernel"),
            ("/usr/lib/x86_64-linux-gnu/libm.so.6", "libc"),
            ("/opt/lib/libtorch_cpu.so", "libtorch_cpu.so"),
        ] {
            assert_eq!(Place::of(object).name(), expected);
        }
    }
}
