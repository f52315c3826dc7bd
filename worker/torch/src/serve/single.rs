//! Tasks of one step: a real training, the comparison with a fixture, the probe for
//! the size of packs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise_child::{Compared, FromChild, Outcome, Probed, Reached, TorchDevice};
use reprise_domain::{ArchIndex, EvaluateSpec, PretrainSpec, Seconds, SpaceName};
use reprise_model::{GraphSet, selftest as fixture};
use reprise_search::space::{self, Nasbench201, SearchSpace};

use super::output::Output;
use super::wishes::Wishes;
use super::{ServeError, impossible, reason};
use crate::autoencoder::{self, Plain, best};
use crate::cellnet::{self, CellNetError, CellOp};

/// Time between two signs of a training's own life.
const PERIOD: Duration = Duration::from_millis(200);

/// An architecture that cannot be trained.
#[derive(Debug, thiserror::Error)]
enum Untrainable {
    #[error("only cells of `nasbench201` can be trained")]
    Space,
    #[error("the space has no such architecture")]
    Architecture,
}

/// Trains an architecture for real.
pub(super) fn evaluate(
    spec: &EvaluateSpec,
    wishes: &Wishes,
    output: &Output,
) -> Result<Outcome, ServeError> {
    let cell = match cell(spec.space, spec.arch) {
        Ok(cell) => cell,
        Err(error) => {
            let doing = format!("train architecture `{}` of `{}`", spec.arch, spec.space);
            return Ok(impossible(&doing, &error));
        }
    };
    let mut said = Ok(());
    let (mut steps, mut told) = (0, Instant::now());
    let trained = cellnet::train(cell, spec, &mut || {
        if told.elapsed() >= PERIOD {
            said = output.say(&progress(steps), &[]);
            told = Instant::now();
        }
        steps += 1;
        said.is_err() || wishes.stopping().is_some()
    });
    said?;
    Ok(match trained {
        Ok(trained) => Outcome::Evaluated {
            result: trained.result,
            training: trained.training,
        },
        Err(CellNetError::Stopped) => Outcome::Stopped,
    })
}

fn progress(steps: u64) -> FromChild {
    FromChild::Progress {
        reached: Reached {
            done: steps,
            ..Reached::default()
        },
        measures: Vec::new(),
    }
}

fn cell(space: SpaceName, arch: ArchIndex) -> Result<[CellOp; 6], Untrainable> {
    if space != SpaceName::Nasbench201 {
        return Err(Untrainable::Space);
    }
    let known = Nasbench201::new();
    if arch.row() >= SearchSpace::len(&known) {
        return Err(Untrainable::Architecture);
    }
    Ok(known.cell_ops(arch))
}

/// Compares the plain engine with a fixture.
pub(super) fn selftest(bytes: &[u8]) -> Outcome {
    match fixture::run(bytes, &Plain(TorchDevice::Cpu)) {
        Ok(rows) => Outcome::Compared {
            compared: rows.into_iter().map(compared).collect(),
        },
        Err(error) => impossible("run the fixture", &error),
    }
}

fn compared(row: fixture::Comparison) -> Compared {
    Compared {
        quantity: row.quantity,
        difference: row.difference.is_finite().then_some(row.difference),
        tolerance: row.tolerance,
    }
}

/// Finds how many seeds to train together.
pub(super) fn probe(device: TorchDevice, spec: PretrainSpec, most: u32) -> Outcome {
    let space = space::shared(spec.space);
    let graphs = match GraphSet::of_space(space.as_ref()) {
        Ok(graphs) => Arc::new(graphs),
        Err(error) => return impossible("encode the space", &error),
    };
    match autoencoder::probe(spec, &space, &graphs, device, most as usize) {
        Ok(probed) if probed.is_empty() => Outcome::Failed {
            permanent: true,
            reason: vec!["a probe tries at least one seed".to_owned()],
        },
        Ok(probed) => Outcome::Probed {
            seeds: best(&probed) as u32,
            probed: probed
                .into_iter()
                .map(|probed| Probed {
                    seeds: probed.members as u32,
                    step: Seconds::new(probed.step.as_secs_f64()).unwrap_or_default(),
                })
                .collect(),
        },
        Err(error) => Outcome::Failed {
            permanent: false,
            reason: reason("probe the size of packs", &error),
        },
    }
}
