//! Millstream on a real Kafka, which `tests/kafka/run` fetches and [`KafkaCluster`](millstream_tests::kafka_cluster::KafkaCluster) starts.
//!
//! - `cluster`: the cluster itself: that it starts, is killed, and comes back
//! - `faults`: processes and brokers fail, results do not
//!
//! Tests share one cluster of one node where they can. Where there is no Java they say so and pass, except with `CI` set.
//! `make test-kafka` runs them.

mod cluster;
mod faults;
mod kafka_log;
mod kcat;
