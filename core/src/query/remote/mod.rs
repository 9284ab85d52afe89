//! Stores of other processes: what one asks another, so that a question may be put to whichever process of an application.
//!
//! A process that serves has a [`QueryServer`], whose address goes to the group with its membership. Who needs a partition that is elsewhere opens
//! a snapshot of it there and asks the same three questions as of one of its own: values of keys, windows of a key, entries from one key to
//! another, a page at a time. What travels are stored bytes; decoding, filtering and sorting are the asker's work.
//!
//! ```text
//! asker                                       server
//! HELLO token                          ->
//!                                      <-     WELCOME
//! OPEN application store partitions    ->     takes one snapshot, between two commits
//!                                      <-     OPENED position
//! GET | WINDOWS | WALK ..              ->
//!                                      <-     ENTRIES
//! (closes)                                    lets the snapshot go
//! ```
//! Limits: a frame has a greatest length that is looked at before memory is taken; connections have a greatest number, and are closed when
//! nothing is asked for a while. A server listens on the loopback interface unless it is told otherwise, and then wants a token.

mod frame;
mod message;
mod partition;
mod peers;
mod server;
#[cfg(test)]
mod server_tests;

pub(crate) use message::{Freshness, Wanted};
pub(super) use partition::{RemotePartition, RemoteSnapshot, RemoteWalk};
pub(crate) use peers::Peers;
pub(super) use peers::{Found, Sought};
pub(crate) use server::Registration;
pub use server::{QueryServer, QueryServerConfig, QueryServerError};
