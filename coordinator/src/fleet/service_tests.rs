//! Tests of the loop over an engine in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use reprise_proto::status::ErrorCode;

use super::*;
use crate::fleet::program::ProgramError;
use crate::fleet::setup::{EngineSetup, WorkerCommand};

/// Machines that are there as soon as they are asked for.
#[derive(Debug, Clone, Default)]
struct Memory(Arc<Mutex<Machines>>);

#[derive(Debug, Default)]
struct Machines {
    made: u32,
    members: Vec<Member>,
    /// How long each has run when it is first listed.
    run: Duration,
    /// Whether each is gone the next time.
    dying: bool,
    /// Whether each is gone before it is ever listed.
    stillborn: bool,
    /// Whether each is listed once without a name, as clouds do.
    requesting: bool,
    /// How often each is listed once it was asked to leave.
    lingering: u32,
    failures: u32,
}

impl Memory {
    fn with<T>(&self, what: impl FnOnce(&mut Machines) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Engine for Memory {
    fn logs(&self) -> String {
        String::new()
    }

    async fn list(&self) -> Result<Vec<Member>, EngineError> {
        self.with(|machines| {
            if machines.failures > 0 {
                machines.failures -= 1;
                return Err(ProgramError::Missing {
                    program: "squeue",
                    hint: "wait",
                }
                .into());
            }
            let listed = machines.members.clone();
            if machines.dying {
                machines.members.clear();
            }
            if listed
                .iter()
                .any(|member| member.state == MemberState::Leaving)
            {
                machines.lingering = machines.lingering.saturating_sub(1);
            }
            if machines.lingering == 0 {
                let members = &mut machines.members;
                members.retain(|member| member.state != MemberState::Leaving);
            }
            for member in &mut machines.members {
                if member.state == MemberState::Requested {
                    member.state = MemberState::Up;
                    member.id = member.id.replace('/', "-");
                }
            }
            Ok(listed)
        })
    }

    async fn grow(&self, count: u32) -> Result<(), EngineError> {
        self.with(|machines| {
            for _ in 0..count {
                machines.made += 1;
                if machines.stillborn {
                    continue;
                }
                let (id, state) = if machines.requesting {
                    (format!("lab/{}", machines.made), MemberState::Requested)
                } else {
                    (machines.made.to_string(), MemberState::Up)
                };
                machines.members.push(Member {
                    id,
                    state,
                    place: String::new(),
                    note: String::new(),
                    run: machines.run,
                });
            }
        });
        Ok(())
    }

    async fn shrink(&self, ids: &[String]) -> Result<(), EngineError> {
        self.with(|machines| machines.members.retain(|member| !ids.contains(&member.id)));
        Ok(())
    }

    async fn down(&self) -> Result<(), EngineError> {
        self.with(|machines| {
            for member in &mut machines.members {
                member.state = MemberState::Leaving;
            }
            if machines.lingering == 0 {
                machines.members.clear();
            }
        });
        Ok(())
    }
}

/// Says each in turn, and the last one for ever; `None` is a failure.
struct Script(VecDeque<Option<u64>>);

#[async_trait]
impl Studies for Script {
    async fn workload(&mut self) -> Result<Workload, ApiError> {
        let next = match self.0.len() {
            1 => self.0.front().copied().flatten(),
            _ => self.0.pop_front().flatten(),
        };
        next.map(|tasks| Workload {
            running: tasks.min(1),
            runnable: tasks,
            remaining: tasks,
        })
        .ok_or_else(|| ApiError::new(ErrorCode::Unavailable, "away"))
    }
}

/// Runs a fleet of at most four over `tasks`; tells the outcome, the most workers
/// seen, and whether the loop was refused.
async fn run(
    engine: &Memory,
    tasks: &[Option<u64>],
    budget: Option<Duration>,
    looks: usize,
) -> anyhow::Result<(Outcome, u32, Service)> {
    let directory = tempfile::tempdir()?;
    let home = Home::new(directory.path(), "lab")?;
    let _held = home.hold()?;
    let config = Config {
        setup: Setup {
            name: "lab".to_owned(),
            on: EngineSetup::Slurm { extra: Vec::new() },
            worker: WorkerCommand {
                program: "w".to_owned(),
                coordinator: "c".to_owned(),
                credential: None,
                slots: 1,
                sha256: None,
            },
            price: None,
        },
        limits: Limits {
            slots: 1,
            min: 0,
            max: 4,
            idle: Duration::ZERO,
            margin: Duration::from_secs(10),
            stay: false,
        },
        budget,
        interval: Duration::from_millis(1),
    };
    let mut service = Service::new(config, Box::new(engine.clone()), home)?;
    let stop = CancellationToken::new();
    let (mut most, mut seen) = (0, 0);
    let outcome = service
        .run(
            &mut Script(tasks.iter().copied().collect()),
            &mut |report| {
                most = most.max(report.up);
                seen += 1;
                if seen == looks {
                    stop.cancel();
                }
            },
            &stop,
        )
        .await?;
    Ok((outcome, most, service))
}

#[tokio::test]
async fn it_follows_the_work_up_and_down_to_zero() {
    let engine = Memory::default();
    let tasks = [Some(9), Some(9), Some(2), Some(0)];
    let (outcome, most, service) = run(&engine, &tasks, None, 0).await.unwrap();
    assert_eq!((outcome, most), (Outcome::Ended(End::Done), 4));
    assert_eq!(
        (
            service.gone(),
            engine.with(|machines| machines.members.len())
        ),
        (4, 0)
    );
}

#[tokio::test]
async fn a_budget_ends_it_although_the_coordinator_is_away() {
    let engine = Memory::default();
    engine.with(|machines| machines.run = Duration::from_secs(100));
    let budget = Some(Duration::from_secs(430));
    let (outcome, most, service) = run(&engine, &[Some(9), None], budget, 0).await.unwrap();
    assert_eq!((outcome, most), (Outcome::Ended(End::BudgetSpent), 4));
    assert_eq!(engine.with(|machines| machines.members.len()), 0);
    assert!(service.used() >= Duration::from_secs(400));
}

#[tokio::test]
async fn later_failures_are_tried_again_and_a_stopped_loop_leaves_its_workers() {
    let engine = Memory::default();
    engine.with(|machines| machines.failures = 1);
    let refused = run(&engine, &[Some(9)], None, 0).await.unwrap_err();
    assert_eq!(refused.to_string(), "`squeue` is not installed here; wait");
    let (outcome, most, _) = run(&engine, &[Some(2), None, Some(2)], None, 5)
        .await
        .unwrap();
    assert_eq!((outcome, most), (Outcome::Left, 2));
    assert_eq!(engine.with(|machines| machines.members.len()), 2);
}

#[tokio::test]
async fn workers_that_die_at_once_are_not_asked_for_again_and_again() {
    for (dying, stillborn) in [(true, false), (false, true)] {
        let engine = Memory::default();
        engine.with(|machines| (machines.dying, machines.stillborn) = (dying, stillborn));
        let (outcome, _, service) = run(&engine, &[Some(1)], None, 60).await.unwrap();
        assert_eq!(outcome, Outcome::Left);
        // The first, its replacement, and nobody while the loop waits.
        let made = engine.with(|machines| machines.made);
        assert_eq!((made, service.gone()), (2, 2), "stillborn: {stillborn}");
    }
}

#[tokio::test]
async fn machines_that_get_their_name_later_hold_nothing_up() {
    let engine = Memory::default();
    engine.with(|machines| machines.requesting = true);
    let tasks = [
        Some(1),
        Some(1),
        Some(2),
        Some(2),
        Some(3),
        Some(3),
        Some(3),
    ];
    let (outcome, most, service) = run(&engine, &tasks, None, 7).await.unwrap();
    assert_eq!((outcome, most), (Outcome::Left, 3));
    assert_eq!(service.gone(), 0);
}

#[tokio::test]
async fn a_fleet_is_down_only_when_its_last_worker_has_left() {
    let engine = Memory::default();
    engine.grow(2).await.unwrap();
    engine.with(|machines| machines.lingering = 2);
    let mut ledger = Ledger::default();
    wait_gone(&engine, &mut ledger).await.unwrap();
    let (members, lingering) = engine.with(|machines| (machines.members.len(), machines.lingering));
    assert_eq!((members, lingering), (0, 0));
}
