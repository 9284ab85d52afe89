//! Reading state from outside: views of stores, as they were at one commit.

mod view;

pub use view::{QueryError, View, ViewSnapshot};
