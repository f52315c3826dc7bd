//! A few faults of every kind in each test run; `make chaos` injects hundreds.

use std::process::Command;

use reprise_skip::{Lack, skip};
use reprise_tests::chaos::LEFT_OUT;

#[test]
fn a_small_study_survives_a_fault_of_every_kind() {
    let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["--faults", "40", "--seed", "1", "--brief", "--away", "0"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // A kind of fault that this machine cannot inject is not tested.
    for reason in said.lines().filter_map(|line| line.strip_prefix(LEFT_OUT)) {
        skip(Lack::Program, reason).unwrap();
    }
    assert!(output.status.success(), "{said}");
    assert!(said.contains("none lost, none twice"), "{said}");
}
