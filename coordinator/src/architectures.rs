//! Which architectures a study's selection stands for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use reprise_core::plan::{Plan, PlanError, plan};
use reprise_domain::study::{ArchSelection, StudySpec};
use reprise_domain::{ArchIndex, SpaceName};

/// The tasks of a study.
///
/// # Errors
/// What is wrong with the study.
pub(crate) fn planned(spec: &StudySpec) -> Result<Plan, PlanError> {
    plan(spec, &|selection| {
        // Without a space the planner refuses what it would be asked of.
        let space = spec.space;
        space.map_or_else(Vec::new, |space| select(space, selection))
    })
}

/// The indices of a selection, ascending.
fn select(space: SpaceName, selection: &ArchSelection) -> Vec<ArchIndex> {
    match selection {
        ArchSelection::Listed(indices) => indices.clone(),
        ArchSelection::All => (0..representatives(space).len() as u32)
            .map(ArchIndex)
            .collect(),
        ArchSelection::Unique => unique(&representatives(space)),
        ArchSelection::FirstUnique(count) => {
            let mut indices = unique(&representatives(space));
            indices.truncate(*count as usize);
            indices
        }
    }
}

/// For every index of a space the index that stands for it, computed once.
pub(crate) fn representatives(space: SpaceName) -> Arc<Vec<ArchIndex>> {
    static KNOWN: OnceLock<Mutex<HashMap<SpaceName, Arc<Vec<ArchIndex>>>>> = OnceLock::new();
    let known = KNOWN.get_or_init(Mutex::default);
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = known
        .entry(space)
        .or_insert_with(|| Arc::new(reprise_search::space::open(space).representatives()));
    Arc::clone(entry)
}

fn unique(representatives: &[ArchIndex]) -> Vec<ArchIndex> {
    let own = representatives
        .iter()
        .enumerate()
        .filter(|(index, arch)| arch.row() == *index);
    own.map(|(_, arch)| *arch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functionally_unique_cells_are_counted() {
        assert_eq!(
            select(SpaceName::Nasbench201, &ArchSelection::All).len(),
            15_625
        );
        let unique = select(SpaceName::Nasbench201, &ArchSelection::Unique);
        assert_eq!(unique.len(), 4_930);
        let first = select(SpaceName::Nasbench201, &ArchSelection::FirstUnique(20));
        assert_eq!(first, unique[..20]);
    }
}
