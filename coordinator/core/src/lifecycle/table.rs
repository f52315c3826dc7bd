//! All tasks, by position and by key. A key stands in its task and nowhere else:
//! the index holds positions.

use std::ops::{Index, IndexMut};

use hashbrown::HashTable;
use reprise_domain::{TaskKey, TaskSpec};

use super::task::{Task, TaskIx};
use super::template::{TemplateIx, Templates};
use crate::plan::hash;
use crate::scheduler::{ClassIx, Classes};

/// The table of tasks. A deleted task keeps its place and is found no more.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskTable {
    rows: Vec<Task>,
    index: HashTable<TaskIx>,
    templates: Templates,
}

impl TaskTable {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Task> {
        self.rows.iter()
    }

    /// Makes room for more tasks.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.rows.reserve(more);
        let rows = &self.rows;
        self.index.reserve(more, |ix| hash(rows[ix.row()].key));
    }

    pub(crate) fn find(&self, key: TaskKey) -> Option<TaskIx> {
        let same = |ix: &TaskIx| self[*ix].key == key;
        self.index.find(hash(key), same).copied()
    }

    /// Has a task found by its key no more.
    pub(crate) fn unlist(&mut self, ix: TaskIx) {
        let key = self[ix].key;
        if let Ok(entry) = self.index.find_entry(hash(key), |known| *known == ix) {
            entry.remove();
        }
    }

    /// Adds a task whose key is new.
    pub(crate) fn push(&mut self, task: Task) -> TaskIx {
        let ix = TaskIx(u32::try_from(self.rows.len()).expect("fewer than 2^32 tasks fit memory"));
        let hashed = hash(task.key);
        self.rows.push(task);
        let rows = &self.rows;
        self.index
            .insert_unique(hashed, ix, |ix| hash(rows[ix.row()].key));
        ix
    }

    /// Adds a deleted task, which keeps its place only.
    pub(crate) fn push_unlisted(&mut self, task: Task) {
        self.rows.push(task);
    }

    /// The template of a spec, see [`Templates::intern`].
    pub(crate) fn template(&mut self, spec: &TaskSpec, classes: &mut Classes) -> TemplateIx {
        self.templates.intern(spec, classes)
    }

    pub(crate) fn templates(&self) -> &Templates {
        &self.templates
    }

    /// What a task is.
    pub(crate) fn spec(&self, ix: TaskIx) -> TaskSpec {
        let task = &self[ix];
        let input = task.input().map(|input| self[input].key);
        self.templates
            .spec(task.template, task.seed, task.aspect, input)
    }

    /// Whether a task runs only where libtorch is.
    pub(crate) fn needs_libtorch(&self, ix: TaskIx) -> bool {
        self.templates.needs_libtorch(self[ix].template)
    }

    /// Tasks that are expected to take as long as this one.
    pub(crate) fn class(&self, ix: TaskIx) -> ClassIx {
        self.templates.class(self[ix].template)
    }
}

/// The index follows from the rows, and its inner order from how it grew.
impl PartialEq for TaskTable {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows && self.templates == other.templates
    }
}

impl Index<TaskIx> for TaskTable {
    type Output = Task;

    fn index(&self, ix: TaskIx) -> &Task {
        &self.rows[ix.row()]
    }
}

impl IndexMut<TaskIx> for TaskTable {
    fn index_mut(&mut self, ix: TaskIx) -> &mut Task {
        &mut self.rows[ix.row()]
    }
}
