//! Files of results by name: listed, fetched, and in the form that numpy reads.

use std::time::Duration;

use reprise_tests::fleet::{Fleet, said};
use serde_json::Value;

const STUDY: &str = "version: 1
name: made
space: nasbench201
pretrain: [{model: arch2vec, seeds: 1..2, epochs: 1, latent-points: 100}]
";

const LIMIT: Duration = Duration::from_mins(2);

#[test]
fn embeddings_are_fetched_by_name() {
    let home = tempfile::tempdir().unwrap();
    let mut fleet = Fleet::local(home.path(), 2).unwrap();
    fleet.serve().unwrap();
    fleet.work().unwrap();
    fleet.submit(STUDY).unwrap();
    fleet.finish("made", LIMIT).unwrap();

    let listed = said(fleet.ask(&["artifact", "list", "made", "--output", "json"])).unwrap();
    let listed = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let listed: Vec<Value> = listed.collect();
    let names: Vec<_> = listed
        .iter()
        .map(|file| file["name"].as_str().unwrap())
        .collect();
    let expected = [
        "pretrain-arch2vec-seed1/checkpoint",
        "pretrain-arch2vec-seed1/embedding",
        "pretrain-arch2vec-seed2/checkpoint",
        "pretrain-arch2vec-seed2/embedding",
    ];
    assert_eq!(names, expected);

    let get = |name: &str, more: &[&str]| {
        let out = home.path().join("fetched");
        let arguments = [&["artifact", "get", "made", name, "--out", "fetched"], more].concat();
        said(fleet.ask(&arguments)).map(|_| std::fs::read(out).unwrap())
    };
    let stored = get(names[3], &[]).unwrap();
    let digest = blake3::hash(&stored).to_hex();
    assert_eq!(listed[3]["digest"], digest.as_str());
    assert_eq!(listed[3]["bytes"], stored.len());
    assert_eq!(get(&digest, &["--as", "safetensors"]).unwrap(), stored);
    // 15,625 cells of 16 numbers, and what stands before them.
    let archive = get(names[3], &["--as", "npz"]).unwrap();
    let shape = b"'descr': '<f4', 'fortran_order': False, 'shape': (15625, 16,)";
    assert!(archive.starts_with(b"PK") && archive.windows(shape.len()).any(|part| part == shape));

    let refused = get("pretrain-arch2vec-seed3/embedding", &[]).unwrap_err();
    assert!(refused.to_string().contains("has no file"), "{refused}");
}
