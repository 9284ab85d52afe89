//! The client library (librdkafka) behind types that cannot be used wrongly. Only this folder calls C.
//!
//! Every handle is destroyed by its owner's `Drop`, after everything made from it: what is made from a client holds the client.

mod admin;
mod client;
mod failure;
mod groups;
mod messages;
mod offsets;
mod partitions;
mod reading;
mod writing;
mod zero_time;

pub(super) use admin::{
    DescribedTopic, create_topic, delete_records, delete_topic, describe_topics, high_watermark, reach, topic_configs,
    topic_names,
};
pub(super) use client::{Client, Role};
pub(super) use failure::{Code, Failure, Remedy};
pub(super) use groups::{alter_group_offsets, delete_group, describe_groups, group_offsets};
pub(super) use messages::Message;
pub(super) use partitions::PartitionList;
pub(super) use reading::{PartitionReader, Watermarks, offset_at, watermarks};
pub(super) use writing::{Delivery, Transactions};

use std::ffi::{CStr, CString, c_char, c_int};
use std::time::Duration;

/// A name for C. Names of topics, groups and the like hold no zero byte; one that did would be cut there.
fn c_text(text: &str) -> CString {
    let end = text.bytes().position(|byte| byte == 0).unwrap_or(text.len());
    CString::new(&text[..end]).expect("it was cut before the first zero byte")
}

/// A text of C's, owned; empty if there is none.
#[expect(unsafe_code, reason = "texts of the library")]
fn text_of(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the library gives zero-terminated texts that outlive the call in which they are read.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A wait in the library's milliseconds; a part of one is a whole one.
fn millis(wait: Duration) -> c_int {
    c_int::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(c_int::MAX)
}
