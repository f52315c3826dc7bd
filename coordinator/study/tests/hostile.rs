//! Any text gives a study or a report: no panic, no long wait, no report that
//! is larger than a screen.

#![expect(
    clippy::disallowed_methods,
    reason = "a test measures how long it waits"
)]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use reprise_study::{MAX_BYTES, StudyFileErrors, parse};

/// Far above what any file takes, far below what a quadratic reading would.
const PATIENCE: Duration = Duration::from_secs(20);

fn check(text: &str) {
    let errors = parse("hostile.yaml", text).err();
    let errors = errors.iter().flat_map(StudyFileErrors::listed);
    for error in errors {
        let report = error.report();
        assert!(report.len() < 4000, "{report}");
        let printable = |character: char| character == '\n' || !character.is_control();
        assert!(report.chars().all(printable), "{report:?}");
        assert!(error.line() >= 1 && error.column() >= 1);
        assert!(error.line() <= text.split('\n').count() + 1, "{report}");
    }
}

const DEMO: &str = include_str!("../../../configs/demo.yaml");

proptest! {
    #[test]
    fn arbitrary_text_is_no_danger(text in "\\PC{0,200}") {
        check(&text);
    }

    #[test]
    fn arbitrary_yaml_is_no_danger(text in "[a-c0-9:\\-,\\[\\]{}&*!|>'\"%@#? \t\r\n]{0,120}") {
        check(&text);
    }

    #[test]
    fn a_damaged_study_is_no_danger(
        from in 0..DEMO.len(),
        length in 0_usize..20,
        insert in "[a-z0-9:\\-,\\[\\]{}&*!'\" \n]{0,8}",
    ) {
        let mut text: String = DEMO.to_owned();
        let end = (from + length).min(text.len());
        if text.is_char_boundary(from) && text.is_char_boundary(end) {
            text.replace_range(from..end, &insert);
            check(&text);
        }
    }

    #[test]
    fn any_value_of_a_key_is_no_danger(
        key in "seeds|budget|datasets|methods|name|batch|label",
        value in "-?[0-9.]{0,24}( ?[a-z]{1,3})?|'[^\\PC']{0,90}'|\\[[0-9,. ]{0,20}\\]",
    ) {
        check(&DEMO.replace(&format!("{key}: "), &format!("{key}: {value} #")));
    }
}

#[test]
fn a_file_that_is_too_long_is_not_read() {
    let text = format!("version: 1\n{}", "#".repeat(MAX_BYTES));
    let error = parse("long.yaml", &text).unwrap_err();
    assert!(
        error.to_string().contains("expected at most 1048576"),
        "{error}"
    );
}

#[test]
fn the_longest_files_are_read_in_bounded_time() {
    let head = "version: 1\nname: a\nspace: nasbench201\n";
    let room = MAX_BYTES - 2 * head.len();
    let many = |head: &str, part: &str| format!("{head}{}", part.repeat(room / part.len()));
    let keys = (0..70_000).fold(String::new(), |keys, key| keys + &format!("k{key}: 1\n"));
    let texts = [
        many("", "["),
        many("", "{a: "),
        many("", "- "),
        many("", "? "),
        many("", "&a "),
        many("noop: [", "[],"),
        many("noop: [", "a: b,") + "]",
        many("noop: \"", "a\n "),
        many("noop: |\n", " a\n"),
        many("%", "a"),
        many("name: ", "a"),
        many(head, "#\n"),
        many(
            &format!("{head}pretrain: [{{model: arch2vec, seeds: ["),
            "1,",
        ) + "]}]",
        format!("{head}{keys}"),
        format!("{head}quirks: {{{}}}", keys.replace('\n', ", ")),
    ];
    for text in texts {
        let start = Instant::now();
        check(&text);
        let taken = start.elapsed();
        assert!(taken < PATIENCE, "{taken:?} for {:?}", &text[..60]);
    }
}
