//! A study file that has been read: complete but for the digest of the
//! benchmark that it names.

use std::path::PathBuf;

use reprise_domain::study::{DatasetBudget, MethodPlan, SearchPlan, Seeds, StudySpec};
use reprise_domain::{BenchmarkRef, BuiltinBenchmark, Recipe, StudyName};

use crate::error::{Problem, StudyFileError};
use crate::path::KeyPath;
use crate::source::Place;

/// A checked study file.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyFile {
    /// The study without its searches, which need a resolved benchmark.
    pub(crate) spec: StudySpec,
    pub(crate) search: Option<Search>,
}

/// The searches of a study and the benchmark that answers them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Search {
    pub(crate) datasets: Vec<DatasetBudget>,
    pub(crate) methods: Vec<MethodPlan>,
    pub(crate) seeds: Seeds,
    pub(crate) benchmark: BenchmarkSource,
    /// The file's `benchmark` key.
    pub(crate) place: Place,
}

/// The benchmark as a study file names it. Relative paths are as written:
/// relative to the directory of the study file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BenchmarkSource {
    /// Shipped with the worker.
    Builtin(BuiltinBenchmark),
    /// A table in Reprise's CSV form, compressed or not.
    Table(PathBuf),
    /// A directory of NATS-Bench files.
    Nats(PathBuf),
    /// None: every query trains.
    Train(Recipe),
}

impl StudyFile {
    /// The study's name.
    pub fn name(&self) -> &StudyName {
        &self.spec.name
    }

    /// The benchmark to resolve; `None` in a study without searches, even where
    /// the file names one.
    pub fn benchmark(&self) -> Option<&BenchmarkSource> {
        self.search.as_ref().map(|search| &search.benchmark)
    }

    /// The study, with `benchmark` in place of what [`StudyFile::benchmark`]
    /// names. A `Train` source needs none, and both files resolve to
    /// [`BenchmarkRef::Table`]. Ignored in a study without searches.
    ///
    /// # Errors
    /// When `benchmark` is missing or not of the kind that the file names.
    pub fn resolve(self, benchmark: Option<BenchmarkRef>) -> Result<StudySpec, StudyFileError> {
        let Some(search) = self.search else {
            return Ok(self.spec);
        };
        let resolved = match (&search.benchmark, benchmark) {
            (BenchmarkSource::Builtin(named), Some(found @ BenchmarkRef::Builtin { name, .. }))
                if *named == name =>
            {
                found
            }
            (
                BenchmarkSource::Table(_) | BenchmarkSource::Nats(_),
                Some(found @ BenchmarkRef::Table { .. }),
            ) => found,
            (&BenchmarkSource::Train(recipe), None) => BenchmarkRef::Train { recipe },
            (BenchmarkSource::Train(named), Some(found @ BenchmarkRef::Train { recipe }))
                if *named == recipe =>
            {
                found
            }
            _ => {
                let path = KeyPath::root().key("benchmark");
                return Err(StudyFileError::new(
                    search.place,
                    Problem::OtherBenchmark { path },
                ));
            }
        };
        let plan = SearchPlan {
            datasets: search.datasets,
            benchmark: resolved,
            methods: search.methods,
            seeds: search.seeds,
        };
        Ok(StudySpec {
            search: Some(plan),
            ..self.spec
        })
    }
}
