//! Replaying a journal: what fits, what does not, and in which form it is kept.

use reprise_core::lifecycle::{Core, Event, Settings};
use reprise_domain::AttemptId;

use crate::fixtures::{embedded, noops, worker};
use crate::lab::Lab;

#[test]
fn a_journal_of_something_else_is_refused() {
    let mut lab = Lab::with(&noops("s", 2));
    lab.hello(worker(1), 2, &[]);
    let attempts = lab.lease();
    lab.finish(worker(1), attempts[0], 1);
    let later = AttemptId {
        number: 5,
        ..attempts[1]
    };
    for wrong in [
        Event::Leased {
            worker: worker(1),
            attempts: vec![attempts[0]],
        },
        Event::Leased {
            worker: worker(9),
            attempts: vec![later],
        },
        Event::Returned {
            attempt: attempts[0],
        },
        Event::Returned { attempt: later },
        Event::Woken {
            tasks: vec![attempts[0].task],
        },
        Event::WorkerLeft { worker: worker(1) },
        Event::WorkerLeft { worker: worker(9) },
        Event::StudyPaused {
            study: "other".parse().unwrap(),
        },
    ] {
        assert!(
            lab.core.clone().replay(&wrong, lab.now).is_err(),
            "{wrong:?}"
        );
    }
}

#[test]
fn events_are_kept_as_json_and_read_back_unchanged() {
    let mut lab = Lab::with(&embedded("s", 1, 2));
    lab.hello(worker(1), 2, &[]);
    let attempts = lab.lease();
    lab.finish(worker(1), attempts[0], 1);
    let mut core = Core::new(Settings::default());
    for (at, event) in &lab.journal {
        let text = serde_json::to_string(event).unwrap();
        let read: Event = serde_json::from_str(&text).unwrap();
        assert_eq!(read, *event, "{text}");
        core.replay(&read, *at).unwrap();
    }
    core.resume(lab.now);
    assert_eq!(core, lab.rebuilt());
}

#[test]
fn the_form_of_an_event_is_fixed() {
    let task = "11".repeat(32);
    let leased = Event::Leased {
        worker: worker(1),
        attempts: vec![format!("{task}@3").parse().unwrap()],
    };
    let expected = format!(
        r#"{{"event":"leased","worker":"00000000-0000-0000-0000-000000000001","attempts":["{task}@3"]}}"#
    );
    assert_eq!(serde_json::to_string(&leased).unwrap(), expected);
}
