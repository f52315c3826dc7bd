//! The `evaluate` section.

use reprise_domain::bounds::Whole;
use reprise_domain::study::{ArchSelection, EvaluatePlan};
use reprise_domain::{ArchIndex, Dataset, Recipe, Seconds, SpaceName};

use super::checker::{Checker, tasks};
use super::{limits, numbers};
use crate::error::{Problem, StudyFileError};
use crate::form::{EvaluateForm, TrainedDataset};
use crate::path::KeyPath;
use crate::value::{Architectures, Numbers};

/// Recipes train the cells of this space.
const CELLS: u32 = SpaceName::Nasbench201.architectures();

/// Checks the section. Recipes build their networks from NAS-Bench-201 cells.
pub(super) fn check(
    checker: &Checker<'_>,
    form: EvaluateForm,
    silence: Option<Seconds>,
) -> EvaluatePlan {
    let path = KeyPath::root().key("evaluate");
    if checker.space != SpaceName::Nasbench201 {
        let problem = Problem::OtherSpace {
            path: path.clone(),
            name: "evaluate",
        };
        checker.note(checker.at_key(&path, problem));
    }
    let TrainedDataset::Digits = form.dataset.0;
    let architectures = architectures(checker, &path.key("architectures"), form.architectures);
    let architectures = checker.keep(architectures).unwrap_or(ArchSelection::Unique);
    let seeds = numbers::seeds(checker, &path.key("seeds"), &form.seeds);
    let count = match &architectures {
        // Which cells are distinct is the planner's to count; this bounds it.
        ArchSelection::All | ArchSelection::Unique => CELLS as usize,
        ArchSelection::FirstUnique(count) => *count as usize,
        ArchSelection::Listed(indices) => indices.len(),
    };
    checker.bound(&path, tasks(&[count, seeds.len()]));
    EvaluatePlan {
        architectures,
        dataset: Dataset::Digits,
        recipe: form.recipe.map_or(Recipe::DigitsSmall, |name| name.0),
        seeds,
        limits: limits::check(
            checker,
            &path,
            form.time_limit.as_ref(),
            form.silence_limit.as_ref(),
            silence,
        ),
    }
}

fn architectures(
    checker: &Checker<'_>,
    path: &KeyPath,
    form: Architectures,
) -> Result<ArchSelection, StudyFileError> {
    let form = match form {
        Architectures::FirstUnique(count) => {
            let path = path.key("first-unique");
            let bound = Whole {
                least: 1,
                most: CELLS,
            };
            let count = checker.whole_of(&path, count, bound)?;
            return Ok(ArchSelection::FirstUnique(count));
        }
        Architectures::Numbers(numbers) => numbers,
    };
    if let Numbers::Text(text) = &form {
        match text.as_str() {
            "unique" => return Ok(ArchSelection::Unique),
            "all" => return Ok(ArchSelection::All),
            text if !text.contains(|character: char| character.is_ascii_digit()) => {
                let expected = "`unique`, `all`, `{first-unique: 100}` or indices such as `0..99`";
                return Err(checker.wrong(path, expected));
            }
            _ => {}
        }
    }
    let numbers = numbers::check(checker, path, &form)?;
    let indices = numbers
        .into_iter()
        .map(|number| {
            u32::try_from(number)
                .ok()
                .filter(|&index| index < CELLS)
                .map(ArchIndex)
        })
        .collect::<Option<Vec<_>>>();
    indices
        .map(ArchSelection::Listed)
        .ok_or_else(|| checker.wrong(path, format!("indices from 0 to {}", CELLS - 1)))
}
