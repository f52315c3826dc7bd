//! Results from domain to wire. Clients of ours read them from their canonical
//! JSON, so there is no way back.

use reprise_domain::{EpochMeasures, Seconds, TaskResult, Usage};

use super::{ConvertError, unknown};
use crate::pb;

impl From<&TaskResult> for pb::TaskResult {
    fn from(result: &TaskResult) -> Self {
        use pb::task_result::Result as Wire;
        let result = match result {
            TaskResult::Pretrain(result) => Wire::Pretrain(pb::PretrainResult {
                epochs: result.epochs.iter().map(Into::into).collect(),
                checkpoint: Some(result.checkpoint.into()),
                embedding: Some(result.embedding.into()),
            }),
            TaskResult::Search(result) => {
                let trajectory = &result.trajectory;
                let fractions = |column: &[reprise_domain::Accuracy]| {
                    column.iter().map(|accuracy| accuracy.fraction()).collect()
                };
                Wire::Search(pb::SearchResult {
                    architecture: trajectory.arch.iter().map(|arch| arch.0).collect(),
                    validation: fractions(&trajectory.validation),
                    reported_validation: fractions(&trajectory.reported_validation),
                    test: fractions(&trajectory.test),
                    cost_seconds: trajectory.cost.iter().map(|cost| cost.get()).collect(),
                })
            }
            TaskResult::Evaluate(result) => Wire::Evaluate(pb::EvaluateResult {
                validation: result.validation.fraction(),
                test: result.test.fraction(),
                parameters: result.parameters,
                flops: result.flops,
            }),
            TaskResult::Noop => Wire::Noop(pb::NoopResult {}),
            TaskResult::Program(result) => {
                let metrics = result.metrics.iter().map(|(name, value)| pb::Metric {
                    name: name.clone(),
                    value: *value,
                });
                let artifacts = result.artifacts.iter().map(|file| pb::NamedArtifact {
                    path: file.path.clone(),
                    artifact: Some(file.content().into()),
                });
                Wire::Program(pb::ProgramResult {
                    metrics: metrics.collect(),
                    steps: result.steps,
                    series: result.series.map(Into::into),
                    artifacts: artifacts.collect(),
                })
            }
        };
        Self {
            result: Some(result),
        }
    }
}

impl From<&EpochMeasures> for pb::EpochMeasures {
    fn from(epoch: &EpochMeasures) -> Self {
        Self {
            loss: epoch.loss,
            ops_accuracy: epoch.ops_accuracy,
            ops_accuracy_real_nodes: epoch.ops_accuracy_real_nodes,
            edge_accuracy: epoch.edge_accuracy,
            true_edge_probability: epoch.true_edge_probability,
            false_edge_probability: epoch.false_edge_probability,
            exact_match: epoch.exact_match,
            validity: epoch.validity,
            uniqueness: epoch.uniqueness,
        }
    }
}

impl From<Usage> for pb::Usage {
    fn from(usage: Usage) -> Self {
        Self {
            wall_seconds: usage.wall.get(),
            training_seconds: usage.training.map(Seconds::get),
            started_at_ms: usage.started_ms,
            ended_at_ms: usage.ended_ms,
        }
    }
}

impl TryFrom<pb::Usage> for Usage {
    type Error = ConvertError;

    fn try_from(usage: pb::Usage) -> Result<Self, ConvertError> {
        let seconds = |value| Seconds::new(value).map_err(|_| unknown("usage", &value));
        Ok(Self {
            wall: seconds(usage.wall_seconds)?,
            training: usage.training_seconds.map(seconds).transpose()?,
            started_ms: usage.started_at_ms,
            ended_ms: usage.ended_at_ms,
        })
    }
}
