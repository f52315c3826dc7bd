//! Workers: coming, going, coming back.

use std::time::Duration;

use reprise_core::lifecycle::{Action, AttemptEnd, Event, Input, Refusal, TaskPhase};
use reprise_domain::AttemptId;

use crate::fixtures::{noops, offer, submission, worker};
use crate::lab::Lab;

const A: u128 = 1;

fn started(tasks: u32) -> (Lab, Vec<AttemptId>) {
    let mut lab = Lab::with(&noops("s", tasks));
    lab.hello(worker(A), tasks, &[]);
    let attempts = lab.lease();
    assert_eq!(attempts.len(), tasks as usize);
    (lab, attempts)
}

fn stopped(step: &reprise_core::lifecycle::Step) -> Vec<AttemptId> {
    let attempts = step.actions.iter().filter_map(|action| match action {
        Action::Stop { attempts, .. } => Some(attempts.clone()),
        _ => None,
    });
    attempts.flatten().collect()
}

#[test]
fn a_reconnecting_worker_keeps_what_it_still_holds() {
    let (mut lab, attempts) = started(3);
    lab.handle(Input::Disconnected { worker: worker(A) });
    lab.pass_ticking(Duration::from_secs(29));
    let step = lab.hello(worker(A), 3, &attempts);
    assert_eq!(step.events, []);
    assert_eq!(lab.lease(), []);
    lab.finish(worker(A), attempts[2], 1);
    assert_eq!(lab.stage(&noops("s", 3)).finished, 1);
}

#[test]
fn what_a_restarted_worker_does_not_hold_is_ready_at_once() {
    let (mut lab, attempts) = started(3);
    let step = lab.hello(worker(A), 3, &attempts[..1]);
    let [Event::Lost { counted, .. }] = &step.events[..] else {
        panic!("{step:?}")
    };
    assert_eq!(counted, &attempts[1..]);
    let again = lab.lease();
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|attempt| attempt.number == 2));
}

#[test]
fn a_worker_that_comes_back_late_keeps_what_it_runs() {
    let (mut lab, attempts) = started(2);
    lab.handle(Input::Disconnected { worker: worker(A) });
    lab.pass_ticking(Duration::from_mins(2));
    assert_eq!(lab.core.workers().len(), 0);
    let step = lab.hello(worker(A), 2, &attempts);
    assert_eq!(stopped(&step), []);
    assert_eq!(lab.lease(), []);
    lab.restart();
    lab.hello(worker(A), 2, &attempts);
    for attempt in &attempts {
        lab.finish(worker(A), *attempt, 1);
        assert_eq!(lab.core.task(attempt.task).unwrap().attempts, 1);
    }
    assert!(lab.is_done(&noops("s", 2)));
}

#[test]
fn a_late_worker_and_its_replacement_run_side_by_side_until_one_wins() {
    let (mut lab, old) = started(1);
    lab.handle(Input::Disconnected { worker: worker(A) });
    lab.pass_ticking(Duration::from_mins(2));
    lab.hello(worker(2), 1, &[]);
    let new = lab.lease();
    assert_eq!(stopped(&lab.hello(worker(A), 1, &old)), []);
    // Two are enough.
    let third = AttemptId {
        number: 9,
        ..old[0]
    };
    assert_eq!(stopped(&lab.hello(worker(3), 1, &[third])), [third]);
    let end = lab.finish(worker(A), old[0], 1);
    assert_eq!(stopped(&end), new);
    lab.restart();
}

#[test]
fn a_worker_is_told_to_drop_what_has_been_won() {
    let (mut lab, attempts) = started(2);
    lab.handle(Input::Disconnected { worker: worker(A) });
    lab.pass_ticking(Duration::from_secs(30));
    lab.hello(worker(2), 2, &[]);
    for attempt in lab.lease() {
        lab.finish(worker(2), attempt, 1);
    }
    let step = lab.hello(worker(A), 2, &attempts);
    assert_eq!(stopped(&step), attempts);
}

#[test]
fn after_a_restored_backup_workers_keep_what_it_does_not_know() {
    let (mut lab, _) = started(1);
    lab.journal.truncate(1);
    lab.core = lab.rebuilt();
    lab.handle(Input::Restored);
    let (task, running) = {
        let task = crate::lab::first_task(&noops("s", 1));
        (task, AttemptId { task, number: 3 })
    };
    // Somebody else comes first.
    lab.hello(worker(2), 1, &[]);
    let new = lab.lease();
    assert!(new[0].number > running.number);
    assert_eq!(stopped(&lab.hello(worker(A), 1, &[running])), []);
    lab.restart();
    lab.hello(worker(A), 1, &[running]);
    lab.finish(worker(A), running, 1);
    assert!(matches!(lab.phase(task), TaskPhase::Finished { .. }));
}

#[test]
fn a_drained_worker_gets_nothing_more_until_it_is_taken_back() {
    let mut lab = Lab::with(&noops("s", 5));
    lab.hello(worker(A), 1, &[]);
    let held = lab.lease();
    let drain = |drained| Input::Drain {
        worker: worker(A),
        drained,
    };
    lab.handle(drain(true));
    lab.finish(worker(A), held[0], 1);
    assert_eq!(lab.lease(), []);
    // A new session does not change it.
    lab.restart();
    lab.hello(worker(A), 1, &[]);
    assert_eq!(lab.lease(), []);
    lab.handle(drain(false));
    assert!(!lab.lease().is_empty());
}

#[test]
fn a_coordinator_restart_costs_no_work() {
    let (mut lab, attempts) = started(2);
    lab.pass(Duration::from_hours(1));
    lab.restart();
    lab.pass_ticking(Duration::from_secs(29));
    let step = lab.hello(worker(A), 2, &attempts);
    assert_eq!((step.events, step.actions), (vec![], vec![]));
    lab.finish(worker(A), attempts[0], 1);
    lab.finish(worker(A), attempts[1], 1);
    assert!(lab.is_done(&noops("s", 2)));
}

#[test]
fn a_worker_is_lost_after_the_grace_and_not_before() {
    let (mut lab, attempts) = started(1);
    lab.handle(Input::Disconnected { worker: worker(A) });
    lab.pass_ticking(Duration::from_millis(29_999));
    assert!(matches!(
        lab.phase(attempts[0].task),
        TaskPhase::Leased { .. }
    ));
    lab.pass_ticking(Duration::from_millis(1));
    assert_eq!(lab.phase(attempts[0].task), TaskPhase::Ready);
}

#[test]
fn silence_counts_as_a_disconnection_until_a_sign_of_life() {
    let (mut lab, attempts) = started(1);
    lab.pass_ticking(Duration::from_millis(14_999));
    assert!(lab.core.workers()[0].connected);
    lab.pass_ticking(Duration::from_millis(1));
    assert!(!lab.core.workers()[0].connected);
    lab.handle(Input::Heartbeat { worker: worker(A) });
    assert!(lab.core.workers()[0].connected);
    lab.pass_ticking(Duration::from_secs(45));
    assert_eq!(lab.phase(attempts[0].task), TaskPhase::Ready);
}

#[test]
fn a_report_is_a_sign_of_life_but_not_a_connection() {
    let (mut lab, attempts) = started(2);
    lab.pass_ticking(Duration::from_secs(20));
    lab.finish(worker(A), attempts[0], 1);
    assert!(lab.core.workers()[0].connected);
    lab.handle(Input::Disconnected { worker: worker(A) });
    lab.finish(worker(A), attempts[1], 1);
    assert!(!lab.core.workers()[0].connected);
}

#[test]
fn a_lost_worker_has_to_say_hello_again() {
    let (mut lab, _) = started(1);
    lab.pass_ticking(Duration::from_mins(1));
    let refusal = lab
        .try_handle(Input::Heartbeat { worker: worker(A) })
        .unwrap_err();
    assert_eq!(refusal, Refusal::UnknownWorker { worker: worker(A) });
    lab.hello(worker(A), 1, &[]);
    assert_eq!(lab.lease().len(), 1);
}

#[test]
fn nothing_is_leased_to_who_is_away_or_leaving() {
    let mut lab = Lab::with(&noops("s", 10));
    lab.hello(worker(A), 1, &[]);
    lab.handle(Input::Disconnected { worker: worker(A) });
    assert_eq!(lab.lease(), []);
    lab.hello(worker(A), 1, &[]);
    lab.handle(Input::Draining { worker: worker(A) });
    assert_eq!(lab.lease(), []);
    lab.hello(worker(A), 1, &[]);
    assert_eq!(lab.lease().len(), 1);
}

#[test]
fn a_draining_worker_finishes_or_returns_what_it_holds_and_is_forgotten() {
    let (mut lab, attempts) = started(2);
    lab.handle(Input::Draining { worker: worker(A) });
    lab.finish(worker(A), attempts[0], 1);
    lab.report(worker(A), attempts[1], AttemptEnd::Returned);
    lab.handle(Input::Disconnected { worker: worker(A) });
    assert_eq!(lab.core.workers().len(), 0);
    assert_eq!(lab.phase(attempts[1].task), TaskPhase::Ready);
}

#[test]
fn a_worker_may_come_back_smaller_than_what_it_holds() {
    let (mut lab, attempts) = started(4);
    lab.handle(submission(&noops("t", 20), false));
    lab.hello(worker(A), 2, &attempts);
    assert_eq!(lab.lease(), []);
    for attempt in &attempts[..3] {
        lab.finish(worker(A), *attempt, 1);
    }
    assert!(!lab.lease().is_empty());
}

#[test]
fn offers_that_cannot_be_true_are_refused() {
    let mut lab = Lab::new();
    for slots in [0, 4097, u32::MAX] {
        let hello = Input::Hello {
            again: false,
            worker: worker(A),
            capability: offer(slots),
            holding: vec![],
        };
        let refusal = lab.try_handle(hello).unwrap_err();
        assert_eq!(
            refusal,
            Refusal::Slots {
                worker: worker(A),
                slots,
                limit: 4096
            }
        );
    }
}

#[test]
fn a_clock_that_jumps_loses_no_task() {
    let (mut lab, attempts) = started(1);
    lab.pass_ticking(Duration::from_secs(1_000_000));
    lab.hello(worker(A), 1, &attempts);
    assert_eq!(lab.lease(), []);
    lab.now = reprise_core::Timestamp(0);
    lab.handle(Input::Tick);
    lab.handle(Input::Heartbeat { worker: worker(A) });
    lab.finish(worker(A), attempts[0], 1);
    assert!(lab.is_done(&noops("s", 1)));
}

#[test]
fn an_order_that_never_arrived_is_not_held_against_its_task() {
    let mut lab = Lab::with(&noops("s", 1));
    lab.hello(worker(1), 1, &[]);
    // More often than a task may lose workers.
    for _ in 0..20 {
        assert_eq!(lab.lease().len(), 1);
        let hello = Input::Hello {
            worker: worker(1),
            capability: offer(1),
            holding: Vec::new(),
            again: true,
        };
        lab.handle(hello);
    }
    assert_eq!(lab.lease().len(), 1, "the task was given up");
}

#[test]
fn a_worker_that_was_drained_stays_so_when_it_comes_back_until_somebody_says_otherwise() {
    let drain = |drained| Input::Drain {
        worker: worker(A),
        drained,
    };
    let mut lab = Lab::with(&noops("s", 2));
    lab.hello(worker(A), 1, &[]);
    lab.handle(drain(true));
    lab.handle(Input::Draining { worker: worker(A) });
    lab.handle(Input::Disconnected { worker: worker(A) });
    assert_eq!(lab.core.workers().len(), 0);
    lab.restart();
    lab.restart_by_snapshot();
    lab.hello(worker(A), 1, &[]);
    assert!(lab.core.workers()[0].drained);
    assert_eq!(lab.lease(), []);
    lab.pass_ticking(Duration::from_mins(2));
    assert_eq!(lab.core.workers().len(), 0);
    // It can be taken back while it is away.
    lab.handle(drain(false));
    lab.restart_by_snapshot();
    lab.hello(worker(A), 1, &[]);
    assert_eq!(lab.lease().len(), 1);
    let stranger = lab.try_handle(Input::Drain {
        worker: worker(9),
        drained: true,
    });
    assert!(matches!(stranger, Err(Refusal::UnknownWorker { .. })));
}

#[test]
fn few_workers_that_were_drained_are_remembered() {
    let mut lab = Lab::new();
    let sizes: Vec<_> = (1..=3000)
        .map(|number| {
            lab.hello(worker(number), 1, &[]);
            lab.handle(Input::Drain {
                worker: worker(number),
                drained: true,
            });
            lab.handle(Input::Draining {
                worker: worker(number),
            });
            lab.handle(Input::Disconnected {
                worker: worker(number),
            });
            lab.core.snapshot().len()
        })
        .collect();
    assert!(sizes[2999] < sizes[0] + 1024 * 17, "{}", sizes[2999]);
    lab.hello(worker(3000), 1, &[]);
    lab.hello(worker(1), 1, &[]);
    let drained: Vec<_> = lab
        .core
        .workers()
        .iter()
        .map(|known| known.drained)
        .collect();
    assert_eq!(drained, [false, true]);
}
