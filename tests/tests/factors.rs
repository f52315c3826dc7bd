//! A question with a factor as one study: the example of the latent size, made small,
//! from `reprise plan` to the rows of every output.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use reprise_tests::{Site, program, said_by};
use serde_json::Value;

const EXAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../configs/examples/latent-size.yaml"
);

/// The example with fewer seeds, epochs and queries.
fn small() -> String {
    let mut text = fs::read_to_string(EXAMPLE).unwrap();
    for (from, to) in [
        ("seeds: 1..5, ", "seeds: 1..2, epochs: 1, "),
        ("[8, 16, 32]", "[4, 8]"),
        ("queries: 150", "queries: 20"),
        ("seeds: 1..30", "seeds: 1..3"),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text
}

fn reprise(site: &Path, arguments: &[&str]) -> Output {
    Command::new(program("reprise"))
        .args(arguments)
        .current_dir(site)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn plan(site: &Path) -> Value {
    let output = reprise(
        site,
        &["plan", "study.yaml", "--output", "json", "--price", "2"],
    );
    assert!(output.status.success(), "{}", said_by(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Rows of a CSV file as mappings from the columns' names.
fn rows(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = text.lines();
    let names: Vec<_> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| {
        let fields = line.split(',').map(str::to_owned);
        names.iter().map(ToString::to_string).zip(fields).collect()
    };
    lines.map(row).collect()
}

#[test]
fn a_latent_size_is_a_row_and_every_seed_meets_every_embedding() {
    let site = Site::new().unwrap();
    site.study(&small()).unwrap();

    let before = plan(site.path());
    let stages: Vec<_> = before["stages"].as_array().unwrap().iter().collect();
    let counts: Vec<_> = stages
        .iter()
        .map(|stage| {
            (
                stage["name"].as_str().unwrap(),
                stage["left"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        counts,
        [
            ("pretrain arch2vec latent=4", 2),
            ("pretrain arch2vec latent=8", 2),
            ("random on digits", 3),
            ("rl latent=4 on digits", 6),
            ("rl latent=8 on digits", 6),
        ]
    );
    assert_eq!(
        stages[2]["core_hours"],
        Value::Null,
        "random search has no rate"
    );
    assert_eq!(before["tasks_without_estimate"], 3);
    let hours = before["core_hours"].as_f64().unwrap();
    assert!(hours > 0.0 && (before["core_price"].as_f64().unwrap() - 2.0 * hours).abs() < 1e-12);
    assert!(
        !site.path().join(".reprise").exists(),
        "planning makes no state"
    );

    let output = site.finish().unwrap();
    assert!(output.status.success(), "{}", said_by(&output));

    let table = rows(&site.out("table.csv").unwrap());
    let found: Vec<_> = table
        .iter()
        .map(|row| {
            (
                row["method"].as_str(),
                row["latent"].as_str(),
                row["finished"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [("random", "", "3"), ("rl", "4", "6"), ("rl", "8", "6")]
    );
    let json: Value = serde_json::from_str(&site.out("table.json").unwrap()).unwrap();
    assert_eq!(json["rows"][1]["latent"], 4);
    assert_eq!(
        json["rows"][0]["missing"]["latent"],
        "not a factor of the method"
    );
    assert!(
        site.out("table.tex")
            .unwrap()
            .contains("method & latent & ")
    );
    let pretrained = rows(&site.out("pretrain.csv").unwrap());
    let found: Vec<_> = pretrained
        .iter()
        .map(|row| (row["latent"].as_str(), row["seed"].as_str()))
        .collect();
    let mean = "mean of 2 seeds";
    let expected = [
        ("4", "1"),
        ("4", "2"),
        ("4", mean),
        ("8", "1"),
        ("8", "2"),
        ("8", mean),
    ];
    assert_eq!(found, expected);

    let results: Value = serde_json::from_str(&site.out("results.json").unwrap()).unwrap();
    for set in results["sets"].as_array().unwrap() {
        let runs = set["runs"].as_array().unwrap();
        let seeds: BTreeSet<_> = runs
            .iter()
            .map(|run| (run["seed"].as_u64(), run["pretrain_seed"].as_u64()))
            .collect();
        let expected: BTreeSet<_> = match set["method"].as_str().unwrap() {
            "random" => (1..=3).map(|seed| (Some(seed), None)).collect(),
            _ => (1..=3)
                .flat_map(|seed| [1, 2].map(|embedding| (Some(seed), Some(embedding))))
                .collect(),
        };
        assert_eq!(seeds, expected, "{}", set["factors"]);
        assert_eq!(runs.len(), expected.len());
    }
    assert_eq!(
        results["sets"][2]["factors"],
        serde_json::json!({"latent": 8})
    );

    let after = plan(site.path());
    assert_eq!(
        (&after["cached"], &after["left"]),
        (&after["tasks"], &Value::from(0))
    );
    assert_eq!(after["core_hours"], 0.0);
    // More seeds of the same settings take what the finished ones took.
    site.study(&small().replace("seeds: 1..3", "seeds: 1..5"))
        .unwrap();
    let more = plan(site.path());
    let random = &more["stages"][2];
    assert_eq!(
        (&random["cached"], &random["left"]),
        (&Value::from(3), &Value::from(2))
    );
    assert_eq!(
        (&random["source"], &random["measured_tasks"]),
        (&Value::from("measured"), &Value::from(3))
    );
    assert_eq!(more["tasks_without_estimate"], 0);
}

#[test]
fn all_mistakes_of_a_study_file_are_shown_and_end_with_the_code_of_wrong_input() {
    let site = Site::new().unwrap();
    let wrong = small()
        .replace("latent: [4, 8]", "latent: [4, 800], hiden: 64")
        .replace("queries: 20", "queries: many")
        .replace("label: rl", "label: rl, episode: 0");
    site.study(&wrong).unwrap();
    for command in [&["plan", "study.yaml"][..], &["run", "study.yaml"]] {
        let output = reprise(site.path(), command);
        assert_eq!(output.status.code(), Some(2));
        let said = said_by(&output);
        for part in [
            "`pretrain[0].sizes.latent[1]` is `800`, expected a whole number from 1 to 256",
            "unknown key `hiden` in `pretrain[0].sizes`",
            "hint: did you mean `hidden`?",
            "`search.budget.queries` is `many`, expected a whole number from 1 to 100000",
            "`search.methods[1].episode` is `0`, expected a whole number from 1 to 100000",
        ] {
            assert!(said.contains(part), "no {part} in\n{said}");
        }
        assert_eq!(said.matches("error: ").count(), 4, "{said}");
    }
    assert!(!site.path().join(".reprise").exists());
}
