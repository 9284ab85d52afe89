//! The SQL engine from outside: scripts in, answers out, in a directory of their own.

mod aligned_windows;
mod empty_struct;
mod errors;
mod expression_property;
mod fuzz_parser;
mod harness;
mod plans;
mod pull_queries;
mod push_queries;
mod queries_of_queries;
mod queues;
mod random;
mod replace;
mod restart;
mod row_ttl;
mod service;
mod sink_rows;
mod tables;
mod user_functions;
