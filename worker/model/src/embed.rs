//! The embedding of a whole space, and its file.

use reprise_search::embedding::Embedding;

use crate::engine::{Engine, Latent, State};
use crate::error::{EmbedError, TensorFileError};
use crate::graphs::GraphSet;
use crate::native::NativeEngine;
use crate::params::Params;
use crate::tensors::{TensorFile, TensorWriter};

/// Graphs encoded at once: their activations fit a processor's cache. The result does
/// not depend on it, because evaluation mode treats each row on its own.
const BATCH: usize = 64;

/// Name of the only tensor in an embedding's file.
const TENSOR: &str = "embedding";

/// Embeds every graph: the mean over all its nodes, padded ones included, of the
/// encoder's means in evaluation mode (protocol notes, section 4).
pub fn embed(params: &Params, graphs: &GraphSet) -> Result<Embedding, EmbedError> {
    embed_in_batches(params, graphs, BATCH)
}

fn embed_in_batches(
    params: &Params,
    graphs: &GraphSet,
    batch_size: usize,
) -> Result<Embedding, EmbedError> {
    let shape = params.shape();
    let dims = graphs.dims();
    if shape.operations != dims.operations {
        return Err(EmbedError::Operations {
            model: shape.operations,
            graphs: dims.operations,
        });
    }
    let mut engine = NativeEngine::idle(State::new(params.clone()));
    let mut batch = graphs.empty_batch();
    let mut latent = Latent::default();
    let mut rows = Vec::with_capacity(graphs.len() * shape.latent);
    for start in (0..graphs.len()).step_by(batch_size) {
        graphs.gather(start..graphs.len().min(start + batch_size), &mut batch);
        engine.encode(&batch, &mut latent);
        for nodes in latent.mean.chunks_exact(dims.nodes * shape.latent) {
            for dim in 0..shape.latent {
                let sum: f32 = nodes.iter().skip(dim).step_by(shape.latent).sum();
                rows.push(sum / dims.nodes as f32);
            }
        }
    }
    Ok(Embedding::new(rows, shape.latent)?)
}

/// The embedding as safetensors: tensor `embedding`, `[architectures, latent]`.
pub fn to_safetensors(embedding: &Embedding) -> Vec<u8> {
    let mut writer = TensorWriter::default();
    let dims = [embedding.len(), embedding.dims()];
    writer.f32s(TENSOR, &dims, embedding.rows());
    writer.finish::<()>(None)
}

/// Reads what [`to_safetensors`] wrote, or an equal file from elsewhere, for a
/// space of so many architectures.
pub fn from_safetensors(bytes: &[u8], architectures: usize) -> Result<Embedding, TensorFileError> {
    let (dims, rows) = TensorFile::parse(bytes)?.f32s(TENSOR)?;
    match dims.as_slice() {
        &[found, latent] if found == architectures => Ok(Embedding::new(rows, latent)?),
        _ => Err(TensorFileError::Shape {
            name: TENSOR.to_owned(),
            found: dims,
            expected: format!("[{architectures}, latent dimensions]"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_space::TestSpace;

    #[test]
    fn one_graph_at_a_time_gives_the_same_embedding() {
        let graphs = GraphSet::of_space(&TestSpace).unwrap();
        let params = Params::init(TestSpace::shape(), b"embed").unwrap();
        let single = embed_in_batches(&params, &graphs, 1).unwrap();
        let many = embed(&params, &graphs).unwrap();
        assert_eq!(many.len(), graphs.len());
        let pairs = single.rows().iter().zip(many.rows());
        let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
        assert!(largest < 1e-6, "{largest}");
        // Different cells lie apart.
        assert_ne!(many.rows()[..4], many.rows()[4..8]);
    }

    #[test]
    fn a_file_reads_back_and_a_wrong_one_is_refused() {
        let embedding = Embedding::new(vec![1.0, -2.0, 3.5, 4.0, 0.0, 6.0], 2).unwrap();
        let bytes = to_safetensors(&embedding);
        assert_eq!(from_safetensors(&bytes, 3).unwrap(), embedding);

        let message = |bytes: &[u8], rows| from_safetensors(bytes, rows).unwrap_err().to_string();
        assert!(message(&bytes, 4).contains("[3, 2], expected [4, latent"));
        assert!(message(&bytes[..20], 3).contains("not safetensors"));
        let mut writer = TensorWriter::default();
        writer.f32s(TENSOR, &[1, 2], &[1.0, f32::NAN]);
        assert!(message(&writer.finish::<()>(None), 1).contains("row 0"));
        let mut writer = TensorWriter::default();
        writer.f64s(TENSOR, &[1.0]);
        assert!(message(&writer.finish::<()>(None), 1).contains("holds F64, expected F32"));
    }

    #[test]
    fn a_model_of_another_space_is_refused() {
        let graphs = GraphSet::of_space(&TestSpace).unwrap();
        let mut shape = TestSpace::shape();
        shape.operations += 1;
        let params = Params::init(shape, b"embed").unwrap();
        let error = embed(&params, &graphs).unwrap_err();
        assert!(matches!(error, EmbedError::Operations { .. }), "{error}");
    }
}
