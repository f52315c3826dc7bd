//! The real thing, small: pretraining with libtorch, embeddings, searches of all
//! kinds, tables; undisturbed and with every process killed.

use std::process::{Command, Stdio};
use std::time::Duration;

use reprise_tests::process::wait_until;
use reprise_tests::{Site, kill_now, said_by};

const LIMIT: Duration = Duration::from_mins(1);

const STUDY: &str = "version: 1
name: small
space: nasbench201
protocol: reference
benchmark: {builtin: nasbench201-digits}
pretrain:
  - {model: arch2vec, seeds: 1..2, epochs: 1, batch: 32}
search:
  datasets: [digits]
  budget: {queries: 24}
  seeds: 1..3
  methods:
    - {name: random}
    - {name: regularized-evolution, population: 5, sample: 2}
    - {name: reinforce, encoding: arch2vec, episode: 8}
    - {name: dngo, encoding: arch2vec, initial: 8}
";

const FILES: [&str; 4] = ["table.csv", "table.md", "table.tex", "results.json"];

fn finished(site: &Site) -> std::io::Result<Vec<String>> {
    let end = site.finish()?;
    let said = String::from_utf8_lossy(&end.stderr).into_owned();
    assert!(end.status.success(), "{said}");
    FILES.iter().map(|name| site.out(name)).collect()
}

#[test]
fn killed_processes_change_no_number_of_a_real_study() {
    let calm = Site::new().unwrap();
    calm.study(STUDY).unwrap();
    let expected = finished(&calm).unwrap();
    let table = &expected[0];
    for method in ["random", "regularized-evolution", "reinforce", "dngo"] {
        assert!(table.contains(method), "no `{method}` in\n{table}");
    }
    assert!(calm.out("curves.svg").unwrap().contains("</svg>"));

    let alone = Site::new().unwrap();
    alone.study(STUDY).unwrap();
    let end = alone.run_as_it_is().output().unwrap();
    assert!(end.status.success(), "{}", said_by(&end));
    let found: Vec<_> = FILES.iter().map(|name| alone.out(name).unwrap()).collect();
    assert_eq!(found, expected, "by one worker for all cores");
    let workers = std::fs::read_dir(alone.path().join(".reprise/workers")).unwrap();
    assert_eq!(workers.count(), 1);

    let rough = Site::new().unwrap();
    rough.study(STUDY).unwrap();
    let mut child = rough.run().spawn().unwrap();
    // Both workers pretrain by now; the files of the first attempt are theirs.
    wait_until(LIMIT, "both workers connect", || {
        assert!(child.try_wait()?.is_none(), "the study ended early");
        Ok(rough.worker_logs().matches("connected").count() >= 2)
    })
    .unwrap();
    let children = Command::new("pkill")
        .args(["-KILL", "-P", &child.id().to_string()])
        .stdout(Stdio::null())
        .status();
    assert!(children.unwrap().success(), "there was no worker to kill");
    wait_until(LIMIT, "the workers are replaced", || {
        Ok(rough.worker_logs().matches("connected").count() >= 4)
    })
    .unwrap();
    kill_now(&mut child).unwrap();
    assert_eq!(finished(&rough).unwrap(), expected);
}
