//! The journal of a coordinator at work is shortened under it, and gives the same state
//! to its successor.

use std::collections::BTreeSet;
use std::sync::Arc;

use reprise_coordinator::instance::Config;
use reprise_coordinator::store::check::check;
use reprise_coordinator::store::postgres::PostgresReader;
use reprise_coordinator::store::sqlite::SqliteReader;
use reprise_coordinator::store::{Reader, Sequence, StoreError};
use reprise_domain::StudyName;
use reprise_domain::record::{TaskFilter, TaskStateKind};
use reprise_tests::postgres::PrivateServer;

use crate::stand::{Stand, in_time, noops};
use crate::until;

/// More than are run before the journal was shortened often enough.
const TASKS: u32 = 20_000;

/// How often the journal is to be shortened.
const TIMES: usize = 3;

fn short(config: Config) -> Config {
    Config {
        longest_tail: 4_000,
        ..config
    }
}

/// The first record that is left.
async fn first(reader: &dyn Reader) -> anyhow::Result<Sequence> {
    match reader.replay(0, &mut |_, _, _| ()).await {
        Ok(_) => Ok(1),
        Err(StoreError::Gap { to, .. }) => Ok(to + 1),
        Err(error) => Err(error.into()),
    }
}

/// The finished tasks of a study.
async fn finished(stand: &mut Stand, study: &StudyName) -> anyhow::Result<BTreeSet<String>> {
    let filter = TaskFilter {
        states: vec![TaskStateKind::Finished],
        ..TaskFilter::default()
    };
    let (mut found, mut token) = (BTreeSet::new(), None);
    loop {
        let page = stand.client.tasks(study, &filter, token).await?;
        found.extend(page.entries.iter().map(|task| task.key.to_string()));
        token = page.next;
        if token.is_none() {
            return Ok(found);
        }
    }
}

/// Works at a study while the journal shrinks, and goes on after a restart.
async fn shrinks(mut stand: Stand, config: Config, reader: Arc<dyn Reader>) -> anyhow::Result<()> {
    let spec = noops("long", TASKS)?;
    let study = &spec.name;
    stand.client.submit(&spec, false).await?;
    let mut worker = stand.worker(1).await?;
    let (mut done, mut starts) = (0_u64, BTreeSet::from([first(reader.as_ref()).await?]));
    in_time(async {
        while starts.len() <= TIMES {
            let attempt = worker.next().await?;
            worker.finish(attempt).await?;
            done += 1;
            starts.insert(first(reader.as_ref()).await?);
        }
        anyhow::Ok(())
    })
    .await??;
    until(&mut stand, study, |status| {
        status.study.tasks.finished == done
    })
    .await?;
    let newest = reader.newest().await?;
    let start = first(reader.as_ref()).await?;
    anyhow::ensure!(start > 1 && newest >= start, "{start} to {newest}");
    let before = finished(&mut stand, study).await?;
    assert_eq!(before.len() as u64, done);
    let state = stand.stop().await?;
    let found = check(reader.as_ref()).await?;
    assert_eq!(found.faults, [""; 0]);
    assert_eq!(found.results, done);

    let mut stand = Stand::begin(state, config).await?;
    assert_eq!(finished(&mut stand, study).await?, before);
    let mut worker = stand.worker(1).await?;
    for _ in 0..10 {
        let attempt = worker.next().await?;
        worker.finish(attempt).await?;
    }
    until(&mut stand, study, |status| {
        status.study.tasks.finished == done + 10
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_shrinks_while_commits_go_on() {
    let state = tempfile::tempdir().unwrap();
    let config = || short(Config::local(state.path()));
    let (journal, again) = (state.path().join("journal.sqlite"), config());
    let config = config();
    let stand = Stand::begin(state, config).await.unwrap();
    let reader = SqliteReader::open(&journal).await.unwrap();
    shrinks(stand, again, Arc::new(reader)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_shrinks_while_commits_go_on() {
    let Some(server) = PrivateServer::start().unwrap() else {
        return;
    };
    let state = tempfile::tempdir().unwrap();
    let local = || Config::local(state.path());
    let [config, again] = [local(), local()].map(|local| {
        short(Config {
            database: Some(server.url()),
            ..local
        })
    });
    let stand = Stand::begin(state, config).await.unwrap();
    let reader = PostgresReader::open(&server.url()).await.unwrap();
    shrinks(stand, again, Arc::new(reader)).await.unwrap();
}
