//! Trains one architecture for real, in a child with libtorch.

use reprise_child::{FromChild, Outcome, Task, ToChild};
use reprise_domain::{EvaluateResult, EvaluateSpec, Seconds, TaskResult};

use super::{Done, RunError, Runner};
use crate::progress::Progress;
use crate::slots::Cancel;
use crate::torch::{Lease, Listener};

/// What is waited for while a child trains.
struct Training<'a> {
    /// Where the steps are counted; a trial counts its queries instead.
    progress: Option<&'a Progress>,
    cancel: &'a Cancel,
    is_told: bool,
}

impl Listener for Training<'_> {
    fn said(&mut self, message: FromChild, _: Vec<u8>) -> Result<(), String> {
        let FromChild::Progress { reached, .. } = message else {
            return Err("a message of another task than a training".to_owned());
        };
        if let Some(progress) = self.progress {
            progress.set(reached.done, 0);
        }
        Ok(())
    }

    fn wish(&mut self) -> Option<ToChild> {
        if self.is_told || !self.cancel.is_cancelled() {
            return None;
        }
        self.is_told = true;
        Some(ToChild::Stop { save: false })
    }
}

impl Runner {
    /// Runs an evaluation.
    pub(super) fn evaluate(
        &self,
        spec: &EvaluateSpec,
        progress: &Progress,
        cancel: &Cancel,
    ) -> Result<Done, RunError> {
        let mut lease = self.lease()?;
        let (result, training) = train(&mut lease, spec, Some(progress), cancel)?;
        Ok(Done {
            result: TaskResult::Evaluate(result),
            training: Some(training),
        })
    }
}

/// Trains the architecture of a spec; what it measured, and the time of its training.
pub(super) fn train(
    lease: &mut Lease,
    spec: &EvaluateSpec,
    progress: Option<&Progress>,
    cancel: &Cancel,
) -> Result<(EvaluateResult, Seconds), RunError> {
    let mut training = Training {
        progress,
        cancel,
        is_told: false,
    };
    let task = Task::Evaluate { spec: *spec };
    match lease.run(vec![(ToChild::Start { task }, Vec::new())], &mut training)? {
        Outcome::Evaluated { result, training } => Ok((result, training)),
        _ => Err(lease.unexpected().into()),
    }
}
