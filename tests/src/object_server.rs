//! An S3 server of a test's own: moto, which answers as S3 does over HTTP. It runs
//! from a virtual environment that the tests keep, so that nothing is installed
//! into the user's own Python.

use std::io;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use reprise_skip::{Lack, skip};

use crate::fleet::START;
use crate::process::wait_until;

/// The version that the tests were written with.
const MOTO: &str = "moto[server]==5.1.4";

/// A running server with one bucket.
#[derive(Debug)]
pub struct ObjectServer {
    port: u16,
    child: Child,
}

impl ObjectServer {
    /// Starts one with an empty `bucket`; `None`, and a recorded skip, where it
    /// cannot be installed.
    pub fn start(bucket: &str) -> io::Result<Option<Self>> {
        let Some(program) = program()? else {
            let reason = "there is no S3 server; it needs python3 with venv and the package";
            skip(Lack::Program, &format!("{reason} {MOTO}"))?;
            return Ok(None);
        };
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self { port, child };
        wait_until(START, "the S3 server makes a bucket", || {
            Ok(server
                .make(bucket)
                .is_ok_and(|answer| answer.contains(" 200 ")))
        })?;
        Ok(Some(server))
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn make(&self, bucket: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        write!(
            stream,
            "PUT /{bucket} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for ObjectServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `moto_server`, installed at the first use into the user's cache directory.
fn program() -> io::Result<Option<PathBuf>> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    let Some(cache) = cache else {
        return Ok(None);
    };
    let environment = cache.join("reprise").join("test-moto-5.1.4");
    let program = environment.join("bin/moto_server");
    if program.exists() {
        return Ok(Some(program));
    }
    let run = |command: &mut Command| -> io::Result<bool> {
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(quiet.status().is_ok_and(|status| status.success()))
    };
    let made = run(Command::new("python3")
        .args(["-m", "venv"])
        .arg(&environment))?
        && run(Command::new(environment.join("bin/pip")).args(["install", "--quiet", MOTO]))?;
    Ok((made && program.exists()).then_some(program))
}
