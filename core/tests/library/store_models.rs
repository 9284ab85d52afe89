//! Stores of keys, windows and sessions against maps and lists, through the public questions: put, get, range, expire.

use std::{collections::BTreeMap, ops::Bound};

use millstream::{
    dsl::Windowed,
    log::partition_for_key,
    query::{
        KeyQuery, KeysQuery, RangeQuery, ReadOnlyStore, SessionKeyQuery, SessionRangeQuery, StoreRow, WindowKeyQuery,
        WindowRangeQuery,
    },
    testing::{DriverOptions, TestRecord, TopologyTestDriver},
    window::{SessionWindows, TimeWindows},
};
use proptest::prelude::*;

use super::queries::{counts_by, prices, span};

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
        // Stores forget by what they have seen before the record.
        let kept_from = stream_time.saturating_sub(gap + grace).saturating_add(1);
        *stream_time = time.max(*stream_time);
        let closed_before = *stream_time - gap - grace;
        let reached = |row: &WindowRow| row.0 == key && row.2 >= (time - gap).max(kept_from) && row.1 <= time + gap;
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
        let open = live.iter().filter(|row| row.2 > stream_time - gap - grace);
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
