//! What the tasks of a sweep have in common, kept once.

use std::collections::HashMap;

use reprise_domain::{ArchIndex, Requirement, Seed, TaskKey, TaskSpec};

use super::task::TaskIx;
use crate::plan::sweep::{blank, filled};
use crate::plan::task_key;
use crate::scheduler::{ClassIx, Classes};

/// Position of a template in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TemplateIx(pub(crate) u32);

/// What a spec has beside its template and its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aspect {
    /// Nothing.
    Plain,
    /// The architecture that is trained.
    Arch(ArchIndex),
    /// The task whose embedding is searched.
    Input(TaskIx),
}

/// A spec without its seed and its aspect.
#[derive(Debug, Clone, PartialEq)]
struct Template {
    spec: TaskSpec,
    class: ClassIx,
}

/// All templates, in the order in which they appeared.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Templates {
    rows: Vec<Template>,
    /// By the key that the template has as a spec.
    index: HashMap<TaskKey, TemplateIx>,
}

impl Templates {
    /// The template of `spec`, added at need together with its class.
    pub(crate) fn intern(&mut self, spec: &TaskSpec, classes: &mut Classes) -> TemplateIx {
        let blank = blank(spec);
        // Tasks of a stage follow each other in a plan, so it is the newest nearly
        // always.
        if self.rows.last().is_some_and(|newest| newest.spec == blank) {
            return TemplateIx(self.rows.len() as u32 - 1);
        }
        let rows = &mut self.rows;
        *self.index.entry(task_key(&blank)).or_insert_with(|| {
            let class = classes.intern(&blank);
            rows.push(Template { spec: blank, class });
            TemplateIx(rows.len() as u32 - 1)
        })
    }

    /// A task's spec as it was planned. `input` is the key of what it reads.
    pub(crate) fn spec(
        &self,
        template: TemplateIx,
        seed: Seed,
        aspect: Aspect,
        input: Option<TaskKey>,
    ) -> TaskSpec {
        let arch = match aspect {
            Aspect::Arch(arch) => Some(arch),
            Aspect::Plain | Aspect::Input(_) => None,
        };
        filled(&self.rows[template.0 as usize].spec, seed, arch, input)
    }

    pub(crate) fn class(&self, template: TemplateIx) -> ClassIx {
        self.rows[template.0 as usize].class
    }

    pub(crate) fn requirement(&self, template: TemplateIx) -> Requirement {
        self.rows[template.0 as usize].spec.requirement()
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The specs without seeds and aspects.
    pub(crate) fn specs(&self) -> impl Iterator<Item = &TaskSpec> {
        self.rows.iter().map(|row| &row.spec)
    }
}
