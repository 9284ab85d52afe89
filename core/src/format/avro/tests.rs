//! AVRO as a whole: columns to bytes to columns, and records of other writers.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
        ListArray, MapBuilder, StringArray, StringBuilder, StructArray, Time32MillisecondArray,
        TimestampMillisecondArray,
    },
    datatypes::{DataType, Field, FieldRef, Int32Type},
    util::display::array_value_to_string,
};
use proptest::prelude::*;

use super::*;
use crate::format::{
    Format, RegisteredFormat, Side, Wrapping,
    registry::{
        ConfluentConfig, ConfluentRegistry, EmbeddedRegistry, Schema, SchemaId, SchemaRegistry, SchemaType, Version,
        frame,
    },
};

fn format(registry: &Arc<EmbeddedRegistry>) -> Format {
    let registry: Arc<dyn SchemaRegistry> = Arc::clone(registry) as _;
    Format::Avro(Arc::new(RegisteredFormat::new(registry, "t-value")))
}

fn fields(columns: &[(&str, ArrayRef)]) -> Vec<FieldRef> {
    columns
        .iter()
        .map(|(name, array)| Arc::new(Field::new(*name, array.data_type().clone(), true)) as FieldRef)
        .collect()
}

fn every_type() -> Vec<(&'static str, ArrayRef)> {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), Some(vec![]), None]);
    let parts = StructArray::from(vec![
        (
            Arc::new(Field::new("X", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec![Some("a"), None, Some("c")])) as ArrayRef,
        ),
        (Arc::new(Field::new("L", list.data_type().clone(), true)), Arc::new(list.clone()) as ArrayRef),
    ]);
    let names = arrow::array::MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    let mut map = MapBuilder::new(Some(names), StringBuilder::new(), arrow::array::Int32Builder::new());
    map.keys().append_value("k");
    map.values().append_value(1);
    map.keys().append_value("n");
    map.values().append_null();
    map.append(true).expect("keys and values");
    map.append(true).expect("keys and values");
    map.append(false).expect("keys and values");
    let decimals = Decimal128Array::from(vec![Some(-12345), Some(0), None]);
    vec![
        ("B", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("I", Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(7), None]))),
        ("L", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(-1), None]))),
        ("D", Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN), None]))),
        ("P", Arc::new(decimals.with_precision_and_scale(10, 2).expect("they fit"))),
        ("S", Arc::new(StringArray::from(vec![Some("é"), Some(""), None]))),
        ("Y", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\xff"), Some(b""), None]))),
        ("DA", Arc::new(Date32Array::from(vec![Some(-1), Some(19_000), None]))),
        ("TI", Arc::new(Time32MillisecondArray::from(vec![Some(0), Some(86_399_999), None]))),
        ("TS", Arc::new(TimestampMillisecondArray::from(vec![Some(-1), Some(1_700_000_000_123), None]))),
        ("A", Arc::new(list)),
        ("M", Arc::new(map.finish())),
        ("R", Arc::new(parts)),
    ]
}

#[test]
fn every_type_is_written_and_read() {
    let registry = Arc::new(EmbeddedRegistry::in_memory());
    let format = format(&registry);
    let columns = every_type();
    let fields = fields(&columns);
    let arrays: Vec<ArrayRef> = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
    let mut serializer = format.serializer(Side::Value, Wrapping::Wrapped, &fields).expect("Avro has them");
    let encoded = serializer.encode(&arrays, 3, None).expect("they are written");
    let all: Vec<usize> = (0..fields.len()).collect();
    let mut deserializer = format.deserializer(Side::Value, Wrapping::Wrapped, &fields, &all).expect("they are read");
    let decoded = deserializer.decode(&encoded);
    assert_eq!(decoded.errors, []);
    for ((name, written), read) in columns.iter().zip(&decoded.columns) {
        assert_eq!(read, written, "{name}");
    }
    let registered = registry.version("t-value", Version::Latest).expect("it was registered");
    let schema = AvroSchema::parse(&registered.schema.text, std::iter::empty()).expect("it is a schema");
    let inferred = columns_of_schema(&schema, None).expect("it has columns");
    assert_eq!(inferred, fields);
    assert!(apache_avro::Schema::parse_str(&registered.schema.text).is_ok(), "{}", registered.schema.text);
    // The same bytes mean the same to another reader of Avro.
    let other = apache_avro::Schema::parse_str(&registered.schema.text).expect("it is a schema");
    let body = &encoded.value(0)[5..];
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(&other).build().expect("a reader");
    let value = reader.read_value(&mut &body[..]).expect("a record");
    let apache_avro::types::Value::Record(values) = value else { panic!("no record") };
    let long = |value: i64| apache_avro::types::Value::Union(1, Box::new(apache_avro::types::Value::Long(value)));
    assert!(values.contains(&("L".to_owned(), long(i64::MAX))), "{values:?}");
}

/// Decodes a record of a writer's schema into a column.
#[track_caller]
fn check(schema: &str, body: &[u8], bare: bool, column: (&str, DataType), expected: Result<&str, &str>) {
    let registry = Arc::new(EmbeddedRegistry::in_memory());
    registry.register("w", &Schema::new(SchemaType::Avro, schema)).expect("a schema");
    let field: FieldRef = Arc::new(Field::new(column.0, column.1, true));
    let wrapping = if bare { Wrapping::Unwrapped } else { Wrapping::Wrapped };
    let mut deserializer =
        format(&registry).deserializer(Side::Value, wrapping, &[field], &[0]).expect("a type of SQL");
    let mut record = Vec::new();
    frame(SchemaId(1), &mut record);
    record.extend_from_slice(body);
    let good_before = deserializer.decode(&BinaryArray::from_opt_vec(vec![None]));
    assert_eq!(good_before.errors, []);
    let decoded = deserializer.decode(&BinaryArray::from_vec(vec![&record]));
    match expected {
        Ok(text) => {
            assert_eq!(decoded.errors, [], "{schema}");
            let shown = if decoded.columns[0].is_null(0) {
                "null".to_owned()
            } else {
                array_value_to_string(&decoded.columns[0], 0).expect("it is shown")
            };
            assert_eq!(shown, text, "{schema}");
        }
        Err(problem) => assert_eq!(decoded.errors[0].problem, problem, "{schema}"),
    }
}

#[test]
fn records_of_other_writers() {
    let record = |fields: &str| format!(r#"{{"type": "record", "name": "r", "fields": [{fields}]}}"#);
    let field = |data_type: &str| {
        record(&format!(r#"{{"name": "x", "type": {data_type}}}, {{"name": "v", "type": {data_type}}}"#))
    };
    let int = field("\"int\"");
    check(&int, &[2, 4], false, ("V", DataType::Int32), Ok("2"));
    check(&int, &[2, 4], false, ("V", DataType::Int64), Ok("2"));
    check(&int, &[2, 4], false, ("V", DataType::Utf8), Ok("2"));
    check(&int, &[2, 4], false, ("W", DataType::Int32), Ok("null"));
    check(&int, &[2, 4], false, ("V", DataType::Boolean), Err("schema 1: field V: cannot read int as BOOLEAN"));
    check(&int, &[2], false, ("V", DataType::Int32), Err("the record ends at byte 1 in the middle of a value"));
    check(&int, &[2, 4, 6], false, ("V", DataType::Int32), Err("1 more bytes follow the record at byte 2"));
    check(
        &field("\"long\""),
        &[2, 4],
        false,
        ("V", DataType::Int32),
        Err("schema 1: field V: cannot read long as INTEGER"),
    );
    check(&field("\"float\""), &[0, 0, 0, 0, 0, 0, 128, 64], false, ("V", DataType::Float64), Ok("4.0"));
    check(&field(r#"["null", "string"]"#), &[0, 2, 2, 97], false, ("V", DataType::Utf8), Ok("a"));
    check(&field(r#"["null", "string"]"#), &[0, 0], false, ("V", DataType::Utf8), Ok("null"));
    check(
        &field(r#"["null", "string"]"#),
        &[0, 6],
        false,
        ("V", DataType::Utf8),
        Err("3 is none of 2 choices, at byte 1"),
    );
    let suits = r#"{"type": "enum", "name": "e", "symbols": ["A", "B"]}"#;
    let suits = record(&format!(r#"{{"name": "x", "type": {suits}}}, {{"name": "v", "type": "e"}}"#));
    check(&suits, &[0, 2], false, ("V", DataType::Utf8), Ok("B"));
    check("\"int\"", &[6], true, ("V", DataType::Int32), Ok("3"));
    check("\"int\"", &[6], false, ("V", DataType::Int32), Err("schema 1: expected a record, found int"));
    let recursive = record(r#"{"name": "v", "type": "int"}, {"name": "next", "type": ["null", "r"]}"#);
    check(&recursive, &[2, 2, 4, 0], false, ("V", DataType::Int32), Ok("1"));
    let map = field(r#"{"type": "map", "values": "int"}"#);
    check(&map, &[0, 2, 2, 97, 6, 0], false, ("V", map_of(DataType::Int32)), Ok("{a: 3}"));
    let micros = field(r#"{"type": "long", "logicalType": "timestamp-micros"}"#);
    check(
        &micros,
        &[0, 0xd0, 0x0f],
        false,
        ("V", DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, None)),
        Ok("1970-01-01T00:00:00.001"),
    );
    let decimal = field(r#"{"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 1}"#);
    check(&decimal, &[0, 2, 15], false, ("V", DataType::Decimal128(4, 2)), Ok("1.50"));
    check(
        &decimal,
        &[0, 4, 127, 0],
        false,
        ("V", DataType::Decimal128(4, 2)),
        Err("a decimal at byte 1 does not fit DECIMAL(4, 2)"),
    );
}

#[test]
fn rows_that_cannot_be_decoded_leave_the_others_alone() {
    let registry = Arc::new(EmbeddedRegistry::in_memory());
    let format = format(&registry);
    let columns = every_type();
    let fields = fields(&columns);
    let arrays: Vec<ArrayRef> = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
    let mut serializer = format.serializer(Side::Value, Wrapping::Wrapped, &fields).expect("Avro has them");
    let encoded = serializer.encode(&arrays, 3, None).expect("they are written");
    let all: Vec<usize> = (0..fields.len()).collect();
    let mut deserializer = format.deserializer(Side::Value, Wrapping::Wrapped, &fields, &all).expect("they are read");
    let good = encoded.value(0);
    for cut in 0..good.len() {
        let bytes = BinaryArray::from_vec(vec![good, &good[..cut], good]);
        let decoded = deserializer.decode(&bytes);
        assert_eq!(decoded.errors.iter().map(|error| error.row).collect::<Vec<_>>(), [1], "cut at {cut}");
        for ((name, written), read) in columns.iter().zip(&decoded.columns) {
            assert!(read.is_null(1), "{name}, cut at {cut}");
            assert_eq!(&read.slice(0, 1), &written.slice(0, 1), "{name}, cut at {cut}");
            assert_eq!(&read.slice(2, 1), &written.slice(0, 1), "{name}, cut at {cut}");
        }
    }
    let mut unknown = good.to_vec();
    unknown[4] = 9;
    let decoded = deserializer.decode(&BinaryArray::from_vec(vec![&unknown]));
    assert!(decoded.errors[0].problem.contains("has no schema 9"), "{:?}", decoded.errors);
}

#[test]
fn a_registry_that_cannot_be_reached_fails_the_batch() {
    let config = ConfluentConfig::new("http://127.0.0.1:1");
    let registry = Arc::new(ConfluentRegistry::new(config));
    let format = Format::Avro(Arc::new(RegisteredFormat::new(registry, "t-value")));
    let columns = every_type();
    let fields = fields(&columns);
    let all: Vec<usize> = (0..fields.len()).collect();
    let mut deserializer = format.deserializer(Side::Value, Wrapping::Wrapped, &fields, &all).expect("they are read");
    let bytes = BinaryArray::from_vec(vec![b"no frame", b"\0\0\0\0\x01abc"]);
    for _ in 0..2 {
        let decoded = deserializer.decode(&bytes);
        assert!(decoded.failure.is_some() && decoded.columns.is_empty() && decoded.errors.is_empty(), "{decoded:?}");
    }
    let decoded = deserializer.decode(&BinaryArray::from_opt_vec(vec![None]));
    assert!(decoded.failure.is_none() && decoded.columns[0].len() == 1, "nothing is left of what was given up");
}

#[test]
fn writing_in_a_schema_that_was_asked_for() {
    let registry = Arc::new(EmbeddedRegistry::in_memory());
    let schema = r#"{"type": "record", "name": "r", "fields": [
        {"name": "extra", "type": ["null", "int"], "default": null},
        {"name": "votes", "type": "long", "default": 10},
        {"name": "name", "type": "string"}]}"#;
    let id = registry.register("t-value", &Schema::new(SchemaType::Avro, schema)).expect("a schema");
    let shared: Arc<dyn SchemaRegistry> = registry.clone();
    let settings = RegisteredFormat { schema_id: Some(id), ..RegisteredFormat::new(shared, "t-value") };
    let format = Format::Avro(Arc::new(settings));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("name", Arc::new(StringArray::from(vec![Some("a"), None]))),
        ("votes", Arc::new(Int64Array::from(vec![None, Some(3)]))),
    ];
    let fields = fields(&columns);
    let arrays: Vec<ArrayRef> = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
    let slices: Vec<ArrayRef> = arrays.iter().map(|array| array.slice(0, 1)).collect();
    let mut serializer = format.serializer(Side::Value, Wrapping::Wrapped, &fields).expect("Avro has them");
    let encoded = serializer.encode(&slices, 1, None).expect("it is written");
    assert_eq!(encoded.value(0), [0, 0, 0, 0, 1, 0, 20, 2, b'a']);
    let error = serializer.encode(&arrays, 2, None).expect_err("a name is required").to_string();
    assert_eq!(error, "column `name` as AVRO: it is null, and the schema has no null there");
    let more: FieldRef = Arc::new(Field::new("more", DataType::Utf8, true));
    let mut serializer =
        format.serializer(Side::Value, Wrapping::Wrapped, &[fields[0].clone(), more]).expect("Avro has them");
    let error = serializer.encode(&[arrays[0].clone(), arrays[0].clone()], 2, None).expect_err("no field").to_string();
    assert_eq!(error, "AVRO: the schema has no field for column more");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let registry = Arc::new(EmbeddedRegistry::in_memory());
        let columns = every_type();
        let fields = fields(&columns);
        let text = schema_of_columns(&fields, false, DEFAULT_NAME).expect("Avro has them");
        registry.register("t-value", &Schema::new(SchemaType::Avro, text)).expect("a schema");
        let all: Vec<usize> = (0..fields.len()).collect();
        let mut deserializer =
            format(&registry).deserializer(Side::Value, Wrapping::Wrapped, &fields, &all).expect("they are read");
        let record = [&[0, 0, 0, 0, 1], bytes.as_slice()].concat();
        let decoded = deserializer.decode(&BinaryArray::from_vec(vec![&record, &record]));
        prop_assert!(decoded.columns.iter().all(|column| column.len() == 2));
    }
}
