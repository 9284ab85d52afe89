//! Membership in Kafka's groups: how the processes of an application share its tasks on a cluster.
//!
//! Brokers that offer streams groups (KIP-1071) decide who has what; on others the members do so among themselves in a classic group.
//! Which of them it is, is asked of the broker.
//!
//! # Map
//! - [`membership`]: what both have in common: a thread that speaks to the broker, and the face to the engine
//! - [`streams_member`]: a member of a streams group as a state machine; [`streams_topology`], [`group_configs`]: what the group is told;
//!   [`streams_reasons`], [`classic_reasons`]: what groups say when they do not work
//! - [`classic_member`]: a member of a classic group as a state machine; [`member_data`]: what members say to one another;
//!   [`assignor`]: who gets what
//! - [`tasks`]: tasks as the brokers write them; [`description`], [`listing`]: groups for people to look at
//!
//! **Invariant**: a member's name for commits is given out only after the engine has been told all that has become of the membership up to
//! then. Otherwise work from before a loss could be committed in the name of the life after it.

mod assignor;
mod classic_member;
mod classic_reasons;
#[cfg(test)]
mod classic_tests;
mod description;
mod group_configs;
mod listing;
mod member_data;
mod membership;
mod streams_member;
mod streams_reasons;
#[cfg(test)]
mod streams_tests;
mod streams_topology;
mod tasks;

use std::sync::Arc;

use classic_member::ClassicMember;
pub(in crate::log::kafka) use description::describe;
pub(in crate::log::kafka) use listing::list;
use membership::Membership;
use streams_member::StreamsMember;

use super::{
    GroupProtocol, KafkaConfig,
    connection::BrokerAddress,
    wire::{
        WireError,
        channel::{Channel, Dialer},
        coordinator::Coordinator,
        streams_heartbeat::StreamsHeartbeat,
    },
};
use crate::log::{GroupMembership, GroupSettings, LogError};

/// The feature of a cluster that offers streams groups.
const STREAMS_FEATURE: &str = "streams.version";

/// Takes part in a group, as the broker can: a streams group, or a classic one.
pub(in crate::log::kafka) fn join(
    config: &KafkaConfig,
    mut settings: GroupSettings,
    process_id: &str,
) -> Result<Arc<dyn GroupMembership>, LogError> {
    let cluster = config.bootstrap_servers();
    let action = format!("join group {}", settings.group);
    let failed = |error: WireError| error.into_log_error(&cluster, &action);
    settings.instance = settings.instance.or_else(|| config.instance().map(str::to_owned));
    if let Some(endpoint) = &settings.endpoint {
        endpoint.parse::<BrokerAddress>().map_err(|_| LogError::Remote {
            cluster: cluster.clone(),
            action: action.clone(),
            problem: format!("the endpoint `{endpoint}` is not of the form host:port"),
            transient: false,
        })?;
    }
    let dialer = Dialer::new(&config.connection).map_err(failed)?;
    let mut channel = dialer.any().map_err(failed)?;
    let coordinator = Coordinator::new(dialer, settings.group.as_str());
    if config.group_protocol() == GroupProtocol::BestKnown && offers_streams_groups(&channel) {
        group_configs::tell(&mut channel, &settings);
        let static_members = channel.version_of::<StreamsHeartbeat>() >= Some(1);
        let member = StreamsMember::new(settings, process_id, static_members);
        return Ok(Arc::new(Membership::start(member, coordinator, &cluster)?));
    }
    let member = ClassicMember::new(settings, process_id);
    Ok(Arc::new(Membership::start(member, coordinator, &cluster)?))
}

fn offers_streams_groups(channel: &Channel) -> bool {
    channel.version_of::<StreamsHeartbeat>().is_some() && channel.feature(STREAMS_FEATURE) >= 1
}
