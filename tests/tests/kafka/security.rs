//! Over TLS and with a password: Kafka's own tools and ours get in, and who does not know the password stays out.

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced},
    log::{
        LogError,
        kafka::{KafkaConfig, KafkaLog, Sasl, ScramHash, Secret, Tls},
    },
};
use millstream_tests::kafka_cluster::{ClusterSettings, KafkaCluster, Security, User, tools};

use crate::{kafka_log::Connection, running::Running};

const USER: &str = "alice";
const PASSWORD: &str = "water-wheel";

fn cluster() -> Option<&'static KafkaCluster> {
    static SHARED: std::sync::OnceLock<Option<KafkaCluster>> = std::sync::OnceLock::new();
    let start = || {
        let users = vec![User { name: USER.to_owned(), password: PASSWORD.to_owned() }];
        KafkaCluster::start(ClusterSettings { security: Security::SaslTls, users, ..ClusterSettings::default() })
    };
    SHARED.get_or_init(start).as_ref()
}

fn tls(cluster: &KafkaCluster) -> Tls {
    Tls::new().with_authority(&cluster.tls().authority).expect("the certificate can be read")
}

fn scram(hash: ScramHash, password: &str) -> Sasl {
    Sasl::Scram { hash, user: USER.to_owned(), password: Secret::new(password) }
}

#[test]
fn kafkas_tools_get_in_with_the_password_only() {
    let Some(cluster) = cluster() else { return };
    let list = |mechanism: &str, module: &str, password: &str| {
        let properties = cluster.directory().join(format!("{mechanism}-{password}.properties"));
        let text = format!(
            "security.protocol=SASL_SSL\nsasl.mechanism={mechanism}\nssl.truststore.type=PEM\nssl.truststore.location={}\n\
             request.timeout.ms=10000\ndefault.api.timeout.ms=10000\n\
             sasl.jaas.config=org.apache.kafka.common.security.{module} required username=\"{USER}\" password=\"{password}\";\n",
            cluster.tls().authority.display()
        );
        std::fs::write(&properties, text).expect("written");
        let properties = properties.to_str().expect("UTF-8");
        let bootstrap = cluster.secure_bootstrap();
        let arguments = ["--bootstrap-server", &bootstrap, "--command-config", properties, "--list"];
        cluster.program(tools::TOPICS, &arguments, "")
    };
    list("SCRAM-SHA-256", "scram.ScramLoginModule", PASSWORD).succeeded();
    list("PLAIN", "plain.PlainLoginModule", PASSWORD).succeeded();
    let refused = list("SCRAM-SHA-512", "scram.ScramLoginModule", "wind-wheel");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stdout.contains("Authentication failed"), "{refused:?}");
}

#[test]
fn a_pipeline_runs_over_tls_with_each_way_to_show_a_password() {
    let Some(cluster) = cluster() else { return };
    let plain = Sasl::Plain { user: USER.to_owned(), password: Secret::new(PASSWORD) };
    for sasl in [scram(ScramHash::Sha256, PASSWORD), scram(ScramHash::Sha512, PASSWORD), plain] {
        let name = sasl.mechanism().to_lowercase();
        let (input, output) = (format!("{name}-input"), format!("{name}-output"));
        cluster.create_topic(&input, 2);
        cluster.create_topic(&output, 2);
        cluster.tool_with_input(tools::CONSOLE_PRODUCER, &["--topic", &input], "one\ntwo\nthree\n").succeeded();
        let builder = StreamsBuilder::new();
        let lines = builder.stream::<Option<String>, String>(&input, Consumed::kafka());
        lines.map_values(|line| line.to_uppercase()).to(&output, Produced::kafka());
        let topology = builder.build().expect("the topology is legal");
        let connection =
            Connection { security: Some((tls(cluster), sasl)), ..Connection::to(&cluster.secure_bootstrap()) };
        Running::start(&name, &topology, connection.open()).finish();
        let arguments = ["--topic", &output, "--from-beginning", "--max-messages", "3", "--timeout-ms", "30000"];
        let read = cluster.tool(tools::CONSOLE_CONSUMER, &arguments).succeeded();
        let mut read: Vec<&str> = read.lines().collect();
        read.sort_unstable();
        assert_eq!(read, ["ONE", "THREE", "TWO"], "{name}");
    }
}

#[test]
fn a_wrong_password_and_an_unknown_authority_are_errors_that_say_so() {
    let Some(cluster) = cluster() else { return };
    let refused = |tls: Tls, password: &str| -> String {
        let config = KafkaConfig::new(&cluster.secure_bootstrap()).expect("addresses are legal");
        let config = config.with_tls(tls).with_sasl(scram(ScramHash::Sha256, password));
        let outcome = KafkaLog::connect(config).and_then(|log| millstream::log::Log::topics(&log));
        let error: LogError = outcome.expect_err("it must not get in");
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text.to_lowercase()
    };
    let wrong_password = refused(tls(cluster), "wind-wheel");
    assert!(wrong_password.contains("authentication"), "{wrong_password}");
    assert!(!wrong_password.contains("wind-wheel"), "{wrong_password}");
    let unknown_authority = refused(Tls::new(), PASSWORD);
    assert!(unknown_authority.contains("certificate"), "{unknown_authority}");
}
