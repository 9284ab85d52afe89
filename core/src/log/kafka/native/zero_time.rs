//! Records of 1970-01-01T00:00:00Z: the library takes a time of 0 for "now".
//!
//! A record of that moment is handed over with a time that no record has, and the time is set to 0 as the library is about to queue the
//! record, in a hook that the library has for looking at it. The field is not public: it is found behind the public part of the message,
//! and it is written only if it holds the mark, as the library's own reader of it confirms. Were the layout to change with another version of
//! the library, the test below would fail, and such records would keep the mark instead of silently having another time.
#![expect(unsafe_code, reason = "hooks of the library")]

use std::{
    ffi::{c_char, c_int, c_void},
    ptr,
};

use rdkafka_sys::{
    rd_kafka_conf_interceptor_add_on_new, rd_kafka_conf_t, rd_kafka_interceptor_add_on_send, rd_kafka_message_t,
    rd_kafka_message_timestamp, rd_kafka_resp_err_t, rd_kafka_t, rd_kafka_timestamp_type_t,
};

use crate::record::Timestamp;

/// Stands for time 0; as a time, 175 million years away.
const MARK: i64 = 0x4d53_5f5a_4552_4f21;

/// How the library lays out a message of its own, up to the time.
#[repr(C)]
struct Queued {
    message: rd_kafka_message_t,
    link: [*mut c_void; 2],
    flags: c_int,
    time_kind: c_int,
    time: i64,
}

/// The time to hand over for a record.
pub(super) fn marked(timestamp: Timestamp) -> i64 {
    if timestamp.millis() == 0 { MARK } else { timestamp.millis() }
}

/// Hooks into a client that will be made from these settings.
///
/// # Safety
/// The settings are alive.
pub(super) unsafe fn install(settings: *mut rd_kafka_conf_t) -> rd_kafka_resp_err_t {
    // SAFETY: as the caller says; the name is static.
    unsafe { rd_kafka_conf_interceptor_add_on_new(settings, NAME.as_ptr(), Some(on_new), ptr::null_mut()) }
}

const NAME: &std::ffi::CStr = c"zero-time";

unsafe extern "C" fn on_new(
    client: *mut rd_kafka_t,
    _settings: *const rd_kafka_conf_t,
    _opaque: *mut c_void,
    _problem: *mut c_char,
    _length: usize,
) -> rd_kafka_resp_err_t {
    // SAFETY: the library calls this with the client that it is making.
    unsafe { rd_kafka_interceptor_add_on_send(client, NAME.as_ptr(), Some(on_send), ptr::null_mut()) }
}

unsafe extern "C" fn on_send(
    _client: *mut rd_kafka_t,
    message: *mut rd_kafka_message_t,
    _opaque: *mut c_void,
) -> rd_kafka_resp_err_t {
    let mut kind = rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message is one of the library's own, alive and not yet queued; what lies behind its public part is far longer than
    // `Queued`, and the field is written only if it is the one that the library itself reads the mark from.
    unsafe {
        if rd_kafka_message_timestamp(message, &raw mut kind) == MARK {
            let time = &raw mut (*message.cast::<Queued>()).time;
            if time.read() == MARK {
                time.write(0);
            }
        }
    }
    rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}
