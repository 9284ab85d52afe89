//! Whole-system tests of Millstream, and the Kafka cluster that some of them run on.
//!
//! They see the system as its users do: the binary as a process, the SQL engine and the DSL through their public doors, and they judge
//! results by a second computation that shares no code with the engine (DataFusion over the whole input, or plain Rust). The tests are
//! in `tests/system`:
//!
//! - `tidy`: the rules for the code that a machine can keep
//! - `equality`: windows and joins against a batch recomputation, on flights and on a million bids
//! - `crash`: a pipeline that is killed again and again
//! - `memory`: ten million keys, more than memory may hold
//! - `bad_input`: what users and disks do wrong
//!
//! and, on a real Kafka, in `tests/kafka`, and on the systems that connectors speak to, in `tests/connectors`, which have headings of their
//! own.
//!
//! `cargo test --workspace --test system` runs them; a word behind it picks those whose name has it. The only ignored test is a child
//! process of another one.

pub mod certificates;
pub mod fault_proxy;
pub mod fetched;
pub mod java_server;
pub mod kafka_cluster;
pub mod moto_server;
pub mod postgres_server;
pub mod s3proxy_server;
pub mod sqs_server;
pub mod webhook_receiver;
