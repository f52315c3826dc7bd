//! A worker's session with a coordinator that drops it, stands still or knows nothing:
//! what the worker says then, and what it keeps.

mod double;
mod stand;
mod torch;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use reprise_domain::task::ModelSizes;
use reprise_domain::{
    AttemptId, AttemptOutcome, BenchmarkRef, Budget, Dataset, EncodingName, FailureClass,
    MethodSpec, ModelName, PretrainSpec, Protocol, Quirks, SearchSpec, Seed, SpaceName, TaskSpec,
};
use reprise_proto::pb;
use reprise_proto::pb::from_worker::Message as FromMessage;
use reprise_worker::torch::{Limits, Torch};

use double::{Double, evaluation};
use stand::{SILENCE, Session, Stand, attempt, noop};

/// Waits until a directory is empty.
async fn empties(directory: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_mins(1);
    while fs::read_dir(directory)?.next().is_some() {
        anyhow::ensure!(Instant::now() < deadline, "files stay");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn log(session: &mut Session) -> anyhow::Result<String> {
    let text = session.next(|message| match message {
        FromMessage::Log(log) => Some(log.text),
        FromMessage::Report(_) => Some(b"a report came first".to_vec()),
        _ => None,
    });
    Ok(String::from_utf8(text.await?)?)
}

#[tokio::test]
async fn a_session_that_the_coordinator_ends_is_opened_again() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let mut stand = Stand::start().await?;
    let _worker = stand.worker(home.path())?;
    let first = stand.session().await?;
    assert!(!first.hello.again);
    drop(first);
    assert!(stand.session().await?.hello.again);
    Ok(())
}

// One thread for all: what blocks it stops the worker's session as a hung disk does.
#[tokio::test(flavor = "current_thread")]
async fn a_worker_that_stood_still_opens_a_new_session() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let mut stand = Stand::start().await?;
    let _worker = stand.worker(home.path())?;
    let mut first = stand.session().await?;
    first.start(&[(attempt(1), noop(0))])?;
    first.report().await?;
    // The coordinator does not end this session: it has lost it without noticing.
    std::thread::sleep(2 * SILENCE);
    let second = stand.session().await?;
    assert!(second.hello.again);
    assert_eq!(second.hello.holding, [attempt(1).into()]);
    drop(first);
    Ok(())
}

#[tokio::test]
async fn heartbeats_say_how_far_attempts_are() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let mut stand = Stand::start().await?;
    // Longer than a few heartbeats.
    let double = Double::new("cat progress; sleep 1")?;
    let torch = Torch::open(double.program(), Limits::default())?;
    let _worker = stand.worker_with(home.path(), torch)?;
    let mut session = stand.session().await?;
    let spec = TaskSpec::Evaluate(evaluation());
    session.start(&[(attempt(1), spec)])?;
    let moved = session.next(|message| match message {
        // The first word of an attempt says that it has begun: nothing is done then.
        FromMessage::Heartbeat(beat) => beat.progress.into_iter().find(|moved| moved.done > 0),
        FromMessage::Report(_) => Some(pb::Progress::default()),
        _ => None,
    });
    let moved = moved.await?;
    assert_eq!(moved.attempt, Some(attempt(1).into()));
    assert!(moved.done > 0);
    let (_, outcome) = session.report().await?;
    let AttemptOutcome::Finished { usage, .. } = outcome else {
        anyhow::bail!("not finished: {outcome:?}")
    };
    assert!(usage.started_ms.is_some() && usage.ended_ms >= usage.started_ms);
    Ok(())
}

fn pretraining() -> PretrainSpec {
    PretrainSpec {
        space: SpaceName::Nasbench201,
        model: ModelName::Arch2vec,
        sizes: ModelSizes::default(),
        // The test ends before it does.
        epochs: 1000,
        batch: 32,
        learning_rate: 1e-3,
        clip: 5.0,
        latent_points: 100,
        quirks: Quirks::of(Protocol::Reference).pretrain,
        seed: Seed(1),
    }
}

async fn checkpoint(session: &mut Session) -> anyhow::Result<pb::Checkpoint> {
    let checkpoint = session.next(|message| match message {
        FromMessage::Checkpoint(checkpoint) => Some(checkpoint),
        _ => None,
    });
    checkpoint.await
}

#[tokio::test]
async fn what_a_killed_process_had_saved_counts_as_progress_at_once() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let mut stand = Stand::start().await?;
    let worker = stand.worker_that_sends(home.path(), Duration::from_millis(200))?;
    let mut session = stand.session().await?;
    session.start(&[(attempt(1), TaskSpec::Pretrain(pretraining()))])?;
    let before = checkpoint(&mut session).await?;
    assert!(before.done > 0);
    worker.kill().await;

    let _worker = stand.worker(home.path())?;
    let mut session = stand.session().await?;
    let second = AttemptId {
        number: 2,
        ..attempt(1)
    };
    session.start(&[(second, TaskSpec::Pretrain(pretraining()))])?;
    // An hour before it would be time for one.
    let resumed = checkpoint(&mut session).await?;
    assert_eq!(resumed.attempt, Some(second.into()));
    assert!(resumed.done >= before.done);
    let moved = session.next(|message| match message {
        FromMessage::Heartbeat(beat) => beat.progress.into_iter().next(),
        _ => None,
    });
    let moved = moved.await?;
    // 14,062 cells in batches of 32.
    assert_eq!(moved.total, 1000 * 440);
    assert!(moved.done >= resumed.done);
    Ok(())
}

#[tokio::test]
async fn an_input_that_the_coordinator_has_lost_is_reported_as_lost() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let mut stand = Stand::start().await?;
    let _worker = stand.worker(home.path())?;
    let mut session = stand.session().await?;
    let digest = attempt(9).task.0;
    let spec = TaskSpec::Search(SearchSpec {
        space: SpaceName::Nasbench201,
        dataset: Dataset::Cifar10,
        benchmark: BenchmarkRef::Table { digest },
        method: MethodSpec::Random,
        encoding: EncodingName::Discrete,
        budget: Budget::Queries(10),
        quirks: Quirks::of(Protocol::Reference).search,
        seed: Seed(1),
    });
    session.start(&[(attempt(1), spec)])?;
    let (_, outcome) = session.report().await?;
    let AttemptOutcome::Failed(failure) = outcome else {
        anyhow::bail!("nothing is there to search: {outcome:?}")
    };
    assert_eq!(failure.class, FailureClass::InputLost);
    assert!(
        failure.message.contains("submit the study again"),
        "{failure:?}"
    );
    let names_it = |line: &String| line.contains(&digest.to_string());
    assert!(failure.log.iter().any(names_it), "{failure:?}");
    Ok(())
}

#[tokio::test]
async fn a_failures_log_comes_before_its_report_and_is_kept_until_acknowledged()
-> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let mut stand = Stand::start().await?;
    let _worker = stand.worker(home.path())?;
    let mut session = stand.session().await?;
    session.start(&[(attempt(1), noop(1))])?;
    let text = log(&mut session).await?;
    assert!(text.contains("begins noop 1 on stand"), "{text}");
    assert!(text.contains("failed: run a noop task"), "{text}");
    let (reported, _) = session.report().await?;
    assert_eq!(reported, attempt(1));
    // The connection ends before the report is durable: both are sent again.
    drop(session);
    let mut session = stand.session().await?;
    assert_eq!(log(&mut session).await?, text);
    session.report().await?;
    session.acknowledge(attempt(1))?;
    empties(&home.path().join("logs")).await
}

#[tokio::test]
async fn the_log_of_a_killed_attempt_is_sent_by_the_next_process() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let logs = home.path().join("logs");
    fs::create_dir_all(&logs)?;
    let name = format!("{}.1.log", attempt(7).task);
    fs::write(logs.join(name), "epoch 3 done\n")?;
    let mut stand = Stand::start().await?;
    let _worker = stand.worker(home.path())?;
    let mut session = stand.session().await?;
    assert!(session.hello.holding.is_empty());
    assert_eq!(log(&mut session).await?, "epoch 3 done\n");
    empties(&logs).await
}

#[tokio::test]
async fn a_damaged_result_is_not_held_and_its_attempt_is_run_again() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let mut stand = Stand::start().await?;
    let worker = stand.worker(home.path())?;
    let mut session = stand.session().await?;
    session.start(&[(attempt(1), noop(0)), (attempt(2), noop(0))])?;
    session.report().await?;
    session.report().await?;
    worker.kill().await;
    let spool = home.path().join("spool/log");
    let log = fs::read_to_string(&spool)?;
    let digit = log
        .find("\"started_ms\":1")
        .context("a result says when it began")?;
    let mut damaged = log.into_bytes();
    damaged[digit + 13] = b'2';
    fs::write(&spool, damaged)?;

    let _worker = stand.worker(home.path())?;
    let mut session = stand.session().await?;
    assert_eq!(session.hello.holding, [attempt(2).into()]);
    assert_eq!(session.report().await?.0, attempt(2));
    session.start(&[(attempt(1), noop(0))])?;
    assert_eq!(session.report().await?.0, attempt(1));
    assert!(home.path().join("spool/log.unreadable").exists());
    Ok(())
}

#[tokio::test]
async fn attempts_that_come_in_several_messages_and_twice_are_run_once() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let mut stand = Stand::start().await?;
    let _worker = stand.worker(home.path())?;
    let mut session = stand.session().await?;
    session.start(&[(attempt(1), noop(0)), (attempt(2), noop(0))])?;
    session.start(&[(attempt(2), noop(0)), (attempt(3), noop(0))])?;
    let mut reported = Vec::new();
    for _ in 0..3 {
        reported.push(session.report().await?.0);
    }
    assert_eq!(reported, [attempt(1), attempt(2), attempt(3)]);
    Ok(())
}
