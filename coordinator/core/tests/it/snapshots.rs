//! Snapshots: what is refused. That they give the state is the simulation's to
//! prove, at every crash of a schedule.

use proptest::prelude::*;
use reprise_core::lifecycle::{Core, Settings, SnapshotError};

use crate::fixtures::{embedded, worker};
use crate::lab::Lab;

fn bytes() -> Vec<u8> {
    let mut lab = Lab::with(&embedded("s", 2, 5));
    lab.hello(worker(1), 2, &[]);
    lab.lease();
    lab.core.snapshot()
}

#[test]
fn an_empty_state_comes_back() {
    let core = Core::new(Settings::default());
    assert_eq!(
        Core::restore(Settings::default(), &core.snapshot()),
        Ok(core)
    );
}

#[test]
fn another_format_is_named() {
    let mut bytes = bytes();
    bytes[0] = 99;
    assert_eq!(
        Core::restore(Settings::default(), &bytes),
        Err(SnapshotError::Format { found: 99 })
    );
}

proptest! {
    #[test]
    fn damage_is_noticed(place in 4usize..1000, flip in 1u8.., cut in 0usize..1000) {
        let whole = bytes();
        let mut damaged = whole.clone();
        let place = place % (whole.len() - 4) + 4;
        damaged[place] ^= flip;
        prop_assert!(Core::restore(Settings::default(), &damaged).is_err());
        let short = &whole[..cut.min(whole.len() - 1)];
        prop_assert!(Core::restore(Settings::default(), short).is_err());
    }
}
