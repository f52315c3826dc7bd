//! A child that computes with libtorch and does what it should not: each end of it costs
//! one attempt, which says why, and the next task runs in a new child.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use reprise_child::{Hello, Outcome, PROTOCOL, Task, frame};
use reprise_domain::{AttemptOutcome, FailureClass, PretrainSpec, Seed, TaskResult, TaskSpec};
use reprise_proto::pb::from_worker::Message as FromMessage;
use reprise_worker::torch::{Limits, Torch, TorchError};

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::double::{Double, evaluation, result};
use crate::pretraining;
use crate::stand::{Session, Stand, attempt, noop};

/// Limits that no test waits for, but for those that it is about.
const LIMITS: Limits = Limits {
    hello: Duration::from_mins(1),
    silence: Duration::from_mins(1),
    standstill: Duration::from_mins(1),
};

const SOON: Duration = Duration::from_millis(500);

fn train(torch: &Torch) -> Result<Outcome, TorchError> {
    let task = Task::Evaluate { spec: evaluation() };
    let mut lease = torch.lease()?;
    match lease.ask(task, Vec::new())? {
        trained @ Outcome::Evaluated { .. } => Ok(trained),
        _ => Err(lease.unexpected()),
    }
}

/// Trains with a child whose first task ends otherwise than it should, and then twice
/// more. The error of the first.
fn broken(first: &str, limits: Limits) -> anyhow::Result<TorchError> {
    let double = Double::new(first)?;
    let torch = Torch::open(double.program(), limits)?;
    let error = train(&torch).err().context("it trained")?;
    assert_eq!(double.starts(), 1, "a failed task is not tried again");
    for _ in 0..2 {
        let Outcome::Evaluated { result: found, .. } = train(&torch)? else {
            anyhow::bail!("no training")
        };
        assert_eq!(found, result()?);
    }
    assert_eq!(double.starts(), 2, "a child that trained is kept");
    Ok(error)
}

fn check(first: &str, limits: Limits, expected: &str) -> anyhow::Result<()> {
    let error = broken(first, limits)?;
    assert_eq!(error.class(), FailureClass::WorkerLost, "{error}");
    let said = error.to_string();
    assert!(said.contains(expected), "{said}");
    Ok(())
}

#[test]
fn a_child_that_ends_is_replaced_and_says_how() -> anyhow::Result<()> {
    check(
        "echo 'cannot find the card' >&2; exit 3",
        LIMITS,
        "ended with exit code 3; it said last: `cannot find the card`",
    )?;
    check("exit 0", LIMITS, "ended with exit code 0")?;
    check("kill -ABRT $$", LIMITS, "signal 6 (SIGABRT)")?;
    check("kill -SEGV $$", LIMITS, "signal 11 (SIGSEGV)")?;
    // In the middle of what it says.
    check(
        "head -c 9 trained; kill -KILL $$",
        LIMITS,
        "signal 9 (SIGKILL)",
    )
}

#[test]
fn want_of_memory_is_told_from_other_ends() -> anyhow::Result<()> {
    let first = "echo \"  what():  std::bad_alloc\" >&2; kill -ABRT $$";
    let error = broken(first, LIMITS)?;
    assert_eq!(error.class(), FailureClass::OutOfMemory, "{error}");
    Ok(())
}

#[test]
fn a_child_that_hangs_is_killed() -> anyhow::Result<()> {
    let silent = Limits {
        silence: SOON,
        ..LIMITS
    };
    check("exec sleep 1000", silent, "no sign of life for 500ms")?;
    // As a thread of its own goes on while the card's driver holds the one that computes.
    let still = Limits {
        standstill: SOON,
        ..LIMITS
    };
    check(
        "while :; do cat heartbeat; sleep 0.02; done",
        still,
        "no sign of progress for 500ms",
    )
}

#[test]
fn what_is_not_in_the_protocol_ends_the_child() -> anyhow::Result<()> {
    let wrong = "said what is not in its protocol";
    check(
        "printf '\\377\\377\\377\\377\\377\\377\\377\\377'",
        LIMITS,
        wrong,
    )?;
    check("printf 'Epoch 1 of 8: loss 0.25'", LIMITS, wrong)?;
    // A header of two bytes that is JSON, but not a message.
    check(
        "printf '\\002\\000\\000\\000\\000\\000\\000\\000{}'",
        LIMITS,
        wrong,
    )?;
    // Sound messages without end.
    let still = Limits {
        standstill: SOON,
        ..LIMITS
    };
    check("while cat heartbeat; do :; done", still, "progress")?;
    check("cat hello", LIMITS, wrong)?;
    check("cat of-another-task; continue", LIMITS, wrong)
}

#[test]
fn a_program_that_is_not_ours_is_refused_at_once() -> anyhow::Result<()> {
    let opened = |double: &Double| {
        let limits = Limits {
            hello: SOON,
            ..LIMITS
        };
        Torch::open(double.program(), limits).map(drop)
    };
    let mut later = Vec::new();
    let hello = Hello {
        protocol: PROTOCOL + 1,
        version: "9.0.0".to_owned(),
        ..Hello::default()
    };
    frame::write(&mut later, &hello, &[])?;
    let double = Double::new("")?.says_first(&later)?;
    let error = opened(&double).err().context("another version")?;
    assert!(matches!(error, TorchError::Version { .. }), "{error}");
    let said = error.to_string();
    let found = format!("`reprise-torch` 9.0.0 with protocol {}", PROTOCOL + 1);
    assert!(said.contains(&found), "{said}");

    for (bytes, expected) in [
        (&b"Usage: something else\n"[..], "bytes of header"),
        (b"", "says nothing for 500ms"),
    ] {
        let double = Double::new("")?.says_first(bytes)?;
        let said = opened(&double).err().context("not ours")?.to_string();
        assert!(said.contains(expected), "{said}");
    }
    let missing = Torch::open("/nowhere/reprise-torch".into(), LIMITS);
    let said = missing.err().context("not there")?.to_string();
    assert!(
        said.starts_with("`/nowhere/reprise-torch` cannot be started"),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_child_that_has_ended_between_two_tasks_is_replaced() -> anyhow::Result<()> {
    let double = Double::new("cat trained; exit 0")?;
    let torch = Torch::open(double.program(), LIMITS)?;
    train(&torch)?;
    let deadline = Instant::now() + Duration::from_mins(1);
    // It may be still on its way out, and then a task meets its end.
    while train(&torch).is_err() {
        anyhow::ensure!(Instant::now() < deadline, "no child trains");
    }
    assert_eq!(double.starts(), 2);
    torch.rest();
    train(&torch)?;
    assert_eq!(double.starts(), 3);
    Ok(())
}

async fn outcome(session: &mut Session, task: u8) -> anyhow::Result<AttemptOutcome> {
    session.start(&[(attempt(task), TaskSpec::Evaluate(evaluation()))])?;
    loop {
        let (reported, outcome) = session.report().await?;
        if reported == attempt(task) {
            return Ok(outcome);
        }
    }
}

#[tokio::test]
async fn the_session_lives_on_and_the_next_task_runs() -> anyhow::Result<()> {
    // What fills the attempts' logs.
    let subscriber = tracing_subscriber::registry().with(reprise_worker::logs::layer());
    subscriber.try_init()?;
    let home = tempfile::tempdir()?;
    let double = Double::new("echo 'terminate called' >&2; kill -ABRT $$")?;
    let mut stand = Stand::start().await?;
    let torch = Torch::open(double.program(), LIMITS)?;
    let _worker = stand.worker_with(home.path(), torch)?;
    let mut session = stand.session().await?;
    let AttemptOutcome::Failed(failure) = outcome(&mut session, 1).await? else {
        anyhow::bail!("it trained")
    };
    assert_eq!(failure.class, FailureClass::WorkerLost);
    assert_eq!(
        failure.message,
        "`reprise-torch` was ended by signal 6 (SIGABRT); it said last: `terminate called`"
    );
    let logged = |line: &String| line.ends_with("INFO reprise-torch: terminate called");
    assert!(failure.log.iter().any(logged), "{:?}", failure.log);

    let finished = outcome(&mut session, 2).await?;
    let AttemptOutcome::Finished {
        result: found,
        usage,
    } = finished
    else {
        anyhow::bail!("{finished:?}")
    };
    assert_eq!(found, TaskResult::Evaluate(result()?));
    assert_eq!(usage.training.map(reprise_domain::Seconds::get), Some(0.25));
    session.start(&[(attempt(3), noop(0))])?;
    assert_eq!(session.report().await?.0, attempt(3));
    Ok(())
}

#[tokio::test]
async fn a_task_that_is_stopped_leaves_its_child_to_the_next() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    // It waits for the order to stop and obeys it.
    let stop = "cat progress; head -c $stop >/dev/null; cat stopped; continue";
    let double = Double::new(stop)?;
    let mut stand = Stand::start().await?;
    let torch = Torch::open(double.program(), LIMITS)?;
    let _worker = stand.worker_with(home.path(), torch)?;
    let mut session = stand.session().await?;
    session.start(&[(attempt(1), TaskSpec::Evaluate(evaluation()))])?;
    let moves = session.next(|message| match message {
        FromMessage::Heartbeat(beat) => beat.progress.into_iter().find(|moved| moved.done > 0),
        _ => None,
    });
    assert_eq!(moves.await?.done, 5);
    session.stop(attempt(1))?;
    // Nobody is told of its end, and the slot is free again.
    let finished = outcome(&mut session, 2).await?;
    assert!(
        matches!(finished, AttemptOutcome::Finished { .. }),
        "{finished:?}"
    );
    assert_eq!(double.starts(), 1);
    Ok(())
}

#[tokio::test]
async fn want_of_memory_halves_a_pack() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let seeds = [1, 2].map(|seed| PretrainSpec {
        seed: Seed(seed),
        ..pretraining()
    });
    let double = Double::of_packs(seeds)?;
    let mut stand = Stand::start().await?;
    let torch = Torch::open(double.program(), LIMITS)?;
    let _worker = stand.worker_that_packs(home.path(), torch)?;
    let mut session = stand.session().await?;
    let [first, second] = seeds.map(TaskSpec::Pretrain);
    session.start(&[(attempt(1), first), (attempt(2), second)])?;
    // What lacked memory was not reported: both are tried again, one after the other.
    for task in [1, 2] {
        let (reported, outcome) = session.report().await?;
        assert_eq!(reported, attempt(task));
        let AttemptOutcome::Failed(failure) = outcome else {
            anyhow::bail!("it trained")
        };
        assert_eq!(failure.message, "as it was told");
        assert_eq!(failure.class, FailureClass::Task);
    }
    assert_eq!(double.starts(), 2);
    Ok(())
}

#[tokio::test]
async fn without_the_program_a_training_is_refused_with_a_way_out() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let mut stand = Stand::start().await?;
    let _worker = stand.worker(home.path())?;
    let mut session = stand.session().await?;
    let AttemptOutcome::Failed(failure) = outcome(&mut session, 1).await? else {
        anyhow::bail!("it trained")
    };
    // Another worker may have it.
    assert_eq!(failure.class, FailureClass::Task);
    assert!(failure.message.contains("`--torch`"), "{failure:?}");
    Ok(())
}
