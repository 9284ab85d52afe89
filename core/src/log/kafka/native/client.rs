//! One client of the library: its configuration, its log and its tokens.
#![expect(unsafe_code, reason = "the library's client handle")]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rdkafka_sys::{
    rd_kafka_conf_destroy, rd_kafka_conf_enable_sasl_queue, rd_kafka_conf_new, rd_kafka_conf_res_t, rd_kafka_conf_set,
    rd_kafka_conf_set_dr_msg_cb, rd_kafka_conf_set_log_cb, rd_kafka_conf_set_oauthbearer_token_refresh_cb,
    rd_kafka_conf_set_opaque, rd_kafka_conf_t, rd_kafka_destroy, rd_kafka_new, rd_kafka_oauthbearer_set_token,
    rd_kafka_oauthbearer_set_token_failure, rd_kafka_opaque, rd_kafka_sasl_background_callbacks_enable, rd_kafka_t,
    rd_kafka_type_t,
};

use super::{
    Code, Failure, c_text, text_of,
    writing::{Deliveries, on_delivery},
    zero_time,
};
use crate::log::kafka::{KafkaConfig, Sasl, TokenProvider, client_properties::client_properties, clock};

/// An older complaint has nothing to do with what goes wrong now.
const FRESH: Duration = Duration::from_secs(20);

/// What a client is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::log::kafka) enum Role {
    /// Reading partitions, and asking and telling the cluster.
    Reading,
    /// Writing transactions under this id.
    Writing(String),
}

/// A client: threads, connections, queues. Shared by what is made from it.
pub(in crate::log::kafka) struct Client {
    raw: *mut rd_kafka_t,
    /// What callbacks find; the library holds its address for as long as `raw` lives.
    context: Box<Context>,
}

// SAFETY: the library's handle may be used from any thread; the context is synchronised.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

/// What the library's callbacks work with.
pub(super) struct Context {
    tokens: Option<Arc<dyn TokenProvider>>,
    /// The last complaint in the library's log, and when it was made: it often says more than the error of a call.
    complaint: Mutex<Option<(Instant, String)>>,
    pub(super) deliveries: Mutex<Deliveries>,
}

impl Client {
    /// Makes a client. It connects in the background: there is no error if nobody answers.
    pub(in crate::log::kafka) fn new(config: &KafkaConfig, role: &Role) -> Result<Arc<Self>, Failure> {
        let tokens = match &config.connection.sasl {
            Some(Sasl::OauthBearer(tokens)) => Some(Arc::clone(tokens)),
            _ => None,
        };
        let context = Box::new(Context { tokens, complaint: Mutex::default(), deliveries: Mutex::default() });
        let settings = Settings::new(config, role, &context)?;
        let kind = match role {
            Role::Reading => rd_kafka_type_t::RD_KAFKA_CONSUMER,
            Role::Writing(_) => rd_kafka_type_t::RD_KAFKA_PRODUCER,
        };
        let mut problem: [c_char; 512] = [0; 512];
        // SAFETY: the settings are alive, the buffer is as long as said; the library takes the settings over if it succeeds.
        let raw = unsafe { rd_kafka_new(kind, settings.0, problem.as_mut_ptr(), problem.len()) };
        if raw.is_null() {
            return Err(Failure::said(Code::RD_KAFKA_RESP_ERR__INVALID_ARG, text_of(problem.as_ptr())));
        }
        std::mem::forget(settings);
        let client = Self { raw, context };
        if client.context.tokens.is_some() {
            // SAFETY: the handle is alive.
            Failure::take(unsafe { rd_kafka_sasl_background_callbacks_enable(raw) })?;
        }
        Ok(Arc::new(client))
    }

    /// The library's handle, for the other files of this folder.
    pub(super) fn raw(&self) -> *mut rd_kafka_t {
        self.raw
    }

    pub(super) fn deliveries(&self) -> &Mutex<Deliveries> {
        &self.context.deliveries
    }

    /// The last thing that the library complained about, if that is not long ago.
    pub(in crate::log::kafka) fn complaint(&self) -> Option<String> {
        let complaint = self.context.complaint.lock();
        let (at, text) = complaint.as_ref()?;
        (clock::now().duration_since(*at) < FRESH).then(|| text.clone())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: whatever was made from the handle holds an `Arc` of this and is gone. The context outlives this call.
        unsafe { rd_kafka_destroy(self.raw) };
    }
}

/// Settings on their way into a client.
struct Settings(*mut rd_kafka_conf_t);

impl Settings {
    fn new(config: &KafkaConfig, role: &Role, context: &Context) -> Result<Self, Failure> {
        // SAFETY: no arguments.
        let settings = Self(unsafe { rd_kafka_conf_new() });
        for (name, value) in client_properties(config, role) {
            settings.set(&name, &value)?;
        }
        // SAFETY: the settings are alive; the functions have the right types; the context outlives the client.
        unsafe {
            rd_kafka_conf_set_opaque(settings.0, ptr::from_ref(context).cast_mut().cast());
            rd_kafka_conf_set_log_cb(settings.0, Some(on_log));
            if matches!(role, Role::Writing(_)) {
                rd_kafka_conf_set_dr_msg_cb(settings.0, Some(on_delivery));
                Failure::check(zero_time::install(settings.0))?;
            }
            if context.tokens.is_some() {
                rd_kafka_conf_enable_sasl_queue(settings.0, 1);
                rd_kafka_conf_set_oauthbearer_token_refresh_cb(settings.0, Some(on_token));
            }
        }
        Ok(settings)
    }

    fn set(&self, name: &str, value: &str) -> Result<(), Failure> {
        let mut problem: [c_char; 512] = [0; 512];
        let (key, text) = (c_text(name), c_text(value));
        // SAFETY: the settings and the texts are alive, the buffer is as long as said.
        let result =
            unsafe { rd_kafka_conf_set(self.0, key.as_ptr(), text.as_ptr(), problem.as_mut_ptr(), problem.len()) };
        if result == rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
            return Ok(());
        }
        // What the library says holds the value, which may be a secret.
        Err(Failure::said(Code::RD_KAFKA_RESP_ERR__INVALID_ARG, format!("the client library refuses `{name}`")))
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        // SAFETY: no client has taken them over.
        unsafe { rd_kafka_conf_destroy(self.0) };
    }
}

/// The library's log goes where ours goes.
unsafe extern "C" fn on_log(client: *const rd_kafka_t, level: c_int, _facility: *const c_char, text: *const c_char) {
    let text = text_of(text);
    if level <= 5 {
        tracing::warn!(target: "millstream::kafka", "{text}");
    } else {
        tracing::debug!(target: "millstream::kafka", "{text}");
    }
    // SAFETY: the library calls back with its handle, or with none; the opaque of ours is the context, which outlives it.
    let context = match client.is_null() {
        true => ptr::null(),
        false => unsafe { rd_kafka_opaque(client) }.cast_const().cast::<Context>(),
    };
    // That all brokers are down follows from the complaint before it, which says why.
    if level <= 5 && !text.ends_with("brokers are down") && !context.is_null() {
        // SAFETY: as above.
        let context = unsafe { &*context };
        *context.complaint.lock() = Some((clock::now(), without_thread(&text).to_owned()));
    }
}

/// The text without `[thrd:...]: ` in front.
fn without_thread(text: &str) -> &str {
    text.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")).map_or(text, |(_, rest)| rest)
}

/// The library asks for a token.
unsafe extern "C" fn on_token(client: *mut rd_kafka_t, _config: *const c_char, context: *mut c_void) {
    // SAFETY: the opaque is the context, which outlives the client.
    let context = unsafe { &*context.cast_const().cast::<Context>() };
    let Some(tokens) = &context.tokens else { return };
    let mut problem: [c_char; 512] = [0; 512];
    let set = match tokens.token() {
        Ok(token) => {
            let until =
                clock::wall_millis().saturating_add(u64::try_from(token.lifetime.as_millis()).unwrap_or(u64::MAX));
            let until = i64::try_from(until).unwrap_or(i64::MAX);
            let (value, principal) = (c_text(token.value.reveal()), c_text(&token.principal));
            // SAFETY: the texts outlive the call, the buffer is as long as said, there are no extensions.
            let code = unsafe {
                rd_kafka_oauthbearer_set_token(
                    client,
                    value.as_ptr(),
                    until,
                    principal.as_ptr(),
                    ptr::null_mut(),
                    0,
                    problem.as_mut_ptr(),
                    problem.len(),
                )
            };
            Failure::check(code).map_err(|_| text_of(problem.as_ptr()))
        }
        Err(reason) => Err(reason),
    };
    if let Err(reason) = set {
        let reason = c_text(if reason.is_empty() { "no token" } else { &reason });
        // SAFETY: the text outlives the call.
        unsafe { rd_kafka_oauthbearer_set_token_failure(client, CStr::as_ptr(&reason)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_known_to_the_library() {
        let config = KafkaConfig::parse(
            "bootstrap.servers=127.0.0.1:1\nsecurity.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.username=a\n\
             sasl.password=b\nclient.rack=r\n",
        )
        .unwrap();
        Client::new(&config, &Role::Reading).unwrap();
        Client::new(&config, &Role::Writing("t".into())).unwrap();
        let config = KafkaConfig::parse(
            "bootstrap.servers=127.0.0.1:1\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\nsasl.username=a\n",
        )
        .unwrap();
        Client::new(&config, &Role::Reading).unwrap();
    }

    #[test]
    fn every_property_that_may_be_chosen_is_known_to_the_library() {
        for name in KafkaConfig::property_names() {
            for value in ["1000", "true", "any", "none", "use_all_dns_ips"] {
                let Ok(config) = KafkaConfig::new("127.0.0.1:1").unwrap().with_property(name, value) else { continue };
                for role in [Role::Reading, Role::Writing("t".into())] {
                    // Some values do not go together; what counts is that the name is known.
                    if let Err(failure) = Client::new(&config, &role) {
                        assert!(!failure.text.contains(&format!("refuses `{name}`")), "{name}={value}: {failure}");
                    }
                }
            }
        }
    }
}
