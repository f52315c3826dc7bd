//! All tasks, by position and by key. A key stands in its task and nowhere else:
//! the index holds positions.

use std::collections::BTreeSet;
use std::ops::{Index, IndexMut};

use hashbrown::HashTable;
use reprise_domain::{Requirement, TaskKey, TaskSpec};

use super::task::{Phase, Task, TaskIx};
use super::template::{TemplateIx, Templates};
use crate::plan::{hash, task_key};
use crate::scheduler::{ClassIx, Classes};

/// The table of tasks. A deleted task is found no more; its place is free for another
/// one, so that what is deleted takes no memory for long.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskTable {
    rows: Vec<Task>,
    /// Places of deleted tasks. They follow from the rows.
    free: BTreeSet<TaskIx>,
    index: HashTable<TaskIx>,
    templates: Templates,
}

impl TaskTable {
    /// How many places there are, those of deleted tasks included.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many tasks can be found.
    pub(crate) fn listed(&self) -> usize {
        self.index.len()
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

    /// Adds a task whose key is new, in the first free place behind what it reads.
    pub(crate) fn insert(&mut self, task: Task) -> TaskIx {
        let behind = task.input().map_or(0, |input| input.0 + 1);
        let free = self.free.range(TaskIx(behind)..).next().copied();
        let Some(ix) = free else {
            return self.push(task);
        };
        self.free.remove(&ix);
        let hashed = hash(task.key);
        self.rows[ix.row()] = task;
        let rows = &self.rows;
        self.index
            .insert_unique(hashed, ix, |ix| hash(rows[ix.row()].key));
        ix
    }

    /// Adds a task whose key is new behind all others.
    pub(crate) fn push(&mut self, task: Task) -> TaskIx {
        let ix = TaskIx(u32::try_from(self.rows.len()).expect("fewer than 2^32 tasks fit memory"));
        let hashed = hash(task.key);
        self.rows.push(task);
        let rows = &self.rows;
        self.index
            .insert_unique(hashed, ix, |ix| hash(rows[ix.row()].key));
        ix
    }

    /// Adds a deleted task, whose place is free once all tasks are there.
    pub(crate) fn push_unlisted(&mut self, task: Task) {
        self.rows.push(task);
    }

    /// Frees the places of deleted tasks.
    pub(crate) fn free_deleted(&mut self) {
        let is_deleted = |task: &Task| task.state.phase() == Phase::Deleted;
        while self.rows.last().is_some_and(is_deleted) {
            self.rows.pop();
        }
        if self.rows.capacity() / 4 > self.rows.len() {
            self.rows.shrink_to(self.rows.len() * 2);
        }
        let rows = (0..).map(TaskIx).zip(&self.rows);
        let deleted = rows.filter(|(_, task)| is_deleted(task));
        self.free = deleted.map(|(ix, _)| ix).collect();
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

    /// What a worker must have to run such a task, if it is of the present release.
    pub(crate) fn requirement(&self, ix: TaskIx) -> Requirement {
        self.templates.requirement(self[ix].template)
    }

    /// Whether a task was planned by a release with another version of its algorithm:
    /// its key is not the one that its spec has now.
    pub(crate) fn is_of_earlier_release(&self, ix: TaskIx) -> bool {
        task_key(&self.spec(ix)) != self[ix].key
    }

    /// Tasks that are expected to take as long as this one.
    pub(crate) fn class(&self, ix: TaskIx) -> ClassIx {
        self.templates.class(self[ix].template)
    }
}

/// The index and the free places follow from the rows, and the index's inner order
/// from how it grew.
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
