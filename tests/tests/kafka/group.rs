//! Processes that share the tasks of an application in a group: they come, go, fall silent and come back, and every task always has one
//! that works on it. In both kinds of groups.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use millstream::{
    log::{
        Assignment, GroupEvent, GroupMember, GroupMembership, GroupPart, GroupSettings, GroupTopology, Log, LogError,
        kafka::{GroupProtocol, KafkaConfig, KafkaLog, ProcessId},
    },
    record::{GroupId, TopicName},
};
use millstream_tests::kafka_cluster::{ClusterSettings, Guarded, KafkaCluster, Security, User, tools};

const TASKS: u32 = 8;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a member of these tests may be silent.
const SESSION: Duration = Duration::from_millis(3_000);

fn settings(group: &str, topic: &str) -> GroupSettings {
    let topic = TopicName::new(topic).expect("a name");
    let part = GroupPart { tasks: TASKS, sources: [topic].into(), ..GroupPart::default() };
    GroupSettings {
        group: GroupId::new(group).expect("a name"),
        topology: GroupTopology { parts: vec![part] },
        standby_replicas: 0,
        endpoint: None,
        instance: None,
        session_timeout: SESSION,
        rebalance_timeout: Duration::from_secs(10),
    }
}

fn config(cluster: &KafkaCluster, protocol: GroupProtocol) -> KafkaConfig {
    KafkaConfig::new(&cluster.bootstrap()).expect("an address").with_group_protocol(protocol)
}

fn join_group(config: &KafkaConfig, settings: GroupSettings) -> Result<Arc<dyn GroupMembership>, LogError> {
    // Each call stands for a process.
    let config = config.clone().with_process_id(ProcessId::random());
    Ok(KafkaLog::connect(config)?.join_group(settings)?.expect("a cluster is shared"))
}

/// Waits for something to become true.
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let step = Duration::from_millis(20);
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        if is_so() {
            return;
        }
        thread::sleep(step);
    }
    panic!("never {what}");
}

/// What an engine would do with a membership, on a thread of its own: it takes the tasks that it gets, at once.
struct Worker {
    membership: Arc<dyn GroupMembership>,
    seen: Arc<parking::Seen>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a worker has seen.
mod parking {
    use std::sync::Mutex;

    use millstream::log::{Assignment, GroupEvent};

    #[derive(Default)]
    pub(super) struct Seen {
        pub(super) owned: Mutex<Assignment>,
        pub(super) events: Mutex<Vec<GroupEvent>>,
    }
}

impl Worker {
    fn join(config: &KafkaConfig, settings: GroupSettings) -> Self {
        Self::at_work(join_group(config, settings).expect("it joins"))
    }

    fn at_work(membership: Arc<dyn GroupMembership>) -> Self {
        let (seen, stop) = (Arc::new(parking::Seen::default()), Arc::new(AtomicBool::new(false)));
        let (own, seen_there, stop_there) = (Arc::clone(&membership), Arc::clone(&seen), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stop_there.load(Ordering::Acquire) {
                let event = own.next(Duration::from_millis(100)).expect("the group goes on");
                let mut owned = seen_there.owned.lock().expect("nobody panics with it");
                match &event {
                    GroupEvent::Unchanged | GroupEvent::NotReady(_) => {}
                    GroupEvent::Assigned(assignment) => *owned = assignment.clone(),
                    GroupEvent::Rebalancing => {}
                    GroupEvent::Lost => *owned = Assignment::default(),
                }
                if event != GroupEvent::Unchanged {
                    own.report(&owned);
                    seen_there.events.lock().expect("nobody panics with it").push(event);
                }
            }
        });
        Self { membership, seen, stop, thread: Some(thread) }
    }

    fn active(&self) -> usize {
        self.owned().active.len()
    }

    fn owned(&self) -> Assignment {
        self.seen.owned.lock().expect("nobody panics with it").clone()
    }

    fn member(&self) -> Option<GroupMember> {
        self.membership.member()
    }

    fn has_lost(&self) -> bool {
        self.seen.events.lock().expect("nobody panics with it").contains(&GroupEvent::Lost)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it does not panic");
        }
        self.membership.leave();
    }
}

/// Whether all tasks are shared out, each once, as evenly as these numbers say.
fn shared(workers: &[&Worker], counts: &[usize]) -> bool {
    let mut found: Vec<usize> = workers.iter().map(|worker| worker.active()).collect();
    found.sort_unstable();
    let all: BTreeSet<_> = workers.iter().flat_map(|worker| worker.owned().active).collect();
    found == counts && all.len() == TASKS as usize
}

fn members_come_and_go(group: &str, protocol: GroupProtocol) {
    let Some(cluster) = KafkaCluster::shared() else { return };
    cluster.create_topic(group, TASKS);
    let config = config(cluster, protocol);
    let join = || Worker::join(&config, settings(group, group));
    let first = join();
    wait_for("all tasks with the first", || shared(&[&first], &[8]));
    let before = first.member().expect("a member");
    let second = join();
    wait_for("four tasks each", || shared(&[&first, &second], &[4, 4]));
    let third = join();
    wait_for("three tasks each, or two", || shared(&[&first, &second, &third], &[2, 3, 3]));
    wait_for("a newer epoch", || first.member().is_some_and(|now| now.epoch > before.epoch));
    assert!(!first.has_lost() && !second.has_lost() && !third.has_lost());

    // Who leaves says so: nobody waits for its session to end.
    drop(second);
    wait_for("four tasks each again", || shared(&[&first, &third], &[4, 4]));
    drop(first);
    wait_for("all tasks with the third", || shared(&[&third], &[8]));
    assert!(!third.has_lost());
}

#[test]
fn tasks_follow_the_members_of_a_streams_group() {
    members_come_and_go("group-streams", GroupProtocol::BestKnown);
    let Some(cluster) = KafkaCluster::shared() else { return };
    let listed = cluster.tool(tools::STREAMS_GROUPS, &["--list"]).succeeded();
    assert!(listed.contains("group-streams"), "{listed}");
    shown_with_its_members("group-streams", GroupProtocol::BestKnown);
}

/// A group of two is described with both and what they read.
fn shown_with_its_members(group: &str, protocol: GroupProtocol) {
    let Some(cluster) = KafkaCluster::shared() else { return };
    let config = config(cluster, protocol);
    let workers = [Worker::join(&config, settings(group, group)), Worker::join(&config, settings(group, group))];
    wait_for("four tasks each", || shared(&[&workers[0], &workers[1]], &[4, 4]));
    let log = KafkaLog::connect(config).expect("a cluster");
    let name = GroupId::new(group).expect("a name");
    wait_for("two members shown", || {
        let shown = log.describe_group(&name).expect("it can be described");
        let counts: Vec<usize> = shown.members.iter().map(|member| member.partitions.len()).collect();
        shown.state == "Stable" && counts == [4, 4]
    });
    drop(workers);
    wait_for("nobody shown", || {
        let shown = log.describe_group(&name).expect("it can be described");
        shown.state == "Empty" && shown.members.is_empty()
    });
}

#[test]
fn tasks_follow_the_members_of_a_classic_group() {
    members_come_and_go("group-classic", GroupProtocol::Classic);
    let Some(cluster) = KafkaCluster::shared() else { return };
    let config = config(cluster, GroupProtocol::Classic);
    shown_with_its_members("group-classic", GroupProtocol::Classic);
    let worker = Worker::join(&config, settings("group-classic", "group-classic"));
    wait_for("all tasks", || worker.active() == 8);
    let described =
        cluster.tool(tools::CONSUMER_GROUPS, &["--describe", "--members", "--verbose", "--group", "group-classic"]);
    let described = described.succeeded();
    assert!(
        described.contains("group-classic(0,1,2,3,4,5,6,7)") || described.contains("group-classic:0,1,2,3,4,5,6,7"),
        "{described}"
    );
}

/// A member in a process of its own, which can be stopped for a while. Not a test by itself.
#[test]
#[ignore = "the tests below start it"]
fn member_of_its_own() {
    let Ok(group) = std::env::var("MILLSTREAM_TEST_GROUP") else { return };
    let bootstrap = std::env::var("MILLSTREAM_TEST_BOOTSTRAP").expect("set with the group");
    let classic = std::env::var("MILLSTREAM_TEST_PROTOCOL").expect("set with the group") == "classic";
    let protocol = if classic { GroupProtocol::Classic } else { GroupProtocol::BestKnown };
    let config = KafkaConfig::new(&bootstrap).expect("an address").with_group_protocol(protocol);
    let worker = Worker::join(&config, settings(&group, &group));
    let file = PathBuf::from(std::env::var("MILLSTREAM_TEST_FILE").expect("set with the group"));
    loop {
        let text = format!("{} {}", worker.active(), if worker.has_lost() { "lost" } else { "kept" });
        fs::write(file.with_extension("new"), text).expect("written");
        fs::rename(file.with_extension("new"), &file).expect("renamed");
        thread::sleep(Duration::from_millis(50));
    }
}

fn a_silent_member_loses_its_tasks(group: &str, protocol: GroupProtocol) {
    let Some(cluster) = KafkaCluster::shared() else { return };
    cluster.create_topic(group, TASKS);
    let here = Worker::join(&config(cluster, protocol), settings(group, group));
    wait_for("all tasks here", || shared(&[&here], &[8]));

    let file = cluster.directory().join(format!("{group}.state"));
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "group::member_of_its_own", "--ignored"]);
    command.env("MILLSTREAM_TEST_GROUP", group).env("MILLSTREAM_TEST_BOOTSTRAP", cluster.bootstrap());
    command.env("MILLSTREAM_TEST_FILE", &file);
    command.env("MILLSTREAM_TEST_PROTOCOL", if protocol == GroupProtocol::Classic { "classic" } else { "auto" });
    let there = Guarded::spawn(&command, &cluster.directory().join(format!("{group}.log")));
    let state = || fs::read_to_string(&file).unwrap_or_default();
    wait_for("four tasks there", || state() == "4 kept" && here.active() == 4);

    there.signal("STOP");
    wait_for("all tasks here again", || shared(&[&here], &[8]));
    there.signal("CONT");
    wait_for("a loss there, and four new tasks", || state() == "4 lost" && here.active() == 4);
    assert!(!here.has_lost());
}

#[test]
fn a_silent_member_of_a_streams_group_loses_its_tasks_and_comes_back() {
    a_silent_member_loses_its_tasks("group-silent-streams", GroupProtocol::BestKnown);
}

#[test]
fn a_silent_member_of_a_classic_group_loses_its_tasks_and_comes_back() {
    a_silent_member_loses_its_tasks("group-silent-classic", GroupProtocol::Classic);
}

fn next_that_matters(membership: &dyn GroupMembership) -> GroupEvent {
    for _ in 0..PATIENCE.as_secs() {
        match membership.next(Duration::from_secs(1)).expect("the group goes on") {
            GroupEvent::Unchanged => {}
            GroupEvent::Assigned(assignment) => membership.report(&assignment),
            other => return other,
        }
    }
    panic!("nothing happens");
}

#[test]
fn a_streams_group_without_its_topics_says_what_is_missing() {
    let Some(cluster) = KafkaCluster::shared() else { return };
    let config = config(cluster, GroupProtocol::BestKnown);
    let membership = join_group(&config, settings("group-missing", "group-not-there")).expect("it joins");
    let GroupEvent::NotReady(why) = next_that_matters(&*membership) else { panic!("it works on nothing") };
    assert!(why.contains("create them") && why.contains("group-not-there"), "{why}");
    cluster.create_topic("group-not-there", TASKS);
    let worker = Worker::at_work(membership);
    wait_for("all tasks", || worker.active() == 8);
}

#[test]
fn another_topology_under_the_same_name_is_refused() {
    let Some(cluster) = KafkaCluster::shared() else { return };
    for (group, protocol) in
        [("group-changed-1", GroupProtocol::BestKnown), ("group-changed-2", GroupProtocol::Classic)]
    {
        cluster.create_topic(group, TASKS);
        let config = config(cluster, protocol);
        let worker = Worker::join(&config, settings(group, group));
        wait_for("all tasks", || worker.active() == 8);
        let mut changed = settings(group, group);
        changed.topology.parts[0].repartition_sinks.insert(TopicName::new("elsewhere").expect("a name"));
        changed.topology.parts[0].tasks = 7;
        let other = join_group(&config, changed).expect("a broker");
        let mut problem = None;
        for _ in 0..PATIENCE.as_secs() {
            match other.next(Duration::from_secs(1)) {
                Ok(GroupEvent::Assigned(_)) => panic!("it was taken into {group}"),
                Ok(_) => {}
                Err(error) => {
                    problem = Some(error.to_string());
                    break;
                }
            }
        }
        let problem = problem.expect("it is refused");
        assert!(problem.contains("topology") && problem.contains("new application id"), "{problem}");
    }
}

#[test]
fn processes_with_stores_keep_copies_of_one_another_and_know_where_to_ask() {
    let Some(cluster) = KafkaCluster::shared() else { return };
    for (group, protocol) in [("group-copies-1", GroupProtocol::BestKnown), ("group-copies-2", GroupProtocol::Classic)]
    {
        cluster.create_topic(group, TASKS);
        let changelog = format!("{group}-store-changelog");
        cluster.create_topic(&changelog, TASKS);
        let config = config(cluster, protocol);
        let join = |port: u16| {
            let mut settings = settings(group, group);
            settings.topology.parts[0].changelogs.insert(TopicName::new(&changelog).expect("a name"));
            settings.standby_replicas = 1;
            settings.endpoint = Some(format!("127.0.0.1:{port}"));
            Worker::join(&config, settings)
        };
        let (first, second) = (join(7001), join(7002));
        let copied = |one: &Worker, other: &Worker| one.owned().standby == other.owned().active;
        wait_for("a copy of every task with the other", || {
            shared(&[&first, &second], &[4, 4]) && copied(&first, &second) && copied(&second, &first)
        });
        wait_for("both known to both", || {
            let known = |worker: &Worker| {
                let mut peers = worker.membership.peers();
                peers.sort_by(|one, other| one.endpoint.cmp(&other.endpoint));
                peers.iter().map(|peer| (peer.endpoint.clone(), peer.assignment.active.clone())).collect::<Vec<_>>()
            };
            let expected = vec![
                ("127.0.0.1:7001".to_owned(), first.owned().active),
                ("127.0.0.1:7002".to_owned(), second.owned().active),
            ];
            known(&first) == expected && known(&second) == expected
        });
    }
}

#[test]
fn one_with_a_lasting_name_gets_its_tasks_back() {
    let Some(cluster) = KafkaCluster::shared() else { return };
    for (group, protocol) in
        [("group-lasting-1", GroupProtocol::BestKnown), ("group-lasting-2", GroupProtocol::Classic)]
    {
        cluster.create_topic(group, TASKS);
        let config = config(cluster, protocol);
        let join = |name: &str| {
            let instance = Some(name.to_owned());
            Worker::join(
                &config,
                GroupSettings { instance, session_timeout: Duration::from_secs(20), ..settings(group, group) },
            )
        };
        let (first, second) = (join("one"), join("two"));
        wait_for("four tasks each", || shared(&[&first, &second], &[4, 4]));
        let had = second.owned();
        assert_eq!(second.member().expect("a member").instance.as_deref(), Some("two"));
        drop(second);
        let again = join("two");
        wait_for("the same tasks again", || again.owned() == had);
        assert_eq!(first.active(), 4);
    }
}

#[test]
fn a_broker_that_restarts_costs_nobody_anything() {
    let Some(cluster) = KafkaCluster::start(ClusterSettings::default()) else { return };
    let mut all = Vec::new();
    for (group, protocol) in [("restart-1", GroupProtocol::BestKnown), ("restart-2", GroupProtocol::Classic)] {
        cluster.create_topic(group, TASKS);
        let config = config(&cluster, protocol);
        let join = || {
            Worker::join(&config, GroupSettings { session_timeout: Duration::from_secs(15), ..settings(group, group) })
        };
        let (first, second) = (join(), join());
        wait_for("four tasks each", || shared(&[&first, &second], &[4, 4]));
        let had = (first.owned(), second.owned());
        all.push((first, second, had, config, group));
    }
    cluster.restart(1);
    for (first, second, had, config, group) in &all {
        // Who joins now makes the others share again, which shows that they are still there.
        let third =
            Worker::join(config, GroupSettings { session_timeout: Duration::from_secs(15), ..settings(group, group) });
        wait_for("three tasks each, or two", || shared(&[first, second, &third], &[2, 3, 3]));
        drop(third);
        wait_for("four tasks each again", || shared(&[first, second], &[4, 4]));
        assert!(!first.has_lost() && !second.has_lost(), "{group}");
        let kept = |now: &Assignment, had: &Assignment| now.active.intersection(&had.active).count();
        assert!(kept(&first.owned(), &had.0) >= 2 && kept(&second.owned(), &had.1) >= 2, "{group}");
    }
}

#[test]
fn groups_are_joined_by_tls_by_those_who_know_the_password() {
    use millstream::log::kafka::{Sasl, ScramHash, Secret, Tls};

    let users = vec![User { name: "alice".to_owned(), password: "water-wheel".to_owned() }];
    let settings_of = ClusterSettings { security: Security::SaslTls, users, ..ClusterSettings::default() };
    let Some(cluster) = KafkaCluster::start(settings_of) else { return };
    cluster.create_topic("secured", TASKS);
    let user = || "alice".to_owned();
    let right = || Secret::new("water-wheel");
    let ways = [
        Sasl::Plain { user: user(), password: right() },
        Sasl::Scram { hash: ScramHash::Sha256, user: user(), password: right() },
        Sasl::Scram { hash: ScramHash::Sha512, user: user(), password: right() },
    ];
    let tls = Tls::new().with_authority(&cluster.tls().authority).expect("a certificate");
    let config = |sasl: Sasl| {
        KafkaConfig::new(&cluster.secure_bootstrap()).expect("an address").with_tls(tls.clone()).with_sasl(sasl)
    };
    for way in ways {
        let worker = Worker::join(&config(way), settings("secured", "secured"));
        wait_for("all tasks", || worker.active() == 8);
    }
    for wrong in [
        Sasl::Plain { user: user(), password: Secret::new("water-mill") },
        Sasl::Scram { hash: ScramHash::Sha256, user: user(), password: Secret::new("water-mill") },
    ] {
        let problem =
            join_group(&config(wrong), settings("secured", "secured")).err().expect("it is refused").to_string();
        assert!(!problem.contains("water"), "{problem}");
    }
}
