//! Pretrains seeds together, says how far they are, sends their checkpoints, and at the
//! end parameters and embedding of each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise_child::{FromChild, Outcome, Reached, TorchDevice};
use reprise_model::{EmbedError, GraphSet, PretrainError, Pretrained, Progress, embed};
use reprise_search::space;

use super::output::Output;
use super::wishes::Wishes;
use super::{Member, ServeError, impossible, reason};
use crate::autoencoder::Pack;

/// Steps between two looks at the clock and at the worker's wishes: about half a
/// second.
const STEPS: u64 = 128;

/// Pretrains `members`, which differ in their seeds alone and are at the same step.
pub(super) fn train(
    device: TorchDevice,
    members: &[Member],
    save_every: Duration,
    wishes: &Wishes,
    output: &Output,
) -> Result<Outcome, ServeError> {
    let mut pack = match start(device, members) {
        Ok(pack) => pack,
        Err(outcome) => return Ok(outcome),
    };
    let mut at = pack.progress();
    output.say(&progress(&at, &pack, false), &[])?;
    let mut saved = Instant::now();
    while !pack.is_over() {
        let epochs = at.epochs_done;
        at = pack.advance(STEPS);
        output.say(&progress(&at, &pack, at.epochs_done > epochs), &[])?;
        let stopping = wishes.stopping();
        if stopping.unwrap_or(saved.elapsed() >= save_every) {
            save(&pack, at.done(), output)?;
            saved = Instant::now();
        }
        if stopping.is_some() {
            return Ok(Outcome::Stopped);
        }
    }
    for (member, result) in (0_u32..).zip(pack.results()) {
        if !wishes.is_discarded(member) {
            finish(&pack, member, result, output)?;
        }
    }
    Ok(Outcome::Packed)
}

fn start(device: TorchDevice, members: &[Member]) -> Result<Pack, Outcome> {
    let begin = |error: PretrainError| impossible("start pretraining", &error);
    let (first, _) = members
        .first()
        .ok_or_else(|| begin(PretrainError::EmptyPack))?;
    let space = space::shared(first.space);
    let graphs = GraphSet::of_space(space.as_ref())
        .map_err(|error| impossible("encode the space", &error))?;
    Pack::new(members, &space, &Arc::new(graphs), device).map_err(begin)
}

fn progress(at: &Progress, pack: &Pack, with_measures: bool) -> FromChild {
    FromChild::Progress {
        reached: Reached {
            done: at.done(),
            total: at.total(),
            epochs_done: at.epochs_done,
            epochs: at.epochs,
        },
        measures: if with_measures {
            pack.last().collect()
        } else {
            Vec::new()
        },
    }
}

fn save(pack: &Pack, done: u64, output: &Output) -> Result<(), ServeError> {
    for (member, checkpoint) in (0..).zip(pack.checkpoints()) {
        if let Some(checkpoint) = checkpoint {
            output.say(&FromChild::Checkpoint { member, done }, &checkpoint)?;
        }
    }
    Ok(())
}

fn finish(
    pack: &Pack,
    member: u32,
    result: Result<Pretrained, PretrainError>,
    output: &Output,
) -> Result<(), ServeError> {
    let pretrained = match result {
        Ok(pretrained) => pretrained,
        Err(error) => {
            let reason = reason("pretrain", &error);
            return output.say(&FromChild::MemberFailed { member, reason }, &[]);
        }
    };
    let embedding = match pack.embed(&pretrained.params) {
        Ok(embedding) => embed::to_safetensors(&embedding),
        Err(error) => return output.say(&not_embedded(member, &error), &[]),
    };
    let trained = FromChild::Trained {
        member,
        epochs: pretrained.epochs,
    };
    output.say(&trained, &pretrained.params.to_safetensors())?;
    output.say(&FromChild::Embedded { member }, &embedding)
}

fn not_embedded(member: u32, error: &EmbedError) -> FromChild {
    FromChild::MemberFailed {
        member,
        reason: reason("embed the space", error),
    }
}
