//! Windows: which windows a timestamp falls into, and when a window is closed.
//!
//! A window knows no store and no clock; it is told the stream time. The rules are those of Kafka Streams.

mod join_windows;
mod time_windows;

pub use join_windows::{JoinSide, JoinWindows};
pub use time_windows::{InvalidWindow, TimeWindows};
