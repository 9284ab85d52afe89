//! Questions to stores: what fits, who is asked, positions and bounds, readers beside running tasks. What is answered: see `store_models`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Materialized, Produced},
    expression::col,
    log::{Append, Log, TopicConfig, Transaction, partition_for_key},
    query::{KeyQuery, KeysQuery, QueryError, RangeQuery, SessionKeyQuery, WindowRangeQuery},
    record::{Offset, PartitionId, Position, Record, Records, TimeSpan, TopicPartition},
    runtime::{Streams, StreamsConfig},
    testing::{CommitPolicy, DriverOptions, MemoryLog, TopologyTestDriver},
    topology::Topology,
    window::{TimeWindows, Windows},
};
use millstream_state::{StateBackend, StateConfig};
use serde::{Deserialize, Serialize};

pub(crate) fn span(millis: i64) -> TimeSpan {
    TimeSpan::from_millis(millis).expect("not negative")
}

fn partition(topic: &str, number: u32) -> TopicPartition {
    TopicPartition::new(topic.parse().expect("legal"), PartitionId(number))
}

pub(crate) fn prices() -> Topology {
    let builder = StreamsBuilder::new();
    builder.table::<String, i64>("prices", Consumed::kafka(), Materialized::named("prices"));
    builder.build().expect("legal")
}

pub(crate) fn counts_by(windows: impl Into<Windows>) -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream::<String, i64>("in", Consumed::kafka()).group_by_key().windowed_by(windows).count("counts");
    builder.build().expect("legal")
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Place {
    nation: String,
    town: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Visit {
    city: String,
    country: String,
    guests: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Guests {
    guests: i64,
}

#[test]
fn keys_and_values_of_several_columns_are_read_whole_or_in_part() {
    let builder = StreamsBuilder::new();
    let visits = builder.stream::<(), Visit>("visits", Consumed::json());
    let by_place = visits.group_by(|_, visit| Place { nation: visit.country.clone(), town: visit.city.clone() });
    by_place.reduce(|_, last| last, "last");
    let driver =
        TopologyTestDriver::with(&builder.build().expect("legal"), 4, millstream::operator::EmitPolicy::Commit);
    let driver = driver.expect("starts");
    let topic = driver.input_topic::<(), Visit>("visits").expect("is read");
    for (country, city, guests) in [("it", "Rome", 3), ("fr", "Nice", 2), ("it", "Bari", 1), ("fr", "Nice", 5)] {
        topic.pipe((), Visit { city: city.into(), country: country.into(), guests }).expect("works");
    }
    let place = |nation: &str, town: &str| Place { nation: nation.into(), town: town.into() };
    let store = driver.store::<Place, Guests>("last").expect("has these columns");
    assert_eq!(store.get(place("fr", "Nice")).expect("readable"), Some(Guests { guests: 5 }));
    assert_eq!(store.get(place("fr", "Bari")).expect("readable"), None);
    let whole = driver.store::<Place, Visit>("last").expect("has these columns");
    let rows = whole.query(RangeQuery::with_no_bounds()).expect("readable").result;
    let cities: Vec<&str> = rows.iter().map(|row| row.value.city.as_str()).collect();
    assert_eq!(cities, ["Nice", "Bari", "Rome"], "by country, then city");
    let italian = whole.query(RangeQuery::with_range(place("it", ""), place("it", "zzz"))).expect("readable").result;
    assert_eq!(italian.len(), 2);
}

#[test]
fn questions_that_do_not_fit_say_what_would() {
    let minute = TimeWindows::tumbling(span(60_000), span(0)).expect("legal");
    let driver = TopologyTestDriver::new(&counts_by(minute)).expect("starts");
    let text = |error: Option<QueryError>| error.map(|error| error.to_string()).unwrap_or_default();
    let store = driver.store::<String, i64>("counts").expect("is there");
    assert_eq!(
        text(store.get("ada").err()),
        "store counts holds one row a key and window and knows no answer to KeyQuery; ask WindowKeyQuery or WindowRangeQuery"
    );
    assert_eq!(
        text(store.query(SessionKeyQuery::with_key("ada")).err()),
        "store counts holds one row a key and window and knows no answer to SessionKeyQuery; ask WindowKeyQuery or WindowRangeQuery"
    );
    let text =
        |error: Option<millstream::testing::DriverError>| error.map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(
        text(driver.store::<i64, i64>("counts").err()),
        "store counts: the key has the columns (key Utf8), and i64 has (key Int64)"
    );
    assert_eq!(
        text(driver.store::<String, String>("counts").err()),
        "store counts: the value has the columns (value Int64), and String has (value Utf8)"
    );
    assert_eq!(
        text(driver.store::<String, i64>("Count").err()),
        "there is no store `Count` that can be read; did you mean `counts`?"
    );
    let plain = TopologyTestDriver::new(&prices()).expect("starts");
    let prices = plain.store::<String, i64>("prices").expect("is there");
    let error = prices.query(WindowRangeQuery::with_window_start_range(0, 1)).expect_err("refused");
    assert!(error.to_string().ends_with("ask KeyQuery, KeysQuery or RangeQuery"), "{error}");
}

#[test]
fn only_the_owner_of_a_key_is_asked() {
    let options = DriverOptions { partitions: 8, ..DriverOptions::default() };
    let driver = TopologyTestDriver::with_options(&prices(), options).expect("starts");
    let topic = driver.input_topic::<String, i64>("prices").expect("is read");
    for number in 0..40_i64 {
        topic.pipe(format!("k{number}"), number).expect("works");
    }
    let store = driver.store::<String, i64>("prices").expect("is there");
    for number in 0..40_i64 {
        let key = format!("k{number}");
        let answer = store.query(KeyQuery::with_key(key.as_str())).expect("readable");
        assert_eq!(answer.result.map(|found| found.value), Some(number));
        let asked: Vec<TopicPartition> = answer.position.iter().map(|(partition, _)| partition.clone()).collect();
        assert_eq!(asked, [partition("prices", partition_for_key(key.as_bytes(), 8).0)]);
    }
}

#[test]
fn a_record_that_others_put_elsewhere_is_found_all_the_same() {
    let log: millstream::log::SharedLog = Arc::new(MemoryLog::new());
    log.create_topic(&"prices".parse().expect("legal"), &TopicConfig { partitions: 5, ..TopicConfig::default() })
        .expect("made");
    let elsewhere = (partition_for_key(b"tea", 5).0 + 2) % 5;
    let records = Records::from_iter([Record::new("tea", 3_i64.to_be_bytes())]);
    let append = Append { partition: partition("prices", elsewhere), records };
    let transaction = Transaction { appends: vec![append], offsets: vec![] };
    log.producer("outside").expect("opens").commit(transaction).expect("commits");
    let emit = millstream::operator::EmitPolicy::Commit;
    let mut streams = millstream::runtime::SynchronousStreams::new(&prices(), "app", log, emit).expect("starts");
    streams.run_until_idle().expect("runs");
    let store = streams.store::<String, i64>("prices").expect("is there");
    assert_eq!(store.get("tea").expect("readable"), Some(3));
    let both = store.query(KeysQuery::with_keys(["rye", "tea"])).expect("readable").result;
    assert_eq!(both.into_iter().map(|found| found.map(|found| found.value)).collect::<Vec<_>>(), [None, Some(3)]);
}

/// Counts by the first letter of the value, through a repartition topic.
fn by_letter() -> Topology {
    let builder = StreamsBuilder::new();
    let words = builder.stream::<String, String>("words", Consumed::kafka());
    words.group_by(|_, word| word.chars().take(1).collect::<String>()).count("letters");
    builder.build().expect("legal")
}

#[test]
fn positions_and_bounds_reach_through_repartition_topics() {
    let options = DriverOptions { commit: CommitPolicy::ByHand, partitions: 2, ..DriverOptions::default() };
    let driver = TopologyTestDriver::with_options(&by_letter(), options).expect("starts");
    let words = driver.input_topic::<String, String>("words").expect("is read");
    words.pipe("k", "apple").expect("works");
    let of_words = partition("words", partition_for_key(b"k", 2).0);
    let letters = driver.store::<String, i64>("letters").expect("is there");
    let bounded = letters.at_least(Position::after(of_words.clone(), Offset(0)), Duration::ZERO).expect("is fed by it");
    let behind = |expected: u64| match bounded.get("a") {
        Err(QueryError::Behind { partition, records, .. }) => {
            assert_eq!((partition, records), (of_words.clone(), expected))
        }
        other => panic!("it is behind: {other:?}"),
    };
    behind(1);
    driver.commit().expect("commits");
    behind(1); // the repartition topic has it, the store has not
    driver.commit().expect("commits");
    assert_eq!(bounded.get("a").expect("has come so far"), Some(1));
    let position = letters.query(KeyQuery::with_key("a")).expect("readable").position;
    assert_eq!(position.get(&of_words), Some(Offset(1)));
    driver.restart().expect("starts again");
    let letters = driver.store::<String, i64>("letters").expect("is there");
    let position = letters.query(KeyQuery::with_key("a")).expect("readable").position;
    assert_eq!(position.get(&of_words), Some(Offset(1)), "also after a restart");
    let other = letters.at_least(Position::after(partition("others", 0), Offset(0)), Duration::ZERO).err();
    let text = other.map(|error| error.to_string()).unwrap_or_default();
    assert!(text.starts_with("store letters: topic=others partition=0 does not feed it"), "{text}");
    assert!(text.contains("words-0, words-1"), "{text}");
}

fn running(topology: &Topology, topics: &[(&str, u32)], threads: usize) -> (Streams, MemoryLog, tempfile::TempDir) {
    let (log, directory) = (MemoryLog::new(), tempfile::tempdir().expect("made"));
    for (topic, partitions) in topics {
        let config = TopicConfig { partitions: *partitions, ..TopicConfig::default() };
        log.create_topic(&topic.parse().expect("legal"), &config).expect("made");
    }
    let state = StateBackend::open(StateConfig::new(directory.path(), 16 << 20)).expect("opens");
    let mut config = StreamsConfig::new("app", Arc::new(log.clone()), state);
    (config.threads, config.commit_interval) = (threads, Duration::from_millis(2));
    (Streams::start(topology, config).expect("starts"), log, directory)
}

#[test]
fn whoever_writes_a_record_can_read_what_came_of_it() {
    let (streams, log, _directory) = running(&by_letter(), &[("words", 3)], 2);
    let letters = streams.store::<String, i64>("letters").expect("is there");
    let mut producer = log.producer("outside").expect("opens");
    for round in 0..60_u32 {
        let (of_words, word) = (partition("words", round % 3), ["apple", "bean", "corn"][(round % 7 % 3) as usize]);
        let records = Records::from_iter([Record::new(format!("k{round}"), word)]);
        let transaction =
            Transaction { appends: vec![Append { partition: of_words.clone(), records }], offsets: vec![] };
        let offset = producer.commit(transaction).expect("commits").base_offsets[0];
        let bounded =
            letters.at_least(Position::after(of_words, offset), Duration::from_secs(20)).expect("is fed by it");
        let expected =
            (0..=round).filter(|earlier| ["apple", "bean", "corn"][(earlier % 7 % 3) as usize] == word).count();
        assert_eq!(bounded.get(&word[..1]).expect("comes in time"), Some(expected as i64), "round {round}");
    }
    streams.stop().expect("ends well");
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Transfer {
    from: String,
    to: String,
    amount: i64,
}

/// Each transfer is two changes that are committed together, so what all accounts hold is nothing at every moment.
#[test]
fn readers_see_whole_commits_while_tasks_process() {
    let builder = StreamsBuilder::new();
    let transfers = builder.stream::<(), Transfer>("transfers", Consumed::json());
    let changes = transfers.flat_map(|_, transfer| [(transfer.from, -transfer.amount), (transfer.to, transfer.amount)]);
    changes.group_by_key().sum::<i64>(col("value"), "accounts");
    let (streams, log, _directory) = running(&builder.build().expect("legal"), &[("transfers", 1)], 2);
    let accounts = streams.store::<String, i64>("accounts").expect("is there");
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|reader| {
            let (accounts, done) = (accounts.clone(), Arc::clone(&done));
            let names: Vec<String> = (0..10).map(|account| format!("a{account}")).collect();
            std::thread::spawn(move || {
                let mut looks = 0;
                while !done.load(Ordering::Acquire) || looks == 0 {
                    let sum: i64 = if reader == 0 {
                        let rows = accounts.query(RangeQuery::with_no_bounds()).expect("readable").result;
                        rows.iter().map(|row| row.value).sum()
                    } else {
                        let found = accounts.query(KeysQuery::with_keys(names.clone())).expect("readable").result;
                        found.into_iter().flatten().map(|found| found.value).sum()
                    };
                    assert_eq!(sum, 0, "after {looks} looks");
                    looks += 1;
                }
                looks
            })
        })
        .collect();
    let mut producer = log.producer("outside").expect("opens");
    let mut last = Offset(0);
    for round in 0..150_i64 {
        let transfer = |number: i64| {
            let (from, to, amount) = ((round + number) % 10, (round * 3 + number * 7) % 10, number + 1);
            Record { key: None, ..Record::new("", format!(r#"{{"from":"a{from}","to":"a{to}","amount":{amount}}}"#)) }
        };
        let records: Records = (0..20).map(transfer).collect();
        let append = Append { partition: partition("transfers", 0), records };
        let receipt = producer.commit(Transaction { appends: vec![append], offsets: vec![] }).expect("commits");
        last = receipt.end_offsets[0];
    }
    let all = Position::from_iter([(partition("transfers", 0), last)]);
    let accounts = accounts.at_least(all, Duration::from_secs(30)).expect("is fed by it");
    assert_eq!(accounts.query(RangeQuery::with_no_bounds()).expect("comes in time").result.len(), 10);
    done.store(true, Ordering::Release);
    for reader in readers {
        assert!(reader.join().expect("sums were right") > 0);
    }
    streams.stop().expect("ends well");
}

#[test]
fn a_scan_gives_arrow_batches_of_the_size_asked_for() {
    let builder = StreamsBuilder::new();
    builder
        .stream::<i64, i64>("in", Consumed::kafka())
        .group_by_key()
        .count("counts")
        .to_stream()
        .to("out", Produced::kafka());
    let driver =
        TopologyTestDriver::with(&builder.build().expect("legal"), 3, millstream::operator::EmitPolicy::Commit);
    let driver = driver.expect("starts");
    let topic = driver.input_topic::<i64, i64>("in").expect("is read");
    topic.pipe_key_value_list((0..1_000).map(|key| (key, 1_i64))).expect("works");
    let store = driver.store::<i64, i64>("counts").expect("is there");
    let mut sizes = Vec::new();
    let mut keys: Vec<i64> = Vec::new();
    let scanned = store.scan(&RangeQuery::with_range(100, 899), 300, &mut |batch| {
        sizes.push(batch.num_rows());
        let column = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(batch.column(0).as_ref());
        keys.extend(column.values());
        Ok(())
    });
    let position = scanned.expect("readable");
    assert_eq!((sizes, keys), (vec![300, 300, 200], (100..900).collect()));
    assert_eq!(position.iter().map(|(_, next)| next.0).sum::<u64>(), 1_000);
    let stopped = store.scan(&RangeQuery::with_no_bounds(), 10, &mut |_| Err("enough".to_owned()));
    assert_eq!(stopped.err().as_ref().and_then(QueryError::read_problem), Some("enough"));
}
