//! The coordinator's journal as a second reader sees it: SQL and JSON, none of
//! the coordinator's own code, so that a mistake there is not made here too.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Row as _, SqliteConnection};

/// Clock changes between two records from which on it is a jump, not a wait.
const JUMP_MS: i64 = 60_000;

/// What a journal tells about its tasks.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    /// Tasks that were planned by name or given to a worker, by key.
    pub tasks: BTreeMap<String, Task>,
    /// Tasks of all plans that do not name each of them.
    pub planned: usize,
    /// How often each kind of event was recorded; events that name several
    /// attempts count as many.
    pub events: BTreeMap<String, usize>,
    /// Jumps of the clock between two records.
    pub jumps: usize,
    /// Mistakes that were found while reading.
    mistakes: Vec<String>,
}

/// One task of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Task {
    /// Attempts that a worker was given.
    pub attempts: usize,
    /// The largest number of an attempt.
    pub newest: usize,
    /// Digests of the results that finished it: one, if all is well.
    pub finished: Vec<String>,
    /// The stored result as JSON.
    pub result: Option<String>,
}

/// Reads the journal of a coordinator that does not run.
pub fn read(path: &Path) -> anyhow::Result<Journal> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(load(path))
        .with_context(|| format!("read the journal `{}`", path.display()))
}

/// How many results a journal holds now, which a coordinator may be writing to.
pub fn stored_results(path: &Path) -> anyhow::Result<usize> {
    Ok(number(path, "SELECT COUNT(*) FROM result")? as usize)
}

/// The number of the newest record of a journal, which a coordinator may be writing to.
pub fn newest(path: &Path) -> anyhow::Result<i64> {
    number(path, "SELECT COALESCE(MAX(sequence), 0) FROM journal")
}

fn number(path: &Path, question: &'static str) -> anyhow::Result<i64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let number = runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let mut database = SqliteConnection::connect_with(&options).await?;
        let number = sqlx::query_scalar(question)
            .fetch_one(&mut database)
            .await?;
        database.close().await?;
        Ok::<_, sqlx::Error>(number)
    })?;
    Ok(number)
}

/// Puts what is in the write-ahead log of a journal that nobody has open into its file.
pub fn merge_log(path: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(path);
        let mut database = SqliteConnection::connect_with(&options).await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut database)
            .await?;
        database.close().await
    })?;
    Ok(())
}

async fn load(path: &Path) -> anyhow::Result<Journal> {
    let options = SqliteConnectOptions::new().filename(path);
    let mut database = SqliteConnection::connect_with(&options).await?;
    let mut journal = Journal::default();
    let check: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&mut database)
        .await?;
    if check != "ok" {
        journal.mistakes.push(format!("SQLite finds: {check}"));
    }
    let records = sqlx::query("SELECT at_ms, events FROM journal ORDER BY sequence")
        .fetch_all(&mut database)
        .await?;
    let mut before = None;
    for record in records {
        let at: i64 = record.try_get(0)?;
        let text: String = record.try_get(1)?;
        let events: Vec<Value> = serde_json::from_str(&text).context("a record")?;
        events.iter().try_for_each(|event| journal.take(event))?;
        let jumped = before.is_some_and(|before: i64| (at - before).abs() >= JUMP_MS);
        journal.jumps += usize::from(jumped);
        before = Some(at);
    }
    let results = sqlx::query("SELECT lower(hex(task)), result FROM result")
        .fetch_all(&mut database)
        .await?;
    for row in results {
        let (key, text): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let stored: Value = serde_json::from_str(&text).context("a result")?;
        match journal.tasks.get_mut(&key) {
            Some(task) => task.result = Some(stored["result"].to_string()),
            None => journal
                .mistakes
                .push(format!("a result of the unplanned task {key}")),
        }
    }
    Ok(journal)
}

impl Journal {
    /// Everything that is wrong: a task without a result, or with two, or with
    /// another result than the `baseline` has.
    pub fn mistakes(&self, baseline: Option<&Self>) -> Vec<String> {
        let mut found = self.mistakes.clone();
        if self.tasks.is_empty() {
            found.push("no task was planned".to_owned());
        }
        if self.planned > self.tasks.len() {
            let (planned, known) = (self.planned, self.tasks.len());
            found.push(format!(
                "of {planned} planned tasks only {known} were begun"
            ));
        }
        for (key, task) in &self.tasks {
            match task.finished.len() {
                1 => {}
                0 => found.push(format!("task {key} was lost")),
                times => found.push(format!("task {key} finished {times} times")),
            }
            if task.result.is_none() {
                found.push(format!("task {key} has no result"));
            }
        }
        for kind in ["disputed", "quarantined"] {
            if let Some(times) = self.events.get(kind) {
                found.push(format!("{times} attempts were {kind}"));
            }
        }
        if let Some(baseline) = baseline {
            if !self.tasks.keys().eq(baseline.tasks.keys()) {
                found.push("the tasks are not those of the undisturbed run".to_owned());
            }
            for (key, expected) in &baseline.tasks {
                let own = self.tasks.get(key);
                if own.is_some_and(|own| {
                    own.result != expected.result
                        || own.finished.first() != expected.finished.first()
                }) {
                    found.push(format!("task {key} has another result than undisturbed"));
                }
            }
        }
        found
    }

    /// Attempts of all tasks.
    pub fn attempts(&self) -> usize {
        self.tasks.values().map(|task| task.attempts).sum()
    }

    /// Tasks with a result.
    pub fn finished(&self) -> usize {
        let finished = self.tasks.values().filter(|task| task.result.is_some());
        finished.count()
    }

    /// How often an event was recorded.
    pub fn count(&self, event: &str) -> usize {
        self.events.get(event).copied().unwrap_or_default()
    }

    fn take(&mut self, event: &Value) -> anyhow::Result<()> {
        let kind = event["event"].as_str().context("an event has no name")?;
        match kind {
            "study-submitted" => {
                // A plan names its sweeps; the first journals name each task.
                let runs = event["plan"]["runs"].as_array();
                for run in runs.into_iter().flatten() {
                    self.planned += run["tasks"].as_u64().context("a run has no tasks")? as usize;
                }
                for planned in event["plan"].as_array().into_iter().flatten() {
                    let key = planned["key"].as_str().context("a task has no key")?;
                    self.tasks.entry(key.to_owned()).or_default();
                }
                self.note(kind, 1);
            }
            "leased" => {
                let attempts = list(event, "attempts");
                attempts
                    .iter()
                    .try_for_each(|attempt| self.begin(attempt))?;
                self.note(kind, attempts.len());
            }
            "doubled" => {
                self.begin(event["attempt"].as_str().context("nothing was doubled")?)?;
                self.note(kind, 1);
            }
            "finished" => {
                let attempt = event["attempt"].as_str().context("nothing has finished")?;
                let result = event["result"].as_str().context("a result has no digest")?;
                let task = self.tasks.entry(split(attempt)?.0).or_default();
                task.finished.push(result.to_owned());
                self.note(kind, 1);
            }
            "adopted" => {
                let attempts = list(event, "attempts");
                for attempt in &attempts {
                    self.keep(attempt)?;
                }
                self.note(kind, attempts.len());
            }
            "reopened" => {
                let tasks = list(event, "tasks");
                for task in &tasks {
                    // It finishes once more.
                    self.tasks
                        .entry((*task).to_owned())
                        .or_default()
                        .finished
                        .clear();
                }
                self.note(kind, tasks.len());
            }
            "lost" => {
                for (field, name) in [
                    ("counted", "lost"),
                    ("unbegun", "lost-unbegun"),
                    ("quarantined", "quarantined"),
                ] {
                    self.note(name, list(event, field).len());
                }
            }
            other => self.note(other, 1),
        }
        Ok(())
    }

    /// Attempts of a task are numbered from 1, and no number is given twice.
    fn begin(&mut self, attempt: &str) -> anyhow::Result<()> {
        let (key, number) = split(attempt)?;
        let task = self.tasks.entry(key).or_default();
        task.attempts += 1;
        if number <= task.newest {
            let mistake = format!("attempt {attempt} comes after number {}", task.newest);
            self.mistakes.push(mistake);
        }
        task.newest = task.newest.max(number);
        Ok(())
    }

    /// A worker may bring attempts that an older backup does not know.
    fn keep(&mut self, attempt: &str) -> anyhow::Result<()> {
        let (key, number) = split(attempt)?;
        let task = self.tasks.entry(key).or_default();
        task.newest = task.newest.max(number);
        Ok(())
    }

    fn note(&mut self, kind: &str, times: usize) {
        if times > 0 {
            *self.events.entry(kind.to_owned()).or_default() += times;
        }
    }
}

fn list<'a>(event: &'a Value, field: &str) -> Vec<&'a str> {
    let values = event[field].as_array().map_or(&[][..], Vec::as_slice);
    values.iter().filter_map(Value::as_str).collect()
}

/// `KEY@NUMBER` in its parts.
fn split(attempt: &str) -> anyhow::Result<(String, usize)> {
    let (key, number) = attempt
        .split_once('@')
        .with_context(|| format!("`{attempt}` is not an attempt"))?;
    Ok((key.to_owned(), number.parse()?))
}
