//! The `experiments` section.

use std::collections::{BTreeMap, BTreeSet};

use reprise_domain::bounds::{program as bounds, study};
use reprise_domain::program::{Needs, ProgramLimits};
use reprise_domain::study::{ExperimentPlan, GridFactor, MetricPlan};
use reprise_domain::{Seconds, SpecProblem};

use super::checker::{Checker, tasks};
use super::{limits, numbers, size};
use crate::error::{Problem, StudyFileError};
use crate::experiment::{ExperimentForm, LimitsForm, NeedsForm, SizeText};
use crate::file::FileSource;
use crate::path::KeyPath;

/// Checks every entry of the section; returns the files that are shipped, too, which
/// are to be read.
pub(super) fn check(
    checker: &Checker<'_>,
    forms: Vec<ExperimentForm>,
    silence: Option<Seconds>,
) -> (Vec<ExperimentPlan>, Vec<FileSource>) {
    let section = KeyPath::root().key("experiments");
    let mut plans = Vec::with_capacity(forms.len());
    let mut files = Vec::new();
    let mut names = BTreeMap::new();
    for (index, form) in forms.into_iter().enumerate() {
        let path = section.index(index);
        if let Some(first) = names.insert(form.name.clone(), index) {
            let problem = Problem::DuplicateName {
                path: path.clone(),
                name: form.name.clone(),
                first: section.index(first),
            };
            checker.note(checker.at_value(&path.key("name"), problem));
        }
        files.extend(shipped(checker, &path, index, form.files.as_deref()));
        plans.push(entry(checker, &path, form, silence));
    }
    (plans, files)
}

fn entry(
    checker: &Checker<'_>,
    path: &KeyPath,
    form: ExperimentForm,
    silence: Option<Seconds>,
) -> ExperimentPlan {
    let grid = form.grid.map_or_else(Vec::new, |grid| grid.0);
    let metrics = form.metrics.0.into_iter();
    let given = form.limits.unwrap_or_default();
    let limits_path = path.key("limits");
    let plan = ExperimentPlan {
        name: form.name,
        command: form.command,
        files: Vec::new(),
        grid: grid
            .into_iter()
            .map(|(name, values)| GridFactor {
                name,
                values: values.0,
            })
            .collect(),
        metrics: metrics
            .map(|(name, form)| MetricPlan {
                name,
                unit: form.unit,
                goal: form.goal.map(|goal| goal.0),
            })
            .collect(),
        needs: needs(checker, &path.key("needs"), &form.needs.unwrap_or_default()),
        uses: uses(checker, &limits_path, &given),
        seeds: numbers::seeds(checker, &path.key("seeds"), &form.seeds),
        limits: limits::check_named(
            checker,
            &limits_path,
            ("time", given.time.as_ref()),
            ("silence", given.silence.as_ref()),
            silence,
        ),
    };
    checked(checker, path, &plan);
    let (levels, most) = (plan.levels(), study::STAGES);
    if levels > most {
        let path = path.key("grid");
        let problem = Problem::WrongValue {
            path: path.clone(),
            found: format!("a grid of {levels} combinations"),
            expected: format!("at most {most}"),
        };
        checker.note(checker.at_key(&path, problem));
    } else {
        checker.bound(path, tasks(&[levels, plan.seeds.len()]));
    }
    plan
}

/// Asks what every submitted study is asked, and shows the answer in the file.
fn checked(checker: &Checker<'_>, path: &KeyPath, plan: &ExperimentPlan) {
    for problem in plan.check().err().into_iter().flatten() {
        checker.note(shown(checker, path, plan, problem));
    }
}

/// A problem of an experiment at its place in the file.
fn shown(
    checker: &Checker<'_>,
    path: &KeyPath,
    plan: &ExperimentPlan,
    problem: SpecProblem,
) -> StudyFileError {
    let mut steps = KeyPath::from_serde(&problem.path).within(path);
    // What is a list there is a mapping in the file.
    let factors = path.key("grid");
    for (index, factor) in plan.grid.iter().enumerate() {
        if steps.is_within(&factors.index(index)) {
            steps = factors.key(&factor.name);
        }
    }
    let wrong = Problem::WrongValue {
        path: steps.clone(),
        found: problem.found,
        expected: problem.expected,
    };
    checker.at_value(&steps, wrong)
}

/// The files of an entry.
fn shipped(
    checker: &Checker<'_>,
    path: &KeyPath,
    experiment: usize,
    files: Option<&[String]>,
) -> Vec<FileSource> {
    let section = path.key("files");
    let mut known = BTreeSet::new();
    let mut sources = Vec::new();
    for (index, file) in files.unwrap_or_default().iter().enumerate() {
        let path = section.index(index);
        if !bounds::is_path(file) {
            let hint = "files are shipped with their paths relative to the study file";
            let mistake = checker.wrong(&path, bounds::PATH);
            checker.note(mistake.with_hint(hint.to_owned()));
        } else if !known.insert(file) {
            checker.note(checker.wrong(&path, "every file once"));
        }
        sources.push(FileSource {
            experiment,
            file: file.clone(),
            place: checker.place(&path),
            path,
        });
    }
    sources
}

fn needs(checker: &Checker<'_>, path: &KeyPath, form: &NeedsForm) -> Needs {
    let whole =
        |key: &str, given, default, bound| checker.whole(&path.key(key), given, default, bound);
    Needs {
        cores: whole("cores", form.cores, 1, bounds::CORES),
        memory_bytes: bytes(
            checker,
            path,
            "memory",
            form.memory.as_ref(),
            bounds::MEMORY,
        ),
        gpus: whole("gpus", form.gpus, 0, bounds::GPUS),
    }
}

fn uses(checker: &Checker<'_>, path: &KeyPath, form: &LimitsForm) -> ProgramLimits {
    let open_files = form.open_files.and_then(|given| {
        let path = path.key("open-files");
        checker.keep(checker.whole_of(&path, given, bounds::OPEN_FILES))
    });
    ProgramLimits {
        output_bytes: bytes(
            checker,
            path,
            "output",
            form.output.as_ref(),
            bounds::OUTPUT,
        ),
        memory_bytes: bytes(
            checker,
            path,
            "memory",
            form.memory.as_ref(),
            bounds::MEMORY,
        ),
        open_files,
    }
}

fn bytes(
    checker: &Checker<'_>,
    path: &KeyPath,
    key: &str,
    text: Option<&SizeText>,
    bound: bounds::Bytes,
) -> Option<u64> {
    let checked = text.map(|text| size::check(checker, &path.key(key), text, bound));
    checked.and_then(|checked| checker.keep(checked))
}
