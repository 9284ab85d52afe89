//! Who we are: the exchange at the start of a connection (SASL, RFC 4422) by PLAIN, SCRAM or OAUTHBEARER.

use std::time::Duration;

use super::{
    Outcome, WireError,
    channel::Channel,
    cluster_messages::{SaslAuthenticate, SaslHandshake},
    codec::Blob,
    error_code,
    scram::Scram,
};
use crate::log::kafka::{ProcessId, Sasl, clock::Deadline};

/// Proves who we are. Says for how long the broker takes it, if it does not take it for ever.
pub(super) fn authenticate(
    channel: &mut Channel,
    sasl: &Sasl,
    deadline: Deadline,
) -> Result<Option<Duration>, WireError> {
    let mechanism = sasl.mechanism();
    let answer = channel.call(&SaslHandshake { mechanism: mechanism.to_owned() }, deadline)?;
    if answer.error != error_code::NONE {
        let offered = answer.mechanisms.join(", ");
        return Err(refused(channel, &format!("does not take {mechanism}; it offers {offered}")));
    }
    match sasl {
        Sasl::Plain { user, password } => {
            let message = format!("\0{user}\0{}", password.reveal());
            step(channel, mechanism, message, deadline).map(|(_, lifetime)| lifetime)
        }
        Sasl::Scram { hash, user, password } => {
            let nonce = ProcessId::random().as_str().to_owned();
            let scram = Scram::new(*hash, user, password, nonce);
            let (challenge, _) = step(channel, mechanism, scram.first(), deadline)?;
            let proof = scram.proof(&challenge).map_err(|problem| refused(channel, problem))?;
            let (last, lifetime) = step(channel, mechanism, proof.0, deadline)?;
            match proof.1.is_met_by(&last) {
                true => Ok(lifetime),
                false => Err(refused(channel, "cannot prove that it knows our password: it may be someone else")),
            }
        }
        Sasl::OauthBearer(provider) => {
            let token = provider.token().map_err(|problem| WireError {
                outcome: Outcome::NotSent,
                broker: channel.broker().to_owned(),
                problem: format!("there is no token for it: {problem}"),
            })?;
            let message = format!("n,,\u{1}auth=Bearer {}\u{1}\u{1}", token.value.reveal());
            let (rest, lifetime) = step(channel, mechanism, message, deadline)?;
            match rest.is_empty() {
                true => Ok(lifetime),
                false => {
                    Err(refused(channel, "does not take our token; see whether it has expired, and what it may do"))
                }
            }
        }
    }
}

fn step(
    channel: &mut Channel,
    mechanism: &str,
    message: String,
    deadline: Deadline,
) -> Result<(String, Option<Duration>), WireError> {
    let answer = channel.call(&SaslAuthenticate { bytes: Blob(message.into_bytes()) }, deadline)?;
    if answer.error != error_code::NONE {
        let problem = error_code::described(answer.error, answer.message.as_deref());
        return Err(refused(channel, &format!("{mechanism} failed: {problem}; check user and password or token")));
    }
    let text = String::from_utf8(answer.bytes.0).map_err(|_| refused(channel, "its proof is not text"))?;
    let lifetime = u64::try_from(answer.session_lifetime).ok().filter(|lifetime| *lifetime > 0);
    Ok((text, lifetime.map(Duration::from_millis)))
}

fn refused(channel: &Channel, problem: &str) -> WireError {
    WireError { outcome: Outcome::Refused, broker: channel.broker().to_owned(), problem: problem.to_owned() }
}
