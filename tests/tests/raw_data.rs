//! Raw data of a real study, read in Python as `configs/DATA.md` says.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::{Path, PathBuf};
use std::process::Command;

use reprise_skip::{Lack, skip};
use reprise_tests::{Site, said_by};
use serde_json::Value;

const STUDY: &str = "version: 1
name: raw
space: nasbench201
benchmark: {builtin: nasbench201-digits}
pretrain: [{model: arch2vec, seeds: 1..2, epochs: 1, latent-points: 100}]
search:
  datasets: [digits]
  budget: {queries: 12}
  seeds: 1..3
  methods: [{name: random}, {name: reinforce, encoding: arch2vec, episode: 4}]
";

/// What `.ci/run` installs the packages into.
fn python() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let python = cache?.join("reprise/ci-data-frames/bin/python");
    python.exists().then_some(python)
}

/// The block of code below a heading of the page.
fn snippet(heading: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/DATA.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let (_, code) = section.split_once("```python\n").unwrap();
    code.split_once("```").unwrap().0.to_owned()
}

/// What a program of the page prints, and what `more` prints after it.
fn printed(python: &Path, directory: &Path, code: &str, more: &str) -> (String, Value) {
    let output = Command::new(python)
        .arg("-c")
        .arg(format!("{code}\nimport json\nprint(json.dumps({more}))"))
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said_by(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let (shown, last) = text.trim_end().rsplit_once('\n').unwrap();
    (shown.to_owned(), serde_json::from_str(last).unwrap())
}

#[test]
fn data_frames_read_what_a_study_wrote() {
    let Some(python) = python() else {
        let reason = "no Python with pandas, polars and pyarrow; `.ci/run` makes one";
        return skip(Lack::Program, reason).unwrap();
    };
    let site = Site::new().unwrap();
    site.study(STUDY).unwrap();
    let output = site.finish().unwrap();
    assert!(output.status.success(), "{}", said_by(&output));
    let out = site.path().join("out");

    // Means of the final incumbents by method, as the summaries have them.
    let results: Value = serde_json::from_str(&site.out("results.json").unwrap()).unwrap();
    let expected = results["sets"].as_array().unwrap().iter().map(|set| {
        let method = set["method"].as_str().unwrap().to_owned();
        (method, set["test"]["mean_percent"].as_f64().unwrap())
    });
    let expected: Vec<_> = expected.collect();
    assert_eq!(expected.len(), 2);
    let check = |means: &Value| {
        for (method, mean) in &expected {
            let found = means[method].as_f64().unwrap();
            assert!((found - mean).abs() < 1e-9, "{method}: {found}, {mean}");
        }
    };

    let (shown, means) = printed(
        &python,
        &out,
        &snippet("In pandas"),
        "searches.groupby('method')['test_percent'].mean().to_dict()",
    );
    assert!(shown.contains("arch2vec-reinforce"), "{shown}");
    check(&means);
    let (shown, means) = printed(
        &python,
        &out,
        &snippet("In polars"),
        "dict(searches.group_by('method').agg(pl.mean('test_percent')).iter_rows())",
    );
    assert!(shown.contains("shape:"), "{shown}");
    check(&means);

    // CSV and Parquet say the same, with the types and units that the page promises.
    let code = "
import pandas as pd, pyarrow.parquet as pq
schema = pq.read_schema('runs.parquet')
same = {}
for name in ['runs', 'queries', 'epochs']:
    parquet = pd.read_parquet(name + '.parquet')
    text = pd.read_csv(name + '.csv', parse_dates=['started'] if name == 'runs' else None)
    pd.testing.assert_frame_equal(parquet, text, check_dtype=False, rtol=0, atol=0)
    same[name] = len(parquet)
print('same')";
    let more = "[same, schema.field('seconds').metadata[b'unit'].decode(), str(schema.field('started').type), str(schema.field('seed').type)]";
    let (shown, found) = printed(&python, &out, code, more);
    assert_eq!(shown.trim(), "same");
    let expected = serde_json::json!([
        {"runs": 8, "queries": 72, "epochs": 2}, "s", "timestamp[ms, tz=UTC]", "uint64"
    ]);
    assert_eq!(found, expected);
}
