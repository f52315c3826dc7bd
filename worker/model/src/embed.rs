//! The embedding of a whole space, and its file.

use std::thread;

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
    embed_on(1, params, graphs)
}

/// The same by some threads; the result does not depend on their number.
pub fn embed_on(
    threads: usize,
    params: &Params,
    graphs: &GraphSet,
) -> Result<Embedding, EmbedError> {
    embed_in_batches(threads, params, graphs, BATCH)
}

fn embed_in_batches(
    threads: usize,
    params: &Params,
    graphs: &GraphSet,
    batch: usize,
) -> Result<Embedding, EmbedError> {
    let shape = params.shape();
    let dims = graphs.dims();
    if shape.operations != dims.operations {
        return Err(EmbedError::Operations {
            model: shape.operations,
            graphs: dims.operations,
        });
    }
    let mut rows = vec![0.0; graphs.len() * shape.latent];
    // Whole batches, so that each has the same neighbours for any number of threads.
    let batches = graphs.len().div_ceil(batch);
    let share = batches.div_ceil(threads.max(1)).max(1) * batch;
    let shares = rows.chunks_mut(share * shape.latent).enumerate();
    let mut shares = shares.map(|(number, rows)| (number * share, rows));
    thread::scope(|scope| {
        let own = shares.next();
        for (first, rows) in shares {
            scope.spawn(move || embed_share(params, graphs, batch, first, rows));
        }
        if let Some((first, rows)) = own {
            embed_share(params, graphs, batch, first, rows);
        }
    });
    Ok(Embedding::new(rows, shape.latent)?)
}

/// Embeds the graphs from `first` on, as many as `rows`, `[graphs, latent]`, has room for.
fn embed_share(
    params: &Params,
    graphs: &GraphSet,
    batch_size: usize,
    first: usize,
    rows: &mut [f32],
) {
    let (latent_dims, nodes) = (params.shape().latent, graphs.dims().nodes);
    let mut engine = NativeEngine::idle(State::new(params.clone()));
    let mut batch = graphs.empty_batch();
    let mut latent = Latent::default();
    let mut start = first;
    for rows in rows.chunks_mut(batch_size * latent_dims) {
        let end = start + rows.len() / latent_dims;
        graphs.gather(start..end, &mut batch);
        engine.encode(&batch, &mut latent);
        let codes = latent.mean.chunks_exact(nodes * latent_dims);
        for (row, nodes_codes) in rows.chunks_exact_mut(latent_dims).zip(codes) {
            for (dim, value) in row.iter_mut().enumerate() {
                let sum: f32 = nodes_codes.iter().skip(dim).step_by(latent_dims).sum();
                *value = sum / nodes as f32;
            }
        }
        start = end;
    }
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
        let single = embed_in_batches(1, &params, &graphs, 1).unwrap();
        let many = embed(&params, &graphs).unwrap();
        assert_eq!(many.len(), graphs.len());
        let pairs = single.rows().iter().zip(many.rows());
        let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
        assert!(largest < 1e-6, "{largest}");
        // Different cells lie apart.
        assert_ne!(many.rows()[..4], many.rows()[4..8]);
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let graphs = GraphSet::of_space(&TestSpace).unwrap();
        let params = Params::init(TestSpace::shape(), b"embed").unwrap();
        let alone = embed_in_batches(1, &params, &graphs, 3).unwrap();
        let bits = |embedding: &Embedding| -> Vec<u32> {
            embedding.rows().iter().map(|row| row.to_bits()).collect()
        };
        for threads in [2, 3, 7, 1000] {
            let together = embed_in_batches(threads, &params, &graphs, 3).unwrap();
            assert_eq!(bits(&together), bits(&alone), "{threads} threads");
        }
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
