//! Records as the columns of an Apache Parquet file: flat, named as in the rows of `audit query --format json`.

use std::fs::File;
use std::io;
use std::sync::Arc;

use cofferdam_audit::{Header, Skimmed};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::question::facts_of;

/// Rows of one group at most.
const GROUP_ROWS_MAX: usize = 100_000;
/// Bytes of facts and payloads of one group, after which it is written: so much is held in memory.
const GROUP_BYTES: usize = 64 * 1024 * 1024;
/// The columns, in the order in which a group is written.
const COLUMNS: &str = "message record {
    required int64 time (TIMESTAMP(NANOS, true));
    required byte_array session (STRING);
    required int64 seq;
    required byte_array server (STRING);
    required byte_array principal (STRING);
    required byte_array kind (STRING);
    optional byte_array decision (STRING);
    optional byte_array rule (STRING);
    optional byte_array method (STRING);
    optional byte_array tool (STRING);
    required byte_array facts (STRING);
    optional byte_array payload;
    required int64 payload_bytes;
    required boolean sealed;
}";

/// A column that may have no value in a row.
#[derive(Default)]
struct Sparse {
    values: Vec<ByteArray>,
    /// 1 where a row has a value.
    levels: Vec<i16>,
}

/// The rows of one group.
#[derive(Default)]
struct Group {
    time: Vec<i64>,
    session: Vec<ByteArray>,
    seq: Vec<i64>,
    server: Vec<ByteArray>,
    principal: Vec<ByteArray>,
    kind: Vec<ByteArray>,
    decision: Sparse,
    rule: Sparse,
    method: Sparse,
    tool: Sparse,
    facts: Vec<ByteArray>,
    payload: Sparse,
    payload_bytes: Vec<i64>,
    sealed: Vec<bool>,
    bytes: usize,
}

/// A file of records, written group by group.
pub(super) struct ParquetFile {
    writer: SerializedFileWriter<File>,
    group: Group,
}

impl ParquetFile {
    /// Begins the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let schema = parse_message_type(COLUMNS).map_err(failed)?;
        let level = ZstdLevel::try_new(3).map_err(failed)?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level));
        let properties = properties.set_created_by(concat!("cofferdam ", env!("CARGO_PKG_VERSION")).to_owned());
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties.build()));
        Ok(Self {
            writer: writer.map_err(failed)?,
            group: Group::default(),
        })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// A group cannot be written.
    pub(super) fn add(&mut self, header: &Header, record: &Skimmed<'_>) -> io::Result<()> {
        self.group.add(header, record);
        if self.group.time.len() >= GROUP_ROWS_MAX || self.group.bytes >= GROUP_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Ends the file, which is given back.
    ///
    /// # Errors
    /// What is left cannot be written.
    pub(super) fn finish(mut self) -> io::Result<File> {
        if !self.group.time.is_empty() {
            self.flush()?;
        }
        self.writer.into_inner().map_err(failed)
    }

    fn flush(&mut self) -> io::Result<()> {
        let group = std::mem::take(&mut self.group);
        let mut writer = self.writer.next_row_group().map_err(failed)?;
        group.write(&mut writer).map_err(failed)?;
        writer.close().map_err(failed)?;
        Ok(())
    }
}

impl Sparse {
    fn add(&mut self, value: Option<&[u8]>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value.map(|value| ByteArray::from(value.to_vec())));
    }
}

impl Group {
    fn add(&mut self, header: &Header, record: &Skimmed<'_>) {
        let text = |text: &str| ByteArray::from(text.as_bytes().to_vec());
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let facts = facts_of(record.facts);
        self.time.push(number(record.wall_ns));
        self.session.push(text(&header.session));
        self.seq.push(number(record.seq));
        self.server.push(text(&header.server));
        self.principal.push(text(&header.principal));
        self.kind.push(text(&record.kind.to_string()));
        let words = [&facts.decision, &facts.rule, &facts.method, &facts.tool];
        let columns = [&mut self.decision, &mut self.rule, &mut self.method, &mut self.tool];
        for (column, word) in columns.into_iter().zip(words) {
            column.add(word.as_deref().map(str::as_bytes));
        }
        self.facts.push(text(&String::from_utf8_lossy(record.facts)));
        // What is sealed says nothing to anybody.
        self.payload.add((!record.sealed).then_some(record.payload));
        self.payload_bytes.push(number(record.payload.len() as u64));
        self.sealed.push(record.sealed);
        self.bytes += record.facts.len() + record.payload.len();
    }

    /// In the order of [`COLUMNS`].
    fn write(self, to: &mut SerializedRowGroupWriter<'_, File>) -> Result<(), ParquetError> {
        column::<Int64Type>(to, &self.time, None)?;
        column::<ByteArrayType>(to, &self.session, None)?;
        column::<Int64Type>(to, &self.seq, None)?;
        column::<ByteArrayType>(to, &self.server, None)?;
        column::<ByteArrayType>(to, &self.principal, None)?;
        column::<ByteArrayType>(to, &self.kind, None)?;
        for sparse in [self.decision, self.rule, self.method, self.tool] {
            column::<ByteArrayType>(to, &sparse.values, Some(&sparse.levels))?;
        }
        column::<ByteArrayType>(to, &self.facts, None)?;
        column::<ByteArrayType>(to, &self.payload.values, Some(&self.payload.levels))?;
        column::<Int64Type>(to, &self.payload_bytes, None)?;
        column::<BoolType>(to, &self.sealed, None)
    }
}

/// Writes the next column.
fn column<T: DataType>(
    to: &mut SerializedRowGroupWriter<'_, File>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let next = to.next_column()?;
    let mut next = next.ok_or_else(|| ParquetError::General("the group has no such column".to_owned()))?;
    next.typed::<T>().write_batch(values, levels, None)?;
    next.close()
}

fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => io::Error::other(cause),
        error => io::Error::other(error),
    }
}
