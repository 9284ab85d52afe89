//! What the client library is told: what a log needs, then what was chosen.

use super::{
    BrokerNames, KafkaConfig, Sasl,
    connection::{Connection, Tls},
    native::Role,
    tunable::Side,
};

/// Settings of readers. A broker holds a fetch back for `fetch.wait.max.ms` if there is nothing new, and a partition that joins meanwhile
/// waits for that long: hence a short one. What is read ahead is bounded by partition.
const READING: &[(&str, &str)] = &[
    ("auto.offset.reset", "error"),
    ("check.crcs", "true"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("fetch.error.backoff.ms", "50"),
    ("fetch.max.bytes", "33554432"),
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.wait.max.ms", "100"),
    // Of a group that nobody joins. Without a name the library has no place to note that the coordinator of a group has moved, and crashes
    // when it learns of it as it asks for what a group has committed.
    ("group.id", "millstream-reads"),
    ("isolation.level", "read_committed"),
    ("max.partition.fetch.bytes", "1048576"),
    ("queued.max.messages.kbytes", "2048"),
    ("queued.min.messages", "1000000"),
];

/// Settings of writers.
const WRITING: &[(&str, &str)] = &[
    ("acks", "all"),
    ("batch.num.messages", "100000"),
    ("batch.size", "1000000"),
    ("enable.idempotence", "true"),
    ("linger.ms", "5"),
    ("queue.buffering.max.messages", "300000"),
];

/// Settings of both: short waits between attempts, so that a broker that comes back is soon met.
const BOTH: &[(&str, &str)] = &[
    ("allow.auto.create.topics", "false"),
    ("enable.metrics.push", "false"),
    ("log.connection.close", "false"),
    ("reconnect.backoff.max.ms", "1000"),
    ("reconnect.backoff.ms", "50"),
    ("retry.backoff.ms", "50"),
    ("socket.keepalive.enable", "true"),
    ("topic.metadata.propagation.max.ms", "5000"),
    ("topic.metadata.refresh.interval.ms", "60000"),
];

/// The largest request of a writer if nothing else is chosen: what a broker takes if nothing else is chosen there.
pub(super) const LARGEST_REQUEST: usize = 1_048_588;

/// All settings of a client, later ones over earlier ones.
pub(super) fn client_properties(config: &KafkaConfig, role: &Role) -> Vec<(String, String)> {
    let (side, fixed) = match role {
        Role::Reading => (Side::Reading, READING),
        Role::Writing(_) => (Side::Writing, WRITING),
    };
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut all: Vec<_> = BOTH.iter().chain(fixed).copied().map(owned).collect();
    if let Role::Writing(id) = role {
        all.push(owned(("transactional.id", id)));
        all.push(("transaction.timeout.ms".to_owned(), config.transaction_timeout.as_millis().to_string()));
        all.push(("message.max.bytes".to_owned(), LARGEST_REQUEST.to_string()));
    }
    connection(&config.connection, &mut all);
    all.extend(config.properties_for(side).map(owned));
    all
}

fn connection(connection: &Connection, all: &mut Vec<(String, String)>) {
    let mut set = |name: &str, value: &str| all.push((name.to_owned(), value.to_owned()));
    set("bootstrap.servers", &connection.bootstrap_text());
    set("client.id", &connection.client_id);
    if let Some(rack) = &connection.rack {
        set("client.rack", rack);
    }
    let protocol = match (&connection.tls, &connection.sasl) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    set("security.protocol", protocol);
    if let Some(tls) = &connection.tls {
        encryption(tls, &mut set);
    }
    match &connection.sasl {
        None => {}
        Some(sasl @ Sasl::OauthBearer(_)) => set("sasl.mechanism", sasl.mechanism()),
        Some(sasl @ (Sasl::Plain { user, password } | Sasl::Scram { user, password, .. })) => {
            set("sasl.mechanism", sasl.mechanism());
            set("sasl.username", user);
            set("sasl.password", password.reveal());
        }
    }
}

fn encryption(tls: &Tls, set: &mut impl FnMut(&str, &str)) {
    match &tls.authority {
        Some(authority) => set("ssl.ca.pem", authority),
        // Looks where systems keep the public ones.
        None => set("ssl.ca.location", "probe"),
    }
    if let Some(identity) = &tls.identity {
        set("ssl.certificate.pem", &identity.certificates);
        set("ssl.key.pem", identity.key.reveal());
        if let Some(password) = &identity.key_password {
            set("ssl.key.password", password.reveal());
        }
    }
    let names = match tls.names {
        BrokerNames::Checked => "https",
        BrokerNames::Unchecked => "none",
    };
    set("ssl.endpoint.identification.algorithm", names);
}
