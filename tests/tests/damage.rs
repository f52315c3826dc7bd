//! Some damages of every kind in each test run; `make damage` does thousands.

use std::process::Command;

#[test]
fn a_damaged_state_gives_the_same_table_or_a_named_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_damage"))
        .args(["--cases", "120", "--seed", "11"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("or the damage was named"), "{said}");
}
