//! An open connection to a broker: one call at a time, each with its answer.
//!
//! A request is a length, a header with a number of its own, and the message; the answer has the same number. After any failure a channel
//! is of no use: half an answer may still be under way.

use std::{io, sync::Arc, time::Duration};

use rustls::ClientConfig;

use super::{
    Outcome, Request, WireError,
    cluster_messages::{ApiVersions, ApiVersionsAnswer},
    codec::{Malformed, Reader, Wire, Writer},
    error_code, sasl,
    stream::{ByteStream, Cutter},
    tls,
};
use crate::log::kafka::{
    clock::Deadline,
    connection::{BrokerAddress, Connection},
};

/// Longest answer that is read: those asked for here are far shorter.
const LARGEST_ANSWER: usize = 16 << 20;

/// For how long connecting may take, with all proofs of who we are.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How connections are made.
#[derive(Debug, Clone)]
pub(in crate::log::kafka) struct Dialer {
    pub(in crate::log::kafka) connection: Connection,
    tls: Option<Arc<ClientConfig>>,
}

impl Dialer {
    /// By the configuration; the error says what is wrong with its certificates.
    pub(in crate::log::kafka) fn new(connection: &Connection) -> Result<Self, WireError> {
        let refused = |problem| WireError { outcome: Outcome::Refused, broker: connection.bootstrap_text(), problem };
        let tls = connection.tls.as_ref().map(tls::client_config).transpose().map_err(refused)?;
        Ok(Self { connection: connection.clone(), tls })
    }

    /// Connects to any broker that is there.
    pub(in crate::log::kafka) fn any(&self) -> Result<Channel, WireError> {
        let mut problems = Vec::new();
        for address in &self.connection.bootstrap {
            match Channel::open(self, address) {
                Ok(channel) => return Ok(channel),
                Err(error) if error.outcome == Outcome::Refused => return Err(error),
                Err(error) => problems.push(error.to_string()),
            }
        }
        let broker = self.connection.bootstrap_text();
        let problem = format!("none can be reached; check the address and that it runs: {}", problems.join("; "));
        Err(WireError { outcome: Outcome::NotSent, broker, problem })
    }
}

/// An open connection.
#[derive(Debug)]
pub(in crate::log::kafka) struct Channel {
    stream: ByteStream,
    broker: String,
    client_id: String,
    /// The number of the last request.
    last: i32,
    versions: ApiVersionsAnswer,
    /// When the broker will want to know again who we are.
    expires: Option<Deadline>,
}

impl Channel {
    /// Connects, learns what the broker speaks, and proves who we are.
    pub(in crate::log::kafka) fn open(dialer: &Dialer, address: &BrokerAddress) -> Result<Self, WireError> {
        let deadline = Deadline::after(CONNECT_TIMEOUT);
        let broker = address.to_string();
        let failed = |error: io::Error| WireError {
            outcome: Outcome::NotSent,
            broker: broker.clone(),
            problem: format!("cannot connect: {}", in_words(&error)),
        };
        let stream = ByteStream::connect(address, dialer.tls.as_ref(), deadline).map_err(failed)?;
        let client_id = dialer.connection.client_id.clone();
        let versions = ApiVersionsAnswer::default();
        let mut channel = Self { stream, broker, client_id, last: 0, versions, expires: None };
        // Whatever fails from here to the end, what the caller wants to ask has not been asked.
        let not_sent = |error: WireError| match error.outcome {
            Outcome::Refused => error,
            _ => WireError { outcome: Outcome::NotSent, ..error },
        };
        channel.learn_versions(deadline).map_err(not_sent)?;
        if let Some(sasl) = &dialer.connection.sasl {
            let lifetime = sasl::authenticate(&mut channel, sasl, deadline).map_err(not_sent)?;
            channel.expires = lifetime.map(|lifetime| Deadline::after(lifetime.mul_f64(0.85)));
        }
        Ok(channel)
    }

    fn learn_versions(&mut self, deadline: Deadline) -> Result<(), WireError> {
        let software_version = env!("CARGO_PKG_VERSION").to_owned();
        let answer = self.call(&ApiVersions { software: "millstream".to_owned(), software_version }, deadline)?;
        if answer.error != error_code::NONE {
            let problem =
                format!("is too old: {}; Kafka 2.5 is the oldest that will do", error_code::name(answer.error));
            return Err(WireError { outcome: Outcome::Refused, broker: self.broker.clone(), problem });
        }
        self.versions = answer;
        Ok(())
    }

    /// Which broker this is.
    pub(in crate::log::kafka) fn broker(&self) -> &str {
        &self.broker
    }

    /// A way to cut the connection from another thread.
    pub(in crate::log::kafka) fn cutter(&self) -> io::Result<Cutter> {
        self.stream.cutter()
    }

    /// Whether a call may be made on it.
    pub(in crate::log::kafka) fn is_usable(&self) -> bool {
        self.stream.is_quiet() && self.expires.is_none_or(|expires| !expires.is_over())
    }

    /// The version in which both sides speak a message; `None` if there is none.
    pub(in crate::log::kafka) fn version_of<R: Request>(&self) -> Option<i16> {
        let range = self.versions.keys.iter().find(|range| range.key == R::KEY)?;
        let version = R::VERSIONS.1.min(range.most);
        (version >= R::VERSIONS.0.max(range.least)).then_some(version)
    }

    /// The level of a feature on which the cluster has agreed; 0 is none.
    pub(in crate::log::kafka) fn feature(&self, name: &str) -> i16 {
        self.versions.finalized.iter().find(|feature| feature.name == name).map_or(0, |feature| feature.most)
    }

    /// Asks and waits for the answer.
    pub(in crate::log::kafka) fn call<R: Request>(
        &mut self,
        request: &R,
        deadline: Deadline,
    ) -> Result<R::Answer, WireError> {
        let version = match R::KEY == ApiVersions::KEY {
            true => R::VERSIONS.1,
            false => self.version_of::<R>().ok_or_else(|| {
                let problem = format!("does not speak {}; use a newer Kafka, or enable what it belongs to", R::NAME);
                WireError { outcome: Outcome::Refused, broker: self.broker.clone(), problem }
            })?,
        };
        self.last = self.last.wrapping_add(1);
        let frame = frame(request, version, self.last, &self.client_id);
        let failed = |broker: &str, outcome, error: &io::Error| {
            let problem = format!("{} was not answered: {}", R::NAME, in_words(error));
            WireError { outcome, broker: broker.to_owned(), problem }
        };
        self.stream.send(&frame, deadline).map_err(|error| failed(&self.broker, Outcome::Unknown, &error))?;
        let bytes = self.answer(deadline).map_err(|error| failed(&self.broker, Outcome::Unknown, &error))?;
        self.decode::<R>(&bytes, version).map_err(|malformed| {
            let problem = format!("{}: {malformed}", R::NAME);
            WireError { outcome: Outcome::Unknown, broker: self.broker.clone(), problem }
        })
    }

    fn answer(&mut self, deadline: Deadline) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.receive(&mut length, deadline)?;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > LARGEST_ANSWER {
            return Err(io::Error::other("the answer is too long: this may not be a Kafka broker, or want TLS"));
        }
        let mut bytes = vec![0; length];
        self.stream.receive(&mut bytes, deadline)?;
        Ok(bytes)
    }

    fn decode<R: Request>(&self, bytes: &[u8], version: i16) -> Result<R::Answer, Malformed> {
        let mut input = Reader(bytes);
        if i32::take(&mut input, version)? != self.last {
            return Err(Malformed("it answers something else"));
        }
        if R::FLEXIBLE_ANSWER_HEADER {
            input.tagged(|_, _| Ok(()))?;
        }
        R::Answer::take(&mut input, version)
    }
}

/// A request as it goes over the wire.
pub(super) fn frame<R: Request>(request: &R, version: i16, number: i32, client_id: &str) -> Vec<u8> {
    let mut out = Writer(vec![0; 4]);
    R::KEY.put(&mut out, version);
    version.put(&mut out, version);
    number.put(&mut out, version);
    // The header keeps the older form for this text, in all its versions.
    out.short_text(client_id);
    if R::FLEXIBLE_HEADER {
        out.varint(0);
    }
    request.put(&mut out, version);
    let length = i32::try_from(out.0.len() - 4).expect("requests are far smaller than 2 GiB");
    out.0[..4].copy_from_slice(&length.to_be_bytes());
    out.0
}

/// The system's words for what happened are for programmers.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        io::ErrorKind::UnexpectedEof => "the connection was closed".to_owned(),
        _ => error.to_string(),
    }
}
