//! Who gets what: credit, fairness, order, locality, the end of the queue.

use std::collections::BTreeMap;

use reprise_core::lifecycle::{AttemptEnd, Input, StudyControl};
use reprise_domain::study::StudySpec;
use reprise_domain::{AttemptId, BenchmarkRef, Capability, Recipe, TaskKey, TaskSpec, WorkerId};

use crate::fixtures::{
    control, embedded, noops, offer, planned, result, seconds, submission, worker,
};
use crate::lab::Lab;

/// Reports as finished after `time` seconds on its slot.
fn finish_in(lab: &mut Lab, worker: WorkerId, attempt: AttemptId, time: f64) {
    let end = AttemptEnd::Finished {
        result: result(1),
        seconds: seconds(time),
    };
    lab.report(worker, attempt, end);
}

/// Has worker 1 with `slots` slots finish one task of `time` seconds, and then
/// lease as deep as it may.
fn held_after(slots: u32, time: f64) -> usize {
    let mut lab = Lab::with(&noops("s", 20_000));
    lab.hello(worker(1), slots, &[]);
    let first = lab.lease();
    assert_eq!(first.len(), slots as usize, "unknown tasks come one a slot");
    for attempt in first {
        finish_in(&mut lab, worker(1), attempt, time);
    }
    lab.lease().len()
}

#[test]
fn a_worker_holds_two_seconds_of_work_a_slot() {
    assert_eq!(held_after(1, 3600.0), 1);
    assert_eq!(held_after(2, 0.5), 8);
    assert_eq!(held_after(1, 0.01), 200);
    assert_eq!(held_after(3, 0.0), 3000);
}

#[test]
fn the_rate_of_short_tasks_says_nothing_about_long_ones() {
    let mut lab = Lab::with(&noops("short", 2000));
    lab.hello(worker(1), 1, &[]);
    let first = lab.lease();
    finish_in(&mut lab, worker(1), first[0], 0.0);
    lab.handle(control("short".parse().unwrap(), StudyControl::Cancel));
    let mut long = noops("long", 2000);
    long.noop.as_mut().unwrap().hold_ms = 60_000;
    lab.handle(submission(&long, false));
    assert_eq!(lab.lease().len(), 1);
}

#[test]
fn a_slow_worker_gets_less_than_a_fast_one() {
    let mut lab = Lab::with(&noops("s", 20_000));
    for (number, time) in [(1, 0.5), (2, 0.01)] {
        lab.hello(worker(number), 1, &[]);
        let first = lab.lease();
        finish_in(&mut lab, worker(number), first[0], time);
        lab.handle(Input::Draining {
            worker: worker(number),
        });
    }
    lab.hello(worker(1), 1, &[]);
    lab.hello(worker(2), 1, &[]);
    let held: BTreeMap<_, _> = lab
        .schedule()
        .into_iter()
        .map(|(worker, attempts)| (worker, attempts.len()))
        .collect();
    assert_eq!(held[&worker(1)], 4);
    assert_eq!(held[&worker(2)], 200);
}

/// A study whose searches train every architecture that they ask for.
fn training() -> StudySpec {
    let mut study = embedded("s", 1, 2);
    study.search.as_mut().unwrap().benchmark = BenchmarkRef::Train {
        recipe: Recipe::DigitsSmall,
    };
    study
}

#[test]
fn what_needs_libtorch_goes_to_whoever_has_it() {
    let mut lab = Lab::with(&training());
    let without = |lab: &mut Lab, number| {
        lab.handle(Input::Hello {
            again: false,
            worker: worker(number),
            capability: Capability {
                libtorch: Capability::NO_LIBTORCH.to_owned(),
                ..offer(4)
            },
            holding: Vec::new(),
        });
    };
    without(&mut lab, 1);
    // Pretraining needs none.
    let pretraining = lab.lease();
    assert_eq!(pretraining.len(), 1);
    lab.finish(worker(1), pretraining[0], 1);
    assert_eq!(
        lab.lease(),
        [],
        "the searches wait, also for the only worker"
    );
    without(&mut lab, 2);
    assert_eq!(lab.lease(), []);
    lab.hello(worker(3), 4, &[]);
    let leased = lab.schedule();
    assert!(
        leased.iter().all(|(taker, _)| *taker == worker(3)),
        "{leased:?}"
    );
    let attempts: Vec<_> = leased.into_iter().flat_map(|(_, taken)| taken).collect();
    assert_eq!(attempts.len(), 2);
    // Where the one that has it is slow, nobody without it takes a second attempt.
    lab.finish(worker(3), attempts[0], 2);
    lab.pass(std::time::Duration::from_mins(2));
    lab.handle(Input::Heartbeat { worker: worker(3) });
    assert_eq!(lab.lease(), []);
}

#[test]
fn few_tasks_are_spread_over_the_workers() {
    let mut lab = Lab::with(&noops("s", 2));
    lab.hello(worker(1), 4, &[]);
    lab.hello(worker(2), 4, &[]);
    let leased = lab.schedule();
    assert_eq!(
        leased
            .iter()
            .map(|(_, attempts)| attempts.len())
            .collect::<Vec<_>>(),
        [1, 1]
    );
}

#[test]
fn no_slot_stays_free_while_a_task_is_ready() {
    let mut lab = Lab::with(&noops("s", 5));
    lab.hello(worker(1), 1, &[]);
    lab.hello(worker(2), 8, &[]);
    assert_eq!(lab.lease().len(), 5);
}

/// Runs `tasks` of 10 ms to the end on one slot each of two workers, in lockstep;
/// returns how many rounds one of them had nothing while the other had more than
/// one.
fn idle_rounds(tasks: u32) -> usize {
    let mut lab = Lab::with(&noops("s", tasks));
    let mut held: BTreeMap<WorkerId, Vec<AttemptId>> = BTreeMap::new();
    for number in [1, 2] {
        lab.hello(worker(number), 1, &[]);
        held.insert(worker(number), Vec::new());
    }
    let mut idle = 0;
    loop {
        for (worker, attempts) in lab.schedule() {
            held.get_mut(&worker).unwrap().extend(attempts);
        }
        let lengths: Vec<_> = held.values().map(Vec::len).collect();
        idle += usize::from(lengths.contains(&0) && lengths.iter().any(|&held| held > 1));
        if lengths == [0, 0] {
            return idle;
        }
        for (worker, attempts) in &mut held {
            if !attempts.is_empty() {
                finish_in(&mut lab, *worker, attempts.remove(0), 0.01);
            }
        }
    }
}

#[test]
fn no_worker_hoards_at_the_end_of_the_queue() {
    assert_eq!(idle_rounds(1000), 0);
    assert_eq!(idle_rounds(37), 0);
}

#[test]
fn studies_share_a_single_slot_in_turn() {
    let mut lab = Lab::with(&noops("first", 50));
    let mut second = noops("second", 50);
    second.noop.as_mut().unwrap().hold_ms = 1;
    lab.handle(submission(&second, false));
    lab.hello(worker(1), 1, &[]);
    let mut served = [0, 0];
    for _ in 0..20 {
        let attempt = lab.lease()[0];
        let Some(TaskSpec::Noop(spec)) = lab.core.spec(attempt.task) else {
            panic!()
        };
        served[spec.hold_ms as usize] += 1;
        // As long as the window, so that the slot holds one at a time.
        finish_in(&mut lab, worker(1), attempt, 2.0);
    }
    assert_eq!(served, [10, 10]);
}

#[test]
fn what_unblocks_others_goes_first() {
    let spec = embedded("s", 2, 4);
    let mut lab = Lab::with(&spec);
    lab.hello(worker(1), 1, &[]);
    let order: Vec<TaskKey> = planned(&spec).tasks().map(|task| task.key).collect();
    let first = lab.lease()[0];
    finish_in(&mut lab, worker(1), first, 10.0);
    let second = lab.lease()[0];
    assert_eq!(
        [first.task, second.task],
        order[..2],
        "searches are ready, the second waits not"
    );
}

#[test]
fn a_search_goes_to_the_worker_that_has_its_embedding() {
    let spec = embedded("s", 2, 40);
    let mut lab = Lab::with(&spec);
    lab.hello(worker(1), 1, &[]);
    lab.hello(worker(2), 1, &[]);
    let leased = lab.schedule();
    let made: BTreeMap<WorkerId, TaskKey> = leased
        .iter()
        .map(|(worker, attempts)| (*worker, attempts[0].task))
        .collect();
    for (worker, attempts) in leased {
        finish_in(&mut lab, worker, attempts[0], 10.0);
    }
    for _ in 0..20 {
        for (worker, attempts) in lab.schedule() {
            let input = lab.core.spec(attempts[0].task).unwrap().inputs()[0];
            assert_eq!(input, made[&worker]);
            finish_in(&mut lab, worker, attempts[0], 10.0);
        }
    }
    assert!(lab.is_done(&spec));
}

#[test]
fn locality_lets_nobody_idle() {
    let spec = embedded("s", 1, 10);
    let mut lab = Lab::with(&spec);
    lab.hello(worker(1), 1, &[]);
    let pretraining = lab.lease()[0];
    finish_in(&mut lab, worker(1), pretraining, 10.0);
    lab.hello(worker(2), 1, &[]);
    assert_eq!(lab.schedule().len(), 2);
}

#[test]
fn a_large_study_runs_through() {
    let spec = noops("s", 20_000);
    let mut lab = Lab::with(&spec);
    // Only the core here: the lab reads the whole state after each step.
    for number in 1..=4 {
        lab.hello(worker(number), 2, &[]);
    }
    loop {
        let started = lab.core.schedule(lab.now).actions;
        let leases = started.into_iter().filter_map(|action| match action {
            reprise_core::lifecycle::Action::Start { worker, attempts } => Some((worker, attempts)),
            _ => None,
        });
        let leases: Vec<_> = leases.collect();
        if leases.is_empty() {
            break;
        }
        for (worker, attempts) in leases {
            for attempt in attempts {
                let end = AttemptEnd::Finished {
                    result: result(1),
                    seconds: seconds(0.001),
                };
                lab.core
                    .handle(
                        Input::Report {
                            worker,
                            attempt,
                            end,
                        },
                        lab.now,
                    )
                    .unwrap();
            }
        }
    }
    assert_eq!(lab.stage(&spec).finished, 20_000);
    lab.core.check_invariants().unwrap();
}
