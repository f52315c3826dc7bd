//! Audits of a real study: every finished task runs again on the other worker, finds
//! the same, and changes no table.

use reprise_tests::{Site, said_by};

const FILES: [&str; 3] = ["table.csv", "pretrain.csv", "results.json"];

fn study(audit: &str) -> String {
    format!(
        "version: 1
name: audited
space: nasbench201
benchmark: {{builtin: nasbench201-digits}}
pretrain:
  - {{model: arch2vec, seeds: 1..2, epochs: 1, batch: 256, latent-points: 100}}
search:
  datasets: [digits]
  budget: {{queries: 16}}
  seeds: 1..4
  methods:
    - {{name: random}}
    - {{name: dngo, encoding: arch2vec, initial: 8}}
{audit}"
    )
}

fn finished(site: &Site, audit: &str) -> (Vec<String>, String) {
    site.study(&study(audit)).unwrap();
    let end = site.run().arg("--amend").output().unwrap();
    let said = said_by(&end);
    assert!(end.status.success(), "{said}");
    let files = FILES.iter().map(|name| site.out(name));
    (files.collect::<Result<_, _>>().unwrap(), said)
}

#[test]
fn every_task_of_an_audited_study_finds_the_same_on_another_worker() {
    let site = Site::new().unwrap();
    let (expected, said) = finished(&site, "");
    assert!(!said.contains("audits:"), "{said}");
    // What is finished already is audited too.
    let (files, said) = finished(&site, "audit: 100 %\n");
    assert!(said.contains("audits: 10 agreed"), "{said}");
    assert_eq!(files, expected);

    let fresh = Site::new().unwrap();
    let (files, said) = finished(&fresh, "audit: 100 %\n");
    assert!(said.contains("audits: 10 agreed"), "{said}");
    assert_eq!(files, expected);
}
