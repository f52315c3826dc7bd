//! Commands about the autoencoder alone: comparing it with a fixture, and taking
//! over published checkpoints.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use reprise_child::{Compared, Outcome, Task};
use reprise_data::torch_checkpoint::read_checkpoint_file;
use reprise_model::selftest::{self, Comparison};
use reprise_model::{Native, Params};

use super::fault::wrong_input;
use super::torch::TorchArg;
use crate::torch::Torch;

/// Most bytes of a fixture: parameters, inputs and values of models a hundred times
/// as large as those in use.
const LARGEST_FIXTURE: u64 = 256 << 20;

/// Compares the native engine and, in a child, libtorch's with the expected values of a
/// fixture and writes each value's largest absolute difference.
pub(super) fn selftest(fixture: &Path, as_json: bool, torch: TorchArg) -> anyhow::Result<()> {
    let bytes = reprise_data::bytes::read_file(fixture, LARGEST_FIXTURE)
        .map_err(anyhow::Error::from)
        .map_err(wrong_input(format!("read fixture `{}`", fixture.display())))?;
    let run = || format!("`{}` is not a fixture", fixture.display());
    let native = selftest::run(&bytes, &Native)
        .with_context(run)
        .map_err(wrong_input("run the fixture"))?;
    let mut all: Vec<_> = native.into_iter().map(|row| ("native", row)).collect();
    // Not before the fixture was read: a wrong one is the news.
    if let Some(torch) = torch.open("libtorch's engine is not compared")? {
        let compared = in_child(&torch, bytes).map_err(wrong_input("run the fixture"))?;
        all.extend(compared.into_iter().map(|row| ("libtorch", row)));
    }
    let mut out = io::stdout().lock();
    if as_json {
        let rows: Vec<_> = all.iter().map(|(engine, row)| json(engine, row)).collect();
        serde_json::to_writer_pretty(&mut out, &rows)?;
        writeln!(out)?;
    } else {
        for (engine, comparison) in &all {
            let verdict = if comparison.is_ok() { "ok" } else { "WRONG" };
            let (quantity, difference) = (&comparison.quantity, comparison.difference);
            writeln!(
                out,
                "{engine:<9} {quantity:<42} {difference:.3e}  {:.0e}  {verdict}",
                comparison.tolerance
            )?;
        }
    }
    let wrong = all.iter().filter(|(_, row)| !row.is_ok()).count();
    anyhow::ensure!(
        wrong == 0,
        "`{wrong}` of `{}` values differ by more than their tolerance",
        all.len()
    );
    Ok(())
}

/// What libtorch's engine makes of a fixture.
fn in_child(torch: &Torch, fixture: Vec<u8>) -> anyhow::Result<Vec<Comparison>> {
    let mut lease = torch.lease()?;
    match lease.ask(Task::Selftest, fixture)? {
        Outcome::Compared { compared } => Ok(compared.into_iter().map(comparison).collect()),
        _ => Err(lease.unexpected().into()),
    }
}

fn comparison(row: Compared) -> Comparison {
    Comparison {
        quantity: row.quantity,
        difference: row.difference.unwrap_or(f64::NAN),
        tolerance: row.tolerance,
    }
}

fn json(engine: &str, comparison: &Comparison) -> serde_json::Value {
    serde_json::json!({
        "engine": engine,
        "quantity": comparison.quantity,
        "largest_difference": comparison.difference,
        "tolerance": comparison.tolerance,
        "ok": comparison.is_ok(),
    })
}

/// Converts a `.pt` checkpoint. Every array of the model must be in it.
pub(super) fn import(checkpoint: &Path, out: &Path) -> anyhow::Result<()> {
    let tensors = read_checkpoint_file(checkpoint)
        .map_err(anyhow::Error::from)
        .map_err(wrong_input(format!(
            "read checkpoint `{}`",
            checkpoint.display()
        )))?;
    let arrays = tensors
        .into_iter()
        .map(|(name, tensor)| (name, (tensor.shape, tensor.data)))
        .collect();
    let params = Params::from_named(arrays)
        .with_context(|| format!("`{}` holds another model", checkpoint.display()))
        .map_err(wrong_input("convert the checkpoint"))?;
    let fresh = out.with_extension("safetensors.new");
    std::fs::write(&fresh, params.to_safetensors())
        .and_then(|()| std::fs::rename(&fresh, out))
        .with_context(|| format!("write `{}`", out.display()))
}
