//! Raw data: a row a run, a row a query, a row an epoch, each as CSV and as Parquet.
//! `configs/DATA.md` explains every column.
//!
//! Rows are written as records come, in the order of the plan, so that a million runs
//! take no more memory than one. What summaries are made of them is elsewhere.

mod column;
mod csv;
mod factors;
mod fields;
mod parquet;
mod row;
mod sink;
mod steps;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter};

use anyhow::Context as _;
use reprise_domain::record::TaskRecord;
use reprise_domain::study::StudySpec;
use reprise_domain::{Capability, Digest, TaskKey, TaskResult};

use self::column::{Column, Value};
use self::csv::Csv;
use self::parquet::Parquet;
use self::row::Row;
use self::sink::Sink;
use super::Files;

/// A file of raw data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawFile {
    /// What its rows are of.
    pub of: RowsOf,
    /// Its form.
    pub form: Form,
}

/// What rows are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowsOf {
    /// Runs, finished or not.
    Runs,
    /// Queries of finished searches.
    Queries,
    /// Epochs of finished pretrainings.
    Epochs,
}

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Comma-separated values.
    Csv,
    /// Apache Parquet.
    Parquet,
}

impl RawFile {
    /// The files that a study has: no queries without a search, no epochs without a
    /// pretraining.
    pub fn of_study(study: &StudySpec) -> Vec<Self> {
        let has = |of: &RowsOf| match of {
            RowsOf::Runs => true,
            RowsOf::Queries => study.search.is_some(),
            RowsOf::Epochs => !study.pretrain.is_empty(),
        };
        let tables = [RowsOf::Runs, RowsOf::Queries, RowsOf::Epochs];
        let files = tables.into_iter().filter(has).flat_map(|of| {
            let forms = [Form::Csv, Form::Parquet].into_iter();
            forms.map(move |form| Self { of, form })
        });
        files.collect()
    }

    /// Its name in the directory of an export.
    pub const fn name(self) -> &'static str {
        match (self.of, self.form) {
            (RowsOf::Runs, Form::Csv) => "runs.csv",
            (RowsOf::Runs, Form::Parquet) => "runs.parquet",
            (RowsOf::Queries, Form::Csv) => "queries.csv",
            (RowsOf::Queries, Form::Parquet) => "queries.parquet",
            (RowsOf::Epochs, Form::Csv) => "epochs.csv",
            (RowsOf::Epochs, Form::Parquet) => "epochs.parquet",
        }
    }
}

/// Files of raw data in the making.
#[derive(Debug)]
pub struct Raw<'a> {
    study: &'a StudySpec,
    tables: Vec<Table>,
    runs: u64,
    /// Embeddings by the tasks that made them, which come before the searches that
    /// read them.
    embeddings: HashMap<TaskKey, Digest>,
    made_with: HashMap<Digest, Capability>,
}

/// A file that is being written, with its columns.
#[derive(Debug)]
struct Table {
    file: RawFile,
    columns: Vec<Column>,
    sink: Box<dyn Sink>,
}

impl<'a> Raw<'a> {
    /// Begins files of a study.
    pub fn begin(
        study: &'a StudySpec,
        wanted: &[RawFile],
        files: &mut Files,
    ) -> anyhow::Result<Self> {
        let tables = wanted.iter().map(|file| {
            let out = files.create(file.name())?;
            let columns = columns(study, file.of);
            let sink = sink(file.form, out, &columns);
            Ok(Table {
                file: *file,
                sink: sink.with_context(|| format!("write `{}`", file.name()))?,
                columns,
            })
        });
        Ok(Self {
            study,
            tables: tables.collect::<anyhow::Result<_>>()?,
            runs: 0,
            embeddings: HashMap::new(),
            made_with: HashMap::new(),
        })
    }

    /// Takes the next record in the order of the plan.
    pub fn add(&mut self, record: &TaskRecord) -> anyhow::Result<()> {
        self.runs += 1;
        let provenance = record.outcome.as_ref().and_then(|found| found.provenance);
        if let (Some(named), Some(made_with)) = (provenance, &record.made_with) {
            self.made_with.insert(named, made_with.clone());
        }
        let mut row = Row::new(self.study, record, self.runs);
        if let Some(TaskResult::Pretrain(result)) = row.result() {
            let made = result.embedding.digest;
            self.embeddings.insert(record.task.key, made);
            row.embedding = Some(made);
        } else {
            let inputs = record.spec.inputs();
            let read = inputs.first().and_then(|input| self.embeddings.get(input));
            row.embedding = read.copied();
        }
        row.made_with = provenance.and_then(|named| self.made_with.get(&named));
        for table in &mut self.tables {
            let name = table.file.name();
            table
                .write(&mut row)
                .with_context(|| format!("write `{name}`"))?;
        }
        Ok(())
    }

    /// Writes what is left of all files.
    pub fn finish(self) -> anyhow::Result<()> {
        self.tables.into_iter().try_for_each(|table| {
            let finished = table.sink.finish();
            finished.with_context(|| format!("write `{}`", table.file.name()))
        })
    }
}

impl Table {
    /// Writes the rows that a run has in this file.
    fn write(&mut self, row: &mut Row<'_>) -> io::Result<()> {
        let rows = match self.file.of {
            RowsOf::Runs => 1,
            RowsOf::Queries => row.trajectory().map_or(0, reprise_domain::Trajectory::len),
            RowsOf::Epochs => row.epochs().len(),
        };
        for place in 0..rows {
            row.place = place;
            let columns = self.columns.iter();
            let values: Vec<Value<'_>> = columns.map(|column| column.value(row)).collect();
            self.sink.push(&values)?;
        }
        Ok(())
    }
}

fn sink(form: Form, out: BufWriter<File>, columns: &[Column]) -> io::Result<Box<dyn Sink>> {
    Ok(match form {
        Form::Csv => Box::new(Csv::new(out, columns)?),
        Form::Parquet => Box::new(Parquet::new(out, columns)?),
    })
}

/// The columns of a study's table. A factor or a metric whose name another column has
/// gets a number after it: people name them as they like.
fn columns(study: &StudySpec, of: RowsOf) -> Vec<Column> {
    let layout = match of {
        RowsOf::Runs => fields::RUNS,
        RowsOf::Queries => steps::QUERIES,
        RowsOf::Epochs => steps::EPOCHS,
    };
    let metrics = match of {
        RowsOf::Runs => factors::metrics(study),
        RowsOf::Queries | RowsOf::Epochs => Vec::new(),
    };
    let fixed = [layout.before, layout.after, layout.last];
    let fixed = fixed.into_iter().flatten();
    let mut taken: HashSet<String> = fixed.map(|field| field.name.to_owned()).collect();
    let mut distinct = |mut column: Column| {
        let name = column.name.clone();
        let mut number = 1;
        while !taken.insert(column.name.clone()) {
            number += 1;
            column.name = format!("{name}_{number}");
        }
        column
    };
    let factors: Vec<_> = factors::columns(study)
        .into_iter()
        .map(&mut distinct)
        .collect();
    let metrics: Vec<_> = metrics.into_iter().map(&mut distinct).collect();
    let fields = |fields: &'static [column::Field]| fields.iter().map(Column::from);
    fields(layout.before)
        .chain(factors)
        .chain(fields(layout.after))
        .chain(metrics)
        .chain(fields(layout.last))
        .collect()
}

#[cfg(test)]
mod tests;
