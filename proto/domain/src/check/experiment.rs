//! Programs: an experiment of a study, and one run of it as a worker is given it.

use std::collections::BTreeSet;

use super::{Checker, SpecProblem, shown};
use crate::bounds::program as bounds;
use crate::bounds::search;
use crate::program::{
    Factor, Needs, ProgramLimits, ProgramSpec, SEED, SEED_NAMES, Scalar, ShippedFile,
    TemplateError, placeholders,
};
use crate::study::ExperimentPlan;

impl ExperimentPlan {
    /// Checks every setting but seeds and limits of time against its bound.
    ///
    /// # Errors
    /// The first problems found, at least one.
    pub fn check(&self) -> Result<(), Vec<SpecProblem>> {
        let mut checker = Checker::default();
        self.check_with(&mut checker);
        checker.end()
    }

    /// Seeds and limits of time are checked with those of the other sections.
    pub(super) fn check_with(&self, checker: &mut Checker) {
        if !search::is_label(&self.name) {
            checker.wrong("name", shown(&self.name), search::LABEL);
        }
        if self.grid.len() > bounds::PARAMETERS {
            let found = format!("a grid of {} factors", self.grid.len());
            return checker.wrong("grid", found, most(bounds::PARAMETERS));
        }
        for (index, factor) in self.grid.iter().enumerate() {
            checker.within(format_args!("grid[{index}]"), |checker| {
                parameter(checker, &factor.name);
                let count = factor.values.len();
                if !(1..=bounds::VALUES).contains(&count) {
                    let expected = format!("1 to {}", bounds::VALUES);
                    checker.wrong("values", format!("a list of {count}"), expected);
                    return;
                }
                for value in &factor.values {
                    scalar(checker, value);
                }
                // Texts of values are what arguments and tables have.
                let mut seen = BTreeSet::new();
                let texts = factor.values.iter().map(ToString::to_string);
                if let Some(twice) = texts.into_iter().find(|text| !seen.insert(text.clone())) {
                    let found = format!("a list with {} twice", shown(&twice));
                    checker.wrong("values", found, "every value once");
                }
            });
        }
        names_once(checker, "grid", self.grid.iter().map(|factor| &factor.name));
        let names: Vec<&str> = self
            .grid
            .iter()
            .map(|factor| factor.name.as_str())
            .collect();
        command(checker, &self.command, &names);
        files(checker, &self.files);
        metrics(checker, self.metrics.iter().map(|metric| &metric.name));
        for unit in self
            .metrics
            .iter()
            .filter_map(|metric| metric.unit.as_ref())
        {
            if unit.chars().count() > bounds::UNIT_CHARS || unit.contains(char::is_control) {
                let expected = format!("units of at most {} characters", bounds::UNIT_CHARS);
                checker.wrong("metrics", shown(unit), expected);
            }
        }
        needs(checker, self.needs);
        uses(checker, self.uses);
    }
}

impl ProgramSpec {
    /// Checks every setting against its bound.
    ///
    /// # Errors
    /// The first problems found, at least one.
    pub fn check(&self) -> Result<(), Vec<SpecProblem>> {
        let mut checker = Checker::default();
        if self.parameters.len() > bounds::PARAMETERS {
            let found = format!("a list of {}", self.parameters.len());
            checker.wrong("parameters", found, most(bounds::PARAMETERS));
        }
        for (name, value) in self.parameters.iter().take(bounds::PARAMETERS) {
            parameter(&mut checker, name);
            scalar(&mut checker, value);
        }
        let names: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
        command(&mut checker, &self.command, &names);
        files(&mut checker, &self.files);
        metrics(&mut checker, self.metrics.iter());
        needs(&mut checker, self.needs);
        uses(&mut checker, self.limits);
        checker.end()
    }
}

fn most(count: usize) -> String {
    format!("at most {count}")
}

/// The name of a parameter, which is that of a placeholder, too.
fn parameter(checker: &mut Checker, name: &str) {
    if !bounds::is_name(name) {
        checker.wrong("name", shown(name), bounds::NAME);
    } else if name == SEED || name.starts_with("seed.") {
        let expected = "another name: the seed is in `seeds`";
        checker.wrong("name", shown(name), expected);
    }
}

/// One value of each of some factors.
pub(super) fn level(checker: &mut Checker, level: &[Factor]) {
    if level.len() > bounds::PARAMETERS {
        let found = format!("a level of {} factors", level.len());
        return checker.wrong("level", found, most(bounds::PARAMETERS));
    }
    for (index, factor) in level.iter().enumerate() {
        checker.within(format_args!("level[{index}]"), |checker| {
            parameter(checker, &factor.name);
            scalar(checker, &factor.value);
        });
    }
    names_once(checker, "level", level.iter().map(|factor| &factor.name));
}

fn scalar(checker: &mut Checker, value: &Scalar) {
    match value {
        Scalar::Real(number) if !number.is_finite() => {
            checker.wrong("values", format!("{number}"), "finite numbers");
        }
        Scalar::Text(text)
            if text.chars().count() > bounds::VALUE_CHARS || text.contains(char::is_control) =>
        {
            let expected = format!(
                "texts of at most {} characters, no control characters",
                bounds::VALUE_CHARS
            );
            checker.wrong("values", shown(text), expected);
        }
        _ => {}
    }
}

fn command(checker: &mut Checker, command: &[String], parameters: &[&str]) {
    let count = u32::try_from(command.len()).unwrap_or(u32::MAX);
    checker.whole("command", count, bounds::ARGUMENTS);
    let bytes: usize = command.iter().map(String::len).sum();
    if bytes > bounds::COMMAND_BYTES {
        let expected = format!("at most {} bytes", bounds::COMMAND_BYTES);
        return checker.wrong("command", format!("{bytes} bytes"), expected);
    }
    if command.first().is_some_and(String::is_empty) {
        checker.wrong("command[0]", "empty", "a program");
    }
    for (index, argument) in command.iter().enumerate() {
        if argument.contains('\0') {
            let expected = "an argument without the character U+0000";
            checker.wrong(format_args!("command[{index}]"), shown(argument), expected);
        }
        let known = |name: &&str| {
            let derived = name.strip_prefix("seed.");
            *name == SEED
                || parameters.contains(name)
                || derived.is_some_and(|name| SEED_NAMES.contains(&name))
        };
        let wrong = match placeholders(argument) {
            Ok(names) => names.into_iter().find(|name| !known(name)).map(|name| {
                let name = shown(name);
                format!("a placeholder for a factor, `{{seed}}` or `{{seed.NAME}}`, not for {name}")
            }),
            Err(TemplateError::Unknown { .. }) => None,
            Err(TemplateError::Brace { brace }) => Some(format!(
                "a partner for `{brace}`, or `{brace}{brace}` for the character itself"
            )),
        };
        if let Some(expected) = wrong {
            checker.wrong(format_args!("command[{index}]"), shown(argument), expected);
        }
    }
}

fn files(checker: &mut Checker, files: &[ShippedFile]) {
    if files.len() > bounds::FILES {
        let found = format!("a list of {}", files.len());
        return checker.wrong("files", found, most(bounds::FILES));
    }
    for (index, file) in files.iter().enumerate() {
        if !bounds::is_path(&file.path) {
            let field = format_args!("files[{index}].path");
            checker.wrong(field, shown(&file.path), bounds::PATH);
        }
    }
    if !files.is_sorted_by(|a, b| a.path < b.path) {
        checker.wrong(
            "files",
            "not in order",
            "files by ascending path, each once",
        );
    }
    // A path that is a file cannot be a directory of another, too.
    for pair in files.windows(2) {
        let (outer, inner) = (&pair[0].path, &pair[1].path);
        if inner
            .strip_prefix(outer.as_str())
            .is_some_and(|rest| rest.starts_with('/'))
        {
            let expected = "no file whose path goes through another file";
            checker.wrong("files", shown(inner), expected);
        }
    }
    let bytes = files
        .iter()
        .fold(0, |sum: u64, file| sum.saturating_add(file.bytes));
    if bytes > bounds::FILES_BYTES {
        let expected = format!("at most {} together", bounds::in_units(bounds::FILES_BYTES));
        checker.wrong("files", format!("{bytes} bytes"), expected);
    }
}

fn metrics<'a>(checker: &mut Checker, names: impl Iterator<Item = &'a String> + Clone) {
    let count = u32::try_from(names.clone().count()).unwrap_or(u32::MAX);
    checker.whole("metrics", count, bounds::METRICS);
    for name in names.clone().take(bounds::METRICS.most as usize) {
        if !bounds::is_name(name) || name == "step" {
            let expected = format!("{}, and not `step`", bounds::NAME);
            checker.wrong("metrics", shown(name), expected);
        }
    }
    names_once(checker, "metrics", names);
}

fn names_once<'a>(checker: &mut Checker, field: &str, mut names: impl Iterator<Item = &'a String>) {
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.find(|name| !seen.insert(*name)) {
        let found = format!("a list with {} twice", shown(twice));
        checker.wrong(field, found, "every name once");
    }
}

fn needs(checker: &mut Checker, needs: Needs) {
    checker.within("needs", |checker| {
        checker.whole("cores", needs.cores, bounds::CORES);
        checker.whole("gpus", needs.gpus, bounds::GPUS);
        size(checker, "memory", needs.memory_bytes, bounds::MEMORY);
    });
}

fn uses(checker: &mut Checker, limits: ProgramLimits) {
    checker.within("limits", |checker| {
        size(checker, "output", limits.output_bytes, bounds::OUTPUT);
        size(checker, "memory", limits.memory_bytes, bounds::MEMORY);
        if let Some(files) = limits.open_files {
            checker.whole("open-files", files, bounds::OPEN_FILES);
        }
    });
}

fn size(checker: &mut Checker, field: &str, bytes: Option<u64>, bound: bounds::Bytes) {
    if let Some(bytes) = bytes.filter(|bytes| !bound.contains(*bytes)) {
        checker.wrong(field, bounds::in_units(bytes), bound);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ids::Digest;
    use crate::units::Seed;

    fn said(change: impl FnOnce(&mut ProgramSpec)) -> String {
        let mut spec = ProgramSpec {
            command: [
                "python3",
                "a.py",
                "--latent={latent}",
                "{seed}",
                "{seed.data}",
            ]
            .map(str::to_owned)
            .to_vec(),
            files: vec![ShippedFile {
                path: "a.py".to_owned(),
                digest: Digest::from_bytes([1; 32]),
                bytes: 7,
                executable: false,
            }],
            parameters: BTreeMap::from([("latent".to_owned(), Scalar::Whole(8))]),
            metrics: vec!["loss".to_owned()],
            needs: Needs::default(),
            limits: ProgramLimits::default(),
            seed: Seed(1),
        };
        assert_eq!(spec.check(), Ok(()));
        change(&mut spec);
        spec.check().unwrap_err()[0].to_string()
    }

    #[test]
    fn what_a_program_may_not_have_is_named() {
        let check = |change: &dyn Fn(&mut ProgramSpec), expected: &str| {
            let said = said(|spec| change(spec));
            assert!(said.contains(expected), "{said}, not {expected}");
        };
        check(&|spec| spec.command.clear(), "`command` is 0");
        check(
            &|spec| spec.command[3] = "{sead}".to_owned(),
            "not for `sead`",
        );
        check(
            &|spec| spec.command[3] = "{seed.x}".to_owned(),
            "not for `seed.x`",
        );
        check(
            &|spec| spec.command[3] = "{".to_owned(),
            "a partner for `{`",
        );
        check(&|spec| spec.command[3] = "\0".to_owned(), "U+0000");
        check(
            &|spec| spec.command[3] = "x".repeat(20_000),
            "at most 16384 bytes",
        );
        check(&|spec| spec.files[0].path = "../a".to_owned(), "`../a`");
        check(
            &|spec| spec.files.push(spec.files[0].clone()),
            "ascending path",
        );
        check(
            &|spec| {
                let mut inner = spec.files[0].clone();
                inner.path.push_str("/b");
                spec.files.push(inner);
            },
            "through another file",
        );
        check(&|spec| spec.files[0].bytes = u64::MAX, "256 MiB together");
        check(&|spec| spec.metrics.clear(), "`metrics` is 0");
        check(&|spec| spec.metrics[0] = "step".to_owned(), "not `step`");
        check(&|spec| spec.needs.cores = 0, "`needs.cores` is 0");
        check(&|spec| spec.limits.memory_bytes = Some(1), "16 MiB");
        check(
            &|spec| {
                let value = Scalar::Real(f64::NAN);
                spec.parameters.insert("x".to_owned(), value);
            },
            "finite numbers",
        );
        check(
            &|spec| {
                spec.parameters.insert("seed".to_owned(), Scalar::Whole(1));
            },
            "the seed is in `seeds`",
        );
    }
}
