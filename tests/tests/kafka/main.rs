//! Millstream on a real Kafka, which `tests/kafka/run` fetches and [`KafkaCluster`](millstream_tests::kafka_cluster::KafkaCluster) starts.
//!
//! - `cluster`: the cluster itself: that it starts, is killed, and comes back
//! - `log_contract`: the contract that every log keeps; `log_admin`: what tools ask of it
//! - `group`: processes that share the tasks of an application: they come, go, fall silent and come back
//! - `sharing`: two processes with one application
//! - `clients`: Kafka's console tools and kcat write our input and read our output
//! - `security`: over TLS, with passwords
//! - `sql`: SQL on a cluster: cases, processes of a service; `examples`: those of the folder `examples`
//! - `connectors`: those of a service whose processes are killed
//! - `operations`: the binary: topics, groups, resets; `binary`: running it
//! - `faults`: processes and brokers fail, results do not
//! - `compare`: Kafka Streams beside us; only when asked for
//!
//! Tests share one cluster of one node where they can. Where there is no Java they say so and pass, except with `CI` set.
//! `make test-kafka` runs them.

#![expect(clippy::duplicate_mod, reason = "each example has the file that says where it runs")]

#[path = "../system/binary.rs"]
mod binary;
mod clients;
mod cluster;
mod compare;
mod connectors;
mod examples;
mod faults;
mod group;
mod kafka_log;
mod kcat;
mod log_admin;
mod log_contract;
mod operations;
mod running;
mod security;
mod sharing;
mod sql;
