//! Windows and sessions in stores of processors, against a map that knows stream time only.

use std::collections::BTreeMap;

use millstream::{
    StreamsBuilder,
    dsl::{
        Consumed, ProcessorContext, ProcessorRecord, Produced, SessionStore, StateStore, Stores, WindowStore, Windowed,
    },
    operator::EmitPolicy,
    record::{Record, TimeSpan, Timestamp},
    testing::TopologyTestDriver,
    topology::Topology,
};
use proptest::prelude::*;

fn text(bytes: Option<Vec<u8>>) -> String {
    bytes.map_or("-".to_owned(), |bytes| String::from_utf8(bytes).expect("text"))
}

const RETENTION: i64 = 64;

fn span(millis: i64) -> TimeSpan {
    TimeSpan::from_millis(millis).expect("not negative")
}

fn windows(windows: WindowStore<String, i64>) -> Topology {
    let builder = StreamsBuilder::new();
    let stores = Stores::window::<String, i64>("windows", span(RETENTION), span(10));
    let added = builder.add_state_store(stores);
    assert_eq!(StateStore::name(&windows), StateStore::name(&added));
    let lines = builder.stream::<String, String>("in", Consumed::kafka());
    let found = lines.process_values_each(
        move |record, context| {
            let at = record.timestamp();
            let mut rows = context.store(&windows)?;
            let kept = if record.value() == "delete" {
                rows.delete(record.key(), at)?;
                true
            } else {
                let before = rows.fetch(record.key(), at)?.unwrap_or(0);
                rows.put(record.key(), &(before + 1), at)?
            };
            let range = Timestamp(at.millis() - 20)..=Timestamp(at.millis() + 20);
            let near: Vec<_> = rows.fetch_range(record.key(), range.clone())?;
            let near: Vec<_> = near.into_iter().map(|(start, count)| (start.millis(), count)).collect();
            let mut all: Vec<_> = rows.all()?.into_iter().map(|(key, count)| (key.key, key.start, count)).collect();
            all.sort();
            let in_range = rows.fetch_all(range)?.len();
            context.forward(record.map_value(|_| format!("{kept} {near:?} {all:?} {in_range}")));
            Ok(())
        },
        &[&added],
    );
    found.to("out", Produced::kafka());
    builder.build().expect("legal")
}

fn model_of_windows(inputs: &[(u8, u8, i64)]) -> Vec<String> {
    let (mut kept, mut newest, mut out) = (BTreeMap::<(String, i64), i64>::new(), i64::MIN, Vec::new());
    for &(key, value, at) in inputs {
        newest = newest.max(at);
        kept.retain(|(_, start), _| start + RETENTION > newest);
        let key = format!("k{key}");
        let is_there = at + RETENTION > newest;
        if value == 0 {
            kept.remove(&(key.clone(), at));
        } else if is_there {
            *kept.entry((key.clone(), at)).or_default() += 1;
        }
        let in_range = |start: i64| (at - 20..=at + 20).contains(&start);
        let near = kept.iter().filter(|((own, start), _)| *own == key && in_range(*start));
        let near: Vec<_> = near.map(|((_, start), count)| (*start, *count)).collect();
        let all: Vec<_> = kept.iter().map(|((key, start), count)| (key.clone(), *start, *count)).collect();
        let all_near = kept.keys().filter(|(_, start)| in_range(*start)).count();
        out.push(format!("{} {near:?} {all:?} {all_near}", is_there || value == 0));
    }
    out
}

fn sessions(builder: &StreamsBuilder) -> SessionStore<String, i64> {
    builder.add_state_store(Stores::session::<String, i64>("sessions", span(RETENTION)))
}

fn merging() -> Topology {
    let builder = StreamsBuilder::new();
    let added = sessions(&builder);
    let store = added.clone();
    let merged = builder.stream::<String, String>("in", Consumed::kafka()).process_values_each(
        move |record, context| {
            let (key, at) = (record.key().clone(), record.timestamp().millis());
            let mut rows = context.store(&store)?;
            let mut whole = (Windowed { key: key.clone(), start: at, end: at }, 1);
            for (session, count) in rows.find_sessions(&key, Timestamp(at - 5), Timestamp(at + 5))? {
                assert_eq!(rows.fetch_session(&session)?, Some(count));
                rows.remove(&session)?;
                whole.0.start = whole.0.start.min(session.start);
                whole.0.end = whole.0.end.max(session.end);
                whole.1 += count;
            }
            rows.put(&whole.0, &whole.1)?;
            let all = rows.fetch(&key)?.into_iter().map(|(at, count)| (at.end, at.start, count));
            let all: Vec<(i64, i64, i64)> = all.collect();
            let total = rows.all()?.len();
            context.forward(record.map_value(|_| format!("{all:?} {total}")));
            Ok(())
        },
        &[&added],
    );
    merged.to("out", Produced::kafka());
    builder.build().expect("legal")
}

fn model_of_sessions(inputs: &[(u8, u8, i64)]) -> Vec<String> {
    let (mut kept, mut newest, mut out) = (Vec::<(u8, i64, i64, i64)>::new(), i64::MIN, Vec::new());
    for &(key, _, at) in inputs {
        newest = newest.max(at);
        kept.retain(|(_, end, ..)| end + RETENTION > newest);
        let reached = |row: &(u8, i64, i64, i64)| row.0 == key && row.1 >= at - 5 && row.2 <= at + 5;
        let joined: Vec<_> = kept.iter().filter(|row| reached(row)).copied().collect();
        kept.retain(|row| !reached(row));
        let end = joined.iter().map(|row| row.1).max().unwrap_or(at).max(at);
        let start = joined.iter().map(|row| row.2).min().unwrap_or(at).min(at);
        if end + RETENTION > newest {
            kept.push((key, end, start, 1 + joined.iter().map(|row| row.3).sum::<i64>()));
        }
        kept.sort_unstable();
        let all: Vec<_> = kept.iter().filter(|row| row.0 == key).map(|row| (row.1, row.2, row.3)).collect();
        out.push(format!("{all:?} {}", kept.len()));
    }
    out
}

fn run(topology: &Topology, inputs: &[(u8, u8, i64)], emit: EmitPolicy, cut: usize, lives: usize) -> Vec<String> {
    let mut driver = TopologyTestDriver::with(topology, 1, emit).expect("can be run");
    let value = |value: u8| if value == 0 { "delete" } else { "x" };
    let record = |&(key, kind, at): &(u8, u8, i64)| Record::new(format!("k{key}"), value(kind)).at_ms(at);
    for (number, part) in inputs.chunks(cut).enumerate() {
        driver.push_all("in", part.iter().map(record)).expect("runs");
        if number % lives == lives - 1 {
            driver.restart().expect("starts again");
        }
    }
    driver.drain("out").expect("a topic").into_iter().map(|record| text(record.value)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn windows_and_sessions_are_those_of_the_model(
        mut inputs in prop::collection::vec((0_u8..3, 0_u8..4, 0_i64..60), 0..40),
        pace in 0_i64..6,
        cut in 1_usize..9,
        lives in 1_usize..4,
    ) {
        inputs.iter_mut().zip(0..).for_each(|(input, number)| input.2 += pace * number);
        let store = StreamsBuilder::new().add_state_store(Stores::window("windows", span(RETENTION), span(10)));
        for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
            prop_assert_eq!(run(&windows(store.clone()), &inputs, emit, cut, lives), model_of_windows(&inputs));
            prop_assert_eq!(run(&merging(), &inputs, emit, cut, lives), model_of_sessions(&inputs));
        }
    }
}

#[test]
fn what_lies_ahead_of_stream_time_cannot_be_stored() {
    let builder = StreamsBuilder::new();
    let added = sessions(&builder);
    let store = added.clone();
    let ahead = move |record: ProcessorRecord<String, String>, context: &mut ProcessorContext<'_, String, String>| {
        let end = record.timestamp.millis() + 1;
        context.store(&store)?.put(&Windowed { key: record.key.clone(), start: 0, end }, &1).map(drop)
    };
    builder.stream::<String, String>("in", Consumed::kafka()).process_each(ahead, &[&added]);
    let mut driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("can be run");
    driver.push("in", Record::new("k", "x").at_ms(5)).expect("runs");
    let letters = driver.dead_letters().expect("a topic");
    let problem = letters[0].headers.iter().find(|header| header.name == "millstream.problem");
    let problem = text(problem.and_then(|header| header.value.clone()));
    assert_eq!(problem, "a window at 6 lies after stream time, 5: it cannot be stored yet");
}
