//! The broker that looks after a group: found by asking any broker, kept until it has moved or cannot be reached.

use std::time::Duration;

use super::{
    Outcome, Request, WireError,
    channel::{Channel, Dialer},
    cluster_messages::FindCoordinator,
    error_code,
    stream::Cutter,
};
use crate::log::kafka::{clock::Deadline, connection::BrokerAddress};

/// A connection to the broker that looks after a group.
#[derive(Debug)]
pub(in crate::log::kafka) struct Coordinator {
    dialer: Dialer,
    group: String,
    channel: Option<Channel>,
}

impl Coordinator {
    /// Of a group; nothing is connected yet.
    pub(in crate::log::kafka) fn new(dialer: Dialer, group: &str) -> Self {
        Self { dialer, group: group.to_owned(), channel: None }
    }

    /// The open connection, made if there is none. An error says that nothing was asked.
    pub(in crate::log::kafka) fn channel(&mut self) -> Result<&mut Channel, WireError> {
        if self.channel.as_ref().is_some_and(|channel| !channel.is_usable()) {
            self.channel = None;
        }
        let channel = match self.channel.take() {
            Some(channel) => channel,
            None => self.find()?,
        };
        Ok(self.channel.insert(channel))
    }

    fn find(&self) -> Result<Channel, WireError> {
        let mut any = self.dialer.any()?;
        let deadline = Deadline::after(Duration::from_secs(10));
        let answer = any.call(&FindCoordinator { key: self.group.clone(), kind: 0 }, deadline);
        let answer = answer.map_err(|error| match error.outcome {
            Outcome::Refused => error,
            _ => WireError { outcome: Outcome::NotSent, ..error },
        })?;
        let failed = |outcome, problem: String| WireError { outcome, broker: any.broker().to_owned(), problem };
        match answer.error {
            error_code::NONE => {}
            error_code::GROUP_AUTHORIZATION_FAILED => {
                let problem = format!("may not see group {}: allow READ on the group to this user", self.group);
                return Err(failed(Outcome::Refused, problem));
            }
            code => {
                let problem = error_code::described(code, answer.message.as_deref());
                return Err(failed(
                    Outcome::NotSent,
                    format!("nobody looks after group {} yet: {problem}", self.group),
                ));
            }
        }
        let port = u16::try_from(answer.port).map_err(|_| failed(Outcome::NotSent, "names no port".to_owned()))?;
        Channel::open(&self.dialer, &BrokerAddress { host: answer.host, port })
    }

    /// Asks, and forgets the connection if there is no answer.
    pub(in crate::log::kafka) fn call<R: Request>(
        &mut self,
        request: &R,
        timeout: Duration,
    ) -> Result<R::Answer, WireError> {
        let answer = self.channel()?.call(request, Deadline::after(timeout));
        if answer.is_err() {
            self.forget();
        }
        answer
    }

    /// Looks for the group anew at the next call: it has moved.
    pub(in crate::log::kafka) fn forget(&mut self) {
        self.channel = None;
    }

    /// A way to cut the present connection from another thread.
    pub(in crate::log::kafka) fn cutter(&self) -> Option<Cutter> {
        self.channel.as_ref().and_then(|channel| channel.cutter().ok())
    }
}
