//! Every format comes back as it was written.

use std::{io::Write, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, RecordBatch,
        StringArray, TimestampMillisecondArray,
    },
    datatypes::Int64Type,
};

use super::*;

fn batch(from: i64) -> RecordBatch {
    let decimals = Decimal128Array::from(vec![Some(12345), None, Some(-1)]).with_precision_and_scale(10, 2);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int64Array::from(vec![from, from + 1, from + 2]))),
        ("name", Arc::new(StringArray::from(vec![Some("a,\"b\"\nc"), None, Some("")]))),
        ("x", Arc::new(Float64Array::from(vec![Some(0.5), None, Some(-2.0)]))),
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("price", Arc::new(decimals.expect("they fit"))),
        ("day", Arc::new(Date32Array::from(vec![Some(0), None, Some(15_706)]))),
        ("at", Arc::new(TimestampMillisecondArray::from(vec![Some(1_357_034_400_500), None, Some(0)]))),
        (
            "list",
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
                Some(vec![Some(1), None]),
                None,
                Some(vec![]),
            ])),
        ),
    ];
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("of one length")
}

/// Writes batches, taking bytes out between them.
fn written(format: WrittenFormat, batches: &[RecordBatch]) -> Vec<u8> {
    let mut file = new_file(format, &batches[0].schema()).expect("it can hold them");
    let mut bytes = Vec::new();
    for batch in batches {
        file.write(batch).expect("written");
        bytes.extend(file.take());
    }
    bytes.extend(file.finish().expect("finished"));
    bytes
}

fn lines(format: WrittenFormat, bytes: &[u8], skip: u64) -> Vec<serde_json::Value> {
    let mut file = tempfile::tempfile().expect("made");
    file.write_all(bytes).expect("written");
    let mut lines = match format {
        WrittenFormat::Avro(_) => JsonLines::avro(file, skip),
        _ => JsonLines::parquet(file, skip),
    }
    .expect("readable");
    let mut read = Vec::new();
    while let Some(line) = lines.next().expect("whole") {
        read.push(serde_json::from_slice(line.expect("a row")).expect("JSON"));
    }
    assert_eq!(lines.row() as usize, skip as usize + read.len());
    read
}

/// What follows the header of an Avro file. The header ends with the marker, as the file does.
fn blocks(file: &[u8]) -> &[u8] {
    let marker = &file[file.len() - 16..];
    let header = file.windows(16).position(|bytes| bytes == marker).expect("the file ends with it");
    assert!(header + 16 < file.len(), "there are blocks");
    &file[header..]
}

#[test]
fn columns_come_back() {
    let (first, second) = (batch(0), batch(3));
    let mut plain = Vec::new();
    text_file::json_lines(&first, &mut plain).and_then(|()| text_file::json_lines(&second, &mut plain)).expect("JSON");
    let parse = |bytes: &[u8]| -> Vec<serde_json::Value> {
        String::from_utf8_lossy(bytes).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let expected = parse(&plain);
    assert_eq!(expected.len(), 6);
    assert_eq!(
        expected[1],
        serde_json::json!({"n":1,"name":null,"x":null,"yes":false,"price":null,"day":null,"at":null,"list":null})
    );
    for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
        let bytes = written(WrittenFormat::Parquet(compression), &[first.clone(), second.clone()]);
        assert_eq!(lines(WrittenFormat::Parquet(compression), &bytes, 0), expected);
        assert_eq!(lines(WrittenFormat::Parquet(compression), &bytes, 4), expected[4..]);
    }
    for compression in [Compression::None, Compression::Deflate] {
        let bytes = written(WrittenFormat::Avro(compression), &[first.clone(), second.clone()]);
        let read = lines(WrittenFormat::Avro(compression), &bytes, 1);
        assert_eq!(read.len(), 5);
        assert_eq!(read[4]["price"], "-0.01");
        assert_eq!(
            (&read[0]["n"], &read[4]["day"], &read[2]["at"]),
            (&1.into(), &"2013-01-01".into(), &"2013-01-01T10:00:00.500Z".into())
        );
        assert_eq!(read[2]["list"], serde_json::json!([1, null]));
    }
    let zstd = written(WrittenFormat::Json(Compression::Zstd), &[first.clone(), second]);
    assert_eq!(parse(&zstd::decode_all(&zstd[..]).expect("packed")), expected);
    let [one, again] =
        [(); 2].map(|()| written(WrittenFormat::Parquet(Compression::Zstd), std::slice::from_ref(&first)));
    assert_eq!(one, again);
    let [one, again] =
        [(); 2].map(|()| written(WrittenFormat::Avro(Compression::Deflate), std::slice::from_ref(&first)));
    assert_eq!(blocks(&one), blocks(&again));
}

#[test]
fn csv_has_one_header_and_no_nested_columns() {
    let whole = batch(0);
    let error = new_file(WrittenFormat::Csv(Compression::None), &whole.schema()).err().expect("refused");
    assert!(error.starts_with("column list is List"), "{error}");
    let flat = whole.project(&[0, 1]).expect("there");
    let bytes = written(WrittenFormat::Csv(Compression::None), &[flat.clone(), flat]);
    let mut reader = ::csv::Reader::from_reader(&bytes[..]);
    assert_eq!(reader.headers().expect("a header").iter().collect::<Vec<_>>(), ["n", "name"]);
    let rows: Vec<::csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
    assert_eq!((rows.len(), &rows[0][1], &rows[1][1]), (6, "a,\"b\"\nc", ""));
}

#[test]
fn names_that_avro_would_merge_are_refused() {
    let column = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("a-b", column()), ("a.b", column())]).expect("two columns");
    let error = new_file(WrittenFormat::Avro(Compression::None), &batch.schema()).err().expect("refused");
    assert!(error.contains("a.b") && error.contains("a_b"), "{error}");
}
