//! What the values of a study file mean together: ranges, references between
//! sections, and the published defaults of whatever is left out.

mod audit;
mod benchmark;
mod budget;
mod checker;
mod duration;
mod evaluate;
mod experiment;
mod limits;
mod method;
mod numbers;
mod pretrain;
mod quantity;
mod quirks;
mod search;
mod size;

use reprise_domain::bounds::{noop as noop_bounds, study as bounds};
use reprise_domain::study::{NoopPlan, OnFailure, RetryPolicy, StudySpec};
use reprise_domain::{Protocol, Seconds, SpaceName, StudyName};

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
    let space = form.space.as_ref().map(|name| name.0);
    let checker = Checker {
        source,
        tree,
        // Nobody looks at it if there is none.
        space: space.unwrap_or(SpaceName::Nasbench201),
    };
    require_space(&checker, &form)?;
    let name: StudyName = form.name.parse().map_err(|_| {
        let expected = "1 to 100 of `a-z`, `0-9`, `-`, `_` and `.`, the first a letter or digit";
        checker.wrong(&root.key("name"), expected)
    })?;
    let protocol = form
        .protocol
        .as_ref()
        .map_or_else(Protocol::default, |name| name.0);
    let quirks = quirks::check(&checker, protocol, form.quirks.unwrap_or_default())?;
    let (retry, silence) = retry(&checker, form.retry.unwrap_or_default())?;
    let pretrain = pretrain::check(&checker, form.pretrain.unwrap_or_default(), silence)?;
    let benchmark = form
        .benchmark
        .map(|form| benchmark::check(&checker, form))
        .transpose()?;
    let search = form
        .search
        .map(|form| search::check(&checker, form, benchmark, &pretrain, silence))
        .transpose()?;
    let evaluate = form
        .evaluate
        .map(|form| evaluate::check(&checker, form, silence))
        .transpose()?;
    let noop = form
        .noop
        .map(|form| noop(&checker, &form, silence))
        .transpose()?;
    let experiments = form.experiments.unwrap_or_default();
    let (experiments, unread) = experiment::check(&checker, experiments, silence)?;
    let has_runs = !pretrain.is_empty() || search.is_some() || evaluate.is_some();
    if !has_runs && noop.is_none() && experiments.is_empty() {
        let problem = Problem::NothingToDo { path: root.clone() };
        return Err(checker.at_key(&root, problem).with_hint(
            "add at least one of `pretrain`, `search`, `evaluate`, `experiments` and `noop`"
                .to_owned(),
        ));
    }
    let on_failure = on_failure(&checker, form.on_failure)?;
    let audit = form
        .audit
        .map(|share| audit::check(&checker, &root.key("audit"), &share))
        .transpose()?;
    let spec = StudySpec {
        name,
        space,
        protocol,
        quirks,
        pretrain,
        search: None,
        evaluate,
        noop,
        experiments,
        retry,
        on_failure,
        audit,
    };
    Ok(StudyFile {
        spec,
        search,
        unread,
    })
}

/// Everything but programs and tasks that do nothing is about a space.
fn require_space(checker: &Checker<'_>, form: &Form) -> Result<(), StudyFileError> {
    let needs_space = [
        ("benchmark", form.benchmark.is_some()),
        ("pretrain", form.pretrain.is_some()),
        ("search", form.search.is_some()),
        ("evaluate", form.evaluate.is_some()),
    ];
    let section = needs_space.into_iter().find(|(_, is_there)| *is_there);
    let Some((section, _)) = section.filter(|_| form.space.is_none()) else {
        return Ok(());
    };
    let root = KeyPath::root();
    let problem = Problem::MissingKey {
        path: root.clone(),
        key: "space".to_owned(),
    };
    let hint = format!("`{section}` is about one, such as `space: nasbench201`");
    Err(checker.at_key(&root, problem).with_hint(hint))
}

fn noop(
    checker: &Checker<'_>,
    form: &NoopForm,
    silence: Option<Seconds>,
) -> Result<NoopPlan, StudyFileError> {
    let path = KeyPath::root().key("noop");
    let whole =
        |key: &str, given, default, bound| checker.whole(&path.key(key), given, default, bound);
    Ok(NoopPlan {
        tasks: whole("tasks", Some(form.tasks), 1, noop_bounds::TASKS)?,
        hold_ms: whole("hold-ms", form.hold_ms, 0, noop_bounds::HOLD_MS)?,
        failures: whole("failures", form.failures, 0, noop_bounds::FAILURES)?,
        limits: limits::check(
            checker,
            &path,
            form.time_limit.as_ref(),
            form.silence_limit.as_ref(),
            silence,
        )?,
    })
}

/// The policy, and the limit on silence of every section that has none of its own.
fn retry(
    checker: &Checker<'_>,
    form: RetryForm,
) -> Result<(RetryPolicy, Option<Seconds>), StudyFileError> {
    let path = KeyPath::root().key("retry");
    let default = RetryPolicy::default();
    let whole =
        |key: &str, given, default, bound| checker.whole(&path.key(key), given, default, bound);
    let lost = form.lost_workers;
    let backoff = match form.backoff {
        None => default.backoff,
        Some(text) => duration::check(checker, &path.key("backoff"), &text, bounds::BACKOFF)?,
    };
    let policy = RetryPolicy {
        attempts: whole(
            "attempts",
            form.attempts,
            default.attempts,
            bounds::ATTEMPTS,
        )?,
        backoff,
        lost_workers: whole(
            "lost-workers",
            lost,
            default.lost_workers,
            bounds::LOST_WORKERS,
        )?,
    };
    let limits = limits::check(checker, &path, None, form.silence_limit.as_ref(), None)?;
    Ok((policy, limits.silence))
}

fn on_failure(checker: &Checker<'_>, form: Option<Failures>) -> Result<OnFailure, StudyFileError> {
    Ok(match form {
        None => OnFailure::default(),
        Some(Failures::Continue) => OnFailure::Continue,
        Some(Failures::Stop) => OnFailure::Stop,
        Some(Failures::StopAfter(count)) => {
            let path = KeyPath::root().key("on-failure").key("stop-after");
            OnFailure::StopAfter(checker.whole(&path, Some(count), 1, bounds::STOP_AFTER)?)
        }
    })
}
