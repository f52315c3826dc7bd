//! Raw data as Parquet: typed columns, units and meanings in the metadata of the
//! fields, where Arrow readers show them. A file is written in groups of rows, so that
//! its length does not decide how much memory it takes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMillisecondBuilder,
    UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::column::{Column, Kind, Value};
use super::sink::Sink;

/// Rows that are handed to the writer at once.
const BATCH: usize = 4096;

/// Rows of a group: some 10 MB of numbers, which the writer holds encoded.
const GROUP: usize = 32 * BATCH;

const UTC: &str = "UTC";

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Parquet {
    writer: ArrowWriter<BufWriter<File>>,
    schema: SchemaRef,
    builders: Vec<Builder>,
    rows: usize,
}

impl Parquet {
    /// A file without rows yet.
    pub(super) fn new(out: BufWriter<File>, columns: &[Column]) -> io::Result<Self> {
        let fields: Vec<_> = columns.iter().map(field).collect();
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(GROUP))
            .set_created_by(format!("reprise {}", env!("CARGO_PKG_VERSION")))
            .build();
        let writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties));
        Ok(Self {
            writer: writer.map_err(io::Error::other)?,
            schema,
            builders: columns.iter().map(|column| column.kind.into()).collect(),
            rows: 0,
        })
    }

    fn hand_over(&mut self) -> io::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        self.rows = 0;
        let arrays = self.builders.iter_mut().map(Builder::finish).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays);
        let batch = batch.map_err(io::Error::other)?;
        self.writer.write(&batch).map_err(io::Error::other)
    }
}

impl Sink for Parquet {
    fn push(&mut self, row: &[Value<'_>]) -> io::Result<()> {
        for (builder, value) in self.builders.iter_mut().zip(row) {
            builder.push(value)?;
        }
        self.rows += 1;
        if self.rows == BATCH {
            self.hand_over()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.hand_over()?;
        let mut out = self.writer.into_inner().map_err(io::Error::other)?;
        out.flush()
    }
}

fn field(column: &Column) -> Field {
    let kind = match column.kind {
        Kind::Text => DataType::Utf8,
        Kind::Flag => DataType::Boolean,
        Kind::Whole => DataType::UInt64,
        Kind::Signed => DataType::Int64,
        Kind::Real => DataType::Float64,
        Kind::Moment => DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into())),
    };
    let mut metadata = HashMap::from([
        ("description".to_owned(), column.about.to_string()),
        ("varies".to_owned(), column.varies.to_string()),
    ]);
    metadata.extend(
        column
            .unit
            .iter()
            .map(|unit| ("unit".to_owned(), unit.to_string())),
    );
    Field::new(&column.name, kind, true).with_metadata(metadata)
}

/// The values of a column that are not handed over yet.
#[derive(Debug)]
enum Builder {
    Text(StringBuilder),
    Flag(BooleanBuilder),
    Whole(UInt64Builder),
    Signed(Int64Builder),
    Real(Float64Builder),
    Moment(TimestampMillisecondBuilder),
}

impl From<Kind> for Builder {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text(StringBuilder::new()),
            Kind::Flag => Self::Flag(BooleanBuilder::new()),
            Kind::Whole => Self::Whole(UInt64Builder::new()),
            Kind::Signed => Self::Signed(Int64Builder::new()),
            Kind::Real => Self::Real(Float64Builder::new()),
            Kind::Moment => Self::Moment(TimestampMillisecondBuilder::new().with_timezone(UTC)),
        }
    }
}

impl Builder {
    fn push(&mut self, value: &Value<'_>) -> io::Result<()> {
        match (self, value) {
            (Self::Text(column), Value::Text(text)) => column.append_value(text),
            (Self::Flag(column), Value::Flag(flag)) => column.append_value(*flag),
            (Self::Whole(column), Value::Whole(number)) => column.append_value(*number),
            (Self::Signed(column), Value::Signed(number)) => column.append_value(*number),
            (Self::Real(column), Value::Real(number)) => column.append_value(*number),
            (Self::Moment(column), Value::Moment(at_ms)) => {
                column.append_option(i64::try_from(*at_ms).ok());
            }
            (column, Value::Missing) => column.push_missing(),
            (column, value) => {
                let message = format!("a column of {column:?} was given {value:?}");
                return Err(io::Error::other(message));
            }
        }
        Ok(())
    }

    fn push_missing(&mut self) {
        match self {
            Self::Text(column) => column.append_null(),
            Self::Flag(column) => column.append_null(),
            Self::Whole(column) => column.append_null(),
            Self::Signed(column) => column.append_null(),
            Self::Real(column) => column.append_null(),
            Self::Moment(column) => column.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(column) => Arc::new(column.finish()),
            Self::Flag(column) => Arc::new(column.finish()),
            Self::Whole(column) => Arc::new(column.finish()),
            Self::Signed(column) => Arc::new(column.finish()),
            Self::Real(column) => Arc::new(column.finish()),
            Self::Moment(column) => Arc::new(column.finish()),
        }
    }
}
