//! PROTOBUF as a whole: columns to bytes to columns, and records of other writers.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
        ListArray, StringArray, StructArray, Time32MillisecondArray, TimestampMillisecondArray,
    },
    datatypes::{DataType, Field, FieldRef, Int32Type},
    util::display::array_value_to_string,
};
use proptest::prelude::*;

use super::*;
use crate::format::{
    Format, NullableRepresentation, RegisteredFormat, Side, Wrapping,
    registry::{EmbeddedRegistry, Schema, SchemaReference, SchemaRegistry, SchemaType, Version},
};

fn format(registry: &Arc<EmbeddedRegistry>, nullable: NullableRepresentation) -> Format {
    let registry: Arc<dyn SchemaRegistry> = Arc::clone(registry) as _;
    Format::Protobuf(Arc::new(RegisteredFormat { nullable, ..RegisteredFormat::new(registry, "t-value") }))
}

fn fields(columns: &[(&str, ArrayRef)]) -> Vec<FieldRef> {
    columns
        .iter()
        .map(|(name, array)| Arc::new(Field::new(*name, array.data_type().clone(), true)) as FieldRef)
        .collect()
}

fn every_type() -> Vec<(&'static str, ArrayRef)> {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), Some(-1)]), Some(vec![]), None]);
    let parts = StructArray::from(vec![(
        Arc::new(Field::new("X", DataType::Utf8, true)),
        Arc::new(StringArray::from(vec![Some("a"), None, Some("c")])) as ArrayRef,
    )]);
    let decimals = Decimal128Array::from(vec![Some(-12345), Some(0), None]);
    vec![
        ("B", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("I", Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(0), None]))),
        ("L", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(-1), None]))),
        ("D", Arc::new(Float64Array::from(vec![Some(0.1), Some(-0.0), None]))),
        ("P", Arc::new(decimals.with_precision_and_scale(10, 2).expect("they fit"))),
        ("S", Arc::new(StringArray::from(vec![Some("é"), Some(""), None]))),
        ("Y", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\xff"), Some(b""), None]))),
        ("DA", Arc::new(Date32Array::from(vec![Some(-1), Some(19_000), None]))),
        ("TI", Arc::new(Time32MillisecondArray::from(vec![Some(0), Some(86_399_999), None]))),
        ("TS", Arc::new(TimestampMillisecondArray::from(vec![Some(-1), Some(1_700_000_000_123), None]))),
        ("A", Arc::new(list)),
        ("R", Arc::new(parts)),
    ]
}

/// Writes every type and reads it back; gives the columns as text, row by row.
fn round_trip(format: &Format) -> Vec<Vec<String>> {
    let columns = every_type();
    let fields = fields(&columns);
    let arrays: Vec<ArrayRef> = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
    let mut serializer = format.serializer(Side::Value, Wrapping::Wrapped, &fields).expect("Protobuf has them");
    let encoded = serializer.encode(&arrays, 3, None).expect("they are written");
    let all: Vec<usize> = (0..fields.len()).collect();
    let mut deserializer = format.deserializer(Side::Value, Wrapping::Wrapped, &fields, &all).expect("they are read");
    let decoded = deserializer.decode(&encoded);
    assert_eq!(decoded.errors, []);
    let shown = |column: &ArrayRef, row: usize| match column.is_null(row) {
        true => "null".to_owned(),
        false => array_value_to_string(column, row).expect("it is shown"),
    };
    (0..3).map(|row| decoded.columns.iter().map(|column| shown(column, row)).collect()).collect()
}

#[test]
fn every_type_is_written_and_read() {
    let registry = Arc::new(EmbeddedRegistry::in_memory());
    let first = "true|-2147483648|9223372036854775807|0.1|-123.45|é|ff|1969-12-31|00:00:00|1969-12-31T23:59:59.999|[1, -1]|{X: a}";
    let second = "false|0|-1|-0.0|0.00|||2022-01-08|23:59:59.999|2023-11-14T22:13:20.123|[]|{X: }";
    let plain = "false|0|0|0.0|null|||null|null|null|[]|{X: c}";
    let nulls = "null|null|null|null|null|null|null|null|null|null|[]|{X: c}";
    let check = |format: &Format, third: &str| {
        let rows: Vec<String> = round_trip(format).iter().map(|row| row.join("|")).collect();
        assert_eq!(rows, [first, second, third], "{format}");
    };
    check(&format(&registry, NullableRepresentation::Plain), plain);
    check(&Format::ProtobufNoSr { nullable: NullableRepresentation::Plain }, plain);
    registry.set_compatibility(None, crate::format::registry::Compatibility::None).expect("a level");
    check(&format(&registry, NullableRepresentation::Optional), nulls);
    check(&format(&registry, NullableRepresentation::Wrapper), nulls);
    check(&Format::ProtobufNoSr { nullable: NullableRepresentation::Optional }, nulls);
    let registered = registry.version("t-value", Version::Number(1)).expect("it was registered");
    let schema = ProtobufSchema::parse(&registered.schema.text, &[]).expect("it is a schema");
    let inferred = columns_of_schema(&schema, schema.root(None).expect("a message")).expect("it has columns");
    assert_eq!(inferred, fields(&every_type()));
}

#[test]
fn schemas_as_connect_writes_them() {
    let check = |nullable: NullableRepresentation, expected: &str| {
        let fields: Vec<FieldRef> =
            vec![Arc::new(Field::new("I", DataType::Int32, true)), Arc::new(Field::new("S", DataType::Utf8, true))];
        assert_eq!(schema_of_columns(&fields, None, nullable).as_deref(), Ok(expected));
    };
    let plain = "syntax = \"proto3\";\n\nmessage ConnectDefault1 {\n  int32 I = 1;\n  string S = 2;\n}\n";
    check(NullableRepresentation::Plain, plain);
    check(
        NullableRepresentation::Optional,
        &plain.replace("  int32", "  optional int32").replace("  string", "  optional string"),
    );
    check(
        NullableRepresentation::Wrapper,
        "syntax = \"proto3\";\n\nimport \"google/protobuf/wrappers.proto\";\n\nmessage ConnectDefault1 {\n  \
         google.protobuf.Int32Value I = 1;\n  google.protobuf.StringValue S = 2;\n}\n",
    );
}

/// Decodes a record of a writer's schema into a column.
#[track_caller]
fn check(schema: &str, body: &[u8], column: (&str, DataType), expected: Result<&str, &str>) {
    let registry = Arc::new(EmbeddedRegistry::in_memory());
    registry.register("w", &Schema::new(SchemaType::Protobuf, schema)).expect("a schema");
    let field: FieldRef = Arc::new(Field::new(column.0, column.1, true));
    let mut deserializer = format(&registry, NullableRepresentation::Plain)
        .deserializer(Side::Value, Wrapping::Wrapped, &[field], &[0])
        .expect("a type of SQL");
    let record = [&[0, 0, 0, 0, 1], body].concat();
    let decoded = deserializer.decode(&BinaryArray::from_vec(vec![&record, &record]));
    match expected {
        Ok(text) => {
            assert_eq!(decoded.errors, [], "{schema}");
            let shown = if decoded.columns[0].is_null(0) {
                "null".to_owned()
            } else {
                array_value_to_string(&decoded.columns[0], 1).expect("it is shown")
            };
            assert_eq!(shown, text, "{schema}");
        }
        Err(problem) => assert_eq!(decoded.errors[0].problem, problem, "{schema}"),
    }
}

#[test]
fn records_of_other_writers() {
    let message = |field: &str| format!("syntax = \"proto3\"; message M {{ {field} }} message N {{ string t = 1; }}");
    check(&message("uint32 v = 1;"), &[0, 8, 0xff, 0xff, 0xff, 0xff, 15], ("V", DataType::Int64), Ok("4294967295"));
    check(&message("sint32 v = 1;"), &[0, 8, 3], ("V", DataType::Int32), Ok("-2"));
    check(&message("sfixed64 v = 1;"), &[0, 9, 1, 0, 0, 0, 0, 0, 0, 0], ("V", DataType::Int64), Ok("1"));
    check(&message("float v = 1;"), &[0, 13, 0, 0, 128, 64], ("V", DataType::Float64), Ok("4.0"));
    check(&message("int32 v = 1;"), &[0, 8, 5, 8, 6, 16, 1], ("V", DataType::Int32), Ok("6"));
    check(&message("int32 v = 1;"), &[0], ("V", DataType::Int32), Ok("0"));
    check(&message("optional int32 v = 1;"), &[0], ("V", DataType::Int32), Ok("null"));
    check(
        &message("repeated int32 v = 1;"),
        &[0, 10, 2, 5, 6, 8, 7],
        ("V", crate::format::avro::list_of(DataType::Int32)),
        Ok("[5, 6, 7]"),
    );
    check(
        &message("map<int32, string> v = 1;"),
        &[0, 10, 5, 8, 5, 18, 1, 97],
        ("V", crate::format::avro::map_of(DataType::Utf8)),
        Ok("{5: a}"),
    );
    check(&message("enum E { A = 0; B = 4; } E v = 1;"), &[0, 8, 4], ("V", DataType::Utf8), Ok("B"));
    check(&message("int32 v = 1;"), &[2, 2, 10, 1, 97], ("T", DataType::Utf8), Ok("a"));
    check(&message("int32 v = 1;"), &[2, 6, 0], ("T", DataType::Utf8), Err("schema 1: it has no message at [3]"));
    check(&message("int32 v = 1;"), &[0, 8], ("V", DataType::Int32), Err("the record ends in the middle of a value"));
    check(
        &message("string v = 1;"),
        &[0, 8, 1],
        ("V", DataType::Int32),
        Err("schema 1: field V: cannot read string as INTEGER"),
    );
    let parts =
        DataType::Struct(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Int32, true)].into());
    let inner = "message I { int32 a = 1; int32 b = 2; } I v = 1;";
    check(&message(inner), &[0, 10, 2, 8, 1, 10, 2, 16, 2], ("V", parts.clone()), Ok("{a: 1, b: 2}"));
    let oneof = "oneof v { int32 a = 1; int32 b = 2; } reserved 5 to 9; option deprecated = true;";
    let shown = check;
    shown(&message(oneof), &[0, 16, 2], ("V_0", parts.clone()), Ok("{a: , b: 2}"));
    shown(&message(oneof), &[0], ("V_0", parts), Ok("null"));
}

#[test]
fn imports_and_scopes() {
    let registry = EmbeddedRegistry::in_memory();
    let event = "syntax = \"proto3\"; package a.b; message Event { int64 at = 1; /* none */ }";
    registry.register("event", &Schema::new(SchemaType::Protobuf, event)).expect("a schema");
    let text = "syntax = \"proto3\"; package a; import \"event.proto\"; // Event of b\n\
        import \"google/protobuf/timestamp.proto\"; message L { b.Event event = 1; google.protobuf.Timestamp t = 2; }";
    let reference = SchemaReference { name: "event.proto".into(), subject: "event".into(), version: 1 };
    let schema = Schema { schema_type: SchemaType::Protobuf, text: text.into(), references: vec![reference] };
    registry.register("l", &schema).expect("its import is there");
    let used = crate::format::registry::references(&registry, &schema).expect("they are there");
    let parsed = ProtobufSchema::parse(text, &used).expect("it is a schema");
    let columns = columns_of_schema(&parsed, parsed.root(Some("a.L")).expect("it is there")).expect("columns");
    assert_eq!(columns[0].data_type().to_string(), "Struct(\"at\": Int64)");
    let refused = |text: &str, expected: &str| {
        assert_eq!(ProtobufSchema::parse(text, &[]).expect_err("it is refused"), expected);
    };
    refused("message A { B b = 1; }", "no type B");
    refused("message A { int32 b = 0; }", "line 1: the number of field b is out of range");
    refused("message A {\n int32 b 1; }", "line 2: expected =, found 1");
    refused("import \"x.proto\"; message A {}", "imports x.proto, which is not among its references");
    refused("syntax = \"proto3\";", "the file has no message");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let columns = every_type();
        let fields = fields(&columns);
        let all: Vec<usize> = (0..fields.len()).collect();
        let format = Format::ProtobufNoSr { nullable: NullableRepresentation::Plain };
        let mut deserializer = format.deserializer(Side::Value, Wrapping::Wrapped, &fields, &all).expect("they are read");
        let decoded = deserializer.decode(&BinaryArray::from_vec(vec![&bytes, &bytes]));
        prop_assert!(decoded.columns.iter().all(|column| column.len() == 2));
    }

    #[test]
    fn any_text_is_a_schema_or_none(text in "[a-z{}=;1.\"/*<> \n]{0,60}") {
        let _ = ProtobufSchema::parse(&text, &[]);
    }
}
