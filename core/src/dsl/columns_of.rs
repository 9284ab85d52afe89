//! Whether the columns of a type are among given ones: what a typed reader of columns asks before it reads.
//!
//! The one column of a bare type has whatever name; the fields of a struct are found by name. Types must be the same.

use arrow::datatypes::FieldRef;

use super::{Data, typed::Shape};

impl<T: Data> Shape<T> {
    /// The places of the type's columns among `fields`.
    ///
    /// # Errors
    /// A text that says what does not fit, without saying where.
    pub(crate) fn places_in(&self, fields: &[FieldRef]) -> Result<Vec<usize>, String> {
        let mismatch =
            || format!("({}), and {} has ({})", column_list(fields), short_name::<T>(), column_list(&self.fields));
        if self.is_bare() {
            let fits = |field: &FieldRef| field.data_type() == self.fields[0].data_type();
            return if fields.len() == 1 && fits(&fields[0]) { Ok(vec![0]) } else { Err(mismatch()) };
        }
        let place = |wanted: &FieldRef| {
            let same = |field: &&FieldRef| field.name() == wanted.name() && field.data_type() == wanted.data_type();
            fields.iter().position(|field| same(&field)).ok_or_else(mismatch)
        };
        self.fields.iter().map(place).collect()
    }
}

/// Columns with their types, for errors.
pub(crate) fn column_list(fields: &[FieldRef]) -> String {
    let texts: Vec<String> = fields.iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
    texts.join(", ")
}

/// The name of a type without the modules it lies in.
pub(crate) fn short_name<T>() -> String {
    let whole = std::any::type_name::<T>();
    let mut short = String::with_capacity(whole.len());
    let mut word = String::new();
    for letter in whole.chars() {
        match letter {
            ':' => word.clear(),
            letter if letter.is_alphanumeric() || letter == '_' => word.push(letter),
            letter => {
                short.push_str(&word);
                short.push(letter);
                word.clear();
            }
        }
    }
    short + &word
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field};
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Serialize, Deserialize)]
    struct Pair {
        b: i64,
        a: String,
    }

    #[test]
    fn fields_are_found_by_name_and_bare_types_by_place() {
        let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, false));
        let fields = [field("a", DataType::Utf8), field("c", DataType::Utf8), field("b", DataType::Int64)];
        let pair = Shape::<Pair>::of("value").expect("has columns");
        assert_eq!(pair.places_in(&fields), Ok(vec![2, 0]));
        assert_eq!(pair.places_in(&fields[..2]), Err("(a Utf8, c Utf8), and Pair has (b Int64, a Utf8)".to_owned()));
        let text = Shape::<String>::of("value").expect("has columns");
        assert_eq!((text.places_in(&fields[..1]), text.places_in(&fields).is_err()), (Ok(vec![0]), true));
        assert_eq!(text.places_in(&fields[2..]), Err("(b Int64), and String has (value Utf8)".to_owned()));
    }

    #[test]
    fn names_of_types_are_short() {
        assert_eq!(short_name::<Option<Vec<String>>>(), "Option<Vec<String>>");
        assert_eq!(short_name::<(i64, Pair)>(), "(i64, Pair)");
    }
}
