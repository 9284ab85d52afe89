//! Tests of the library through its public API: one binary, one module a concern.

mod aggregates;
mod dsl;
mod headers;
mod joins;
mod recovery;
mod windows;
