//! The system as a whole, from outside; see the crate's documentation for what is where.

mod bad_input;
mod benchmarks;
mod binary;
mod crash;
mod equality;
mod first_pipeline;
mod memory;
mod oracle;
mod tidy;
mod topics;
