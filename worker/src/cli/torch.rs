//! Which program computes with libtorch, as the command line says it.

use std::path::PathBuf;

use clap::Args;

use super::fault::wrong_input;
use crate::torch::{Limits, Torch, find};

#[derive(Debug, Args)]
pub(super) struct TorchArg {
    /// The program that computes with libtorch: real training, and graphics cards. When
    /// not given: `reprise-torch` beside this program, if it is there.
    #[arg(long = "torch", value_name = "PROGRAM", env = "REPRISE_TORCH")]
    program: Option<PathBuf>,
}

impl TorchArg {
    /// The program, started and asked what it is; none, which is said, where it is not
    /// beside this one or does not work; `without` says what that means.
    pub(super) fn open(self, without: &str) -> anyhow::Result<Option<Torch>> {
        if let Some(program) = self.program {
            let opened = Torch::open(program, Limits::default());
            let opened = opened.map_err(anyhow::Error::from);
            return opened
                .map(Some)
                .map_err(wrong_input("use the program for libtorch"));
        }
        let Some(program) = find() else {
            tracing::info!("no `reprise-torch` beside this program: {without}");
            return Ok(None);
        };
        match Torch::open(program, Limits::default()) {
            Ok(torch) => Ok(Some(torch)),
            Err(error) => {
                tracing::warn!(%error, "{without}");
                Ok(None)
            }
        }
    }
}
