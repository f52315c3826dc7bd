//! What the values of a study file mean together: ranges, references between
//! sections, and the published defaults of whatever is left out.

mod audit;
mod axis;
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
mod settings;
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
use search::Sections;

pub(crate) use quirks::Given as GivenQuirks;
#[cfg(test)]
pub(crate) use quirks::quirk_names;

/// Checks a whole form.
///
/// # Errors
/// All mistakes that were found, in the order of the sections.
pub(crate) fn study(
    source: &Source<'_>,
    tree: &Tree,
    form: Form,
) -> Result<StudyFile, Vec<StudyFileError>> {
    let space = form.space.as_ref().map(|name| name.0);
    // Nobody looks at it if there is none.
    let checker = Checker::new(source, tree, space.unwrap_or(SpaceName::Nasbench201));
    let file = whole(&checker, form);
    let mistakes = checker.mistakes();
    match file {
        Some(file) if mistakes.is_empty() => Ok(file),
        _ => Err(mistakes),
    }
}

/// The study as far as it could be read; nothing, or not to be used, where mistakes were
/// noted.
fn whole(checker: &Checker<'_>, form: Form) -> Option<StudyFile> {
    let root = KeyPath::root();
    require_space(checker, &form);
    let name = form.name.parse::<StudyName>().map_err(|_| {
        let expected = "1 to 100 of `a-z`, `0-9`, `-`, `_` and `.`, the first a letter or digit";
        checker.wrong(&root.key("name"), expected)
    });
    let name = checker.keep(name);
    let protocol = form
        .protocol
        .as_ref()
        .map_or_else(Protocol::default, |name| name.0);
    let quirks = quirks::check(checker, protocol, &form.quirks.unwrap_or_default());
    let (retry, silence) = retry(checker, form.retry.unwrap_or_default());
    let pretrain = form.pretrain.unwrap_or_default();
    let pretrained = pretrain::check(checker, &pretrain, &quirks, silence);
    let names_benchmark = form.benchmark.is_some();
    let benchmark = form.benchmark.map(|form| benchmark::check(checker, form));
    let benchmark = benchmark.and_then(|checked| checker.keep(checked));
    let has_search = form.search.is_some();
    let search = form.search.and_then(|form| {
        let sections = Sections {
            pretrained: &pretrained,
            quirks: &quirks,
            silence,
            benchmark,
            names_benchmark,
        };
        search::check(checker, form, sections)
    });
    let evaluate = form
        .evaluate
        .map(|form| evaluate::check(checker, form, silence));
    let noop = form.noop.map(|form| noop(checker, &form, silence));
    let experiments = form.experiments.unwrap_or_default();
    let (experiments, unread) = experiment::check(checker, experiments, silence);
    let has_runs = !pretrain.is_empty() || has_search || evaluate.is_some();
    if !has_runs && noop.is_none() && experiments.is_empty() {
        let problem = Problem::NothingToDo { path: root.clone() };
        let hint = "add at least one of `pretrain`, `search`, `evaluate`, `experiments` and `noop`";
        checker.note(checker.at_key(&root, problem).with_hint(hint.to_owned()));
    }
    let on_failure = on_failure(checker, form.on_failure);
    let audit = form
        .audit
        .map(|share| audit::check(checker, &root.key("audit"), &share));
    let audit = audit.and_then(|checked| checker.keep(checked));
    let spec = StudySpec {
        name: name?,
        space: form.space.map(|name| name.0),
        protocol,
        quirks,
        pretrain: pretrained.plans,
        search: None,
        evaluate,
        noop,
        experiments,
        retry,
        on_failure,
        audit,
    };
    Some(StudyFile {
        spec,
        search,
        unread,
    })
}

/// Everything but programs and tasks that do nothing is about a space.
fn require_space(checker: &Checker<'_>, form: &Form) {
    let needs_space = [
        ("benchmark", form.benchmark.is_some()),
        ("pretrain", form.pretrain.is_some()),
        ("search", form.search.is_some()),
        ("evaluate", form.evaluate.is_some()),
    ];
    let section = needs_space.into_iter().find(|(_, is_there)| *is_there);
    let Some((section, _)) = section.filter(|_| form.space.is_none()) else {
        return;
    };
    let root = KeyPath::root();
    let problem = Problem::MissingKey {
        path: root.clone(),
        key: "space".to_owned(),
    };
    let hint = format!("`{section}` is about one, such as `space: nasbench201`");
    checker.note(checker.at_key(&root, problem).with_hint(hint));
}

fn noop(checker: &Checker<'_>, form: &NoopForm, silence: Option<Seconds>) -> NoopPlan {
    let path = KeyPath::root().key("noop");
    let whole =
        |key: &str, given, default, bound| checker.whole(&path.key(key), given, default, bound);
    NoopPlan {
        tasks: whole("tasks", Some(form.tasks), 1, noop_bounds::TASKS),
        hold_ms: whole("hold-ms", form.hold_ms, 0, noop_bounds::HOLD_MS),
        failures: whole("failures", form.failures, 0, noop_bounds::FAILURES),
        limits: limits::check(
            checker,
            &path,
            form.time_limit.as_ref(),
            form.silence_limit.as_ref(),
            silence,
        ),
    }
}

/// The policy, and the limit on silence of every section that has none of its own.
fn retry(checker: &Checker<'_>, form: RetryForm) -> (RetryPolicy, Option<Seconds>) {
    let path = KeyPath::root().key("retry");
    let default = RetryPolicy::default();
    let whole =
        |key: &str, given, default, bound| checker.whole(&path.key(key), given, default, bound);
    let lost = form.lost_workers;
    let backoff = form
        .backoff
        .map(|text| duration::check(checker, &path.key("backoff"), &text, bounds::BACKOFF));
    let backoff = backoff.and_then(|checked| checker.keep(checked));
    let policy = RetryPolicy {
        attempts: whole(
            "attempts",
            form.attempts,
            default.attempts,
            bounds::ATTEMPTS,
        ),
        backoff: backoff.unwrap_or(default.backoff),
        lost_workers: whole(
            "lost-workers",
            lost,
            default.lost_workers,
            bounds::LOST_WORKERS,
        ),
    };
    let limits = limits::check(checker, &path, None, form.silence_limit.as_ref(), None);
    (policy, limits.silence)
}

fn on_failure(checker: &Checker<'_>, form: Option<Failures>) -> OnFailure {
    match form {
        None => OnFailure::default(),
        Some(Failures::Continue) => OnFailure::Continue,
        Some(Failures::Stop) => OnFailure::Stop,
        Some(Failures::StopAfter(count)) => {
            let path = KeyPath::root().key("on-failure").key("stop-after");
            OnFailure::StopAfter(checker.whole(&path, Some(count), 1, bounds::STOP_AFTER))
        }
    }
}
