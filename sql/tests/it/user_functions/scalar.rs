//! Scalar functions: some that fail, some that show which overload was meant.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, StringArray, StructArray},
    compute,
    datatypes::{DataType, Int32Type},
};
use millstream_sql::{
    catalog::{SqlType, StructField},
    functions::{
        Functions,
        columns::{column, read, write_booleans, write_texts, write_values},
        signature::{Call, Overload, Parameter, Returns, ScalarFunction},
    },
};

const INT: Parameter = Parameter::Type(SqlType::Int);
const BIGINT: Parameter = Parameter::Type(SqlType::BigInt);
const BOOLEAN: Parameter = Parameter::Type(SqlType::Boolean);
const TEXT: Parameter = Parameter::Type(SqlType::Varchar);

/// Adds the family.
pub(super) fn add(functions: Functions) -> Functions {
    let all = [bad_udf(), when_condition(), when_result(), to_struct(), test_udf()];
    all.into_iter().fold(functions, |functions, one| functions.with_scalar(one).expect("a free name"))
}

/// STRUCT with a field `A` of a type.
fn struct_of_a(data_type: SqlType) -> SqlType {
    SqlType::Struct(vec![StructField { name: "A".to_owned(), data_type }])
}

/// Fails for any INT and for true; of texts, every second call gives the text and the others null.
fn bad_udf() -> ScalarFunction {
    let fails = |_: &Call<'_>| Err("BAD_UDF is bad".to_owned());
    let of_truth = |call: &Call<'_>| {
        let truth = read::<BooleanArray>(call, 0)?;
        write_values::<Int32Type>(call.rows, |row| match truth.get(row) {
            Some(true) => Err("BAD_UDF was told to fail".to_owned()),
            _ => Ok(Some(0)),
        })
    };
    let calls = AtomicU64::new(0);
    let of_text = move |call: &Call<'_>| {
        let text = read::<StringArray>(call, 0)?;
        write_texts(call.rows, |row, out| {
            let is_second = calls.fetch_add(1, Ordering::Relaxed) % 2 == 1;
            Ok(text.get(row).filter(|_| is_second).map(|text| out.push_str(text)))
        })
    };
    let overloads = [
        Overload::new([INT], Returns::Type(SqlType::Varchar), fails),
        Overload::new([BOOLEAN], Returns::Type(SqlType::Int), of_truth),
        Overload::new([TEXT], Returns::Type(SqlType::Varchar), of_text),
    ];
    ScalarFunction::new("BAD_UDF", "Fails, or forgets.", overloads).volatile()
}

/// `(result, ok)`: the result if `ok`, otherwise it fails: it must not be evaluated where CASE does not reach it.
fn when_condition() -> ScalarFunction {
    let evaluate = |call: &Call<'_>| {
        let (result, ok) = (read::<BooleanArray>(call, 0)?, read::<BooleanArray>(call, 1)?);
        write_booleans(call.rows, |row| expected(ok.get(row)).map(|()| result.get(row)))
    };
    let overload = Overload::new([BOOLEAN, BOOLEAN], Returns::Type(SqlType::Boolean), evaluate);
    ScalarFunction::new("WHENCONDITION", "The first argument, if it was to be asked.", [overload])
}

fn when_result() -> ScalarFunction {
    let evaluate = |call: &Call<'_>| {
        let (result, ok) = (read::<Int32Array>(call, 0)?, read::<BooleanArray>(call, 1)?);
        write_values::<Int32Type>(call.rows, |row| expected(ok.get(row)).map(|()| result.get(row)))
    };
    let overload = Overload::new([INT, BOOLEAN], Returns::Type(SqlType::Int), evaluate);
    ScalarFunction::new("WHENRESULT", "The first argument, if it was to be asked.", [overload])
}

fn expected(ok: Option<bool>) -> Result<(), String> {
    if ok == Some(true) { Ok(()) } else { Err("it should not have been evaluated".to_owned()) }
}

/// A text as STRUCT(A := text).
fn to_struct() -> ScalarFunction {
    let returns = Returns::Type(struct_of_a(SqlType::Varchar));
    let overload = Overload::new([TEXT], returns, |call| structure(call, column(call, 0)?));
    ScalarFunction::new("TOSTRUCT", "A text as a STRUCT with one field.", [overload])
}

fn structure(call: &Call<'_>, value: ArrayRef) -> Result<ArrayRef, String> {
    let DataType::Struct(fields) = call.returns else { return Err(format!("not a STRUCT: {}", call.returns)) };
    Ok(Arc::new(StructArray::new(fields.clone(), vec![value], None)))
}

/// Says which of its overloads was called.
fn test_udf() -> ScalarFunction {
    let named = |parameters: &[Parameter], name: &'static str| {
        Overload::new(parameters, Returns::Type(SqlType::Varchar), move |call| {
            Ok(Arc::new(StringArray::from(vec![name; call.rows])) as ArrayRef)
        })
    };
    let field = |call: &Call<'_>| {
        let value = column(call, 0)?;
        let value = value.as_struct();
        let field = value.column_by_name("A").ok_or("there is no field A")?;
        // A field of a null STRUCT is null, whatever lies below it.
        let missing = BooleanArray::from_iter((0..value.len()).map(|row| Some(value.is_null(row))));
        compute::nullif(field, &missing).map_err(|error| error.to_string())
    };
    let of_nothing = |call: &Call<'_>| structure(call, Arc::new(StringArray::from(vec!["foo"; call.rows])));
    let overloads = [
        named(&[INT, TEXT], "doStuffIntString"),
        named(&[BIGINT, TEXT], "doStuffLongString"),
        named(&[BIGINT, BIGINT, TEXT], "doStuffLongLongString"),
        named(&[BIGINT], "doStuffLongVarargs").repeating(0),
        Overload::new([Parameter::Type(struct_of_a(SqlType::Varchar))], Returns::Type(SqlType::Varchar), field),
        Overload::new([], Returns::Type(struct_of_a(SqlType::Varchar)), of_nothing),
    ];
    ScalarFunction::new("TEST_UDF", "Which overload was meant.", overloads)
}
