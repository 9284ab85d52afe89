//! The bytes of one batch in a segment.
//!
//! ```text
//! byte  0  magic "MSB1"
//!       4  u32  CRC32C of bytes 8..64
//!       8  u8   version, 1
//!       9  u8   codec of the body: 0 none, 1 LZ4 block, 2 Zstd
//!      10  u8   flags: 1 = a column of offsets, 2 = a column of headers
//!      11  u8   0
//!      12  u32  CRC32C of the body
//!      16  u32  length of the body
//!      20  u32  count of records
//!      24  u64  tag of the partition: a segment of another partition or incarnation is recognised
//!      32  u64  base offset
//!      40  u64  end offset: the base offset of the batch that follows
//!      48  i64  lowest timestamp
//!      56  i64  highest timestamp
//!      64  body, then zeros up to a multiple of 64
//! ```
//! All numbers are little-endian. The body is one Arrow IPC record-batch message (continuation, metadata length, metadata,
//! buffers, aligned to 64) with the columns `key` and `value` (binary, nullable), `timestamp` (int64) and, by the flags,
//! `offset` (uint64) and `headers` (binary, nullable). Headers are per record: u32 count, then name and value as u32
//! length and bytes; a value of length 2^32-1 is null. A compressed body is preceded by its plain length (u32).
//! Batches start at multiples of 64, so the buffers of a mapped body are aligned. A batch of no records has no body: it
//! stands for offsets that compaction has emptied.
//!
//! The header checks itself and carries the check of the body: lengths are never used before they are verified.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, RecordBatch, UInt64Array},
    buffer::{Buffer, MutableBuffer},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type},
    error::ArrowError,
    ipc::{
        MetadataVersion,
        reader::read_record_batch,
        root_as_message,
        writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message},
    },
};

use super::wire::{Put, Take};
use crate::{
    log::{Compression, FetchedBatch, Offsets},
    record::{Header, Offset, Records},
};

/// Bytes of a batch header, and the multiple at which batches start.
pub(super) const HEADER_BYTES: usize = 64;
/// A batch of several records is split so that its body stays below this.
pub(super) const SPLIT_BYTES: usize = 15 << 20;
/// No body, stored or plain, is larger: what a damaged or hostile length can make us allocate.
pub(super) const MAX_BODY_BYTES: usize = 64 << 20;

const MAGIC: &[u8; 4] = b"MSB1";
const VERSION: u8 = 1;
const WITH_OFFSETS: u8 = 1;
const WITH_HEADERS: u8 = 2;
const NULL: u32 = u32::MAX;

/// A batch ready to be written, but for its place in the partition.
#[derive(Debug, Clone)]
pub(super) struct EncodedBatch {
    /// Room for the header, then the body and its padding.
    bytes: Vec<u8>,
    body_len: u32,
    codec: u8,
    flags: u8,
    pub(super) count: u32,
    pub(super) min_timestamp: i64,
    pub(super) max_timestamp: i64,
}

impl EncodedBatch {
    /// Encodes records; `offsets` one by one if they are not dense.
    pub(super) fn new(
        records: &Records,
        offsets: Option<&[u64]>,
        compression: Compression,
    ) -> Result<Self, ArrowError> {
        let (mut codec, mut flags, mut body) = (0, 0, Vec::new());
        if !records.is_empty() {
            if offsets.is_some() {
                flags |= WITH_OFFSETS;
            }
            if records.headers().is_some() {
                flags |= WITH_HEADERS;
            }
            body = vec![0; HEADER_BYTES];
            write_ipc(records, offsets, flags, &mut body)?;
            if body.len() - HEADER_BYTES > MAX_BODY_BYTES {
                return Err(ArrowError::InvalidArgumentError(format!("a record of {} bytes", body.len())));
            }
            if let Some((smaller, with)) = compress(&body, compression) {
                (body, codec) = (smaller, with);
            }
        } else {
            body.resize(HEADER_BYTES, 0);
        }
        let body_len = body.len() - HEADER_BYTES;
        body.resize(body.len().next_multiple_of(HEADER_BYTES), 0);
        let timestamps = records.timestamps().values();
        Ok(Self {
            bytes: body,
            body_len: body_len as u32,
            codec,
            flags,
            count: records.len() as u32,
            min_timestamp: timestamps.iter().copied().min().unwrap_or(i64::MAX),
            max_timestamp: timestamps.iter().copied().max().unwrap_or(i64::MIN),
        })
    }

    /// Bytes on disk.
    pub(super) fn stored_len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Fills in the header for a place in a partition; the bytes to be written.
    pub(super) fn place(&mut self, tag: u64, base: u64, end: u64) -> &[u8] {
        let body_crc = crc32c::crc32c(&self.bytes[HEADER_BYTES..HEADER_BYTES + self.body_len as usize]);
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.put(&[VERSION, self.codec, self.flags, 0]);
        header.put_u32(body_crc);
        header.put_u32(self.body_len);
        header.put_u32(self.count);
        header.put_u64(tag);
        header.put_u64(base);
        header.put_u64(end);
        header.put_i64(self.min_timestamp);
        header.put_i64(self.max_timestamp);
        self.bytes[..4].copy_from_slice(MAGIC);
        self.bytes[4..8].copy_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        self.bytes[8..HEADER_BYTES].copy_from_slice(&header);
        &self.bytes
    }
}

/// Cuts records so that no part with several of them is larger than [`SPLIT_BYTES`].
pub(super) fn split(records: &Records, limit: usize) -> Vec<Records> {
    let (mut parts, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (row, record) in records.iter().enumerate() {
        let headers: usize =
            record.headers.iter().map(|h| 8 + h.name.len() + h.value.as_ref().map_or(0, Vec::len)).sum();
        let size = 24 + record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers;
        if row > from && bytes + size > limit {
            parts.push(records.slice(from, row - from));
            (from, bytes) = (row, 0);
        }
        bytes += size;
    }
    if from == 0 {
        return if records.is_empty() { Vec::new() } else { vec![records.clone()] };
    }
    parts.push(records.slice(from, records.len() - from));
    parts
}

/// A batch header as read.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchHeader {
    codec: u8,
    flags: u8,
    body_crc: u32,
    pub(super) body_len: u32,
    pub(super) count: u32,
    pub(super) tag: u64,
    pub(super) base: u64,
    pub(super) end: u64,
    pub(super) max_timestamp: i64,
}

impl BatchHeader {
    /// Reads and verifies a header.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut take = Take(bytes);
        let short = |_| "a batch header ends too early".to_owned();
        if take.take(4).map_err(short)? != MAGIC {
            return Err("no batch starts here".to_owned());
        }
        let crc = take.u32().map_err(short)?;
        let checked = take.take(HEADER_BYTES - 8).map_err(short)?;
        if crc32c::crc32c(checked) != crc {
            return Err("the check sum of a batch header does not match".to_owned());
        }
        let mut take = Take(checked);
        let [version, codec, flags, _] = *take.take(4).map_err(short)? else { return Err("short".to_owned()) };
        if version != VERSION {
            return Err(format!("batch version {version} is not known"));
        }
        let header = Self {
            codec,
            flags,
            body_crc: take.u32().map_err(short)?,
            body_len: take.u32().map_err(short)?,
            count: take.u32().map_err(short)?,
            tag: take.u64().map_err(short)?,
            base: take.u64().map_err(short)?,
            end: take.u64().map_err(short)?,
            max_timestamp: {
                take.i64().map_err(short)?;
                take.i64().map_err(short)?
            },
        };
        if header.body_len as usize > MAX_BODY_BYTES || header.end < header.base {
            return Err("a batch header holds impossible lengths".to_owned());
        }
        Ok(header)
    }

    /// Bytes of header, body and padding.
    pub(super) fn stored_len(&self) -> u64 {
        (HEADER_BYTES + self.body_len as usize).next_multiple_of(HEADER_BYTES) as u64
    }

    pub(super) fn verify(&self, body: &[u8]) -> Result<(), String> {
        if crc32c::crc32c(body) == self.body_crc {
            Ok(())
        } else {
            Err("the check sum of a batch does not match".to_owned())
        }
    }

    /// The records of a verified body; shares its memory if the batch is not compressed.
    pub(super) fn decode(&self, body: Buffer) -> Result<FetchedBatch, String> {
        let plain = decompress(self.codec, body)?;
        let batch = read_ipc(&plain, self.flags).map_err(|error| error.to_string())?;
        if batch.num_rows() != self.count as usize {
            return Err("a batch does not hold as many records as its header says".to_owned());
        }
        let mut columns = batch.columns().iter();
        let mut next = || columns.next().ok_or_else(|| "a column is missing".to_owned());
        let keys = next()?.as_binary::<i32>().clone();
        let values = next()?.as_binary::<i32>().clone();
        let timestamps = next()?.as_primitive::<Int64Type>().clone();
        if timestamps.null_count() > 0 {
            return Err("a timestamp is missing".to_owned());
        }
        let offsets = if self.flags & WITH_OFFSETS == 0 {
            Offsets::From(Offset(self.base))
        } else {
            let offsets = next()?.as_primitive::<UInt64Type>().values().iter().map(|&o| Offset(o)).collect::<Vec<_>>();
            Offsets::Each(offsets.into())
        };
        let headers = if self.flags & WITH_HEADERS == 0 {
            None
        } else {
            Some(decode_headers(next()?.as_binary()).map_err(|error| error.to_string())?)
        };
        Ok(FetchedBatch { records: Records::new(keys, values, timestamps, headers), offsets })
    }
}

/// The schema of a body, by its flags.
static SCHEMAS: LazyLock<[SchemaRef; 4]> = LazyLock::new(|| {
    std::array::from_fn(|flags| {
        let mut fields = vec![
            Field::new("key", DataType::Binary, true),
            Field::new("value", DataType::Binary, true),
            Field::new("timestamp", DataType::Int64, false),
        ];
        if flags as u8 & WITH_OFFSETS != 0 {
            fields.push(Field::new("offset", DataType::UInt64, false));
        }
        if flags as u8 & WITH_HEADERS != 0 {
            fields.push(Field::new("headers", DataType::Binary, true));
        }
        Arc::new(Schema::new(fields))
    })
});

fn write_ipc(records: &Records, offsets: Option<&[u64]>, flags: u8, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(records.keys().clone()),
        Arc::new(records.values().clone()),
        Arc::new(records.timestamps().clone()),
    ];
    if let Some(offsets) = offsets {
        columns.push(Arc::new(UInt64Array::from(offsets.to_vec())));
    }
    if let Some(headers) = records.headers() {
        columns.push(Arc::new(encode_headers(headers)));
    }
    let batch = RecordBatch::try_new(SCHEMAS[flags as usize].clone(), columns)?;
    let options = IpcWriteOptions::try_new(HEADER_BYTES, false, MetadataVersion::V5)?;
    let mut dictionaries = DictionaryTracker::new(false);
    let mut context = IpcWriteContext::default();
    let (_, encoded) = IpcDataGenerator::default().encode(&batch, &mut dictionaries, &options, &mut context)?;
    write_message(out, encoded, &options)?;
    Ok(())
}

fn read_ipc(body: &Buffer, flags: u8) -> Result<RecordBatch, ArrowError> {
    let broken = |problem: &str| ArrowError::IpcError(problem.to_owned());
    let schema = SCHEMAS.get(flags as usize).ok_or_else(|| broken("unknown flags"))?;
    let mut take = Take(body);
    let (Ok(u32::MAX), Ok(length)) = (take.u32(), take.u32()) else { return Err(broken("no message starts here")) };
    let metadata = take.take(length as usize).map_err(|_| broken("the message ends too early"))?;
    let message = root_as_message(metadata).map_err(|error| broken(&error.to_string()))?;
    let batch = message.header_as_record_batch().ok_or_else(|| broken("not a record batch"))?;
    let data = body.slice(8 + length as usize);
    read_record_batch(&data, batch, schema.clone(), &HashMap::new(), None, &message.version())
}

fn encode_headers(headers: &[Vec<Header>]) -> BinaryArray {
    let (mut column, mut bytes) = (BinaryBuilder::new(), Vec::new());
    for headers in headers {
        if headers.is_empty() {
            column.append_null();
            continue;
        }
        bytes.clear();
        bytes.put_u32(headers.len() as u32);
        for header in headers {
            bytes.put_bytes(header.name.as_bytes());
            match &header.value {
                Some(value) => bytes.put_bytes(value),
                None => bytes.put_u32(NULL),
            }
        }
        column.append_value(&bytes);
    }
    column.finish()
}

fn decode_headers(column: &BinaryArray) -> Result<Arc<[Vec<Header>]>, super::wire::Malformed> {
    column
        .iter()
        .map(|bytes| {
            let Some(bytes) = bytes else { return Ok(Vec::new()) };
            let mut take = Take(bytes);
            let count = take.u32()?;
            let mut headers = Vec::new();
            for _ in 0..count {
                let name = take.text()?.to_owned();
                let length = take.u32()?;
                let value = if length == NULL { None } else { Some(take.take(length as usize)?.to_vec()) };
                headers.push(Header { name, value });
            }
            Ok(headers)
        })
        .collect()
}

/// The body made smaller, after room for the header, and the codec; `None` if it would not shrink.
fn compress(bytes: &[u8], compression: Compression) -> Option<(Vec<u8>, u8)> {
    let body = &bytes[HEADER_BYTES..];
    let (smaller, codec) = match compression {
        Compression::None => return None,
        Compression::Lz4 => (lz4_flex::block::compress(body), 1),
        Compression::Zstd => (zstd::bulk::compress(body, 3).ok()?, 2),
    };
    if smaller.len() + 4 >= body.len() {
        return None;
    }
    let mut out = vec![0; HEADER_BYTES];
    out.put_u32(body.len() as u32);
    out.put(&smaller);
    Some((out, codec))
}

fn decompress(codec: u8, body: Buffer) -> Result<Buffer, String> {
    if codec == 0 {
        return Ok(body);
    }
    let mut take = Take(&body);
    let length = take.u32().map_err(|error| error.to_string())? as usize;
    if length > MAX_BODY_BYTES {
        return Err(format!("a batch claims to hold {length} bytes"));
    }
    let mut plain = MutableBuffer::from_len_zeroed(length);
    let written = match codec {
        1 => lz4_flex::block::decompress_into(take.0, plain.as_slice_mut()).map_err(|error| error.to_string())?,
        2 => zstd::bulk::decompress_to_buffer(take.0, plain.as_slice_mut()).map_err(|error| error.to_string())?,
        _ => return Err(format!("codec {codec} is not known")),
    };
    if written == length { Ok(plain.into()) } else { Err("a batch is shorter than it claims".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, Timestamp};

    fn samples() -> Records {
        let long = "the same words again and again ".repeat(40);
        (0..50)
            .map(|i| Record {
                key: (i % 3 != 0).then(|| format!("key-{i}").into_bytes()),
                value: (i % 4 != 0).then(|| long.clone().into_bytes()),
                timestamp: Timestamp(1_000 - i),
                headers: if i % 5 == 0 {
                    vec![Header { name: "h".into(), value: (i % 2 == 0).then(|| vec![i as u8]) }]
                } else {
                    vec![]
                },
            })
            .collect()
    }

    fn check(records: &Records, offsets: Option<&[u64]>, compression: Compression) -> u64 {
        let mut encoded = EncodedBatch::new(records, offsets, compression).unwrap();
        let bytes = encoded.place(7, 100, 200).to_vec();
        assert_eq!(bytes.len() % HEADER_BYTES, 0);
        let header = BatchHeader::parse(&bytes).unwrap();
        assert_eq!((header.base, header.end, header.count, header.tag), (100, 200, records.len() as u32, 7));
        let body = &bytes[HEADER_BYTES..][..header.body_len as usize];
        header.verify(body).unwrap();
        let back = header.decode(Buffer::from(body.to_vec())).unwrap();
        assert!(back.records.iter().eq(records.iter()), "records changed");
        for row in 0..records.len() {
            assert_eq!(back.offsets.at(row).0, offsets.map_or(100 + row as u64, |o| o[row]));
        }
        header.stored_len()
    }

    #[test]
    fn every_codec_gives_back_the_records() {
        let records = samples();
        let offsets: Vec<u64> = (0..50).map(|i| 100 + 2 * i).collect();
        let plain = check(&records, None, Compression::None);
        assert!(check(&records, Some(&offsets), Compression::Lz4) < plain / 2);
        assert!(check(&records.slice(7, 20), Some(&offsets[..20]), Compression::Zstd) < plain / 2);
        check(&records.slice(1, 3), None, Compression::None);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let mut encoded = EncodedBatch::new(&samples().slice(0, 4), None, Compression::None).unwrap();
        let bytes = encoded.place(7, 0, 4).to_vec();
        let body_len = BatchHeader::parse(&bytes).unwrap().body_len as usize;
        for byte in 0..HEADER_BYTES + body_len {
            let mut damaged = bytes.clone();
            damaged[byte] ^= 0x10;
            let noticed = match BatchHeader::parse(&damaged) {
                Ok(header) => header.verify(&damaged[HEADER_BYTES..][..body_len]).is_err(),
                Err(_) => true,
            };
            assert!(noticed, "byte {byte} was changed without notice");
        }
    }

    #[test]
    fn split_keeps_every_record_in_order() {
        let records = samples();
        let parts = split(&records, 3_000);
        assert!(parts.len() > 5 && parts.iter().all(|part| part.len() == 1 || part.payload_bytes() < 3_000));
        assert!(parts.iter().flat_map(Records::iter).eq(records.iter()));
    }
}
