//! `reprise journal` and what a coordinator says of a journal that is lost.

use std::fs;
use std::path::{Path, PathBuf};

use futures::TryStreamExt as _;
use reprise_coordinator::client::Client;
use reprise_coordinator::instance::{Config, Instance, InstanceError};
use reprise_coordinator::store::postgres::PostgresStore;
use reprise_coordinator::store::sqlite::SqliteStore;
use reprise_coordinator::store::{Batch, Pace, Snapshot, Store, StoredResult};
use reprise_core::Timestamp;
use reprise_core::lifecycle::{Action, Actor, AttemptEnd, Core, Event, Input, Settings, Step};
use reprise_core::plan::{plan, study_digest};
use reprise_domain::{Capability, Seconds, TaskResult, Usage, Uuid, WorkerId};
use reprise_proto::convert;
use reprise_tests::postgres::PrivateServer;
use sqlx::Connection as _;

use crate::assert_wrong_input;
use crate::stand::{Ended, run_in, stop};

const STUDY: &str = "version: 1\nname: kept\nspace: nasbench201\nnoop: {tasks: 3}\n";

/// Puts a study of three finished tasks into a store; the state.
async fn fill(store: &impl Store) -> anyhow::Result<Core> {
    let (worker, now) = (WorkerId(Uuid::from_u128(1)), Timestamp(1));
    let capability = Capability {
        slots: 3,
        host: "here".to_owned(),
        ..Capability::default()
    };
    let record = convert::to_json(&capability);
    let provenance = reprise_data::digest(&record);
    let spec = reprise_study::parse("kept.yaml", STUDY)?.resolve(None)?;
    let plan = plan(&spec, &|_| Vec::new())?;
    let mut core = Core::new(Settings::default());
    let mut batch = Batch {
        at: now,
        provenance: vec![(provenance, String::from_utf8(record)?)],
        ..Batch::default()
    };
    let mut started = Vec::new();
    let mut note = |batch: &mut Batch, step: Step| {
        batch.events.extend(step.events);
        for action in step.actions {
            if let Action::Start { attempts, .. } = action {
                started.extend(attempts);
            }
        }
    };
    let submit = Input::Submit {
        digest: study_digest(&spec),
        spec,
        plan,
        amend: false,
        by: Actor::Admin,
    };
    let hello = Input::Hello {
        worker,
        capability,
        holding: Vec::new(),
        again: false,
    };
    for input in [submit, hello] {
        note(&mut batch, core.handle(input, now)?);
    }
    note(&mut batch, core.schedule(now));
    store.commit(&batch).await?;
    for attempt in started {
        let end = AttemptEnd::Finished {
            result: reprise_data::digest(&convert::to_json(&TaskResult::Noop)),
            seconds: Seconds::ZERO,
        };
        let report = Input::Report {
            worker,
            attempt,
            end,
        };
        let stored = StoredResult {
            result: TaskResult::Noop,
            usage: Usage::default(),
            host: "here".to_owned(),
            attempt: attempt.number,
            worker: Some(worker),
            started_ms: 1,
            ended_ms: 2,
            provenance: Some(provenance),
        };
        let finished = Batch {
            at: now,
            events: core.handle(report, now)?.events,
            results: vec![(attempt.task, stored)],
            ..Batch::default()
        };
        store.commit(&finished).await?;
    }
    Ok(core)
}

/// A directory with a state directory `state` in it.
struct Home(tempfile::TempDir);

impl Home {
    async fn new() -> anyhow::Result<Self> {
        let home = Self(tempfile::tempdir()?);
        fs::create_dir(home.path("state"))?;
        let store = SqliteStore::open(&home.journal()).await?;
        let core = fill(&store).await?;
        store
            .keep_snapshot(
                &Snapshot {
                    through: store.reader().newest().await?,
                    state: core.snapshot(),
                },
                Pace::AtOnce,
            )
            .await?;
        store.close().await?;
        // Whole without its log.
        execute(&home.journal(), "PRAGMA wal_checkpoint(TRUNCATE)").await?;
        Ok(home)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn journal(&self) -> PathBuf {
        self.path("state/journal.sqlite")
    }

    fn run(&self, arguments: &[&str]) -> std::io::Result<Ended> {
        run_in(self.0.path(), arguments, &[])
    }
}

/// Runs statements on a journal behind the coordinator's back.
async fn execute(journal: &Path, statements: &str) -> anyhow::Result<()> {
    let url = format!("sqlite://{}", journal.display());
    let mut database = sqlx::SqliteConnection::connect(&url).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()))
        .execute(&mut database)
        .await?;
    Ok(database.close().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_what_is_not_what_was_written() {
    let home = Home::new().await.unwrap();
    let check = || home.run(&["journal", "check", "--state", "state"]).unwrap();
    let whole = check();
    assert_eq!(whole.code, Some(0), "{} {}", whole.data, whole.said);
    assert!(whole.said.contains("4 records and 3 stored results"));
    let copy = fs::read(home.journal()).unwrap();
    let first = "task = (SELECT MIN(task) FROM result)";
    for (damage, expected) in [
        (format!("DELETE FROM result WHERE {first}"), "is missing"),
        (
            format!("UPDATE result SET result = replace(result, 'here', 'hare') WHERE {first}"),
            "its checksum does not match",
        ),
        (
            format!(
                "UPDATE result SET sum = NULL, result = replace(result, '\"kind\":\"noop\"', \
                 '\"kind\":\"evaluate\",\"validation\":0.5,\"test\":0.5,\"parameters\":1,\
                 \"flops\":1') WHERE {first}"
            ),
            "but the task finished with",
        ),
        (
            "INSERT INTO result SELECT zeroblob(32), result, NULL FROM result LIMIT 1".to_owned(),
            "is of no finished task",
        ),
        (
            "DELETE FROM provenance".to_owned(),
            "was made with is missing",
        ),
        (
            "UPDATE provenance SET record = replace(record, 'here', 'hare')".to_owned(),
            "were made with, in the journal",
        ),
        (
            "DELETE FROM journal WHERE sequence = 2".to_owned(),
            "records 2 to 2",
        ),
        (
            "UPDATE journal SET at_ms = 7 WHERE sequence = 3".to_owned(),
            "record 3",
        ),
        (
            "UPDATE snapshot_chunk SET state = zeroblob(length(state))".to_owned(),
            "snapshot",
        ),
        (
            "ALTER TABLE result RENAME TO away".to_owned(),
            "no table `result`",
        ),
    ] {
        execute(&home.journal(), &damage).await.unwrap();
        let found = check();
        let all = format!("{}{}", found.data, found.said);
        assert_eq!(found.code, Some(1), "{damage}: {all}");
        assert!(all.contains(expected), "{damage}: {all}");
        fs::write(home.journal(), &copy).unwrap();
    }
    assert_eq!(check().code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_whole_journals_are_backed_up_and_restored() {
    let home = Home::new().await.unwrap();
    let back_up = |file| {
        home.run(&["journal", "backup", file, "--state", "state"])
            .unwrap()
    };
    // What a backup left that was interrupted.
    fs::write(home.path("good.partial"), "half").unwrap();
    let done = back_up("good");
    assert_eq!(done.code, Some(0), "{}", done.said);
    assert!(!home.path("good.partial").exists());
    assert_wrong_input(&back_up("good"), "does not replace another file");
    let damage = "UPDATE result SET result = replace(result, 'here', 'hare')";
    execute(&home.journal(), damage).await.unwrap();
    let refused = back_up("bad");
    assert_eq!(refused.code, Some(1), "{}", refused.said);
    assert!(
        refused.said.contains("damaged in 3 places"),
        "{}",
        refused.said
    );
    assert!(!home.path("bad").exists() && !home.path("bad.partial").exists());

    let restore = |file| {
        home.run(&["journal", "restore", file, "--state", "elsewhere"])
            .unwrap()
    };
    let good = fs::read(home.path("good")).unwrap();
    fs::write(home.path("torn"), &good[..good.len() / 2]).unwrap();
    fs::write(home.path("empty"), "").unwrap();
    for file in ["torn", "empty", "state/journal.sqlite"] {
        let refused = restore(file);
        assert_eq!(refused.code, Some(1), "{file}: {}", refused.said);
        let expected = format!("`{file}` is not a complete backup");
        assert!(refused.said.contains(&expected), "{}", refused.said);
        assert!(!home.path("elsewhere/journal.sqlite").exists());
    }
    assert_wrong_input(&restore("none"), "there is no backup `none`");
    let restored = restore("good");
    assert_eq!(restored.code, Some(0), "{}", restored.said);
    assert_wrong_input(&restore("good"), "move it away first");
    let checked = home
        .run(&["journal", "check", "--state", "elsewhere"])
        .unwrap();
    // The restore itself is the fifth.
    assert!(checked.said.starts_with("5 records"), "{}", checked.said);
}

/// A journal of a study in the form of the first format.
const TO_FORMAT_1: &str = "
    ALTER TABLE journal DROP COLUMN sum;
    UPDATE result SET result = json_remove(result, '$.provenance');
    ALTER TABLE result DROP COLUMN sum;
    DROP TABLE provenance;
    DROP TABLE snapshot_head;
    DROP TABLE snapshot_chunk;
    DROP TABLE compaction;
    PRAGMA user_version = 1;
    VACUUM;";

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_the_first_format_is_checked_where_it_is_copied() {
    let home = Home::new().await.unwrap();
    execute(&home.journal(), TO_FORMAT_1).await.unwrap();
    let journal = |command, file| {
        let state = if command == "backup" {
            "state"
        } else {
            "elsewhere"
        };
        home.run(&["journal", command, file, "--state", state])
            .unwrap()
    };
    let done = journal("backup", "good");
    assert_eq!(done.code, Some(0), "{}", done.said);
    let restored = journal("restore", "good");
    assert_eq!(restored.code, Some(0), "{}", restored.said);
    fs::remove_dir_all(home.path("elsewhere")).unwrap();

    let damage = "DELETE FROM result WHERE task = (SELECT MIN(task) FROM result)";
    execute(&home.journal(), damage).await.unwrap();
    let refused = journal("backup", "bad");
    assert_eq!(refused.code, Some(1), "{}", refused.said);
    assert!(refused.said.contains("is missing"), "{}", refused.said);
    let left = |name: &str| home.path(name).exists();
    assert!(!left("bad") && !left("bad.partial") && !left("bad.partial.upgraded"));
    execute(&home.path("good"), damage).await.unwrap();
    let refused = journal("restore", "good");
    assert_eq!(refused.code, Some(1), "{}", refused.said);
    let expected = "`good` is not a complete backup";
    assert!(refused.said.contains(expected), "{}", refused.said);
    assert!(!left("elsewhere/journal.sqlite"));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_backup_report_that_the_newest_part_is_missing() {
    let home = Home::new().await.unwrap();
    let copy = fs::read(home.journal()).unwrap();
    let store = SqliteStore::open(&home.journal()).await.unwrap();
    for at in [Timestamp(5), Timestamp(6)] {
        let batch = Batch {
            at,
            events: vec![Event::restored(at)],
            ..Batch::default()
        };
        store.commit(&batch).await.unwrap();
    }
    store.close().await.unwrap();
    fs::write(home.journal(), copy).unwrap();
    let check = || home.run(&["journal", "check", "--state", "state"]).unwrap();
    let back_up = || {
        home.run(&["journal", "backup", "copy", "--state", "state"])
            .unwrap()
    };
    for ended in [check(), back_up()] {
        let all = format!("{}{}", ended.data, ended.said);
        assert_eq!(ended.code, Some(1), "{all}");
        assert!(all.contains("5 to 6, are missing"), "{all}");
    }
    assert!(!home.path("copy").exists());
    // Once a coordinator has noted it, what there is is all that is to be had.
    let config = Config::local(&home.path("state"));
    stop(Instance::start(config).await.unwrap()).await.unwrap();
    for ended in [check(), back_up()] {
        assert_eq!(ended.code, Some(0), "{}{}", ended.data, ended.said);
    }
}

/// The log that held its newest records was removed, or a copy was put back by hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_whose_newest_part_is_lost_is_noted_as_restored() {
    let home = Home::new().await.unwrap();
    let copy = fs::read(home.journal()).unwrap();
    let start = |state| Instance::start(Config::local(&home.path(state)));
    let instance = start("state").await.unwrap();
    let client = Client::connect(&instance.url(), None).await;
    let name = "kept".parse().unwrap();
    client.unwrap().delete(&name).await.unwrap();
    stop(instance).await.unwrap();

    // Elsewhere, since this process may still be closing its files.
    fs::create_dir(home.path("again")).unwrap();
    fs::write(home.path("again/journal.sqlite"), copy).unwrap();
    let mark = "journal.sqlite-newest";
    fs::copy(home.path("state").join(mark), home.path("again").join(mark)).unwrap();
    for _ in 0..2 {
        let instance = start("again").await.unwrap();
        let client = Client::connect(&instance.url(), None).await;
        let events = client.unwrap().events(100, false).await.unwrap();
        let events: Vec<_> = events.try_collect().await.unwrap();
        let restored = events.iter().filter(|event| event.kind == "restored");
        assert_eq!(restored.count(), 1, "once");
        stop(instance).await.unwrap();
    }
}

#[test]
fn a_state_without_a_journal_is_wrong_input() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| run_in(home.path(), arguments, &[]).unwrap();
    for command in ["check", "compact"] {
        let ended = run(&["journal", command, "--state", "none"]);
        assert_wrong_input(&ended, "there is no journal");
    }
    assert_wrong_input(&run(&["gc", "--state", "none"]), "there is no journal");
    assert_wrong_input(&run(&["gc", "--artifacts", "none"]), "--state");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_its_own_tools_restored_is_told_of_it() {
    let Some(server) = PrivateServer::start().unwrap() else {
        return;
    };
    let note = || {
        let arguments = ["journal", "note-restored", "--database", &server.url()];
        run_in(&std::env::temp_dir(), &arguments, &[]).unwrap()
    };
    assert_wrong_input(&note(), "holds no journal");
    let store = PostgresStore::lead(&server.url(), || ()).await.unwrap();
    fill(&store).await.unwrap();
    let used = note();
    assert_eq!(used.code, Some(1), "{}", used.said);
    assert!(used.said.contains("a coordinator uses"), "{}", used.said);
    drop(store);
    // The server needs a moment to see that.
    let store = PostgresStore::lead(&server.url(), || ()).await.unwrap();
    drop(store);
    let mut noted = note();
    while noted.said.contains("a coordinator uses") {
        noted = note();
    }
    assert_eq!(noted.code, Some(0), "{}", noted.said);
    let newest = "SELECT events FROM reprise_journal ORDER BY sequence DESC LIMIT 1";
    let newest = server.execute(newest).unwrap();
    assert!(
        newest.contains(r#"[{"event":"restored","floor":"#),
        "{newest}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_a_journal_beside_artifacts_is_refused() {
    let Some(server) = PrivateServer::start().unwrap() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let artifacts = home.path().join("artifacts");
    let config = || Config {
        database: Some(server.url()),
        artifacts: Some(artifacts.display().to_string()),
        ..Config::local(&home.path().join("state"))
    };
    let digest = reprise_data::digest(b"an embedding");
    let instance = Instance::start(config()).await.unwrap();
    let mut client = Client::connect(&instance.url(), None).await.unwrap();
    client.put_artifact(digest, b"an embedding").await.unwrap();
    let spec = reprise_study::parse("kept.yaml", STUDY).unwrap();
    client
        .submit(&spec.resolve(None).unwrap(), false)
        .await
        .unwrap();
    stop(instance).await.unwrap();

    // With its journal it goes on.
    let instance = Instance::start(config()).await.unwrap();
    stop(instance).await.unwrap();
    server
        .execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        .unwrap();
    let Err(error @ InstanceError::LostDatabase { .. }) = Instance::start(config()).await else {
        panic!("it begins anew without a word");
    };
    let said = error.to_string();
    assert!(said.contains(&artifacts.display().to_string()), "{said}");
    assert!(!error.keeps_results());
}
