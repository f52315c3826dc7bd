//! The embedding of a whole space: one row an architecture.

mod clusters;
mod nearest;

use std::sync::OnceLock;

use reprise_domain::ArchIndex;

pub use self::clusters::Clusters;
pub use self::nearest::Nearest;

/// A dense table of features, `[architectures, dims]`, row-major single precision.
#[derive(Debug, Clone)]
pub struct Embedding {
    rows: Vec<f32>,
    dims: usize,
    /// A function of the rows, made when it is first asked for.
    clusters: OnceLock<Clusters>,
}

impl PartialEq for Embedding {
    fn eq(&self, other: &Self) -> bool {
        self.dims == other.dims && self.rows == other.rows
    }
}

/// A table whose numbers cannot be an embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmbeddingError {
    /// The number of values is not a multiple of the row length.
    #[error("{values} values do not make rows of {dims}")]
    Ragged {
        /// How many values there are.
        values: usize,
        /// Length of a row.
        dims: usize,
    },
    /// A value is infinite or not a number.
    #[error("row {row} holds a value that is not finite")]
    NotFinite {
        /// The first such row.
        row: usize,
    },
}

impl Embedding {
    /// Checks that the values make whole rows and are finite.
    pub fn new(rows: Vec<f32>, dims: usize) -> Result<Self, EmbeddingError> {
        if dims == 0 || !rows.len().is_multiple_of(dims) {
            return Err(EmbeddingError::Ragged {
                values: rows.len(),
                dims,
            });
        }
        match rows.iter().position(|value| !value.is_finite()) {
            Some(position) => Err(EmbeddingError::NotFinite {
                row: position / dims,
            }),
            None => Ok(Self {
                rows,
                dims,
                clusters: OnceLock::new(),
            }),
        }
    }

    /// Number of architectures.
    pub fn len(&self) -> usize {
        self.rows.len() / self.dims
    }

    /// Whether there are no architectures.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Length of a row.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The features of one architecture.
    ///
    /// # Panics
    /// If `arch` lies outside the table.
    pub fn row(&self, arch: ArchIndex) -> &[f32] {
        let start = arch.row() * self.dims;
        &self.rows[start..start + self.dims]
    }

    /// All rows, `[architectures, dims]` row-major.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// Groups of rows that all but coincide; found once, shared by all who search
    /// this table.
    pub fn clusters(&self) -> &Clusters {
        self.clusters.get_or_init(|| Clusters::of(self))
    }
}
