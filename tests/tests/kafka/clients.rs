//! Clients that share no code with ours write what we read and read what we write: Kafka's own console tools, in Java, and kcat, in C.
//!
//! Keys, values, values that are null, and headers: all have to come through, and what is counted has to be counted by key.

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced},
    topology::Topology,
};
use millstream_tests::kafka_cluster::{KafkaCluster, tools};

use crate::{kafka_log::Connection, kcat, running::Running};

/// Lines made loud, and counted by key.
fn topology(names: &Names) -> Topology {
    let builder = StreamsBuilder::new();
    let lines = builder.stream::<String, Option<String>>(&names.lines, Consumed::kafka());
    lines.map_values(|line| line.map(|line| line.to_uppercase())).to(&names.loud, Produced::kafka());
    let counts = lines.filter(|_, line| line.is_some()).group_by_key().count("counts");
    counts.to_stream().to(&names.counts, Produced::json());
    builder.build().expect("the topology is legal")
}

/// The topics and the application of a test.
struct Names {
    application: String,
    lines: String,
    loud: String,
    counts: String,
}

impl Names {
    fn of(test: &str) -> Self {
        let name = |what: &str| format!("{test}-{what}");
        Self { application: name("app"), lines: name("lines"), loud: name("loud"), counts: name("counts") }
    }
}

/// Makes the topics, has `write` fill the input before and after the pipeline starts, and waits until all is worked off.
fn run(cluster: &KafkaCluster, names: &Names, write: impl Fn(&[&str])) {
    for topic in [&names.lines, &names.loud, &names.counts] {
        cluster.create_topic(topic, 3);
    }
    write(&["ada|first", "bob|second", "bob|"]);
    let log = Connection::to(&cluster.bootstrap()).open();
    let running = Running::start(&names.application, &topology(names), log);
    write(&["ada|third"]);
    running.finish();
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}

#[test]
fn kcat_writes_our_input_and_reads_our_output() {
    let Some(cluster) = KafkaCluster::shared() else { return };
    if !kcat::is_there() {
        return;
    }
    let names = Names::of("kcat");
    let bootstrap = cluster.bootstrap();
    run(cluster, &names, |lines| {
        kcat::produce(&bootstrap, &names.lines, &["-H", "by=kcat", "-H", "empty="], &(lines.join("\n") + "\n"));
    });
    let loud = sorted(kcat::consume(&bootstrap, &names.loud, "%k|%S|%s|%h"));
    let expected = [
        "ada|5|FIRST|by=kcat,empty=",
        "ada|5|THIRD|by=kcat,empty=",
        "bob|-1||by=kcat,empty=",
        "bob|6|SECOND|by=kcat,empty=",
    ];
    assert_eq!(loud, expected);
    let counts = sorted(kcat::consume(&bootstrap, &names.counts, "%k|%s|%h"));
    assert_eq!(counts, ["ada|1|by=kcat,empty=", "ada|2|by=kcat,empty=", "bob|1|by=kcat,empty="]);
    // Equal keys lie in the partition of the input in which other clients put them.
    let place = |topic: &str| sorted(kcat::consume(&bootstrap, topic, "%k in %p"));
    let (mut input, mut output) = (place(&names.lines), place(&names.loud));
    input.dedup();
    output.dedup();
    assert_eq!(input, output);
}

#[test]
fn kafkas_console_tools_write_our_input_and_read_our_output() {
    let Some(cluster) = KafkaCluster::shared() else { return };
    let names = Names::of("console");
    run(cluster, &names, |lines| {
        let input: String = lines.iter().map(|line| line.replace('|', "\t")).fold(String::new(), |input, line| {
            let line = if line.ends_with('\t') { line + "NOTHING" } else { line };
            input + "by:console\t" + &line + "\n"
        });
        let readers = ["parse.key=true", "parse.headers=true", "null.marker=NOTHING"];
        let mut arguments = vec!["--topic", &names.lines];
        arguments.extend(readers.iter().flat_map(|reader| ["--reader-property", reader]));
        cluster.tool_with_input(tools::CONSOLE_PRODUCER, &arguments, &input).succeeded();
    });
    let loud = console_consumer(cluster, &names.loud, "4");
    let expected = ["by:console|ada|FIRST", "by:console|ada|THIRD", "by:console|bob|NOTHING", "by:console|bob|SECOND"];
    assert_eq!(loud, expected);
    let counts = console_consumer(cluster, &names.counts, "3");
    assert_eq!(counts, ["by:console|ada|1", "by:console|ada|2", "by:console|bob|1"]);
}

/// So many committed records of a topic, as Kafka's console consumer shows them.
fn console_consumer(cluster: &KafkaCluster, topic: &str, count: &str) -> Vec<String> {
    let mut arguments = vec!["--topic", topic, "--from-beginning", "--isolation-level", "read_committed"];
    arguments.extend(["--max-messages", count, "--timeout-ms", "30000"]);
    let formatters =
        ["print.headers=true", "print.key=true", "key.separator=|", "headers.separator=,", "null.literal=NOTHING"];
    arguments.extend(formatters.iter().flat_map(|formatter| ["--formatter-property", formatter]));
    let output = cluster.tool(tools::CONSOLE_CONSUMER, &arguments).succeeded();
    sorted(output.lines().map(str::to_owned).collect())
}
