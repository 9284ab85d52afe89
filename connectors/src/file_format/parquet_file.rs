//! Parquet files, written by row groups.
//!
//! A row group ends when it holds so many bytes that memory would not be bounded otherwise: about 16 MiB encoded. Statistics and the Arrow
//! schema are in the footer, as other programs expect.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression as Codec, ZstdLevel},
    file::properties::WriterProperties,
};

use super::{Compression, RowsFile};

/// A row group is ended when it is as large as this.
const ROW_GROUP_BYTES: usize = 16 << 20;

pub(super) struct ParquetFile {
    writer: ArrowWriter<Vec<u8>>,
}

impl ParquetFile {
    pub(super) fn new(schema: &SchemaRef, compression: Compression) -> Result<Self, String> {
        let codec = match compression {
            Compression::None => Codec::UNCOMPRESSED,
            Compression::Snappy => Codec::SNAPPY,
            Compression::Zstd => Codec::ZSTD(ZstdLevel::default()),
            Compression::Deflate => return Err("parquet is compressed with snappy, zstd or not at all".to_owned()),
        };
        let created_by = concat!("millstream version ", env!("CARGO_PKG_VERSION")).to_owned();
        let properties = WriterProperties::builder().set_compression(codec).set_created_by(created_by).build();
        let writer = ArrowWriter::try_new(Vec::new(), SchemaRef::clone(schema), Some(properties));
        Ok(Self { writer: writer.map_err(|error| error.to_string())? })
    }
}

impl RowsFile for ParquetFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), String> {
        self.writer.write(batch).map_err(|error| error.to_string())?;
        if self.writer.in_progress_size() >= ROW_GROUP_BYTES {
            self.writer.flush().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    fn buffered(&self) -> usize {
        self.writer.inner().len() + self.writer.memory_size()
    }

    fn take(&mut self) -> Vec<u8> {
        // The writer counts what it has put out by itself, so offsets in the footer stay right.
        std::mem::take(self.writer.inner_mut())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, String> {
        self.writer.into_inner().map_err(|error| error.to_string())
    }
}
