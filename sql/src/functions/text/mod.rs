//! Functions of text, many of them also of bytes.
//!
//! Null in any argument gives null, unless a function says otherwise. Positions and lengths are UTF-16 units, as in Java.

mod change;
mod chr;
mod concat;
mod digest;
mod mask;
mod pad;
mod position;
mod split;
mod utf16;

use super::signature::ScalarFunction;

/// The functions of this family.
pub(crate) fn functions() -> Vec<ScalarFunction> {
    [
        change::functions(),
        chr::functions(),
        concat::functions(),
        digest::functions(),
        mask::functions(),
        pad::functions(),
        position::functions(),
        split::functions(),
    ]
    .concat()
}
