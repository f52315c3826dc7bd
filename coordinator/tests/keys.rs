//! Keys of tasks and digests of studies stay what they are: a result is found again by
//! its key, and a study that is run again is known by its digest. The values here were
//! taken before studies could have factors. They change only together with a version of
//! an algorithm.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests fail as tests do, and read the files that they check"
)]

use std::fs;
use std::path::Path;

use reprise_core::plan::{plan, study_digest};
use reprise_domain::study::StudySpec;
use reprise_domain::{BenchmarkRef, TaskKey};
use reprise_study::BenchmarkSource;

const CONFIGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs");

fn study(name: &str) -> StudySpec {
    let text = fs::read_to_string(Path::new(CONFIGS).join(name)).unwrap();
    let file = reprise_study::parse(name, &text).unwrap();
    let benchmark = match file.benchmark() {
        Some(&BenchmarkSource::Builtin(name)) => Some(BenchmarkRef::Builtin {
            name,
            digest: reprise_data::digest(&reprise_data::builtin(name)),
        }),
        _ => None,
    };
    file.resolve(benchmark).unwrap()
}

/// All keys in one number: the exclusive or of their bytes.
fn together(keys: &[TaskKey]) -> String {
    let mut sum = [0_u8; 32];
    for key in keys {
        for (sum, byte) in sum.iter_mut().zip(key.0.as_bytes()) {
            *sum ^= byte;
        }
    }
    TaskKey(reprise_domain::Digest::from_bytes(sum)).to_string()
}

#[test]
fn studies_that_were_planned_before_have_their_keys() {
    for (name, digest, tasks, keys) in [
        (
            "demo.yaml",
            "7a8a120181066f7cffc026ebcdf7dcaf118ef5c817f1bd964cedebaec91cae7b",
            83,
            "53bc648f8e4712b0fdae1d23687f5ddfbbdb8215b9861b885879b49beef0fb50",
        ),
        (
            "demo-training.yaml",
            "66db26d3b05b7d98f11f237238107b755c990780d103c41ca3a230fa3553ad66",
            83,
            "16a4c052bf0a8336bc6c0da4ab8093fd5709306f51e424cdb5b53dbf26b27508",
        ),
        (
            "paper/nasbench201-pretraining.yaml",
            "7586825535f6ed193e1cfe81d9f4f5dcb4366744d80680516aaf5bae9dd6c183",
            5,
            "c0c3d74261092195259b8c53288861d0b1e3c3e0d76c2062cecf087d53608a88",
        ),
        (
            "paper/nasbench201-pretraining-corrected.yaml",
            "852743943ff5108baf404ea983bbc72f26c6d172c8b31385a503785e34a55508",
            5,
            "200c048172738dd1f90e7871fe4e4a72a8fcb24b636289ee360d3cb97c815341",
        ),
        (
            "bench/noop.yaml",
            "6a8bdb5f9da6c87c3e248b133c550173d8fd472aa3ffe09ba107381a1d23f09f",
            10_000,
            "f85737f24b14dc91a9976437fc007d1f89d46faf1bcfe83afe07f075c1e84169",
        ),
    ] {
        let spec = study(name);
        assert_eq!(study_digest(&spec).to_string(), digest, "{name}");
        let plan = plan(&spec, &|_| Vec::new()).unwrap();
        let planned: Vec<_> = plan.tasks().map(|task| task.key).collect();
        assert_eq!(
            (planned.len(), together(&planned).as_str()),
            (tasks, keys),
            "{name}"
        );
    }
}
