//! What the tasks of a sweep have in common, kept once.
//!
//! A task differs from its neighbours in its seed, and in the architecture that it
//! trains or the embedding that it reads. The rest of its spec, which is most of
//! it, is the template.

use std::collections::HashMap;

use reprise_domain::{ArchIndex, Digest, EncodingName, Seed, TaskKey, TaskSpec};

use super::task::TaskIx;
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
        let mut spec = self.rows[template.0 as usize].spec.clone();
        let arch = match aspect {
            Aspect::Arch(arch) => Some(arch),
            Aspect::Plain | Aspect::Input(_) => None,
        };
        fill(&mut spec, seed, arch, input);
        spec
    }

    pub(crate) fn class(&self, template: TemplateIx) -> ClassIx {
        self.rows[template.0 as usize].class
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The specs without seeds and aspects.
    pub(crate) fn specs(&self) -> impl Iterator<Item = &TaskSpec> {
        self.rows.iter().map(|row| &row.spec)
    }
}

/// The architecture that a spec names.
pub(crate) const fn arch(spec: &TaskSpec) -> Option<ArchIndex> {
    match spec {
        TaskSpec::Evaluate(spec) => Some(spec.arch),
        TaskSpec::Pretrain(_) | TaskSpec::Search(_) | TaskSpec::Noop(_) => None,
    }
}

/// What `spec` has in common with the others of its sweep.
fn blank(spec: &TaskSpec) -> TaskSpec {
    let mut blank = spec.clone();
    let nobody = TaskKey(Digest::from_bytes([0; 32]));
    fill(&mut blank, Seed(0), Some(ArchIndex(0)), Some(nobody));
    blank
}

fn fill(spec: &mut TaskSpec, seed: Seed, arch: Option<ArchIndex>, input: Option<TaskKey>) {
    match spec {
        TaskSpec::Pretrain(spec) => spec.seed = seed,
        TaskSpec::Search(spec) => {
            spec.seed = seed;
            if let (EncodingName::Embedding { pretrain }, Some(input)) = (&mut spec.encoding, input)
            {
                *pretrain = input;
            }
        }
        TaskSpec::Evaluate(spec) => {
            spec.seed = seed;
            spec.arch = arch.unwrap_or(spec.arch);
        }
        TaskSpec::Noop(spec) => spec.seed = seed,
    }
}
