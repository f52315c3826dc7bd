//! A coordinator with a great many studies, and how long it takes to list them.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::Figure;
use crate::fleet::{Fleet, said};
use crate::process::memory_kb;

/// Clients that submit at once.
const CLIENTS: usize = 4;

/// Lists that are made; the fastest is told, without what else the machine does.
const LISTS: usize = 5;

/// Submits `studies` small ones in `home` and lists them, which may take `list_ms`.
pub fn run(studies: u64, list_ms: f64, home: &Path) -> anyhow::Result<Vec<Figure>> {
    let mut fleet = Fleet::local(home, 0)?;
    fleet.serve()?;
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let submit = |client: usize| -> anyhow::Result<()> {
        let file = format!("study-{client}.yaml");
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= studies {
                return Ok(());
            }
            let study = format!(
                "version: 1\nname: study-{number}\nspace: nasbench201\nnoop: {{tasks: 3}}\n"
            );
            fs::write(home.join(&file), study)?;
            said(fleet.ask(&["submit", &file]))?;
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| scope.spawn(move || submit(client)))
            .collect();
        clients
            .into_iter()
            .try_for_each(|client| match client.join() {
                Ok(ended) => ended,
                Err(_) => anyhow::bail!("a client panicked"),
            })
    })?;
    let submitted = begun.elapsed().as_secs_f64();
    let mut fastest = f64::INFINITY;
    for _ in 0..LISTS {
        let started = Instant::now();
        let listed = said(fleet.ask(&["list"]))?;
        fastest = fastest.min(started.elapsed().as_secs_f64() * 1e3);
        let found = listed
            .lines()
            .filter(|line| line.contains("study-"))
            .count();
        ensure!(found as u64 == studies, "{found} of {studies} are listed");
    }
    let id = fleet
        .coordinator
        .id()
        .context("the coordinator has ended")?;
    Ok(vec![
        Figure::new(format!("{studies} studies submitted"), submitted, "s"),
        Figure::new("`reprise list`, from its start to its end", fastest, "ms").at_most(list_ms),
        Figure::new(
            "coordinator, resident at most",
            memory_kb(id, "VmHWM:")? / 1e3,
            "MB",
        ),
    ])
}
