//! A PostgreSQL server of a test's own: its own directory, its own port, gone with
//! the value. Nothing here touches a server that runs already.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use reprise_skip::{Lack, skip};

use crate::fleet::START;
use crate::process::wait_until;

const MISSING: &str = "PostgreSQL is not installed; on Debian: apt-get install postgresql";

/// A running server.
#[derive(Debug)]
pub struct PrivateServer {
    directory: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl PrivateServer {
    /// Starts one; `None`, and a recorded skip, where PostgreSQL is not installed.
    pub fn start() -> io::Result<Option<Self>> {
        let Some(programs) = programs() else {
            skip(Lack::Program, MISSING)?;
            return Ok(None);
        };
        let directory = tempfile::tempdir()?;
        if is_root()? {
            // The server refuses to run as root.
            succeed(Command::new("chown").arg("postgres").arg(directory.path()))?;
        }
        let data = directory.path().join("data");
        succeed(
            command(&programs, "initdb")?
                .args([
                    "--auth=trust",
                    "--username=reprise",
                    "--no-sync",
                    "--pgdata",
                ])
                .arg(&data)
                .current_dir(directory.path()),
        )?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = command(&programs, "postgres")?
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k"])
            .arg(directory.path())
            // The user may not be able to read the directory of the test.
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(directory.path().join("log"))?)
            .spawn()?;
        let server = Self {
            directory,
            port,
            child,
        };
        wait_until(START, "PostgreSQL answers", || {
            Ok(server.execute("SELECT 1").is_ok())
        })?;
        Ok(Some(server))
    }

    /// Its database as `--database` takes it.
    pub fn url(&self) -> String {
        format!("postgres://reprise@127.0.0.1:{}/postgres", self.port)
    }

    /// Runs one statement.
    pub fn execute(&self, statement: &str) -> io::Result<String> {
        let output = succeed(
            Command::new("psql")
                .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
                .args(["--dbname", &self.url(), "--command", statement]),
        )?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Its directory, for the log of a failed test.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        // Immediate shutdown: the data goes with the directory.
        let pid = std::fs::read_to_string(self.directory.path().join("data/postmaster.pid"));
        let pid = pid
            .ok()
            .and_then(|text| text.lines().next().map(str::to_owned));
        if let Some(pid) = pid {
            let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        }
        let ended = || Ok(self.child.try_wait()?.is_some());
        let _ = wait_until(START, "PostgreSQL ends", ended);
        let _ = self.child.kill();
    }
}

/// Where the server's programs are: on the path, or in Debian's place for them,
/// the newest version first.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path().join("bin")))
        .collect();
    versions.sort();
    versions.reverse();
    places.extend(versions);
    places
        .into_iter()
        .find(|place| place.join("initdb").exists() && place.join("postgres").exists())
}

fn is_root() -> io::Result<bool> {
    let output = succeed(Command::new("id").arg("-u"))?;
    Ok(output.stdout.trim_ascii() == b"0")
}

/// One of the server's programs, as a user that it accepts.
fn command(programs: &Path, name: &str) -> io::Result<Command> {
    let program = programs.join(name);
    if is_root()? {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        Ok(command)
    } else {
        Ok(Command::new(program))
    }
}

fn succeed(command: &mut Command) -> io::Result<Output> {
    let output = command.output()?;
    if output.status.success() {
        Ok(output)
    } else {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(io::Error::other(format!("{command:?}: {said}")))
    }
}
