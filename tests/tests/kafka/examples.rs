//! The examples that pick where they run, on a real cluster.
//!
//! Each file ends with a test that runs its `main`; here it runs in a process of its own to which `MILLSTREAM_KAFKA` names the cluster. Without it
//! they run as everywhere else.

use std::{env, process::Command};

use millstream_tests::kafka_cluster::{ClusterSettings, KafkaCluster};

#[path = "../../../examples/04_sql_push_query.rs"]
mod sql_push_query;

#[path = "../../../examples/05_pull_query_on_a_view.rs"]
mod pull_query_on_a_view;

#[path = "../../../examples/06_your_own_source.rs"]
mod your_own_source;

#[path = "../../../examples/07_crash_and_recover.rs"]
mod crash_and_recover;

#[path = "../../../examples/11_interactive_queries.rs"]
mod interactive_queries;

const EXAMPLES: [&str; 5] =
    ["sql_push_query", "pull_query_on_a_view", "your_own_source", "crash_and_recover", "interactive_queries"];

#[test]
fn examples_pass_on_a_cluster() {
    for example in EXAMPLES {
        // They use the same names of topics, so each gets a cluster of its own.
        let Some(cluster) = KafkaCluster::start(ClusterSettings::default()) else { return };
        let ran = Command::new(env::current_exe().expect("a test knows where it is"))
            .args([&format!("examples::{example}::runs"), "--exact", "--nocapture"])
            .env("MILLSTREAM_KAFKA", cluster.bootstrap())
            .output()
            .expect("it starts");
        let said = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(ran.status.success() && said.contains("1 passed"), "{example}:\n{said}");
    }
}
