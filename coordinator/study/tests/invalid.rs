//! Every file in `tests/configs/invalid` is refused with exactly the report in
//! the `.txt` beside it. The reports are written for people: when one changes,
//! read it as the person who made the mistake would.

#![expect(
    clippy::disallowed_methods,
    reason = "a test reads the files that it checks"
)]

use std::fs;
use std::path::Path;

#[test]
fn invalid_files_are_refused_as_written_beside_them() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/configs/invalid");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            Path::new(name)
                .extension()
                .is_some_and(|kind| kind == "yaml")
        })
        .collect();
    names.sort();
    assert!(names.len() > 50, "the folder has lost files: {names:?}");
    let mut wrong = Vec::new();
    for name in names {
        let path = Path::new(folder).join(&name);
        let text = fs::read_to_string(&path).unwrap();
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
        let found = match reprise_study::parse(&name, &text) {
            Ok(_) => format!("{name} was read without a complaint\n"),
            Err(error) => format!("{}\n", error.report()),
        };
        if found != expected {
            wrong.push(format!(
                "--- {name}, expected\n{expected}--- found\n{found}"
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
