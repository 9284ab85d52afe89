//! Connectors and queues from outside: real processes, real servers, kills.

mod queue;
