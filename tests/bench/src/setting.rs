//! What the numeric sections work on: NAS-Bench-101 with the published settings, as
//! this program holds it and in files for the baseline.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use reprise_domain::protocol::{Protocol, Quirks};
use reprise_domain::task::ModelSizes;
use reprise_domain::{ArchIndex, ModelName, PretrainSpec, Seed, SpaceName};
use reprise_model::{GraphSet, Native, Params, Pretrainer, embed};
use reprise_search::embedding::Embedding;
use reprise_search::rng::Stream;
use reprise_search::space::{self, GraphDims, SearchSpace};

use crate::baseline::Baseline;

/// The space with a model that was trained on it for one epoch.
#[derive(Debug)]
pub(crate) struct Setting {
    /// NAS-Bench-101.
    pub(crate) space: Arc<dyn SearchSpace>,
    /// All its graphs.
    pub(crate) graphs: Arc<GraphSet>,
    /// The model after the first epoch.
    pub(crate) params: Params,
    /// The pretraining between its first and its second epoch.
    pub(crate) checkpoint: Vec<u8>,
    /// The embedding of the whole space by that model.
    pub(crate) embedding: Arc<Embedding>,
}

/// The published pretraining of NAS-Bench-101.
pub(crate) fn published(batch: u32) -> PretrainSpec {
    PretrainSpec {
        space: SpaceName::Nasbench101,
        model: ModelName::Arch2vec,
        sizes: ModelSizes::default(),
        epochs: 8,
        batch,
        learning_rate: 1e-3,
        clip: 5.0,
        latent_points: 10_000,
        quirks: Quirks::of(Protocol::Reference).pretrain,
        seed: Seed(1),
    }
}

impl Setting {
    /// Enumerates the space and trains one epoch: some 40 seconds.
    pub(crate) fn prepare() -> anyhow::Result<Self> {
        let (space, graphs) = space_and_graphs()?;
        let mut pretrainer = Pretrainer::new(
            published(32),
            Arc::clone(&space),
            Arc::clone(&graphs),
            &Native,
        )?;
        while pretrainer.progress().epochs_done == 0 {
            pretrainer.advance(100)?;
        }
        let params = pretrainer.params();
        let embedding = Arc::new(embed::embed(&params, &graphs)?);
        Ok(Self {
            space,
            graphs,
            params,
            checkpoint: pretrainer.checkpoint(),
            embedding,
        })
    }

    /// A pretraining that has not begun, in training mode.
    pub(crate) fn fresh(&self, batch: u32) -> anyhow::Result<Pretrainer> {
        let (space, graphs) = (Arc::clone(&self.space), Arc::clone(&self.graphs));
        Ok(Pretrainer::new(published(batch), space, graphs, &Native)?)
    }

    /// The pretraining after its first epoch: the published code trains on in
    /// evaluation mode (protocol notes, Q1).
    pub(crate) fn later(&self) -> anyhow::Result<Pretrainer> {
        let (space, graphs) = (Arc::clone(&self.space), Arc::clone(&self.graphs));
        Ok(Pretrainer::resume(
            &self.checkpoint,
            published(32),
            space,
            graphs,
            &Native,
        )?)
    }

    /// Starts the baseline on the same graphs.
    pub(crate) fn baseline(&self, python: &Path, directory: &Path) -> anyhow::Result<Baseline> {
        baseline(self.space.as_ref(), python, directory)
    }

    /// The first `rows` embeddings with made-up accuracies.
    pub(crate) fn table(&self, rows: usize) -> anyhow::Result<Table> {
        let dims = self.embedding.dims();
        let rows = self.embedding.rows()[..rows * dims].to_vec();
        Ok(Table::new(Embedding::new(rows, dims)?))
    }
}

/// NAS-Bench-101, enumerated and encoded.
pub(crate) fn space_and_graphs() -> anyhow::Result<(Arc<dyn SearchSpace>, Arc<GraphSet>)> {
    let space = space::open(SpaceName::Nasbench101);
    let graphs = GraphSet::of_space(space.as_ref())?;
    Ok((space, Arc::new(graphs)))
}

/// Starts the baseline on the graphs of a space, on the first core.
pub(crate) fn baseline(
    space: &dyn SearchSpace,
    python: &Path,
    directory: &Path,
) -> anyhow::Result<Baseline> {
    let GraphDims { nodes, .. } = space.dims();
    let (mut adjacency, mut operations) = (vec![0; nodes * nodes], vec![0; nodes]);
    let mut bytes = Vec::with_capacity(space.len() * nodes * (nodes + 1));
    for arch in 0..space.len() {
        space.encode(ArchIndex(arch as u32), &mut adjacency, &mut operations);
        bytes.extend_from_slice(&adjacency);
        bytes.extend_from_slice(&operations);
    }
    let file = directory.join("graphs");
    std::fs::write(&file, bytes).context("write the graphs for the baseline")?;
    Baseline::start(python, &script("baseline.py"), &file, 0)
}

/// A script of the suite.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A table to search. The accuracies are made up: the published ones are not this
/// project's to ship, and what a search costs does not depend on them.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// One row an architecture.
    pub(crate) embedding: Arc<Embedding>,
    /// Fractions, `[architectures]`: the nearer to the first one, the better, about
    /// the published mean and maximum, with noise.
    pub(crate) accuracies: Arc<Vec<f32>>,
}

impl Table {
    /// The accuracies of an embedding.
    pub(crate) fn new(embedding: Embedding) -> Self {
        let mut noise = Stream::new(b"benchmark suite", "accuracies", 0);
        let best = embedding.row(ArchIndex(0)).to_vec();
        let rows = embedding.rows().chunks_exact(embedding.dims());
        let accuracies = rows
            .map(|row| {
                let squares = row.iter().zip(&best).map(|(a, b)| (a - b) * (a - b));
                let distance = f64::from(squares.sum::<f32>().sqrt());
                let accuracy = 0.95 - 0.04 * distance / (1.0 + distance) + 0.005 * noise.normal();
                accuracy.clamp(0.1, 0.95) as f32
            })
            .collect();
        Self {
            embedding: Arc::new(embedding),
            accuracies: Arc::new(accuracies),
        }
    }

    /// Reads what [`Self::write`] wrote.
    pub(crate) fn read(file: &Path, rows: usize) -> anyhow::Result<Self> {
        let bytes = std::fs::read(file)?;
        let (values, _) = bytes.as_chunks::<4>();
        ensure!(
            rows > 0 && values.len() > rows && values.len().is_multiple_of(rows),
            "`{}` is not a table of {rows} rows",
            file.display()
        );
        let (features, accuracies) = values.split_at(values.len() - rows);
        let floats = |values: &[[u8; 4]]| values.iter().map(|&v| f32::from_le_bytes(v)).collect();
        let features: Vec<f32> = floats(features);
        let dims = features.len() / rows;
        Ok(Self {
            embedding: Arc::new(Embedding::new(features, dims)?),
            accuracies: Arc::new(floats(accuracies)),
        })
    }

    /// Writes it for the baseline: features, then accuracies, raw.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let values = self.embedding.rows().iter().chain(self.accuracies.iter());
        let bytes: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(file, bytes).context("write the table for the baseline")
    }
}
