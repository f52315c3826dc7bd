//! What the values of a study file mean together: ranges, references between
//! sections, and the published defaults of whatever is left out.

mod benchmark;
mod budget;
mod checker;
mod duration;
mod evaluate;
mod method;
mod numbers;
mod pretrain;
mod quirks;
mod search;

use reprise_domain::study::{NoopPlan, OnFailure, RetryPolicy, Seeds, StudySpec};
use reprise_domain::{Limits, Protocol, StudyName};

use crate::error::{Problem, StudyFileError};
use crate::file::StudyFile;
use crate::form::{Form, NoopForm, RetryForm};
use crate::path::KeyPath;
use crate::source::Source;
use crate::tree::Tree;
use crate::value::Failures;
use checker::Checker;

#[cfg(test)]
pub(crate) use quirks::quirk_names;

/// Checks a whole form.
pub(crate) fn study(
    source: &Source<'_>,
    tree: &Tree,
    form: Form,
) -> Result<StudyFile, StudyFileError> {
    let root = KeyPath::root();
    let space = form.space.0;
    let checker = Checker {
        source,
        tree,
        space,
    };
    let name: StudyName = form.name.parse().map_err(|_| {
        let expected = "1 to 100 of `a-z`, `0-9`, `-`, `_` and `.`, the first a letter or digit";
        checker.wrong(&root.key("name"), expected)
    })?;
    let protocol = form.protocol.map_or_else(Protocol::default, |name| name.0);
    let quirks = quirks::check(&checker, protocol, form.quirks.unwrap_or_default())?;
    let pretrain = pretrain::check(&checker, form.pretrain.unwrap_or_default())?;
    let benchmark = form
        .benchmark
        .map(|form| benchmark::check(&checker, form))
        .transpose()?;
    let search = form
        .search
        .map(|form| search::check(&checker, form, benchmark, &pretrain))
        .transpose()?;
    let evaluate = form
        .evaluate
        .map(|form| evaluate::check(&checker, form))
        .transpose()?;
    let noop = form.noop.map(|form| noop(&checker, &form)).transpose()?;
    if pretrain.is_empty() && search.is_none() && evaluate.is_none() && noop.is_none() {
        let problem = Problem::NothingToDo { path: root.clone() };
        return Err(checker.at_key(&root, problem).with_hint(
            "add at least one of `pretrain`, `search`, `evaluate` and `noop`".to_owned(),
        ));
    }
    let retry = retry(&checker, form.retry.unwrap_or_default())?;
    let on_failure = on_failure(&checker, form.on_failure)?;
    let spec = StudySpec {
        name,
        space,
        protocol,
        quirks,
        pretrain,
        search: None,
        evaluate,
        noop,
        retry,
        on_failure,
        audit: None,
    };
    Ok(StudyFile { spec, search })
}

fn noop(checker: &Checker<'_>, form: &NoopForm) -> Result<NoopPlan, StudyFileError> {
    let path = KeyPath::root().key("noop");
    let most = u32::try_from(Seeds::MAX).unwrap_or(u32::MAX);
    Ok(NoopPlan {
        tasks: checker.whole(&path.key("tasks"), Some(form.tasks), 1, 1..=most)?,
        hold_ms: checker.whole(&path.key("hold-ms"), form.hold_ms, 0, 0..=3_600_000)?,
        failures: checker.whole(&path.key("failures"), form.failures, 0, 0..=1000)?,
        limits: Limits::NONE,
    })
}

fn retry(checker: &Checker<'_>, form: RetryForm) -> Result<RetryPolicy, StudyFileError> {
    let path = KeyPath::root().key("retry");
    let default = RetryPolicy::default();
    let lost = &path.key("lost-workers");
    let backoff = match form.backoff {
        None => default.backoff,
        Some(text) => duration::check(checker, &path.key("backoff"), &text, 0.0..=86_400.0)?,
    };
    Ok(RetryPolicy {
        attempts: checker.whole(
            &path.key("attempts"),
            form.attempts,
            default.attempts,
            1..=1000,
        )?,
        backoff,
        lost_workers: checker.whole(lost, form.lost_workers, default.lost_workers, 1..=1000)?,
    })
}

fn on_failure(checker: &Checker<'_>, form: Option<Failures>) -> Result<OnFailure, StudyFileError> {
    Ok(match form {
        None => OnFailure::default(),
        Some(Failures::Continue) => OnFailure::Continue,
        Some(Failures::Stop) => OnFailure::Stop,
        Some(Failures::StopAfter(count)) => {
            let path = KeyPath::root().key("on-failure").key("stop-after");
            OnFailure::StopAfter(checker.whole(&path, Some(count), 1, 1..=1_000_000)?)
        }
    })
}
