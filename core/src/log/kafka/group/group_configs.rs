//! What a streams group is told to be like, where the broker decides it for all members: standby replicas and how long a member may be
//! silent. Who may not change it, or asks for what the brokers forbid, is warned and takes what the group has.

use std::time::Duration;

use crate::log::{
    GroupSettings,
    kafka::{
        clock::Deadline,
        wire::{
            channel::Channel,
            cluster_messages::{AlterConfig, AlterConfigs, AlterResource},
            error_code,
        },
    },
};

/// The kind of resource that a group is.
const GROUP: i8 = 32;

/// A group's heartbeat interval, unless it is configured.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Tells the group. Each setting by itself: if one is refused, the others still count.
pub(super) fn tell(channel: &mut Channel, settings: &GroupSettings) {
    for (name, value) in wanted(settings) {
        if let Err(problem) = set(channel, settings.group.as_str(), name, &value) {
            tracing::warn!(
                "group {}: {name}={value} was not set, what the group has counts: {problem}; allow ALTER_CONFIGS on the \
                 group to this user, or see the brokers' limits",
                settings.group
            );
        }
    }
}

fn wanted(settings: &GroupSettings) -> Vec<(&'static str, String)> {
    let mut wanted = vec![("streams.num.standby.replicas", settings.standby_replicas.to_string())];
    let session = settings.session_timeout;
    if session < HEARTBEAT * 3 {
        // A session must outlast a few heartbeats.
        wanted.push(("streams.heartbeat.interval.ms", (session / 3).as_millis().to_string()));
    }
    wanted.push(("streams.session.timeout.ms", session.as_millis().to_string()));
    wanted
}

fn set(channel: &mut Channel, group: &str, name: &str, value: &str) -> Result<(), String> {
    let config = AlterConfig { name: name.to_owned(), operation: 0, value: Some(value.to_owned()) };
    let resource = AlterResource { kind: GROUP, name: group.to_owned(), configs: vec![config] };
    let call = AlterConfigs { resources: vec![resource], validate_only: false };
    let answer = channel.call(&call, Deadline::after(Duration::from_secs(10))).map_err(|error| error.to_string())?;
    match answer.resources.first() {
        Some(resource) if resource.error != error_code::NONE => {
            Err(error_code::described(resource.error, resource.message.as_deref()))
        }
        _ => Ok(()),
    }
}
