//! Expressions of the language over one row, by value and type, and what is refused.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
        RecordBatch, StringArray, Time32MillisecondArray, TimestampMillisecondArray, new_null_array,
    },
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::common::DFSchema;

use super::{binder::Binder, cast, scope::Scope};
use crate::{
    catalog::{SqlType, StructField},
    functions::registry,
    syntax::{
        Position,
        ast::{SelectItem, Statement},
        parse_statement,
    },
};

fn parsed_type(text: &str) -> SqlType {
    match parse_statement(&format!("CREATE TYPE t AS {text}")).unwrap().statement {
        Statement::CreateType(create) => SqlType::resolve(&create.data_type, &Default::default()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A row: I INT 7, B BIGINT 40, D DOUBLE 2.5, E DECIMAL(4,2) 10.01, S text, and so on; NI, NS and NB are null.
fn row() -> (SchemaRef, RecordBatch, Scope) {
    let decimal = Decimal128Array::from(vec![1001]).with_precision_and_scale(4, 2).unwrap();
    let list = |values: Vec<i32>| -> ArrayRef {
        Arc::new(arrow::array::ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>([Some(
            values.into_iter().map(Some),
        )]))
    };
    let map: ArrayRef = {
        let ends = arrow::buffer::OffsetBuffer::from_lengths([2]);
        let keys: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let values: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        cast::map_of(vec![keys, values], ends, None, &parsed_type("MAP<STRING, INT>").to_arrow()).unwrap()
    };
    let structure: ArrayRef = {
        let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![5])), Arc::new(StringArray::from(vec!["x"]))];
        cast::struct_of(columns, None, &parsed_type("STRUCT<F INT, G STRING>").to_arrow(), 1).unwrap()
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("I", Arc::new(Int32Array::from(vec![7]))),
        ("B", Arc::new(Int64Array::from(vec![40]))),
        ("D", Arc::new(Float64Array::from(vec![2.5]))),
        ("E", Arc::new(decimal)),
        ("S", Arc::new(StringArray::from(vec!["hello"]))),
        ("T", Arc::new(BooleanArray::from(vec![true]))),
        ("DAY", Arc::new(Date32Array::from(vec![10]))),
        ("TIM", Arc::new(Time32MillisecondArray::from(vec![10]))),
        ("TS", Arc::new(TimestampMillisecondArray::from(vec![864_000_005]))),
        ("BY", Arc::new(BinaryArray::from(vec![b"ab".as_slice()]))),
        ("A", list(vec![1, 2, 3])),
        ("M", map),
        ("ST", structure),
        ("NI", new_null_array(&DataType::Int32, 1)),
        ("NS", new_null_array(&DataType::Utf8, 1)),
        ("NB", new_null_array(&DataType::Boolean, 1)),
        ("NA", new_null_array(&parsed_type("ARRAY<INT>").to_arrow(), 1)),
        ("ROWTIME", Arc::new(Int64Array::from(vec![1_546_300_800_000]))),
    ];
    let mut scope = Scope::default();
    let source = scope.add_source("X", "X");
    columns.iter().for_each(|(name, _)| scope.add_column(source, name, false));
    scope.types.insert(
        "POINT".to_owned(),
        SqlType::Struct(vec![StructField { name: "X".to_owned(), data_type: SqlType::Int }]),
    );
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let arrays = columns.into_iter().map(|(_, column)| column).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    (schema, batch, scope)
}

/// Value and type of an expression over the row, or why there is none.
fn evaluate(text: &str) -> String {
    let (schema, batch, scope) = row();
    let statement = parse_statement(&format!("SELECT {text} FROM x EMIT CHANGES"));
    let Statement::PushQuery(query) = statement.expect(text).statement else { panic!("{text}") };
    let SelectItem::Expr { expr, .. } = &query.items[0] else { panic!("{text}") };
    let bound = match Binder::new(&scope, &schema).bind(expr, Position::START) {
        Ok(bound) => bound,
        Err(error) => return error.to_string(),
    };
    let logical = DFSchema::try_from(schema.as_ref().clone()).unwrap();
    let physical = match registry::context().create_physical_expr(bound, &logical) {
        Ok(physical) => physical,
        Err(error) => return format!("planning: {error}"),
    };
    let found = physical.data_type(&schema).unwrap();
    let value = match physical.evaluate(&batch).and_then(|value| value.into_array(1)) {
        Ok(value) => value,
        Err(error) => return format!("fails: {}", error.strip_backtrace()),
    };
    assert!(found.equals_datatype(value.data_type()), "{text}: {found} but {}", value.data_type());
    let data_type = SqlType::from_arrow(&found).unwrap();
    assert!(data_type.to_arrow().equals_datatype(&found), "{text}: {found}");
    let shown = match data_type {
        _ if value.is_null(0) => "null".to_owned(),
        SqlType::Bytes => format!("{:?}", arrow::array::AsArray::as_binary::<i32>(&value).value(0)),
        _ => arrow::array::AsArray::as_string::<i32>(&cast::cast(&value, &data_type, &SqlType::Varchar).unwrap())
            .value(0)
            .to_owned(),
    };
    format!("{shown} {data_type}")
}

fn check(text: &str, want: &str) {
    assert_eq!(evaluate(text), want, "{text}");
}

fn check_error(text: &str, want: &str) {
    let got = evaluate(text);
    assert!(got.contains(want), "{text}: {got}");
}

#[test]
fn arithmetic_has_the_types_of_ksqldb() {
    check("I + 1", "8 INTEGER");
    check("I + B", "47 BIGINT");
    check("I / 2", "3 INTEGER");
    check("I % 4 + 4", "7 INTEGER");
    check("I + D", "9.5 DOUBLE");
    check("D + E", "12.51 DOUBLE");
    check("E + I", "17.01 DECIMAL(13, 2)");
    check("E * E", "100.2001 DECIMAL(9, 4)");
    check("E / 2.00", "5.005000 DECIMAL(10, 6)");
    check("-E", "-10.01 DECIMAL(4, 2)");
    check("-I", "-7 INTEGER");
    check("2147483647 + I - I", "2147483647 INTEGER");
    check("S + ' you'", "hello you STRING");
    check("S || ' you'", "hello you STRING");
    check("NI + 1", "null INTEGER");
    check("D / 0", "Infinity DOUBLE");
    check_error("I / 0", "fails: ");
    check_error("I % (I - I)", "fails: ");
    check("I / NI", "null INTEGER");
    check("B % I", "5 BIGINT");
    check("-2147483648 / (I - 8)", "-2147483648 INTEGER");
    check("-9223372036854775808 % (I - 8)", "0 BIGINT");
    check_error("E / 0.00", "Division by zero");
    check_error(
        "TRUE + 1.5",
        "Error processing expression: (true + 1.5). Unsupported arithmetic types. BOOLEAN DECIMAL",
    );
    check_error("9223372036854775808", "Invalid numeric literal: 9223372036854775808");
    check("-9223372036854775808", "-9223372036854775808 BIGINT");
    check("1e-1", "0.1 DOUBLE");
}

#[test]
fn comparisons_with_null_are_false() {
    check("I = 7", "true BOOLEAN");
    check("NI = 7", "false BOOLEAN");
    check("NI <> 7", "false BOOLEAN");
    check("NOT (NI = 7)", "true BOOLEAN");
    check("NI IS DISTINCT FROM 7", "true BOOLEAN");
    check("NI IS NOT DISTINCT FROM NI", "true BOOLEAN");
    check("NULL IS NULL", "true BOOLEAN");
    check("NI IS NULL", "true BOOLEAN");
    check("E = 10.010", "true BOOLEAN");
    check("E < I", "false BOOLEAN");
    check("D > 2.4", "true BOOLEAN");
    check("DAY > '1970-01-10'", "true BOOLEAN");
    check("DAY = TS", "false BOOLEAN");
    check("DAY < TS", "true BOOLEAN");
    check("TIM = '00:00:00.010'", "true BOOLEAN");
    check("TS = '1970-01-11T00:00:00.005'", "true BOOLEAN");
    check("ROWTIME >= '2019-01-01T00:00:00'", "true BOOLEAN");
    check("'2019-01-01T00:00:00+0445' < X.ROWTIME", "true BOOLEAN");
    check("A = ARRAY[1, 2, 3]", "true BOOLEAN");
    check("NA = A", "false BOOLEAN");
    check("NA IS DISTINCT FROM A", "true BOOLEAN");
    check("M <> MAP('b' := 2, 'a' := 1)", "false BOOLEAN");
    check("ST = STRUCT(F := 5, G := 'x')", "true BOOLEAN");
    check("BY = BY", "true BOOLEAN");
    check_error("I >= 'not an int'", "Cannot compare I (INTEGER) to 'not an int' (STRING) with GREATER_THAN_OR_EQUAL.");
    check_error("M < M", "Cannot compare M (MAP<STRING, INTEGER>) to M (MAP<STRING, INTEGER>) with LESS_THAN.");
    check_error("T < T", "with LESS_THAN.");
    check_error("NULL <> NULL", "Comparison with NULL not supported: NULL <> NULL");
    check_error("ROWTIME > 'x'", "'x' is no moment");
}

#[test]
fn predicates() {
    check("I BETWEEN 2 AND 7", "true BOOLEAN");
    check("NI BETWEEN 2 AND 7", "false BOOLEAN");
    check("NI NOT BETWEEN 2 AND 7", "true BOOLEAN");
    check("DAY BETWEEN '1970-01-04' AND '1970-01-11'", "true BOOLEAN");
    check("I IN (1, '7')", "true BOOLEAN");
    check("I IN (1, '2147483648', NULL)", "false BOOLEAN");
    check("NI IN (1, NULL)", "false BOOLEAN");
    check("I IN (1, I, B)", "true BOOLEAN");
    check("-(D - D) IN (1, 0)", "true BOOLEAN");
    check("-(D - D) IN (1, D - D)", "true BOOLEAN");
    check("I NOT IN (I + 1, NI)", "true BOOLEAN");
    // Over no row at all this CASE is one value.
    check("1 IN (2, CASE WHEN COALESCE(T, false) THEN 1 WHEN NOT false THEN NI END)", "true BOOLEAN");
    check("D IN (1, 2.50)", "true BOOLEAN");
    check("E IN (10, '10.010')", "true BOOLEAN");
    check("T IN ('no', 'TrUe')", "true BOOLEAN");
    check("S IN (true, 10, 'hello')", "true BOOLEAN");
    check("CAST(10.30 AS STRING) IN (10.30)", "true BOOLEAN");
    check("A IN (ARRAY['1', 2, null], ARRAY[1, 2, 3])", "true BOOLEAN");
    check("ST IN (STRUCT(G := 'x', F := 5))", "true BOOLEAN");
    check("ST IN (STRUCT(F := 5, G := 'x', H := 1))", "false BOOLEAN");
    check("M IN (MAP('a' := 1, 'b' := 2))", "true BOOLEAN");
    check_error("I IN (10, '10 - not a number')", "invalid input syntax for type INTEGER: \"10 - not a number\".");
    check_error("I IN (10, true)", "operator does not exist: INTEGER = BOOLEAN (true)");
    check_error("E IN (10, true)", "operator does not exist: DECIMAL(12, 2) = BOOLEAN (true)");
    check_error("I IN (10, S)", "operator does not exist: INTEGER = STRING (S)");
    check_error("A IN (A, ARRAY[T])", "operator does not exist: ARRAY<INTEGER> = ARRAY<BOOLEAN> (ARRAY[T])");
    check_error("M IN (M, MAP('10' := 'not 10'))", "invalid input syntax for type INTEGER: \"not 10\"");
    check("S LIKE 'h_l%'", "true BOOLEAN");
    check("S NOT LIKE 'h%'", "false BOOLEAN");
    check("S LIKE 'h!%' ESCAPE '!'", "false BOOLEAN");
    check("NOT false AND NOT false", "true BOOLEAN");
    check("I = 0 OR 10 / I = 1", "true BOOLEAN");
}

#[test]
fn an_operand_that_is_not_reached_does_not_fail() {
    check("I <> 7 AND 1 / (I - 7) = 1", "false BOOLEAN");
    check("I = 7 OR 1 / (I - 7) = 1", "true BOOLEAN");
    check("CASE WHEN I = 7 THEN 1 ELSE 1 / (I - 7) END", "1 INTEGER");
    check("CASE WHEN I = 7 THEN T ELSE 1 / (I - 7) = 1 END", "true BOOLEAN");
}

#[test]
fn case_has_one_type() {
    check("CASE WHEN D < 2.0 THEN 'small' WHEN D < 4.0 THEN 'medium' ELSE 'large' END", "medium STRING");
    check("CASE WHEN D > 2.0 THEN null ELSE 'default' END", "null STRING");
    check("CASE WHEN NI > 2 THEN I ELSE B END", "40 BIGINT");
    check("CASE WHEN NI > 2 THEN I END", "null INTEGER");
    check_error("CASE I WHEN 1 THEN 2 END", "CASE with an operand is not supported");
    check_error("CASE WHEN I THEN 2 END", "WHEN operand type should be boolean");
}

#[test]
fn casts_write_and_read_as_java() {
    check("CAST(D AS STRING)", "2.5 STRING");
    check("CAST(1e10 AS STRING)", "1.0E10 STRING");
    check("CAST(E AS STRING)", "10.01 STRING");
    check("CAST(A AS STRING)", "[1, 2, 3] STRING");
    check("CAST(M AS STRING)", "{a=1, b=2} STRING");
    check("CAST(TIM AS STRING)", "00:00:00.010 STRING");
    check("CAST(TS AS STRING)", "1970-01-11T00:00:00.005 STRING");
    check("CAST(DAY AS STRING)", "1970-01-11 STRING");
    check("CAST(TS AS DATE)", "1970-01-11 DATE");
    check("CAST(TS AS TIME)", "00:00:00.005 TIME");
    check("CAST('1970-01' AS DATE)", "1970-01-01 DATE");
    check_error("CAST('foo' AS DATE)", "fails: ");
    check("CAST(0.99 AS DECIMAL(2,1))", "1.0 DECIMAL(2, 1)");
    check("CAST(CAST(0.99 AS DOUBLE) AS DECIMAL(2,1))", "1.0 DECIMAL(2, 1)");
    check("CAST('0.10' AS DECIMAL(2,1))", "0.1 DECIMAL(2, 1)");
    check_error("CAST(100 AS DECIMAL(2,1))", "fails: ");
    check("CAST(D - 1.2 AS INT)", "1 INTEGER");
    check("CAST(4294967297 AS INT)", "1 INTEGER");
    check("CAST(1e300 AS BIGINT)", "9223372036854775807 BIGINT");
    check("CAST(' 12 ' AS INT)", "12 INTEGER");
    check("CAST('1.5' AS DOUBLE)", "1.5 DOUBLE");
    check("CAST('true' AS BOOLEAN)", "true BOOLEAN");
    check("CAST(null AS BIGINT)", "null BIGINT");
    check("CAST(A AS ARRAY<STRING>)", "[1, 2, 3] ARRAY<STRING>");
    check("CAST(ST AS STRUCT<F STRING, H STRING>)", "Struct{F=5} STRUCT<`F` STRING, `H` STRING>");
    check("CAST(M AS MAP<STRING, BIGINT>)", "{a=1, b=2} MAP<STRING, BIGINT>");
    check("CAST(STRUCT(X := 1, Y := 2) AS POINT)", "Struct{X=1} STRUCT<`X` INTEGER>");
    check_error("CAST(S AS ARRAY<INT>)", "Cast of STRING to ARRAY<INTEGER> is not supported");
    check_error("CAST(S AS STRUCT<F INT>)", "Cast of STRING to STRUCT<`F` INTEGER> is not supported");
}

#[test]
fn collections_are_made_and_read() {
    check("ARRAY[I, NI, 3]", "[7, null, 3] ARRAY<INTEGER>");
    check("ARRAY[1, 2147483648]", "[1, 2147483648] ARRAY<BIGINT>");
    check(
        "ARRAY[null, STRUCT(X := I, Y := B), STRUCT(Y := I, Z := B)]",
        "[null, Struct{X=7,Y=40}, Struct{Y=7,Z=40}] ARRAY<STRUCT<`X` INTEGER, `Y` BIGINT, `Z` BIGINT>>",
    );
    check("MAP(S := I, 'x' := I * 2)", "{hello=7, x=14} MAP<STRING, INTEGER>");
    check("MAP(S := T, 10 := 'no')", "{hello=true, 10=false} MAP<STRING, BOOLEAN>");
    check("MAP(NULL := I, S := I)", "{null=7, hello=7} MAP<STRING, INTEGER>");
    check("STRUCT(F := STRUCT(G := S), `f` := 1)->F->G", "hello STRING");
    check("A[1]", "1 INTEGER");
    check("A[-1]", "3 INTEGER");
    check("A[10-5-4]", "1 INTEGER");
    check("A[0]", "null INTEGER");
    check("A[4]", "null INTEGER");
    check("NA[1]", "null INTEGER");
    check("M['b']", "2 INTEGER");
    check("M['c']", "null INTEGER");
    check("ST->F", "5 INTEGER");
    check("X.ST->G", "x STRING");
    check_error("ST->H", "no field H in ST; it has F, G");
    check_error("ARRAY[]", "Array constructor cannot be empty.");
    check_error("ARRAY[1, 'not a number']", "invalid input syntax for type INTEGER: \"not a number\"");
    check_error("MAP(S := I, 'k' := 'hello')", "invalid input syntax for type INTEGER: \"hello\".");
    check_error("MAP(null := I)", "Cannot construct a map with all NULL keys");
    check_error("STRUCT(F := 1, F := 2)", "Duplicate field names found in STRUCT");
}

#[test]
fn functions_are_called_with_their_overloads() {
    check("UCASE(S)", "HELLO STRING");
    check("ABS(-E)", "10.01 DECIMAL(4, 2)");
    check("IFNULL(NI, 10)", "10 INTEGER");
    check("LEAST(I, B, D, null)", "2.5 DOUBLE");
    check("GREATEST(DAY, null, '2022-06-14')", "2022-06-14 DATE");
    check("SUBSTRING('zb', 2)", "b STRING");
    check("TRIM(' a ')", "a STRING");
    check("CEIL(D)", "3.0 DOUBLE");
    check("CONCAT('a', NULL, 'b')", "ab STRING");
    check("TIMEADD(SECONDS, 5, TIM)", "00:00:05.010 TIME");
    check("AS_VALUE(I)", "7 INTEGER");
    check_error("TIMEADD(TIM, 5, TIM)", "Function 'timeadd' does not accept parameters (TIME, INTEGER, TIME).");
    check_error("LEAST(I, B)", "ambiguous method parameters (INTEGER, BIGINT)");
    check_error("LEAST(S, I)", "does not accept parameters (STRING, INTEGER).");
    check_error("GREATEST(*)", "does not accept parameters ().");
    check_error("NOSUCH(1)", "Can't find any functions with the name 'NOSUCH'");
    // DataFusion's, for want of one of ksqlDB's.
    check("REVERSE(S)", "olleh STRING");
}

#[test]
fn lambdas_see_items_and_columns_around() {
    check("TRANSFORM(A, x => x + I)", "[8, 9, 10] ARRAY<INTEGER>");
    check("TRANSFORM(A, x => CASE WHEN x > 2 THEN 'big' ELSE 'small' END)", "[small, small, big] ARRAY<STRING>");
    check(
        "TRANSFORM(ARRAY[A, A], x => TRANSFORM(x, y => y + x[1] + I))",
        "[[9, 10, 11], [9, 10, 11]] ARRAY<ARRAY<INTEGER>>",
    );
    check("TRANSFORM(M, (k, v) => UCASE(k), (k, v) => v * 2)", "{A=2, B=4} MAP<STRING, INTEGER>");
    check_error("TRANSFORM(M, (k, v) => 'x', (k, v) => v)", "fails: ");
    check("FILTER(A, x => x > 1)", "[2, 3] ARRAY<INTEGER>");
    check("FILTER(NA, x => x > 1)", "null ARRAY<INTEGER>");
    check("FILTER(M, (k, v) => v > 1 AND k <> 'x')", "{b=2} MAP<STRING, INTEGER>");
    check("REDUCE(A, 0, (s, x) => s + x)", "6 INTEGER");
    check("REDUCE(A, 0, (s, x) => s + B)", "120 BIGINT");
    check("REDUCE(A, NI, (s, x) => s + x)", "null INTEGER");
    check("REDUCE(NA, 2, (s, x) => s + x)", "2 INTEGER");
    check("REDUCE(M, 10, (s, k, v) => s - v)", "7 INTEGER");
    check_error("TRANSFORM(A, (x, y) => x)", "needs 1 parameter(s), it has 2");
    check_error("FILTER(A, x => x)", "must give BOOLEAN");
    check_error("TRANSFORM(I, x => x)", "does not accept parameters (INTEGER, LAMBDA)");
    check_error("x => x", "a lambda is an argument of");
}
