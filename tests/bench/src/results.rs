//! What a whole run measured, as RESULTS.md, results.json and the figure.

use std::fmt::Write as _;
use std::fs;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::machine::{cores, kernel, memory_gb, processor};
use crate::pack::{self, PackScaling};
use crate::plot::{self, Panel};
use crate::report::{Section, markdown};
use crate::setting::script;
use crate::versions::Versions;

/// The numbers of a run, as results.json holds them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    machine: Machine,
    sections: Vec<Section>,
    panels: Vec<Panel>,
}

/// What was measured on, and how often.
#[derive(Debug, Serialize, Deserialize)]
struct Machine {
    processor: String,
    cores: usize,
    memory_gb: u64,
    repeats: usize,
    versions: Versions,
}

impl Results {
    /// The results of a run that has just ended on this machine.
    pub(crate) fn of_this_machine(
        repeats: usize,
        mut versions: Versions,
        sections: Vec<Section>,
        panels: Vec<Panel>,
    ) -> Self {
        versions.note("reprise", env!("CARGO_PKG_VERSION"));
        versions.note("linux", &kernel());
        Self {
            machine: Machine {
                processor: processor(),
                cores: cores(),
                memory_gb: memory_gb(),
                repeats,
                versions,
            },
            sections,
            panels,
        }
    }

    /// The results of an earlier run.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let path = script("results.json");
        let shown = path.display();
        let text = fs::read_to_string(&path).with_context(|| format!("read `{shown}`"))?;
        serde_json::from_str(&text).with_context(|| format!("read `{shown}`"))
    }

    /// Writes all three files, with the packs that were measured elsewhere.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let packs = PackScaling::read(&script("pack.json"))?;
        save(
            "results.json",
            &format!("{:#}\n", serde_json::to_value(self)?),
        )?;
        save("RESULTS.md", &self.text(packs.as_ref()))?;
        let mut panels = self.panels.clone();
        panels.push(pack::panel(packs.as_ref()));
        save("scaling.svg", &plot::svg(&panels))
    }

    fn text(&self, packs: Option<&PackScaling>) -> String {
        let Machine {
            processor,
            cores,
            memory_gb,
            repeats,
            versions,
        } = &self.machine;
        let mut text = format!(
            "# Benchmarks\n\nWritten by `make bench`; medians, with the range in brackets, of \
             {repeats} repeats that alternate with the baseline. A ratio is taken repeat by \
             repeat, and is above 1 where Reprise is better. What bounds them is in \
             [PROFILES.md](PROFILES.md).\n\n\
             Machine: {processor}, {cores} cores, {memory_gb} GB. Versions: {versions}.\n\n\
             ![cost against work](scaling.svg)\n"
        );
        for section in &self.sections {
            write!(text, "\n{}", markdown(section)).expect("a string takes every write");
        }
        write!(text, "\n{}", pack::markdown(packs)).expect("a string takes every write");
        text
    }
}

/// Writes a file of the suite.
pub(crate) fn save(name: &str, text: &str) -> anyhow::Result<()> {
    let path = script(name);
    fs::write(&path, text).with_context(|| format!("write `{}`", path.display()))
}
