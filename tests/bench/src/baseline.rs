//! The plain PyTorch baseline: one Python process that measures what it is asked to,
//! in turns with this program.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// A running baseline. It ends with this value.
#[derive(Debug)]
pub(crate) struct Baseline {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Baseline {
    /// Starts it on a file of graphs, on this core alone.
    pub(crate) fn start(
        python: &Path,
        script: &Path,
        graphs: &Path,
        core: usize,
    ) -> anyhow::Result<Self> {
        let mut child = Command::new(python)
            .arg(script)
            .arg("--graphs")
            .arg(graphs)
            .args(["--core", &core.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start `{}`", python.display()))?;
        let requests = child.stdin.take().context("a piped input is there")?;
        let answers = child.stdout.take().context("a piped output is there")?;
        Ok(Self {
            child,
            requests,
            answers: BufReader::new(answers),
        })
    }

    /// Sends one request and waits for its answer.
    pub(crate) fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        writeln!(self.requests, "{request}").context("the baseline has ended")?;
        self.requests.flush()?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the baseline ended at `{request}`");
        }
        let answer: Value = serde_json::from_str(&line)
            .with_context(|| format!("the baseline answered `{}`", line.trim()))?;
        match answer.get("error") {
            Some(error) => bail!("the baseline failed at `{request}`: {error}"),
            None => Ok(answer),
        }
    }

    /// A number of an answer.
    pub(crate) fn number(&mut self, request: &Value, name: &str) -> anyhow::Result<f64> {
        let answer = self.ask(request)?;
        answer[name]
            .as_f64()
            .with_context(|| format!("the baseline's answer `{answer}` has no `{name}`"))
    }

    /// Units of work a second.
    pub(crate) fn rate(&mut self, request: &Value) -> anyhow::Result<f64> {
        let answer = self.ask(request)?;
        match (answer["work"].as_f64(), answer["seconds"].as_f64()) {
            (Some(work), Some(seconds)) => Ok(work / seconds),
            _ => bail!("the baseline's answer `{answer}` has no `work` and `seconds`"),
        }
    }
}

impl Drop for Baseline {
    fn drop(&mut self) {
        // It ends at the end of its input; what does not is not waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
