//! The log reaches a cluster that lets in only who proves who they are, over TLS; and says what is wrong where it does not.

use millstream::{
    log::kafka::{KafkaConfig, KafkaLog},
    testing::log_contract,
};
use millstream_tests::kafka_cluster::{ClusterSettings, KafkaCluster, Security, User};

#[test]
fn passwords_and_certificates_are_shown_and_checked() {
    let users = vec![User { name: "alice".to_owned(), password: "water-wheel".to_owned() }];
    let settings = ClusterSettings { security: Security::SaslTls, users, ..ClusterSettings::default() };
    let Some(cluster) = KafkaCluster::start(settings) else { return };
    let connect = |mechanism: &str, password: &str, authority: &str| {
        let file = format!(
            "bootstrap.servers={}\nsecurity.protocol=SASL_SSL\nsasl.mechanism={mechanism}\nsasl.username=alice\n\
             sasl.password={password}\n{authority}",
            cluster.secure_bootstrap()
        );
        KafkaLog::connect(KafkaConfig::parse(&file).unwrap())
    };
    let authority = format!("ssl.ca.location={}\n", cluster.tls().authority.display());
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let log = connect(mechanism, "water-wheel", &authority).unwrap_or_else(|error| panic!("{mechanism}: {error}"));
        log_contract::positions(&log, &format!("positions-{mechanism}"));
        let refused = connect(mechanism, "wind-mill", &authority).err().expect("the password is wrong").to_string();
        assert!(refused.contains("uthentication failed") && !refused.contains("wind-mill"), "{refused}");
    }
    let stranger = connect("PLAIN", "water-wheel", "").err().expect("nobody vouches for the broker").to_string();
    assert!(stranger.contains("certificate"), "{stranger}");
}
