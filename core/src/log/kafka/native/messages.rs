//! A record as the library hands it over: borrowed until the batch that it came in is dropped.
#![expect(unsafe_code, reason = "messages of the library")]

use std::{ffi::c_void, ptr, slice};

use rdkafka_sys::{
    rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_message_destroy, rd_kafka_message_headers,
    rd_kafka_message_t, rd_kafka_message_timestamp, rd_kafka_timestamp_type_t,
};

use super::{Code, Failure, text_of};
use crate::record::Header;

/// A message that is ours: a record, or a word about the partition.
pub(in crate::log::kafka) struct Message(*mut rd_kafka_message_t);

// SAFETY: nothing about a message is bound to a thread.
unsafe impl Send for Message {}

impl Message {
    /// Takes a message over.
    ///
    /// # Safety
    /// It came from the library and nobody else will destroy it.
    pub(super) unsafe fn own(raw: *mut rd_kafka_message_t) -> Self {
        Self(raw)
    }

    fn raw(&self) -> &rd_kafka_message_t {
        // SAFETY: it is alive as long as `self`.
        unsafe { &*self.0 }
    }

    /// Its offset; of a word about the partition, where reading stands.
    pub(in crate::log::kafka) fn offset(&self) -> i64 {
        self.raw().offset
    }

    /// What it is if it is no record.
    pub(in crate::log::kafka) fn failure(&self) -> Option<Failure> {
        match self.raw().err {
            Code::RD_KAFKA_RESP_ERR_NO_ERROR => None,
            code => Some(Failure::of(code)),
        }
    }

    /// The key.
    pub(in crate::log::kafka) fn key(&self) -> Option<&[u8]> {
        let raw = self.raw();
        bytes(raw.key, raw.key_len)
    }

    /// The value.
    pub(in crate::log::kafka) fn value(&self) -> Option<&[u8]> {
        let raw = self.raw();
        bytes(raw.payload, raw.len)
    }

    /// The time, in milliseconds since the epoch; -1 if it has none.
    pub(in crate::log::kafka) fn timestamp(&self) -> i64 {
        let mut kind = rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        unsafe { rd_kafka_message_timestamp(self.0, &raw mut kind) }
    }

    /// The headers in order, into a list that is empty.
    pub(in crate::log::kafka) fn headers(&self, into: &mut Vec<Header>) {
        let mut headers: *mut rd_kafka_headers_t = ptr::null_mut();
        // SAFETY: the message is alive and keeps the list.
        let code = unsafe { rd_kafka_message_headers(self.0, &raw mut headers) };
        if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for at in 0.. {
            let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the list lives as long as the message; past its end there is an error.
            let code = unsafe { rd_kafka_header_get_all(headers, at, &raw mut name, &raw mut value, &raw mut length) };
            if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            into.push(Header { name: text_of(name), value: bytes(value.cast_mut(), length).map(<[u8]>::to_vec) });
        }
    }
}

fn bytes<'a>(start: *mut c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: the library says where it is and how long; a null pointer is a null.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast_const().cast(), length) })
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the message is ours alone.
        unsafe { rd_kafka_message_destroy(self.0) };
    }
}
