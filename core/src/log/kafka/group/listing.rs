//! The names of all groups: the client library leaves those out whose kind it does not know, streams groups among them.

use std::{collections::BTreeSet, thread, time::Duration};

use crate::{
    log::{
        LogError,
        kafka::{
            KafkaConfig,
            clock::Deadline,
            connection::BrokerAddress,
            wire::{
                WireError,
                channel::{Channel, Dialer},
                error_code,
                group_listing::{DescribeCluster, ListGroups},
            },
        },
    },
    record::GroupId,
};

/// How long an answer may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a broker is asked that is not ready to say, and how long to wait in between.
const ATTEMPTS: (u32, Duration) = (20, Duration::from_millis(200));

/// The groups that all brokers look after. Groups whose names are none of ours are left out.
pub(in crate::log::kafka) fn list(config: &KafkaConfig) -> Result<BTreeSet<GroupId>, LogError> {
    let cluster = config.bootstrap_servers();
    let failed = |error: WireError| error.into_log_error(&cluster, "list groups");
    let refused = |code: i16, message: Option<&str>| LogError::Remote {
        cluster: cluster.clone(),
        action: "list groups".to_owned(),
        problem: error_code::described(code, message),
        transient: false,
    };
    let dialer = Dialer::new(&config.connection).map_err(failed)?;
    let question = DescribeCluster { authorized_operations: false };
    let mut any = dialer.any().map_err(failed)?;
    let members = any.call(&question, Deadline::after(CALL_TIMEOUT)).map_err(failed)?;
    if members.error != error_code::NONE {
        return Err(refused(members.error, members.message.as_deref()));
    }
    let mut found = BTreeSet::new();
    for broker in members.brokers {
        let Ok(port) = u16::try_from(broker.port) else { continue };
        let mut channel = Channel::open(&dialer, &BrokerAddress { host: broker.host, port }).map_err(failed)?;
        let names = of_broker(&mut channel).map_err(failed)?.map_err(|code| refused(code, None))?;
        found.extend(names.iter().filter_map(|name| GroupId::new(name).ok()));
    }
    Ok(found)
}

/// The groups that one broker looks after, or its error.
fn of_broker(channel: &mut Channel) -> Result<Result<Vec<String>, i16>, WireError> {
    let mut error = error_code::NONE;
    for attempt in 0..ATTEMPTS.0 {
        if attempt > 0 {
            thread::sleep(ATTEMPTS.1);
        }
        let answer = channel.call(&ListGroups { states: Vec::new() }, Deadline::after(CALL_TIMEOUT))?;
        if answer.error == error_code::NONE {
            return Ok(Ok(answer.groups.into_iter().map(|listed| listed.group).collect()));
        }
        error = answer.error;
        if !error_code::is_coordinator_elsewhere(error) {
            break;
        }
    }
    Ok(Err(error))
}
