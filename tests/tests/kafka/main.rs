//! Millstream on a real Kafka, which `tests/kafka/run` fetches and [`KafkaCluster`](millstream_tests::kafka_cluster::KafkaCluster) starts.
//!
//! - `cluster`: the cluster itself: that it starts, is killed, and comes back
//! - `sql`: SQL on a cluster: cases, processes of a service; `examples`: those of the folder `examples`
//! - `group`: processes that share the tasks of an application: they come, go, fall silent and come back
//! - `log_contract`: the contract that every log keeps
//! - `log_security`: the log on a cluster with passwords and TLS
//! - `sharing`: two processes with one application
//!
//! Tests share one cluster of one node where they can. Where there is no Java they say so and pass, except with `CI` set.
//! `make test-kafka` runs them.

#![expect(clippy::duplicate_mod, reason = "each example has the file that says where it runs")]

mod cluster;
mod examples;
mod group;
mod log_contract;
mod log_security;
mod sharing;
mod sql;
