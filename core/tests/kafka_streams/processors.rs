//! Operators of one's own, with stores and punctuations.

use std::time::Duration;

use millstream::{
    StreamsBuilder,
    dsl::{
        FixedKeyProcessorContext, FixedKeyRecord, KStream, KeyValueStore, Materialized, Processor, ProcessorContext,
        ProcessorError, ProcessorRecord, Punctuation, PunctuationType, Stores,
    },
    record::{Header, Timestamp},
};

use super::topology::{Text, Topology, both, changes, first_of, is_even, out, stream, text};

type Store = KeyValueStore<String, String>;
type Context<'a, 'b> = &'a mut ProcessorContext<'b, String, String>;
type Taken = ProcessorRecord<String, Text>;

/// The records that have a key.
fn keyed(builder: &StreamsBuilder, topic: &str) -> KStream<String, Text> {
    stream(builder, topic).filter(|k, _| k.is_some()).map(|k, v| (k.unwrap_or_default(), v))
}

fn put(store: &Store, context: Context<'_, '_>, key: &String, value: &Text) -> Result<(), ProcessorError> {
    match value {
        Some(value) => context.store(store)?.put(key, value),
        None => context.store(store)?.delete(key).map(drop),
    }
}

fn all(store: &Store, context: Context<'_, '_>) -> Result<String, ProcessorError> {
    Ok(context.store(store)?.all()?.into_iter().map(|(key, value)| key + &value).collect())
}

/// A topology of a processor that is one function of its store, a record and its context.
fn with_store(
    name: &str,
    function: impl Fn(&Store, Taken, Context<'_, '_>) -> Result<(), ProcessorError> + Clone + Send + Sync + 'static,
) -> Topology {
    Topology::new(name, move |b| {
        let store: Store = b.add_state_store(Stores::key_value("store"));
        let (handle, function) = (store.clone(), function.clone());
        out(keyed(b, "a").process_each(move |record, context| function(&handle, record, context), &[&store]));
    })
}

/// Keeps each value and, at every tick, passes on what is kept.
struct Ticking {
    store: Store,
    kind: PunctuationType,
}

impl Processor<String, Text, String, String> for Ticking {
    fn init(&mut self, context: &mut ProcessorContext<'_, String, String>) -> Result<(), ProcessorError> {
        context.schedule(Duration::from_millis(10), self.kind).map(drop)
    }

    fn process(
        &mut self,
        record: Taken,
        context: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), ProcessorError> {
        put(&self.store, context, &record.key, &record.value)?;
        let kept = format!("kept {}", text(&record.value));
        context.forward(record.with_value(kept));
        Ok(())
    }

    fn punctuate(
        &mut self,
        tick: &Punctuation,
        context: &mut ProcessorContext<'_, String, String>,
    ) -> Result<(), ProcessorError> {
        let all = all(&self.store, context)?;
        context.forward(ProcessorRecord::new("tick".to_owned(), all, tick.timestamp));
        Ok(())
    }
}

fn ticking(name: &str, kind: PunctuationType) -> Topology {
    Topology::new(name, move |b| {
        let store: Store = b.add_state_store(Stores::key_value("store"));
        let handle = store.clone();
        out(keyed(b, "a").process(move || Ticking { store: handle.clone(), kind }, &[&store]));
    })
}

/// Numbers values, for each key from 1.
fn number(
    store: &KeyValueStore<String, i64>,
    record: FixedKeyRecord<String, Text>,
    context: &mut FixedKeyProcessorContext<'_, String, String>,
) -> Result<(), ProcessorError> {
    let number = context.store(store)?.get(record.key())?.unwrap_or(0) + 1;
    context.store(store)?.put(record.key(), &number)?;
    context.forward(record.map_value(|value| format!("{}#{number}", text(&value))));
    Ok(())
}

fn one_store() -> Vec<Topology> {
    vec![
        with_store("process", |store, record, context| {
            let known = context.store(store)?.get(&record.key)?;
            let state = format!("{}{}", text(&known), text(&record.value));
            context.store(store)?.put(&record.key, &state)?;
            context.forward(record.clone().with_value(state));
            if is_even(&record.value) {
                let (key, time) = (first_of(&record.value).unwrap_or_default(), Timestamp(record.timestamp.0 + 5));
                context.forward(ProcessorRecord::new(key, "even".to_owned(), time));
            }
            Ok(())
        }),
        with_store("process-delete", |store, record, context| {
            let kept = if is_even(&record.value) { None } else { record.value.clone() };
            put(store, context, &record.key, &kept)?;
            let all = all(store, context)?;
            context.forward(record.with_value(all));
            Ok(())
        }),
        with_store("process-put-if-absent", |store, record, context| {
            let known = match &record.value {
                Some(value) => context.store(store)?.put_if_absent(&record.key, value)?,
                None => context.store(store)?.get(&record.key)?,
            };
            context.forward(record.with_value(text(&known).to_owned()));
            Ok(())
        }),
        with_store("process-range", |store, record, context| {
            let value = text(&record.value).to_owned();
            context.store(store)?.put(&(record.key.clone() + &value), &value)?;
            let rows = context.store(store)?.range("a".to_owned()..="b5".to_owned())?;
            let back = context.store(store)?.reverse_range("b".to_owned()..)?;
            let keys = |rows: Vec<(String, String)>| rows.into_iter().map(|(key, _)| key).collect::<String>();
            context.forward(record.with_value(format!("{}|{}", keys(rows), keys(back))));
            Ok(())
        }),
        Topology::new("process-values", |b| {
            let store = b.add_state_store(Stores::key_value("store"));
            let handle = store.clone();
            out(keyed(b, "a").process_values_each(move |record, context| number(&handle, record, context), &[&store]));
        }),
    ]
}

pub(crate) fn topologies() -> Vec<Topology> {
    let mut topologies = one_store();
    topologies.extend([
        ticking("punctuate-stream-time", PunctuationType::StreamTime),
        ticking("punctuate-wall-clock", PunctuationType::WallClockTime).with_clock(),
        Topology::new("process-rekeyed", |b| {
            let moved = keyed(b, "a").process_each(
                |record, context| {
                    let (key, time) = (first_of(&record.value), Timestamp(record.timestamp.0 + 3));
                    context.forward(record.with_key(key).with_timestamp(time));
                    Ok(())
                },
                &[],
            );
            changes(moved.group_by_key().count(Materialized::default()));
        }),
        Topology::new("process-two-streams", |b| {
            let store: Store = b.add_state_store(Stores::key_value("store"));
            let (kept, read) = (store.clone(), store.clone());
            let _: KStream<String, String> = keyed(b, "a")
                .process_each(move |record, context| put(&kept, context, &record.key, &record.value), &[&store]);
            let looked_up = keyed(b, "b").process_each(
                move |record, context| {
                    let known = context.store(&read)?.get(&record.key)?;
                    let value = both(&record.value, &known);
                    context.forward(record.with_value(value));
                    Ok(())
                },
                &[&store],
            );
            out(looked_up);
        })
        .reads(&["a", "b"]),
        Topology::new("process-headers", |b| {
            let marked = stream(b, "a").process_each(
                |mut record, context| {
                    record.headers.push(Header { name: "more".to_owned(), value: Some(vec![1]) });
                    context.forward(record);
                    Ok(())
                },
                &[],
            );
            out(marked);
        }),
        Topology::new("process-aggregated", |b| {
            let reducer = |state: Text, v: Text| Some(format!("{}{}", text(&state), text(&v)));
            let changes = stream(b, "a").group_by_key().reduce(reducer, Materialized::default()).to_stream();
            let marked = changes.process_each(
                |record, context| {
                    let value = format!("{}@{}", text(&record.value), context.current_stream_time().0);
                    context.forward(record.with_value(value));
                    Ok(())
                },
                &[],
            );
            out(marked);
        }),
    ]);
    topologies
}
