//! CUBE_EXPLODE: all combinations of the items of an array and null, as arrays.
//!
//! ```text
//! [a, b]     ->  [null, null]  [null, b]  [a, null]  [a, b]
//! [a, null]  ->  [null, null]  [a, null]
//! ```
//!
//! An item that is null anyway doubles nothing.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, new_null_array},
    datatypes::DataType,
};

use super::super::{
    lists::{ListPicker, items, list_of, lists},
    overload::{self, array_of_any},
    signature::{Call, Overload, Parameter, Returns},
};

/// The most items that are not null: they make 65,536 rows.
const MAX_ITEMS: usize = 16;

/// How it is called.
pub(super) fn overload() -> Overload {
    let rows = Parameter::Array(Box::new(array_of_any()));
    overload::overload(&[array_of_any()], Returns::Like(rows), cube)
}

fn cube(call: &Call<'_>) -> Result<ArrayRef, String> {
    let array = lists(call, 0)?;
    let values = array.values().as_ref();
    let DataType::List(field) = call.returns else { return Err(format!("ARRAY is wanted, not {}", call.returns)) };
    let null = new_null_array(values.data_type(), 1);
    let mut picker = ListPicker::new(vec![values, null.as_ref()], call.rows);
    let mut offsets = vec![0_i32];
    let mut combinations = 0;
    for row in 0..call.rows {
        if let Some(items) = items(&array, row) {
            let present = items.clone().filter(|item| values.is_valid(*item)).count();
            if present > MAX_ITEMS {
                return Err(format!("CUBE_EXPLODE makes 2^{present} rows of {present} items; {MAX_ITEMS} are allowed"));
            }
            for combination in 0..1_u32 << present {
                // The first item that is not null changes slowest.
                let mut bit = present;
                for item in items.clone() {
                    let there = values.is_valid(item) && {
                        bit -= 1;
                        (combination >> bit) & 1 == 1
                    };
                    if there { picker.pick(0, item) } else { picker.pick(1, 0) }
                }
                picker.end(true)?;
                combinations += 1;
            }
        }
        offsets.push(combinations);
    }
    let combined = picker.finish(field.data_type())?;
    list_of(Arc::clone(field), offsets, combined, array.nulls().cloned())
}
