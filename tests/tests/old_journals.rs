//! Journals that earlier versions wrote are read: nothing of them runs again, and their
//! tables are the same. A fixture is named by the formats of the journal and of the
//! snapshot in it; its records were removed, so that only the snapshot tells.

use std::fs;
use std::path::Path;

use reprise_tests::{Site, said_by};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/journals");

fn check(fixture: &str) {
    let fixtures = Path::new(FIXTURES);
    let site = Site::new().unwrap();
    site.study(&fs::read_to_string(fixtures.join("study.yaml")).unwrap())
        .unwrap();
    let state = site.path().join(".reprise");
    fs::create_dir(&state).unwrap();
    fs::copy(fixtures.join(fixture), state.join("journal.sqlite")).unwrap();
    let end = site.run().output().unwrap();
    let said = said_by(&end);
    assert!(end.status.success(), "{fixture}: {said}");
    assert!(
        said.contains("5 of 5 tasks were finished already"),
        "{fixture}: {said}"
    );
    let table = fs::read_to_string(fixtures.join("table.csv")).unwrap();
    assert_eq!(site.out("table.csv").unwrap(), table, "{fixture}");
}

#[test]
fn a_journal_of_every_released_format_is_read() {
    check("journal-2-snapshot-3.sqlite");
}
