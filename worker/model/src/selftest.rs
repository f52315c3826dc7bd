//! Runs a fixture file, parameters with inputs and expected numbers, through an
//! engine and reports how far off each number is.
//!
//! The layout is that of `arch2vec-nasbench101.safetensors`: `param.*` under the
//! published names, `input.adj` and `input.ops`, `expect.*`, and the expected losses
//! in the metadata, whose `mode` is `eval`; `expect.afterN.*` after all N steps. With the mode `train` there are also
//! `input.noise` and `input.dropout`, `[steps, graphs, nodes, latent]`: what is drawn
//! in each step. Sizes come from the tensors. Files may come from anywhere.

use reprise_search::space::{GraphDims, PADDING};

use crate::engine::{Backend, Decoded, Engine, Latent, Mode, State, sigmoid};
use crate::error::{SelftestError, TensorFileError};
use crate::graphs::Graphs;
use crate::objective::{Kl, Objective, OperationLoss, Optimiser};
use crate::params::Params;
use crate::shape::{Layout, Store};
use crate::tensors::TensorFile;

/// Agreement of outputs and losses that single precision allows.
const CLOSE: f64 = 1e-5;
/// Agreement after some optimiser steps, each of which divides by small roots.
const AFTER_STEPS: f64 = 1e-4;
/// More steps than any fixture takes.
const MOST_STEPS: usize = 100;

/// One checked quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What was compared, by the name in the file.
    pub quantity: String,
    /// The largest absolute difference.
    pub difference: f64,
    /// The largest one allowed.
    pub tolerance: f64,
}

impl Comparison {
    /// Whether the difference is within the tolerance; not a number is not.
    pub fn is_ok(&self) -> bool {
        self.difference <= self.tolerance
    }
}

/// Runs the fixture in `bytes` with the given engine.
pub fn run(bytes: &[u8], backend: &dyn Backend) -> Result<Vec<Comparison>, SelftestError> {
    let file = TensorFile::parse(bytes)?;
    let fixture = Fixture::read(&file)?;
    let state = State::new(fixture.params.clone());
    let engine = backend.engine(state, fixture.objective, fixture.optimiser)?;
    fixture.run(&file, engine)
}

struct Fixture {
    params: Params,
    graphs: Graphs,
    objective: Objective,
    optimiser: Optimiser,
    losses: Vec<f64>,
    gradient_norm: f64,
    /// In training mode.
    draws: Option<Draws>,
}

/// What is drawn for training, step after step.
struct Draws {
    /// Standard normal.
    noise: Vec<f32>,
    /// Factors of the latent code.
    dropout: Vec<f32>,
}

impl Fixture {
    fn read(file: &TensorFile<'_>) -> Result<Self, SelftestError> {
        let is_training = match file.entry("mode")? {
            "eval" => false,
            "train" => true,
            mode => {
                return Err(TensorFileError::Metadata {
                    key: "mode",
                    expected: "`eval` or `train`",
                    reason: format!("it is `{mode}`"),
                }
                .into());
            }
        };
        let params = Params::from_file(file, "param.")?;
        let losses: Vec<f64> = file.json("losses", "a list of numbers")?;
        if !(1..=MOST_STEPS).contains(&losses.len()) {
            return Err(SelftestError::Steps {
                steps: losses.len(),
                most: MOST_STEPS,
            });
        }
        let graphs = read_graphs(file, params.shape().operations)?;
        let draws = is_training
            .then(|| {
                let nodes = graphs.dims().nodes;
                let dims = [losses.len(), graphs.len(), nodes, params.shape().latent];
                Ok::<_, TensorFileError>(Draws {
                    noise: file.f32s_of("input.noise", &dims)?,
                    dropout: file.f32s_of("input.dropout", &dims)?,
                })
            })
            .transpose()?;
        Ok(Self {
            draws,
            graphs,
            params,
            objective: Objective {
                operations: OperationLoss::Sigmoid,
                kl: Kl::DividedTwice,
            },
            optimiser: Optimiser {
                learning_rate: file.json("lr", "a number")?,
                clip: file.json("clip", "a number")?,
            },
            losses,
            gradient_norm: file.json("grad_norm_first", "a number")?,
        })
    }

    fn run(
        &self,
        file: &TensorFile<'_>,
        mut engine: Box<dyn Engine>,
    ) -> Result<Vec<Comparison>, SelftestError> {
        let mut report = Vec::new();
        if self.draws.is_none() {
            report = self.outputs(file, engine.as_mut())?;
        }
        let layout = &self.params.layout;
        for (step, &expected) in self.losses.iter().enumerate() {
            let loss = engine.step(&self.graphs, self.mode(step));
            report.push(Comparison {
                quantity: format!("losses[{step}]"),
                difference: (loss - expected).abs(),
                tolerance: CLOSE,
            });
            if step == 0 {
                let gradient = engine.gradient();
                let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
                report.push(Comparison {
                    quantity: "grad_norm_first".to_owned(),
                    difference: (norm.sqrt() - self.gradient_norm).abs(),
                    tolerance: CLOSE,
                });
                let factor = self.optimiser.clip_factor(norm.sqrt()) as f32;
                let clipped: Vec<f32> = gradient.iter().map(|g| g * factor).collect();
                for (name, tensor) in [("grad_fc1", "fc1.weight"), ("grad_eps", "eps")] {
                    let found = tensor_of(layout, tensor, &clipped, &[]);
                    report.push(compare(file, name, found, CLOSE)?);
                }
            }
        }
        let Params {
            values, statistics, ..
        } = engine.state().params;
        let after = format!("after{}.", self.losses.len());
        for name in file.names() {
            let Some(expectation) = name.strip_prefix("expect.") else {
                continue;
            };
            if let Some(tensor) = expectation.strip_prefix(&after) {
                let found = tensor_of(layout, tensor, &values, &statistics);
                report.push(compare(file, expectation, found, AFTER_STEPS)?);
            } else if !report.iter().any(|done| done.quantity == expectation) {
                return Err(SelftestError::UnknownExpectation {
                    name: name.to_owned(),
                });
            }
        }
        Ok(report)
    }

    fn mode(&self, step: usize) -> Mode<'_> {
        let Some(Draws { noise, dropout }) = &self.draws else {
            return Mode::Evaluation;
        };
        let codes = noise.len() / self.losses.len();
        let range = step * codes..(step + 1) * codes;
        Mode::Training {
            noise: &noise[range.clone()],
            dropout: &dropout[range],
        }
    }

    fn outputs(
        &self,
        file: &TensorFile<'_>,
        engine: &mut dyn Engine,
    ) -> Result<Vec<Comparison>, SelftestError> {
        let nodes = self.graphs.dims().nodes;
        let mut latent = Latent::default();
        let mut decoded = Decoded::default();
        engine.encode(&self.graphs, &mut latent);
        engine.decode(&latent.mean, nodes, &mut decoded);
        let operations: Vec<f32> = decoded.operations.iter().copied().map(sigmoid).collect();
        // The strict upper triangle is all that the model uses of the edges.
        let upper = |matrices: &[f32]| -> Vec<f32> {
            let cells = matrices.iter().enumerate();
            let above = cells.filter(|(cell, _)| cell % nodes > cell / nodes % nodes);
            above.map(|(_, &value)| value).collect()
        };
        let edges: Vec<f32> = upper(&decoded.edges).into_iter().map(sigmoid).collect();
        let name = "expect.adj_recon";
        let dims = [self.graphs.len(), nodes, nodes];
        let expected = upper(&file.f32s_of(name, &dims)?);
        Ok(vec![
            compare(file, "mu", Some(&latent.mean), CLOSE)?,
            compare(file, "logvar", Some(&latent.log_std), CLOSE)?,
            compare(file, "ops_recon", Some(&operations), CLOSE)?,
            Comparison {
                quantity: "adj_recon".to_owned(),
                difference: largest_difference(&edges, &expected),
                tolerance: CLOSE,
            },
        ])
    }
}

/// The values of a tensor by its published name.
fn tensor_of<'a>(
    layout: &Layout,
    name: &str,
    parameters: &'a [f32],
    statistics: &'a [f32],
) -> Option<&'a [f32]> {
    let tensor = layout.tensors.iter().find(|tensor| tensor.name == name)?;
    let store = match tensor.store {
        Store::Parameters => parameters,
        Store::Statistics => statistics,
    };
    store.get(tensor.range.clone())
}

/// Compares with `expect.NAME`; `found` is none where the model has no such tensor.
fn compare(
    file: &TensorFile<'_>,
    name: &str,
    found: Option<&[f32]>,
    tolerance: f64,
) -> Result<Comparison, SelftestError> {
    let full = format!("expect.{name}");
    let Some(found) = found else {
        return Err(SelftestError::UnknownExpectation { name: full });
    };
    let (dims, expected) = file.f32s(&full)?;
    if expected.len() != found.len() {
        return Err(TensorFileError::Shape {
            name: full,
            found: dims,
            expected: format!("{} values", found.len()),
        }
        .into());
    }
    Ok(Comparison {
        quantity: name.to_owned(),
        difference: largest_difference(found, &expected),
        tolerance,
    })
}

/// Not a number as soon as one of the values is not.
fn largest_difference(found: &[f32], expected: &[f32]) -> f64 {
    let differences = found.iter().zip(expected);
    differences
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs())
        .fold(0.0, |largest, d| {
            if d > largest || d.is_nan() {
                d
            } else {
                largest
            }
        })
}

fn read_graphs(file: &TensorFile<'_>, operations: usize) -> Result<Graphs, SelftestError> {
    let (dims, adjacency) = file.f32s("input.adj")?;
    let &[count, nodes, _] = dims.as_slice() else {
        return Err(TensorFileError::Shape {
            name: "input.adj".to_owned(),
            found: dims,
            expected: "[graphs, nodes, nodes]".to_owned(),
        }
        .into());
    };
    let square = [count, nodes, nodes];
    if dims != square || count == 0 {
        return Err(TensorFileError::Shape {
            name: "input.adj".to_owned(),
            found: dims,
            expected: format!("{square:?} with at least one graph"),
        }
        .into());
    }
    let mut graphs = Graphs::empty(GraphDims { nodes, operations })?;
    let one_hot = file.f32s_of("input.ops", &[count, nodes, operations])?;
    let adjacency = bits("input.adj", &adjacency)?;
    let one_hot = bits("input.ops", &one_hot)?;
    let mut node_operations = Vec::with_capacity(nodes);
    for (graph, adjacency) in adjacency.chunks_exact(nodes * nodes).enumerate() {
        node_operations.clear();
        for node in 0..nodes {
            let start = (graph * nodes + node) * operations;
            let row = &one_hot[start..start + operations];
            let mut set = row.iter().enumerate().filter(|&(_, &bit)| bit == 1);
            let first = set.next();
            if let Some((second, _)) = set.next() {
                return Err(SelftestError::Input {
                    name: "input.ops",
                    position: start + second,
                    value: 1.0,
                });
            }
            node_operations.push(first.map_or(PADDING, |(operation, _)| operation as u8));
        }
        graphs.push(adjacency, &node_operations)?;
    }
    Ok(graphs)
}

fn bits(name: &'static str, values: &[f32]) -> Result<Vec<u8>, SelftestError> {
    let bit = |(position, &value): (usize, &f32)| match value {
        0.0 => Ok(0),
        1.0 => Ok(1),
        _ => Err(SelftestError::Input {
            name,
            position,
            value,
        }),
    };
    values.iter().enumerate().map(bit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Native;

    const FIXTURE: &[u8] = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/arch2vec-nasbench101.safetensors"
    ));

    const TRAINING: &[u8] = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/arch2vec-nasbench101-training.safetensors"
    ));

    #[test]
    fn the_native_engine_agrees_with_the_fixture() {
        let report = run(FIXTURE, &Native).unwrap();
        let wrong: Vec<_> = report.iter().filter(|line| !line.is_ok()).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        // Four outputs, five losses, the norm, two gradients, four parameters.
        assert_eq!(report.len(), 16);
    }

    #[test]
    fn the_native_engine_agrees_with_the_fixture_of_training() {
        let report = run(TRAINING, &Native).unwrap();
        let wrong: Vec<_> = report.iter().filter(|line| !line.is_ok()).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        // Two losses, the norm, two gradients, seven parameters, three statistics.
        assert_eq!(report.len(), 15);
    }

    /// The fixture with bytes of its header replaced by equally many others.
    fn with_header(from: &str, to: &str) -> Vec<u8> {
        assert_eq!(from.len(), to.len());
        let mut bytes = FIXTURE.to_vec();
        let at = bytes
            .windows(from.len())
            .position(|window| window == from.as_bytes())
            .unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    }

    #[test]
    fn a_wrong_file_is_explained_and_a_wrong_number_is_reported() {
        let message = |bytes: &[u8]| run(bytes, &Native).unwrap_err().to_string();
        assert!(message(b"not safetensors").contains("not safetensors"));
        assert!(message(&FIXTURE[..FIXTURE.len() - 4]).contains("not safetensors"));
        assert_eq!(
            message(&with_header("\"input.adj\"", "\"input.abc\"")),
            "tensor `input.adj` is missing"
        );
        let found = message(&with_header("\"mode\":\"eval\"", "\"mode\":\"what\""));
        assert_eq!(
            found,
            "metadata entry `mode` is not `eval` or `train`: it is `what`"
        );
        let found = message(&with_header("expect.after5.eps", "expect.after5.foo"));
        assert!(found.contains("`expect.after5.foo`"), "{found}");
        let found = message(&with_header("\"param.eps\"", "\"param.spe\""));
        assert_eq!(found, "tensor `eps` is missing");

        let bytes = with_header("0.9797940850257874", "0.9697940850257874");
        let report = run(&bytes, &Native).unwrap();
        let wrong: Vec<_> = report.iter().filter(|line| !line.is_ok()).collect();
        assert_eq!(wrong.len(), 1);
        assert_eq!(wrong[0].quantity, "losses[0]");
    }
}
