//! The SQL front end.
pub mod catalog;
pub mod planner;
pub mod response;
pub mod syntax;
