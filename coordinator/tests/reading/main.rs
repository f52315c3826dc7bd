//! What clients read of a running coordinator: pages of studies and tasks, attempts,
//! failures by cause, results, changes, events.

mod attempts;
mod compaction;
mod services;
mod stand;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::TryStreamExt as _;
use reprise_domain::StudyName;
use reprise_domain::record::{AttemptState, Occurrence, TaskFilter, TaskStateKind, WorkerState};
use reprise_domain::status::{Control, StudyState};
use reprise_proto::status::{ApiError, ErrorCode};
use sqlx::Connection as _;

use crate::stand::{Stand, in_time, noops};

/// Waits until a study stands as it should.
async fn until(
    stand: &mut Stand,
    study: &StudyName,
    holds: impl Fn(&reprise_domain::status::StudyStatus) -> bool,
) -> anyhow::Result<()> {
    in_time(async {
        let mut watched = stand.client.watch(study).await?;
        while let Some(status) = watched.next().await? {
            if holds(&status) {
                return Ok(());
            }
        }
        anyhow::bail!("the study ended before")
    })
    .await?
}

#[tokio::test]
async fn all_tasks_come_page_by_page_and_filters_choose_among_them() {
    let mut stand = Stand::start().await.unwrap();
    let spec = noops("paged", 2500).unwrap();
    stand.client.submit(&spec, false).await.unwrap();
    let (mut seeds, mut pages, mut token) = (Vec::new(), 0, None);
    loop {
        let filter = TaskFilter::default();
        let page = stand
            .client
            .tasks(&spec.name, &filter, token)
            .await
            .unwrap();
        seeds.extend(page.entries.iter().map(|task| task.seed));
        pages += 1;
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!((seeds.len(), pages), (2500, 3));
    assert!(seeds.is_sorted());

    let one = TaskFilter {
        seed: Some(7),
        states: vec![TaskStateKind::Ready],
        stage: Some("noop".to_owned()),
        ..TaskFilter::default()
    };
    let page = stand.client.tasks(&spec.name, &one, None).await.unwrap();
    assert_eq!((page.entries.len(), page.next), (1, None));
    assert_eq!(page.entries[0].title, "noop 7");
    let none = TaskFilter {
        method: Some("random".to_owned()),
        ..TaskFilter::default()
    };
    let page = stand.client.tasks(&spec.name, &none, None).await.unwrap();
    assert_eq!((page.entries.len(), page.next), (0, None));
    stand.stop().await.unwrap();
}

#[tokio::test]
async fn failures_are_grouped_by_cause_and_a_task_tells_of_its_attempts() {
    let mut stand = Stand::start().await.unwrap();
    let spec = noops("failing", 3).unwrap();
    stand.client.submit(&spec, false).await.unwrap();
    let mut worker = stand.worker(1).await.unwrap();
    let mut first = None;
    for message in ["no memory", "no memory", "no luck"] {
        let attempt = worker.next().await.unwrap();
        first.get_or_insert_with(|| hex(&attempt.task));
        worker.fail(attempt, message).await.unwrap();
    }
    until(&mut stand, &spec.name, |status| status.study.has_ended())
        .await
        .unwrap();

    let status = stand.client.status(&spec.name).await.unwrap();
    assert_eq!(status.study.state, StudyState::Done);
    let groups: Vec<_> = status
        .failures
        .groups
        .iter()
        .map(|group| (group.tasks, &*group.message))
        .collect();
    assert_eq!(groups, [(2, "no memory"), (1, "no luck")]);
    assert_eq!(status.failures.other_tasks, 0);

    // The beginning of its key is enough.
    let key = first.unwrap();
    let detail = stand.client.task(&key[..8]).await.unwrap();
    assert_eq!(detail.task.key.to_string(), key);
    assert_eq!(detail.studies, std::slice::from_ref(&spec.name));
    let failure = detail.task.state.failure().unwrap();
    assert_eq!(failure.log, ["its last line"]);
    let [attempt] = detail.attempt_records.as_slice() else {
        panic!("{detail:?}");
    };
    assert_eq!(
        (attempt.number, &*attempt.host, &*attempt.device),
        (1, "host-1", "abacus")
    );
    assert!(attempt.started_at_ms <= attempt.ended_at_ms);
    assert!(
        matches!(&attempt.state, AttemptState::Failed { failure } if failure.message == "no memory")
    );

    assert_eq!(stand.client.retry_task(&key).await.unwrap(), 1);
    assert_eq!(stand.client.retry_study(&spec.name).await.unwrap(), 2);
    let error = stand.client.retry_task(&key).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidRequest, "{error:?}");
    let attempt = worker.next().await.unwrap();
    assert_eq!(attempt.number, 2);
    stand.stop().await.unwrap();
}

/// The kind of the next event.
async fn next(
    events: &mut (impl futures::TryStream<Ok = Occurrence, Error = ApiError> + Unpin),
) -> anyhow::Result<String> {
    let event = in_time(events.try_next()).await??;
    Ok(event.context("there are no more events")?.kind)
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digit = |digit: u8| char::from_digit(u32::from(digit), 16);
    digits.filter_map(digit).collect()
}

#[tokio::test]
async fn a_result_that_cannot_be_read_ends_the_results_with_its_name() {
    let mut stand = Stand::start().await.unwrap();
    let spec = noops("damaged", 2).unwrap();
    stand.client.submit(&spec, false).await.unwrap();
    let mut worker = stand.worker(1).await.unwrap();
    for _ in 0..2 {
        let attempt = worker.next().await.unwrap();
        worker.finish(attempt).await.unwrap();
    }
    until(&mut stand, &spec.name, |status| status.study.has_ended())
        .await
        .unwrap();
    assert_eq!(stand.client.records(&spec.name).await.unwrap().len(), 2);

    let journal = stand.state.path().join("journal.sqlite");
    let url = format!("sqlite://{}", journal.display());
    let mut journal = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let removed = sqlx::query("DELETE FROM result WHERE task IN (SELECT task FROM result LIMIT 1)")
        .execute(&mut journal)
        .await
        .unwrap();
    assert_eq!(removed.rows_affected(), 1);
    let error = stand.client.records(&spec.name).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Corrupt, "{error:?}");
    assert!(error.message.contains("the result of `noop"), "{error:?}");
    assert!(error.hint.unwrap().contains("reprise invalidate"));
    journal.close().await.unwrap();
    stand.stop().await.unwrap();
}

#[tokio::test]
async fn a_coordinator_that_stops_says_so_to_those_who_watch() {
    let mut stand = Stand::start().await.unwrap();
    let spec = noops("watched", 1).unwrap();
    stand.client.submit(&spec, false).await.unwrap();
    let mut watched = stand.client.watch(&spec.name).await.unwrap();
    watched.next().await.unwrap().unwrap();
    stand.instance.shutdown.cancel();
    let error = in_time(watched.next()).await.unwrap().unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    stand.stop().await.unwrap();
}

#[tokio::test]
async fn a_study_says_whether_it_is_held_and_can_be_deleted() {
    let mut stand = Stand::start().await.unwrap();
    let spec = noops("held", 5).unwrap();
    let (resumed, study) = stand.client.submit(&spec, false).await.unwrap();
    assert_eq!((resumed, study.tasks.ready), (false, 5));
    let paused = stand
        .client
        .control(&spec.name, Control::Pause)
        .await
        .unwrap();
    assert_eq!(paused.state, StudyState::Paused);
    let status = stand.client.status(&spec.name).await.unwrap();
    assert_eq!(status.study.state, StudyState::Paused);
    let resumed = stand
        .client
        .control(&spec.name, Control::Resume)
        .await
        .unwrap();
    assert_eq!(resumed.state, StudyState::Running);
    stand.client.delete(&spec.name).await.unwrap();
    let error = stand.client.status(&spec.name).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound);
    assert_eq!(stand.client.studies().await.unwrap(), []);
    stand.stop().await.unwrap();
}

#[tokio::test]
async fn workers_are_listed_and_a_drained_one_is_given_nothing_more() {
    let mut stand = Stand::start().await.unwrap();
    let mut worker = stand.worker(1).await.unwrap();
    let _other = stand.worker(2).await.unwrap();
    let workers = stand.client.workers(None).await.unwrap();
    let hosts: Vec<_> = workers.entries.iter().map(|worker| &*worker.host).collect();
    assert_eq!(hosts, ["host-1", "host-2"]);
    let drained = stand.client.drain("host-2", false).await.unwrap();
    assert_eq!(drained.state, WorkerState::Draining);
    let error = stand.client.drain("host-3", false).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound, "{error:?}");
    let spec = noops("drained", 1).unwrap();
    stand.client.submit(&spec, false).await.unwrap();
    worker.next().await.unwrap();
    stand.stop().await.unwrap();
}

#[tokio::test]
async fn an_invalidated_task_runs_again() {
    let mut stand = Stand::start().await.unwrap();
    let spec = noops("again", 1).unwrap();
    stand.client.submit(&spec, false).await.unwrap();
    let mut worker = stand.worker(1).await.unwrap();
    let attempt = worker.next().await.unwrap();
    let key = hex(&attempt.task);
    worker.finish(attempt).await.unwrap();
    until(&mut stand, &spec.name, |status| status.study.has_ended())
        .await
        .unwrap();
    assert_eq!(stand.client.invalidate(&[key]).await.unwrap(), 1);
    let attempt = worker.next().await.unwrap();
    assert_eq!(attempt.number, 2);
    worker.finish(attempt).await.unwrap();
    until(&mut stand, &spec.name, |status| status.study.has_ended())
        .await
        .unwrap();
    assert_eq!(stand.client.records(&spec.name).await.unwrap().len(), 1);
    stand.stop().await.unwrap();
}

#[tokio::test]
async fn attempts_are_remembered_over_a_restart() {
    let mut stand = Stand::start().await.unwrap();
    let spec = noops("kept", 1).unwrap();
    stand.client.submit(&spec, false).await.unwrap();
    let mut worker = stand.worker(1).await.unwrap();
    let attempt = worker.next().await.unwrap();
    let key = hex(&attempt.task);
    worker.fail(attempt, "no luck").await.unwrap();
    until(&mut stand, &spec.name, |status| status.study.has_ended())
        .await
        .unwrap();
    drop(worker);
    let state = stand.stop().await.unwrap();
    let mut stand = Stand::on(state).await.unwrap();
    let detail = stand.client.task(&key).await.unwrap();
    assert_eq!(detail.attempt_records.len(), 1);
    assert_eq!(detail.attempt_records[0].host, "host-1");
    stand.stop().await.unwrap();
}

#[tokio::test]
async fn what_happens_is_told() {
    let mut stand = Stand::start().await.unwrap();
    let mut events = stand.client.events(0, true).await.unwrap();
    let spec = noops("told", 1).unwrap();
    stand.client.submit(&spec, false).await.unwrap();
    let event = in_time(events.try_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(
        (&*event.kind, event.study),
        ("study-submitted", Some(spec.name))
    );
    let recent = stand.client.events(10, false).await.unwrap();
    let recent: Vec<_> = in_time(recent.try_collect()).await.unwrap().unwrap();
    assert_eq!(recent.len(), 1);
    stand.stop().await.unwrap();
}

#[tokio::test]
async fn what_happened_before_a_restart_is_told() {
    let mut stand = Stand::start().await.unwrap();
    let spec = noops("told", 1).unwrap();
    stand.client.submit(&spec, false).await.unwrap();
    let told = [Control::Pause, Control::Resume, Control::Cancel];
    for control in told {
        stand.client.control(&spec.name, control).await.unwrap();
    }
    for compact in [false, true] {
        let state = stand.stop().await.unwrap();
        if compact {
            shortened(&state).unwrap();
        }
        stand = Stand::on(state).await.unwrap();
        let recent = stand.client.events(10, false).await.unwrap();
        let recent: Vec<_> = in_time(recent.try_collect()).await.unwrap().unwrap();
        let kinds: Vec<_> = recent.iter().map(|event| &*event.kind).collect();
        let all = [
            "study-submitted",
            "study-paused",
            "study-resumed",
            "study-cancelled",
        ];
        // The newest record stays when the others are removed.
        assert_eq!(kinds, all[if compact { 3 } else { 0 }..]);
        assert!(recent.iter().all(|event| event.missed == 0), "{recent:?}");
    }
    stand.stop().await.unwrap();
}

fn shortened(state: &tempfile::TempDir) -> anyhow::Result<()> {
    let compacted = std::process::Command::new(env!("CARGO_BIN_EXE_reprise"))
        .args(["journal", "compact", "--state"])
        .arg(state.path())
        .status()?;
    anyhow::ensure!(compacted.success());
    Ok(())
}

/// The bound here is loose, so that a busy machine does not fail the test.
#[tokio::test]
async fn a_thousand_studies_are_listed_quickly() {
    let mut stand = Stand::start().await.unwrap();
    for number in 0..1_000 {
        let mut spec = noops(&format!("study-{number:05}"), 1).unwrap();
        if let Some(noop) = &mut spec.noop {
            // Tasks of their own.
            noop.hold_ms = number;
        }
        stand.client.submit(&spec, false).await.unwrap();
    }
    let started = Instant::now();
    let studies = stand.client.studies().await.unwrap();
    let took = started.elapsed();
    assert_eq!(studies.len(), 1_000);
    assert!(studies.is_sorted_by_key(|study| study.name.clone()));
    tracing::info!(ms = took.as_millis() as u64, "1,000 studies listed");
    assert!(took < Duration::from_secs(1), "{took:?}");
    stand.stop().await.unwrap();
}
