//! Questions to stores: against maps, through the public API, in memory and on disk; positions; readers beside running tasks.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Materialized, Produced, Windowed},
    expression::col,
    log::{Append, Log, TopicConfig, Transaction, partition_for_key},
    query::{
        KeyQuery, KeysQuery, QueryError, RangeQuery, ReadOnlyStore, SessionKeyQuery, SessionRangeQuery, StoreRow,
        WindowKeyQuery, WindowRangeQuery,
    },
    record::{Offset, PartitionId, Position, Record, Records, TimeSpan, TopicPartition},
    runtime::{Streams, StreamsConfig},
    testing::{CommitPolicy, DriverOptions, MemoryLog, TestRecord, TopologyTestDriver},
    topology::Topology,
    window::{SessionWindows, TimeWindows, Windows},
};
use millstream_state::{StateBackend, StateConfig};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

fn span(millis: i64) -> TimeSpan {
    TimeSpan::from_millis(millis).expect("not negative")
}

fn partition(topic: &str, number: u32) -> TopicPartition {
    TopicPartition::new(topic.parse().expect("legal"), PartitionId(number))
}

fn prices() -> Topology {
    let builder = StreamsBuilder::new();
    builder.table::<String, i64>("prices", Consumed::kafka(), Materialized::named("prices"));
    builder.build().expect("legal")
}

fn counts_by(windows: impl Into<Windows>) -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream::<String, i64>("in", Consumed::kafka()).group_by_key().windowed_by(windows).count("counts");
    builder.build().expect("legal")
}

/// Key, value, timestamp.
type Row = (String, i64, i64);

fn plain(rows: Vec<StoreRow<String, i64>>) -> Vec<Row> {
    rows.into_iter().map(|row| (row.key, row.value, row.timestamp.millis())).collect()
}

fn check_key_value(store: &ReadOnlyStore<String, i64>, model: &BTreeMap<String, (i64, i64)>, ends: (&str, &str)) {
    let names: Vec<String> = (0..24).map(name).collect();
    let found = store.query(KeysQuery::with_keys(names.clone())).expect("readable").result;
    for (name, found) in names.iter().zip(found) {
        let alone = store.query(KeyQuery::with_key(name.as_str())).expect("readable").result;
        assert_eq!(alone, found, "{name}");
        assert_eq!(found.map(|found| (found.value, found.timestamp.millis())), model.get(name).copied(), "{name}");
    }
    let within = |from: Bound<&str>, to: Bound<&str>| -> Vec<Row> {
        model.range::<str, _>((from, to)).map(|(key, (value, time))| (key.clone(), *value, *time)).collect()
    };
    let (low, high) = (ends.0.min(ends.1), ends.0.max(ends.1));
    let check = |query: RangeQuery<String>, expected: Vec<Row>| {
        let ascending = store.query(query.clone()).expect("readable").result;
        assert_eq!(plain(ascending), expected);
        let batches = store.batches(&query).expect("readable").result;
        assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), expected.len());
        let mut descending = plain(store.query(query.with_descending_keys()).expect("readable").result);
        descending.reverse();
        assert_eq!(descending, expected);
    };
    check(RangeQuery::with_no_bounds(), within(Bound::Unbounded, Bound::Unbounded));
    check(RangeQuery::with_range(low, high), within(Bound::Included(low), Bound::Included(high)));
    check(RangeQuery::with_lower_bound(low), within(Bound::Included(low), Bound::Unbounded));
    check(RangeQuery::with_upper_bound(high), within(Bound::Unbounded, Bound::Included(high)));
    let mut prefixed = within(Bound::Unbounded, Bound::Unbounded);
    prefixed.retain(|(key, ..)| key.starts_with(low));
    check(RangeQuery::with_prefix(low), prefixed);
    if low < high {
        check(RangeQuery::with_range(high, low), Vec::new());
    }
}

fn name(number: u8) -> String {
    ["a", "ab", "abc", "b", "ba", "c", "", "zz"][usize::from(number % 8)].to_owned()
        + &"é".repeat(usize::from(number / 8))
}

fn run_key_value(options: DriverOptions, steps: &[(u8, Option<i64>)], ends: (u8, u8)) {
    let driver = TopologyTestDriver::with_options(&prices(), options).expect("starts");
    let topic = driver.input_topic::<String, i64>("prices").expect("is read");
    let mut model = BTreeMap::new();
    for (number, part) in steps.chunks(7).enumerate() {
        let record = |(place, (key, value)): (usize, &(u8, Option<i64>))| {
            TestRecord::new(name(*key), *value).at_ms((number * 7 + place) as i64)
        };
        let records: Vec<_> = part.iter().enumerate().map(record).collect();
        for record in &records {
            match record.value {
                Some(value) => drop(model.insert(record.key.clone(), (value, record.timestamp.millis()))),
                None => drop(model.remove(&record.key)),
            }
        }
        topic.pipe_record_list(records).expect("works");
        if number % 5 == 2 {
            driver.checkpoint().expect("writes");
        }
        if number % 5 == 4 {
            driver.restart().expect("starts again");
        }
        let store = driver.store::<String, i64>("prices").expect("is there");
        check_key_value(&store, &model, (&name(ends.0), &name(ends.1)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn key_value_stores_answer_as_a_map_does(
        steps in prop::collection::vec((0_u8..24, prop::option::weighted(0.7, 0_i64..100)), 1..60),
        ends in (0_u8..24, 0_u8..24),
        partitions in 1_u32..4,
    ) {
        run_key_value(DriverOptions { partitions, ..DriverOptions::default() }, &steps, ends);
    }

    #[test]
    fn window_stores_answer_as_a_map_does_until_windows_expire(
        steps in prop::collection::vec((0_u8..4, 0_i64..40, any::<bool>()), 1..60),
        partitions in 1_u32..3,
        from in 0_i64..60,
        length in 0_i64..40,
    ) {
        check_windows(&steps, partitions, from, from + length);
    }

    #[test]
    fn session_stores_answer_as_a_list_does(
        steps in prop::collection::vec((0_u8..3, 0_i64..30, any::<bool>()), 1..60),
        partitions in 1_u32..3,
        from in 0_i64..80,
        length in 0_i64..60,
    ) {
        check_sessions(&steps, partitions, from, from + length);
    }
}

#[test]
fn stores_on_disk_answer_as_a_map_does() {
    let directory = tempfile::tempdir().expect("made");
    let steps: Vec<(u8, Option<i64>)> =
        (0..70_u8).map(|step| (step.wrapping_mul(29) % 24, (step % 4 != 3).then_some(i64::from(step)))).collect();
    let options = DriverOptions {
        partitions: 3,
        state_directory: Some(directory.path().to_path_buf()),
        ..DriverOptions::default()
    };
    run_key_value(options, &steps, (3, 9));
}

/// Times that mostly move on: each step says by how much, or goes back.
fn times(steps: &[(u8, i64, bool)]) -> Vec<(String, i64)> {
    let mut now = 0;
    let mut time = |(key, by, back): &(u8, i64, bool)| {
        let time = if *back { (now - by).max(0) } else { now + by };
        now = now.max(time);
        (format!("k{key}"), time)
    };
    steps.iter().map(&mut time).collect()
}

/// Key, start, end, value.
type WindowRow = (String, i64, i64, i64);

fn windowed(rows: Vec<StoreRow<Windowed<String>, i64>>) -> Vec<WindowRow> {
    rows.into_iter().map(|row| (row.key.key, row.key.start, row.key.end, row.value)).collect()
}

fn check_windows(steps: &[(u8, i64, bool)], partitions: u32, from: i64, to: i64) {
    let (size, advance, grace) = (20, 10, 15);
    let topology = counts_by(TimeWindows::hopping(span(size), span(advance), span(grace)).expect("legal"));
    let options = DriverOptions { partitions, ..DriverOptions::default() };
    let driver = TopologyTestDriver::with_options(&topology, options).expect("starts");
    let topic = driver.input_topic::<String, i64>("in").expect("is read");
    // By partition: stream time, and counts by start and key.
    let mut model: Vec<(i64, BTreeMap<(i64, String), i64>)> = vec![(i64::MIN, BTreeMap::new()); partitions as usize];
    for (key, time) in times(steps) {
        topic.pipe_at(key.as_str(), 1, time).expect("works");
        let (stream_time, rows) = &mut model[partition_for_key(key.as_bytes(), partitions).0 as usize];
        *stream_time = time.max(*stream_time);
        for start in (0..=time).step_by(advance as usize).filter(|start| time < start + size) {
            if start + size + grace > *stream_time {
                *rows.entry((start, key.clone())).or_default() += 1;
            }
        }
        // Kept for size and grace from its start.
        rows.retain(|(start, _), _| *start >= *stream_time - size - grace);
    }
    let mut all: Vec<WindowRow> = Vec::new();
    for (_, rows) in &model {
        all.extend(rows.iter().map(|((start, key), count)| (key.clone(), *start, start + size, *count)));
    }
    all.sort_by(|one, other| (one.1, &one.0).cmp(&(other.1, &other.0)));
    let store = driver.store::<String, i64>("counts").expect("is there");
    let check = |query: WindowRangeQuery<String>, expected: Vec<WindowRow>| {
        assert_eq!(windowed(store.query(query.clone()).expect("readable").result), expected);
        let mut latest_first = windowed(store.query(query.with_latest_first()).expect("readable").result);
        latest_first.reverse();
        assert_eq!(latest_first, expected);
    };
    let some = |wants: &dyn Fn(&WindowRow) -> bool| all.iter().filter(|row| wants(row)).cloned().collect::<Vec<_>>();
    check(WindowRangeQuery::with_window_start_range(i64::MIN, i64::MAX), all.clone());
    check(WindowRangeQuery::with_window_start_range(from, to), some(&|row| (from..=to).contains(&row.1)));
    let of_keys = some(&|row| (from..=to).contains(&row.1) && ("k1".."k3").contains(&row.0.as_str()));
    check(WindowRangeQuery::with_window_start_range(from, to).with_key_range("k1", "k2"), of_keys);
    for key in ["k0", "k1", "k2", "k3", "absent"] {
        let query = WindowKeyQuery::with_key_and_window_start_range(key, from, to);
        let expected = some(&|row| row.0 == key && (from..=to).contains(&row.1));
        assert_eq!(windowed(store.query(query.clone()).expect("readable").result), expected);
        let mut latest_first = windowed(store.query(query.with_latest_first()).expect("readable").result);
        latest_first.reverse();
        assert_eq!(latest_first, expected);
        let whole = windowed(store.query(WindowKeyQuery::with_key(key)).expect("readable").result);
        assert_eq!(whole, some(&|row| row.0 == key));
    }
}

fn check_sessions(steps: &[(u8, i64, bool)], partitions: u32, from: i64, to: i64) {
    let (gap, grace) = (8, 20);
    let topology = counts_by(SessionWindows::new(span(gap), span(grace)).expect("legal"));
    let options = DriverOptions { partitions, ..DriverOptions::default() };
    let driver = TopologyTestDriver::with_options(&topology, options).expect("starts");
    let topic = driver.input_topic::<String, i64>("in").expect("is read");
    let mut model: Vec<(i64, Vec<WindowRow>)> = vec![(i64::MIN, Vec::new()); partitions as usize];
    for (key, time) in times(steps) {
        topic.pipe_at(key.as_str(), 1, time).expect("works");
        let (stream_time, live) = &mut model[partition_for_key(key.as_bytes(), partitions).0 as usize];
        *stream_time = time.max(*stream_time);
        let closed_before = *stream_time - gap - grace;
        let reached = |row: &WindowRow| row.0 == key && row.2 >= (time - gap).max(closed_before) && row.1 <= time + gap;
        let joined: Vec<WindowRow> = live.iter().filter(|row| reached(row)).cloned().collect();
        let start = joined.iter().map(|row| row.1).min().unwrap_or(time).min(time);
        let end = joined.iter().map(|row| row.2).max().unwrap_or(time).max(time);
        if end >= closed_before {
            live.retain(|row| !reached(row));
            live.push((key.clone(), start, end, joined.iter().map(|row| row.3).sum::<i64>() + 1));
        }
    }
    let store = driver.store::<String, i64>("counts").expect("is there");
    let found = windowed(store.query(SessionRangeQuery::with_no_bounds()).expect("readable").result);
    let all: Vec<&WindowRow> = model.iter().flat_map(|(_, live)| live).collect();
    assert!(found.iter().all(|row| all.contains(&row)), "{found:?} are not among {all:?}");
    for (stream_time, live) in &model {
        // Those that can still grow are there; of the others some may be.
        let open = live.iter().filter(|row| row.2 >= stream_time - gap - grace);
        open.for_each(|row| assert!(found.contains(row), "{row:?} is not among {found:?}"));
    }
    let some = |wants: &dyn Fn(&WindowRow) -> bool| found.iter().filter(|row| wants(row)).cloned().collect::<Vec<_>>();
    for key in ["k0", "k1", "k2", "absent"] {
        let mut of_key = some(&|row| row.0 == key);
        of_key.sort_by_key(|row| row.2);
        assert_eq!(windowed(store.query(SessionKeyQuery::with_key(key)).expect("readable").result), of_key);
        let latest = store.query(SessionKeyQuery::with_key(key).with_latest_first()).expect("readable").result;
        assert!(windowed(latest).iter().eq(of_key.iter().rev()));
        of_key.retain(|row| row.2 >= from && row.1 <= to);
        let within = store.query(SessionKeyQuery::with_key(key).overlapping(from, to)).expect("readable").result;
        assert_eq!(windowed(within), of_key);
        for (key, start, end, count) in &of_key {
            let one = SessionKeyQuery::with_key_and_bounds(key.as_str(), *start, *end);
            let one = windowed(store.query(one).expect("readable").result);
            assert_eq!(one, [(key.clone(), *start, *end, *count)]);
        }
    }
    let overlapping = SessionRangeQuery::with_key_range("k1", "k2").overlapping(from, to);
    let overlapping = windowed(store.query(overlapping).expect("readable").result);
    let expected = some(&|row| row.0.as_str() >= "k1" && row.2 >= from && row.1 <= to);
    assert_eq!(overlapping, expected);
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
    let error = prices.query(WindowRangeQuery::with_window_start_range(0, 1)).err().expect("refused");
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
