//! Headers by the column: a list of names and values a record, as operators carry them and expressions read them.
//!
//! A batch in which no record has headers has no such column, and costs nothing.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, ListArray, StringBuilder, StructArray},
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, FieldRef, Fields},
};

use super::Header;

fn fields() -> Fields {
    Fields::from(vec![Field::new("KEY", DataType::Utf8, true), Field::new("VALUE", DataType::Binary, true)])
}

fn item() -> FieldRef {
    Arc::new(Field::new("item", DataType::Struct(fields()), true))
}

/// The type of a column of headers: lists of structs of `KEY`, text, and `VALUE`, bytes or null.
pub fn headers_type() -> DataType {
    DataType::List(item())
}

/// A column of headers, one list a record.
///
/// # Panics
/// If there are more than 2^31 headers, or bytes in them: batches are far smaller.
pub fn headers_column(headers: &[Vec<Header>]) -> ArrayRef {
    let (mut names, mut values) = (StringBuilder::new(), BinaryBuilder::new());
    for header in headers.iter().flatten() {
        names.append_value(&header.name);
        values.append_option(header.value.as_deref());
    }
    let offsets = OffsetBuffer::from_lengths(headers.iter().map(Vec::len));
    let all = StructArray::new(fields(), vec![Arc::new(names.finish()), Arc::new(values.finish())], None);
    Arc::new(ListArray::new(item(), offsets, Arc::new(all), None))
}

/// A column of `rows` empty lists.
pub fn no_headers(rows: usize) -> ArrayRef {
    headers_column(&vec![Vec::new(); rows])
}

/// Calls `each` with the row, name and value of every header in a column.
fn for_each(column: &ListArray, mut each: impl FnMut(usize, &str, Option<&[u8]>)) {
    let all = column.values().as_struct();
    let (names, values) = (all.column(0).as_string::<i32>(), all.column(1).as_binary::<i32>());
    for row in 0..column.len() {
        let offsets = column.value_offsets();
        for header in offsets[row] as usize..offsets[row + 1] as usize {
            each(row, names.value(header), values.is_valid(header).then(|| values.value(header)));
        }
    }
}

/// The headers of a column that [`headers_column`] has made, one list a record.
pub fn headers_of(column: &ArrayRef) -> Vec<Vec<Header>> {
    let mut headers = vec![Vec::new(); column.len()];
    for_each(column.as_list::<i32>(), |row, name, value| {
        headers[row].push(Header { name: name.to_owned(), value: value.map(<[u8]>::to_vec) });
    });
    headers
}

/// The value of the last header called `name` of each record; null if there is none.
pub fn last_header(column: &ArrayRef, name: &str) -> ArrayRef {
    let mut found: Vec<Option<Vec<u8>>> = vec![None; column.len()];
    for_each(column.as_list::<i32>(), |row, other, value| {
        if other == name {
            found[row] = value.map(<[u8]>::to_vec);
        }
    });
    Arc::new(found.iter().map(Option::as_deref).collect::<BinaryArray>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_way_through_a_column() {
        let header = |name: &str, value: Option<&str>| Header {
            name: name.to_owned(),
            value: value.map(|value| value.as_bytes().to_vec()),
        };
        let all = vec![
            vec![],
            vec![header("a", Some("1")), header("b", None), header("a", Some("2"))],
            vec![header("b", Some(""))],
        ];
        let column = headers_column(&all);
        assert_eq!(column.data_type(), &headers_type());
        assert_eq!(headers_of(&column), all);
        assert_eq!(headers_of(&column.slice(1, 2)), all[1..]);
        let check = |name: &str| {
            let found = last_header(&column, name);
            found.as_binary::<i32>().iter().map(|value| value.map(<[u8]>::to_vec)).collect::<Vec<_>>()
        };
        assert_eq!(check("a"), [None, Some(b"2".to_vec()), None]);
        assert_eq!(check("b"), [None, None, Some(vec![])]);
        assert_eq!(headers_of(&no_headers(2)), [vec![], vec![]]);
    }
}
