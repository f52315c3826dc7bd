//! The export of a great many finished trials, while other tasks are acknowledged.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::Figure;
use super::load::start;
use crate::fleet::Fleet;
use crate::process::{at_low_priority, memory_kb};
use crate::simulated::Measures;

/// How long the trials may take to finish.
const LONGEST: Duration = Duration::from_hours(1);

/// Workers and slots of each, while trials are made and while they are exported.
const WORKERS: usize = 100;
const SLOTS: u32 = 4;

/// How long a slot holds a task while trials are exported: a thousand
/// acknowledgements a second.
const HOLD: Duration = Duration::from_millis(400);

/// Limits of an export.
#[derive(Debug, Clone, Copy)]
pub struct Export {
    /// Finished trials.
    pub trials: u64,
    /// Longest export, in seconds.
    pub seconds: f64,
    /// Most memory of the coordinator beyond what it had, and of the client, in MB.
    pub megabytes: f64,
    /// Longest wait of 99.9 % of the acknowledgements meanwhile, in milliseconds.
    pub latency_ms: f64,
}

/// Makes the trials in `home`, with synthetic results, and exports them.
pub async fn run(export: Export, home: &Path) -> anyhow::Result<Vec<Figure>> {
    let mut fleet = Fleet::local(home, 0)?;
    fleet.serve()?;
    let id = fleet
        .coordinator
        .id()
        .context("the coordinator has ended")?;
    let trials = export.trials;
    fleet.submit(&format!(
        "version: 1
name: trials
space: nasbench201
benchmark: {{builtin: nasbench201-digits}}
search:
  datasets: [digits]
  budget: {{queries: 10}}
  seeds: 1..{trials}
  methods: [{{name: random}}]
"
    ))?;
    let measures = Arc::new(Measures::default());
    let begun = Instant::now();
    start(&fleet, WORKERS, SLOTS, Duration::ZERO, &measures).await?;
    while !tokio::task::block_in_place(|| fleet.standing("trials"))?.is_finished() {
        let ended = measures.ended();
        ensure!(
            begun.elapsed() < LONGEST && ended.is_empty(),
            "the trials do not finish; workers that ended: {ended:?}"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let made = begun.elapsed().as_secs_f64();
    measures.stop();

    fleet.submit("version: 1\nname: meanwhile\nspace: nasbench201\nnoop: {tasks: 1000000}\n")?;
    let measures = Arc::new(Measures::default());
    start(&fleet, WORKERS, SLOTS, HOLD, &measures).await?;
    let before_kb = memory_kb(id, "VmRSS:")?;
    // Elsewhere the client has a machine of its own: its files do not stand before the
    // journal's on the way to the disk, nor its work before the coordinator's.
    let memory = Path::new("/dev/shm");
    let out = if memory.is_dir() {
        tempfile::tempdir_in(memory)?
    } else {
        tempfile::tempdir_in(home)?
    };
    let place = out.path().display().to_string();
    let ask = fleet.ask(&["export", "trials", "--out", &place]);
    let mut command = at_low_priority(&ask);
    let exported = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(home.join("export.log"))?)
        .spawn()?;
    let (mut client_kb, mut coordinator_kb) = (0f64, 0f64);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // One that has just ended has no memory any more.
        client_kb = client_kb.max(memory_kb(child.id(), "VmHWM:").unwrap_or_default());
        coordinator_kb = coordinator_kb.max(memory_kb(id, "VmRSS:")?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let seconds = exported.elapsed().as_secs_f64();
    measures.stop();
    let said = std::fs::read_to_string(home.join("export.log"))?;
    ensure!(status.success(), "the export failed: {said}");
    let ended = measures.ended();
    ensure!(ended.is_empty(), "workers that ended: {ended:?}");
    Ok(vec![
        Figure::new(format!("{trials} trials finished"), made, "s"),
        Figure::new("all exported", seconds, "s").at_most(export.seconds),
        Figure::new("client, resident at most", client_kb / 1e3, "MB").at_most(export.megabytes),
        Figure::new(
            "coordinator, grown meanwhile",
            (coordinator_kb - before_kb) / 1e3,
            "MB",
        )
        .at_most(export.megabytes),
        Figure::new(
            "acknowledgements meanwhile",
            measures.acknowledged() as f64,
            "",
        ),
        Figure::new(
            "acknowledgement meanwhile, median",
            measures.quantile(0.5),
            "ms",
        ),
        Figure::new(
            "acknowledgement meanwhile, 99.9 %",
            measures.quantile(0.999),
            "ms",
        ),
        Figure::new(
            "acknowledgement meanwhile, latest",
            measures.quantile(1.0),
            "ms",
        )
        .at_most(export.latency_ms),
    ])
}
