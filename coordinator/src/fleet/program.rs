//! Runs an engine's programs with an argument list, without a shell, within a time
//! limit. Errors show the command line and what the program wrote.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::environment;

/// How long a program may take. Creating or deleting a group of machines is the
/// slowest thing that is asked for.
const TIME_LIMIT: Duration = Duration::from_mins(10);

/// How much of a program's complaint is shown.
const SHOWN_BYTES: usize = 2000;

/// Where programs are found.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    directory: Option<PathBuf>,
}

/// A program did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not there.
    #[error("`{program}` is not installed here; {hint}")]
    Missing {
        /// Which program.
        program: &'static str,
        /// Where it comes from.
        hint: &'static str,
    },
    /// It cannot be run.
    #[error("run `{program}`")]
    Run {
        /// Which program.
        program: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It complained.
    #[error("`{command}` ended with {status}: {said}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it wrote.
        said: String,
    },
    /// It did not end.
    #[error("`{command}` did not end within {} s", TIME_LIMIT.as_secs())]
    Slow {
        /// The command line.
        command: String,
    },
}

impl Programs {
    /// The programs on `PATH`.
    pub fn on_path() -> Self {
        Self::default()
    }

    /// The programs of one directory.
    pub fn of(directory: PathBuf) -> Self {
        Self {
            directory: Some(directory),
        }
    }

    /// Runs `program` with `input` and returns what it wrote to standard output.
    pub async fn run(
        &self,
        program: &'static str,
        arguments: &[String],
        input: &str,
    ) -> Result<String, ProgramError> {
        let path = self
            .directory
            .as_ref()
            .map_or_else(|| PathBuf::from(program), |path| path.join(program));
        let mut command = Command::new(path);
        command
            .args(arguments)
            // Answers are parsed, so they must not depend on the user's settings.
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the loop, which lets a submission under way be finished.
            .process_group(0)
            .kill_on_drop(true);
        for name in environment::names(|name| is_kept_back(program, name)) {
            command.env_remove(name);
        }
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => ProgramError::Missing {
                program,
                hint: hint(program),
            },
            _ => ProgramError::Run { program, source },
        };
        let mut child = command.spawn().map_err(failed)?;
        let stdin = child.stdin.take();
        let answer = async {
            if let Some(mut stdin) = stdin {
                match stdin.write_all(input.as_bytes()).await {
                    // It did not care for its input; its exit status tells why.
                    Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
                    _ => {}
                }
            }
            child.wait_with_output().await
        };
        let output = tokio::time::timeout(TIME_LIMIT, answer)
            .await
            .map_err(|_| ProgramError::Slow {
                command: shown(program, arguments),
            })?
            .map_err(failed)?;
        if !output.status.success() {
            return Err(ProgramError::Failed {
                command: shown(program, arguments),
                status: output.status,
                said: shorten(&String::from_utf8_lossy(&output.stderr)),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Whether an environment variable is not passed on to `program`.
///
/// `sbatch` hands its own environment to the job, so it gets only what the job may
/// have. `kubectl` and `gcloud` act for the user, with the user's own keys of the
/// cloud.
fn is_kept_back(program: &str, name: &OsStr) -> bool {
    match program {
        // Among those of `squeue` are filters that would hide jobs.
        "sbatch" | "scancel" | "squeue" => !environment::goes_with_a_job(name),
        _ => begins(name, "REPRISE_") || begins(name, "PG"),
    }
}

fn begins(name: &OsStr, prefix: &str) -> bool {
    name.to_string_lossy().starts_with(prefix)
}

fn hint(program: &str) -> &'static str {
    match program {
        "sbatch" | "squeue" | "scancel" => {
            "run this on a login node of the cluster, or install Slurm's client programs"
        }
        "kubectl" => "install it from https://kubernetes.io/docs/tasks/tools/",
        "gcloud" => "install it from https://cloud.google.com/sdk/docs/install",
        _ => "install it",
    }
}

fn shown(program: &str, arguments: &[String]) -> String {
    let mut line = program.to_owned();
    for argument in arguments {
        line.push(' ');
        line.push_str(argument);
    }
    line
}

fn shorten(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(SHOWN_BYTES) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(program: &'static str, arguments: &[&str], input: &str) -> Result<String, String> {
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        Programs::on_path()
            .run(program, &arguments, input)
            .await
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_program_is_given_what_it_needs_and_no_secret_of_this_one() {
        for (program, name, kept_back) in [
            ("squeue", "SQUEUE_STATES", true),
            ("squeue", "SLURM_CONF", false),
            ("sbatch", "REPRISE_CREDENTIAL", true),
            ("sbatch", "PGPASSWORD", true),
            ("sbatch", "AWS_SECRET_ACCESS_KEY", true),
            ("sbatch", "SOME_SITE_VARIABLE", true),
            ("sbatch", "SBATCH_PARTITION", false),
            ("sbatch", "LD_LIBRARY_PATH", false),
            ("kubectl", "REPRISE_CREDENTIAL", true),
            ("kubectl", "PGPASSWORD", true),
            ("kubectl", "KUBECONFIG", false),
            ("kubectl", "AWS_SECRET_ACCESS_KEY", false),
            ("gcloud", "CLOUDSDK_CONFIG", false),
        ] {
            let found = is_kept_back(program, OsStr::new(name));
            assert_eq!(found, kept_back, "{program} {name}");
        }
    }

    #[tokio::test]
    async fn arguments_reach_the_program_as_they_are() {
        let said = run("printf", &["%s", "a b; $HOME `id`"], "").await;
        assert_eq!(said.as_deref(), Ok("a b; $HOME `id`"));
        assert_eq!(run("cat", &[], "in").await.as_deref(), Ok("in"));
    }

    #[tokio::test]
    async fn failures_say_what_was_run_and_what_it_said() {
        let said = run("ls", &["/no/such/place"], "").await.unwrap_err();
        assert!(
            said.starts_with("`ls /no/such/place` ended with exit status: 2: "),
            "{said}"
        );
        let missing = Programs::of("/no/such/place".into());
        let said = missing
            .run("sbatch", &[], "")
            .await
            .unwrap_err()
            .to_string();
        assert!(
            said.contains("`sbatch` is not installed here; run this on a login node"),
            "{said}"
        );
    }
}
