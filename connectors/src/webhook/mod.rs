//! HTTP webhooks as sinks: records leave as requests, one by one or in batches.
//!
//! What is promised and how bodies look is said at the head of [`WebhookSink`]'s file; what answers mean in `request`.

mod address;
mod headers;
mod request;
mod sink;

pub use address::WebhookUrl;
pub use headers::WebhookHeader;
pub use sink::{Method, WebhookSink, WebhookSinkWriter};
