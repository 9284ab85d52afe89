//! Dates, times and timestamps: reading and writing them with patterns, moving them, turning them to numbers.
//!
//! Patterns are Java's ([`JavaPattern`]), zones those of the IANA database or offsets. Where neither text nor call name a zone it is UTC
//! (ksqlDB takes the zone of its server). A pattern or zone that is the same for all rows is prepared once a batch. Null in any argument
//! is null; a text that does not follow its pattern, an unknown zone and a wrong pattern are errors of the row.

mod convert;
mod prepared;
mod shift;
mod text;

use super::signature::ScalarFunction;

/// The functions of this family.
pub(crate) fn functions() -> Vec<ScalarFunction> {
    [text::functions(), shift::functions(), convert::functions()].concat()
}
