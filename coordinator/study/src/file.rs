//! A study file that has been read: complete but for the digests of the benchmark and
//! of the files that it names.

use std::path::PathBuf;

use reprise_domain::bounds::program as bounds;
use reprise_domain::program::ShippedFile;
use reprise_domain::study::{DatasetBudget, MethodPlan, Pairing, SearchPlan, Seeds, StudySpec};
use reprise_domain::{BenchmarkRef, BuiltinBenchmark, Recipe, StudyName};

use crate::error::{Problem, StudyFileError};
use crate::names::shorten;
use crate::path::KeyPath;
use crate::source::Place;

/// A checked study file.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyFile {
    /// The study without its searches, which need a resolved benchmark.
    pub(crate) spec: StudySpec,
    pub(crate) search: Option<Search>,
    /// Files that are shipped with programs and were not read yet.
    pub(crate) unread: Vec<FileSource>,
}

/// A file that is shipped with the program of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FileSource {
    /// Position of the experiment.
    pub(crate) experiment: usize,
    /// Its path, relative to the directory of the study file and to that of the
    /// program.
    pub(crate) file: String,
    /// The key that names it.
    pub(crate) path: KeyPath,
    pub(crate) place: Place,
}

/// The searches of a study and the benchmark that answers them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Search {
    pub(crate) datasets: Vec<DatasetBudget>,
    pub(crate) methods: Vec<MethodPlan>,
    pub(crate) seeds: Seeds,
    pub(crate) pairing: Pairing,
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

    /// Has every file read that is shipped with a program. `read` is called with each
    /// path, relative to the directory of the study file, and says what is there, or
    /// why it cannot be shipped. A file that several experiments ship is asked for
    /// again.
    ///
    /// # Errors
    /// The first file that cannot be read, with its place in the study file; and the
    /// first one with which the files of an experiment are too large.
    pub fn ship(
        &mut self,
        mut read: impl FnMut(&str) -> Result<ShippedFile, String>,
    ) -> Result<(), StudyFileError> {
        for source in std::mem::take(&mut self.unread) {
            let FileSource {
                experiment,
                file,
                path,
                place,
            } = source;
            let files = &mut self.spec.experiments[experiment].files;
            let found = read(&file).and_then(|found| {
                let before: u64 = files.iter().map(|known| known.bytes).sum();
                let most = bounds::FILES_BYTES;
                if before.saturating_add(found.bytes) > most {
                    let most = bounds::in_units(most);
                    return Err(format!("the files of an experiment have at most {most}"));
                }
                Ok(found)
            });
            match found {
                Ok(found) => files.push(found),
                Err(why) => {
                    let file = shorten(&file);
                    let problem = Problem::File { path, file, why };
                    return Err(StudyFileError::new(place, problem));
                }
            }
            files.sort_by(|a, b| a.path.cmp(&b.path));
        }
        Ok(())
    }

    /// The study, with `benchmark` in place of what [`StudyFile::benchmark`]
    /// names. A `Train` source needs none, and both files resolve to
    /// [`BenchmarkRef::Table`]. Ignored in a study without searches.
    ///
    /// # Errors
    /// When `benchmark` is missing or not of the kind that the file names, or files
    /// were not shipped.
    pub fn resolve(self, benchmark: Option<BenchmarkRef>) -> Result<StudySpec, StudyFileError> {
        if let Some(source) = self.unread.into_iter().next() {
            let problem = Problem::File {
                path: source.path,
                file: shorten(&source.file),
                why: "it was not read".to_owned(),
            };
            return Err(StudyFileError::new(source.place, problem));
        }
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
            pairing: search.pairing,
        };
        Ok(StudySpec {
            search: Some(plan),
            ..self.spec
        })
    }
}
