//! What is still needed, from the state and the stored results.

use std::collections::HashSet;
use std::sync::Arc;

use reprise_core::lifecycle::{Core, References};
use reprise_domain::{Digest, TaskKey};

use super::{GcError, Marked};
use crate::artifact::{Listed, Object};
use crate::engine::Handle;
use crate::store::Reader;
use crate::store::load::read_state;

/// Tasks that are asked for at once.
const ASKED: usize = 4096;

/// Who refers to artifacts.
#[derive(Debug)]
pub struct Referrers {
    state: State,
    results: Arc<dyn Reader>,
}

/// Where the state is.
#[derive(Debug)]
enum State {
    Read(Box<Core>),
    Running(Handle),
}

impl Referrers {
    /// Those of a journal that no coordinator has open.
    pub async fn of_journal(results: Arc<dyn Reader>) -> Result<Self, GcError> {
        Ok(Self {
            state: State::Read(Box::new(read_state(results.as_ref()).await?)),
            results,
        })
    }

    /// Those of a running engine, whose results are read from `results`.
    pub fn of_engine(engine: Handle, results: Arc<dyn Reader>) -> Self {
        Self {
            state: State::Running(engine),
            results,
        }
    }

    /// Marks what is needed of all, and the tasks whose logs were listed.
    pub(super) async fn mark(&self, listed: &[Listed]) -> Result<Marked, GcError> {
        let mut marked = Marked {
            shared: self.tables().await?,
            ..Marked::default()
        };
        let mut from = Some(0);
        while let Some(position) = from {
            let References {
                results,
                checkpoints,
                next,
            } = self.references(position).await?;
            for stored in self.results.results(&results).await? {
                let artifacts = stored.result.artifacts();
                let digests = artifacts.iter().map(|found| found.digest);
                marked.shared.extend(digests);
            }
            let digests = checkpoints.iter().map(|(_, digest)| *digest);
            marked.shared.extend(digests);
            marked.checkpoints.extend(checkpoints);
            from = next;
        }
        let logged: HashSet<TaskKey> = listed
            .iter()
            .filter_map(|listed| match listed.object {
                Object::Log(attempt) => Some(attempt.task),
                _ => None,
            })
            .collect();
        let logged: Vec<_> = logged.into_iter().collect();
        for tasks in logged.chunks(ASKED) {
            marked.tasks.extend(self.known(tasks.to_vec()).await?);
        }
        Ok(marked)
    }

    async fn references(&self, from: usize) -> Result<References, GcError> {
        Ok(match &self.state {
            State::Read(core) => core.references(from),
            State::Running(engine) => engine.references(from).await?,
        })
    }

    async fn tables(&self) -> Result<HashSet<Digest>, GcError> {
        Ok(match &self.state {
            State::Read(core) => core.tables(),
            State::Running(engine) => engine.tables().await?,
        })
    }

    async fn known(&self, mut tasks: Vec<TaskKey>) -> Result<Vec<TaskKey>, GcError> {
        Ok(match &self.state {
            State::Read(core) => {
                tasks.retain(|key| core.spec(*key).is_some());
                tasks
            }
            State::Running(engine) => engine.known(tasks).await?,
        })
    }
}
