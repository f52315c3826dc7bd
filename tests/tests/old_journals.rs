//! Journals that earlier versions wrote are read: what had finished stays finished, and
//! what had not goes on. A fixture is named by the formats of the journal and of the
//! snapshot in it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reprise_domain::status::{StudyState, StudyStatus};
use reprise_tests::fleet::{Fleet, said};
use reprise_tests::journal::{self, Task};
use reprise_tests::{Site, program, said_by};
use sqlx::{Connection as _, SqliteConnection};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/journals");

const LIMIT: Duration = Duration::from_mins(2);

/// The journal of a finished study whose records were removed, so that only the snapshot
/// tells.
#[test]
fn a_compacted_journal_with_a_snapshot_of_format_3_gives_the_same_tables() {
    let fixture = "journal-2-snapshot-3.sqlite";
    let fixtures = Path::new(FIXTURES);
    let site = Site::new().unwrap();
    site.study(&fs::read_to_string(fixtures.join("study.yaml")).unwrap())
        .unwrap();
    let state = site.path().join(".reprise");
    fs::create_dir(&state).unwrap();
    fs::copy(fixtures.join(fixture), state.join("journal.sqlite")).unwrap();
    let end = site.run().output().unwrap();
    let said = said_by(&end);
    assert!(end.status.success(), "{said}");
    assert!(
        said.contains("5 of 5 tasks were finished already"),
        "{said}"
    );
    let table = fs::read_to_string(fixtures.join("table.csv")).unwrap();
    assert_eq!(site.out("table.csv").unwrap(), table);
}

/// Removes the snapshot of a journal, whatever its format.
fn forget_snapshot(journal: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let url = format!("sqlite://{}", journal.display());
        let mut database = SqliteConnection::connect(&url).await.unwrap();
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'snapshot%'",
        )
        .fetch_all(&mut database)
        .await
        .unwrap();
        let mut removed = 0;
        for table in tables {
            let statement = sqlx::AssertSqlSafe(format!("DELETE FROM {table}"));
            let done = sqlx::query(statement).execute(&mut database).await;
            removed += done.unwrap().rows_affected();
        }
        assert!(removed > 0, "there was no snapshot");
        database.close().await.unwrap();
    });
}

/// The finished tasks of a journal, with their attempts and results.
fn finished(journal: &Path) -> BTreeMap<String, Task> {
    let tasks = journal::read(journal).unwrap().tasks.into_iter();
    tasks.filter(|(_, task)| task.result.is_some()).collect()
}

/// The journal of an unfinished study `kept` of 14 tasks, 8 of them finished, which was
/// paused, resumed and amended, and of a cancelled study `other` of 20 tasks that has
/// those 14 among its own. All records are there.
fn goes_on(fixture: &str, by_snapshot: bool) {
    let home = tempfile::tempdir().unwrap();
    let mut fleet = Fleet::local(home.path(), 1).unwrap();
    let journal = fleet.journal();
    fs::create_dir(journal.parent().unwrap()).unwrap();
    fs::copy(Path::new(FIXTURES).join(fixture), &journal).unwrap();
    if !by_snapshot {
        forget_snapshot(&journal);
    }
    let before = finished(&journal);
    assert_eq!(before.len(), 8);

    fleet.serve().unwrap();
    let standing = |name| -> StudyStatus {
        let status = said(fleet.ask(&["status", name, "--output", "json"])).unwrap();
        serde_json::from_str(&status).unwrap()
    };
    for (name, state, planned) in [
        ("kept", StudyState::Running, 14),
        ("other", StudyState::Cancelled, 20),
    ] {
        let status = standing(name);
        assert_eq!(status.study.state, state, "{name}");
        let tasks = status.total();
        assert_eq!((tasks.planned, tasks.finished), (planned, 8), "{name}");
    }
    fleet.work().unwrap();
    fleet.finish("kept", LIMIT).unwrap();
    fleet.coordinator.kill().unwrap();

    let mut check = Command::new(program("reprise"));
    check.args(["journal", "check", "--state", "state"]);
    said(check.current_dir(home.path())).unwrap();
    let after = finished(&journal);
    assert_eq!(after.len(), 14);
    for (key, task) in before {
        assert_eq!(after[&key], task, "{key} ran again");
    }
}

#[test]
fn an_unfinished_journal_of_format_1_goes_on() {
    goes_on("journal-1-snapshot-2.sqlite", true);
}

#[test]
fn an_unfinished_journal_of_format_1_goes_on_by_its_records() {
    goes_on("journal-1-snapshot-2.sqlite", false);
}

#[test]
fn an_unfinished_journal_of_format_2_goes_on_by_each_snapshot() {
    for snapshot in [2, 4, 5] {
        goes_on(&format!("journal-2-snapshot-{snapshot}.sqlite"), true);
    }
}

#[test]
fn an_unfinished_journal_of_format_2_goes_on_by_its_records() {
    for snapshot in [2, 4, 5] {
        goes_on(&format!("journal-2-snapshot-{snapshot}.sqlite"), false);
    }
}
