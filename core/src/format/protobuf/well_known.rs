//! Messages that stand for a single value: wrappers of nullable numbers and texts, moments, days, times of day, decimals.
//!
//! Their fields and numbers are given by the files of Google and Confluent that declare them; here is the part of these files that
//! records need.

use super::schema::{Kind, MessageId, ProtobufSchema};

const WRAPPERS: &str = r#"syntax = "proto3"; package google.protobuf;
message DoubleValue { double value = 1; }
message FloatValue { float value = 1; }
message Int64Value { int64 value = 1; }
message UInt64Value { uint64 value = 1; }
message Int32Value { int32 value = 1; }
message UInt32Value { uint32 value = 1; }
message BoolValue { bool value = 1; }
message StringValue { string value = 1; }
message BytesValue { bytes value = 1; }"#;

/// The text of a file that is built in.
pub(super) fn file(path: &str) -> Option<&'static str> {
    Some(match path {
        "google/protobuf/wrappers.proto" => WRAPPERS,
        "google/protobuf/timestamp.proto" => {
            r#"syntax = "proto3"; package google.protobuf; message Timestamp { int64 seconds = 1; int32 nanos = 2; }"#
        }
        "google/protobuf/duration.proto" => {
            r#"syntax = "proto3"; package google.protobuf; message Duration { int64 seconds = 1; int32 nanos = 2; }"#
        }
        "google/protobuf/empty.proto" => r#"syntax = "proto3"; package google.protobuf; message Empty {}"#,
        "google/type/date.proto" => {
            r#"syntax = "proto3"; package google.type; message Date { int32 year = 1; int32 month = 2; int32 day = 3; }"#
        }
        "google/type/timeofday.proto" => {
            r#"syntax = "proto3"; package google.type;
            message TimeOfDay { int32 hours = 1; int32 minutes = 2; int32 seconds = 3; int32 nanos = 4; }"#
        }
        "confluent/type/decimal.proto" => {
            r#"syntax = "proto3"; package confluent.type;
            message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }"#
        }
        // It declares options only.
        "confluent/meta.proto" | "google/protobuf/descriptor.proto" => r#"syntax = "proto3";"#,
        _ => return None,
    })
}

/// A message that stands for a single value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Single {
    /// A number or text that may be null: its field 1.
    Wrapper(Kind),
    /// A moment.
    Timestamp,
    /// A day.
    Date,
    /// A time of day.
    TimeOfDay,
    /// A decimal.
    Decimal,
}

/// What a message stands for, if it is one of these.
pub(super) fn single(schema: &ProtobufSchema, id: MessageId) -> Option<Single> {
    Some(match schema.message(id).name.as_str() {
        "google.protobuf.Timestamp" => Single::Timestamp,
        "google.type.Date" => Single::Date,
        "google.type.TimeOfDay" => Single::TimeOfDay,
        "confluent.type.Decimal" => Single::Decimal,
        name => {
            let wrapped = name.strip_prefix("google.protobuf.")?.strip_suffix("Value")?;
            Single::Wrapper(match wrapped {
                "Double" => Kind::Double,
                "Float" => Kind::Float,
                "Int64" => Kind::Int64,
                "UInt64" => Kind::UInt64,
                "Int32" => Kind::Int32,
                "UInt32" => Kind::UInt32,
                "Bool" => Kind::Bool,
                "String" => Kind::String,
                "Bytes" => Kind::Bytes,
                _ => return None,
            })
        }
    })
}
