//! Connectors and queues on real servers: the binary as a process, killed and cut off from its servers, and what is in the target afterwards.
//!
//! - `sqs`: queues of moto and ElasticMQ as source and sink; `webhook`: requests to an HTTP server that fails on purpose
//! - `queue`: work given out from a topic
//! - `endurance`: a pipeline under faults; `log`: what is in its topics
//!
//! Servers are started on loopback. Where one is missing its tests say so and pass, except with `CI` set.

#[expect(dead_code, reason = "the file is that of other tests too")]
#[path = "../system/binary.rs"]
mod binary;
mod endurance;
mod log;
mod queue;
mod sqs;
mod webhook;
