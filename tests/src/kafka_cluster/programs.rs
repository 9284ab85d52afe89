//! Programs to their end: Kafka's console tools, and what they say.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    thread,
};

/// The classes of Kafka's console tools.
pub mod tools {
    /// `kafka-topics.sh`.
    pub const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
    /// `kafka-console-producer.sh`.
    pub const CONSOLE_PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
    /// `kafka-console-consumer.sh`.
    pub const CONSOLE_CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    /// `kafka-consumer-groups.sh`.
    pub const CONSUMER_GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
    /// `kafka-streams-groups.sh`.
    pub const STREAMS_GROUPS: &str = "org.apache.kafka.tools.streams.StreamsGroupCommand";
    /// `kafka-groups.sh`.
    pub const GROUPS: &str = "org.apache.kafka.tools.GroupsCommand";
    /// `kafka-transactions.sh`.
    pub const TRANSACTIONS: &str = "org.apache.kafka.tools.TransactionsCommand";
    /// `kafka-configs.sh`.
    pub const CONFIGS: &str = "org.apache.kafka.tools.ConfigCommand";
    /// `kafka-get-offsets.sh`.
    pub const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
    /// `kafka-features.sh`.
    pub const FEATURES: &str = "org.apache.kafka.tools.FeatureCommand";
    /// `kafka-dump-log.sh`; it reads files, not the cluster: see `KafkaCluster::program`.
    pub const DUMP_LOG: &str = "org.apache.kafka.tools.DumpLogSegments";
}

/// What a program said.
#[derive(Debug, Clone)]
pub struct ToolOutput {
    /// The command line, for messages; without the class path.
    pub command: String,
    /// The exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl ToolOutput {
    /// Its standard output.
    ///
    /// # Panics
    /// If it did not end with status 0, with everything it said.
    pub fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}\n{}", self.command, self.stdout, self.stderr);
        self.stdout
    }
}

/// A JVM for a short life.
pub(super) fn java(classpath: &str) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]);
    command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", classpath]);
    command
}

/// Runs a command to its end, with `input` on its standard input.
///
/// # Panics
/// If it cannot be started.
pub fn run_with_input(command: &mut Command, input: &str) -> ToolOutput {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    let output = thread::scope(|scope| {
        // Who ends without reading its input has a reason, which it says.
        scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
        child.wait_with_output().expect("it can be waited for")
    });
    let words = command.get_args().map(|word| word.to_string_lossy());
    let short: Vec<String> = words.filter(|word| !word.contains(".jar:")).map(|word| word.into_owned()).collect();
    ToolOutput {
        command: format!("{program} {}", short.join(" ")),
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
