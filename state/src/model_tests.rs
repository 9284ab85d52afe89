//! Stores against a `BTreeMap`: random changes, expiries, checkpoints, evictions, snapshots, crashes, for both kinds.
//!
//! A crash is a copy of the directory of a backend that goes on living: whatever RocksDB holds only in memory is lost. The copy
//! must be exactly the model of the position that it says it is at.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use crate::{Change, Cursor, Position, StateBackend, StateConfig, Store, StoreError, StoreKind, StoreSnapshot, key};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Clone)]
enum Step {
    Apply(Vec<(u8, i64, Option<String>)>),
    ExpireBefore(i64),
    Checkpoint,
    /// What memory pressure does; twice in a row empties the hot tier.
    Evict,
    Snapshot,
    /// The directory as it is now, opened as after a crash.
    Crash,
    Reopen,
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = (0..12_u8, -3..9_i64, proptest::option::weighted(0.7, "[a-z]{0,6}"));
    let step = prop_oneof![
        8 => proptest::collection::vec(change, 0..12).prop_map(Step::Apply),
        1 => (-4..8_i64).prop_map(Step::ExpireBefore),
        3 => Just(Step::Checkpoint),
        3 => Just(Step::Evict),
        2 => Just(Step::Snapshot),
        1 => Just(Step::Crash),
        1 => Just(Step::Reopen),
        1 => Just(Step::Reset),
    ];
    proptest::collection::vec(step, 1..40)
}

fn store_key(kind: StoreKind, name: u8, start: i64) -> Vec<u8> {
    let mut out = Vec::new();
    match kind {
        StoreKind::KeyValue => out.extend_from_slice(&[b'k', name][..1 + usize::from(name > 0)]),
        StoreKind::Window => key::window_key(start, &[name][..usize::from(name > 0)], &mut out),
    }
    out
}

fn collect(mut cursor: Cursor<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut entries = Vec::new();
    while let Some((key, value)) = cursor.next_entry().unwrap() {
        entries.push((key.to_vec(), value.to_vec()));
    }
    entries
}

fn owned<'m>(entries: impl Iterator<Item = (&'m Vec<u8>, &'m Vec<u8>)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    entries.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn check_snapshot(kind: StoreKind, snapshot: &StoreSnapshot, model: &Model) {
    assert_eq!(collect(snapshot.scan().unwrap()), owned(model.iter()));
    let keys: Vec<Vec<u8>> = (0..12).flat_map(|name| (-4..9).map(move |start| store_key(kind, name, start))).collect();
    let values = snapshot.get_many(keys.iter().map(Vec::as_slice)).unwrap();
    for (key, value) in keys.iter().zip(values.iter()) {
        assert_eq!(value, model.get(key).map(Vec::as_slice), "{key:?}");
    }
    let (from, to) = (&keys[40], &keys[90]);
    let bounds = (Bound::Excluded(from.clone()), Bound::Included(to.clone()));
    let range = snapshot.range(Bound::Excluded(from), Bound::Included(to)).unwrap();
    let expected = if from < to { owned(model.range(bounds)) } else { Vec::new() };
    assert_eq!(collect(range), expected);
    let backward = snapshot.range_backward(Bound::Excluded(from), Bound::Included(to)).unwrap();
    assert!(collect(backward).into_iter().rev().eq(expected));
    let backward = collect(snapshot.range_backward(Bound::Unbounded, Bound::Unbounded).unwrap());
    assert!(backward.into_iter().rev().eq(owned(model.iter())));
    if kind == StoreKind::Window {
        let in_windows = |key: &[u8]| key::split_window_key(key).is_some_and(|(start, _)| (0..5).contains(&start));
        let expected = owned(model.iter().filter(|(key, _)| in_windows(key)));
        assert_eq!(collect(snapshot.window_range(0..5).unwrap()), expected);
        for name in [&[][..], &[3], &[7]] {
            let of_name =
                |key: &[u8]| key::split_window_key(key).filter(|(_, own)| *own == name).map(|(start, _)| start);
            let expected: Vec<_> =
                model.iter().filter_map(|(key, value)| Some((of_name(key)?, value.clone()))).collect();
            assert_eq!(snapshot.fetch(name, i64::MIN..i64::MAX).unwrap(), expected);
        }
    }
}

fn check_store(store: &Store, model: &Model) {
    let keys: Vec<Vec<u8>> = (0..12)
        .flat_map(|name| (-4..9).map(move |start| (name, start)))
        .map(|(name, start)| store_key(store.kind(), name, start))
        .collect();
    let values = store.get_many(keys.iter().map(Vec::as_slice)).unwrap();
    for (key, value) in keys.iter().zip(values.iter()) {
        assert_eq!(value, model.get(key).map(Vec::as_slice), "{key:?}");
    }
    check_snapshot(store.kind(), &store.snapshot().unwrap(), model);
}

fn open(directory: &Path, kind: StoreKind) -> (Arc<StateBackend>, Arc<Store>) {
    let backend = StateBackend::open(StateConfig::new(directory, 4 << 20)).unwrap();
    let store = backend.open_store("store", kind).unwrap();
    (backend, store)
}

/// Copies a directory that is in use. RocksDB renames and removes files meanwhile: a copy that misses one is begun again.
fn copy_directory(from: &Path) -> TempDir {
    loop {
        let copy = tempfile::tempdir().unwrap();
        match try_copy(from, copy.path()) {
            Ok(()) => return copy,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => panic!("the directory cannot be copied: {error}"),
        }
    }
}

fn try_copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::copy(from.join("FORMAT"), to.join("FORMAT"))?;
    let (from, to) = (from.join("rocksdb"), to.join("rocksdb"));
    fs::create_dir(&to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}

/// The model at each position since the start or the last reset.
struct History {
    incarnation: u128,
    models: Vec<(Model, i64)>,
    checkpointed: usize,
    /// Where the store was evicted: it may have become durable at each of them, whatever became of later ones.
    evicted: Vec<usize>,
}

impl History {
    fn new(incarnation: u128) -> Self {
        Self { incarnation, models: vec![(Model::new(), i64::MIN)], checkpointed: 0, evicted: Vec::new() }
    }

    fn position(&self) -> Position {
        Position { incarnation: self.incarnation, next: self.models.len() as u64 - 1 }
    }

    fn now(&self) -> &(Model, i64) {
        self.models.last().expect("starts with the empty model")
    }

    /// The model of the position that a store came back with.
    fn at(&self, position: Option<Position>) -> usize {
        let next = position.map_or(0, |position| {
            assert_eq!(position.incarnation, self.incarnation);
            usize::try_from(position.next).unwrap()
        });
        assert!(next >= self.checkpointed, "came back at {next}, checkpointed was {}", self.checkpointed);
        next
    }
}

fn run(kind: StoreKind, steps: Vec<Step>) {
    let directory = tempfile::tempdir().unwrap();
    let (mut backend, mut store) = open(directory.path(), kind);
    let mut history = History::new(1);
    let mut snapshots: Vec<(StoreSnapshot, Model)> = Vec::new();
    let mut flushes = 0;
    for step in steps {
        match step {
            Step::Apply(changes) => {
                let (mut model, bound) = history.now().clone();
                let changes: Vec<(Vec<u8>, Option<String>, i64)> = changes
                    .into_iter()
                    .map(|(name, start, value)| (store_key(kind, name, start), value, start))
                    .collect();
                for (key, value, start) in &changes {
                    match value {
                        _ if kind == StoreKind::Window && *start < bound => None,
                        Some(value) => model.insert(key.clone(), value.clone().into_bytes()),
                        None => model.remove(key),
                    };
                }
                history.models.push((model, bound));
                let changes =
                    changes.iter().map(|(key, value, _)| Change { key, value: value.as_deref().map(str::as_bytes) });
                store.apply(changes, history.position()).unwrap();
            }
            Step::ExpireBefore(start) => {
                let (mut model, bound) = history.now().clone();
                let bound = if kind == StoreKind::Window { bound.max(start) } else { bound };
                model.retain(|key, _| {
                    kind == StoreKind::KeyValue || key::split_window_key(key).is_some_and(|(start, _)| start >= bound)
                });
                history.models.push((model, bound));
                store.expire_before(start).unwrap();
                store.apply([], history.position()).unwrap();
            }
            Step::Checkpoint => {
                store.checkpoint().unwrap();
                flushes += 1;
                history.checkpointed = history.models.len() - 1;
            }
            Step::Evict => {
                // Durable if it was large enough for a file of its own.
                store.evict().unwrap();
                flushes += 1;
                history.evicted.push(history.models.len() - 1);
            }
            Step::Snapshot => snapshots.push((store.snapshot().unwrap(), history.now().0.clone())),
            // With four files RocksDB may begin to compact while they are copied.
            Step::Crash if flushes >= 3 => {}
            Step::Crash => {
                let copy = copy_directory(directory.path());
                let (_backend, store) = open(copy.path(), kind);
                let at = history.at(store.position());
                let is_written = at == history.checkpointed || history.evicted.contains(&at);
                assert!(is_written, "came back at {at}, where nothing was written");
                check_store(&store, &history.models[at].0);
            }
            Step::Reopen => {
                snapshots.clear();
                drop((store, backend));
                (backend, store) = open(directory.path(), kind);
                let at = history.at(store.position());
                history.models.truncate(at + 1);
                history.checkpointed = at;
                history.evicted.clear();
                flushes += 1;
            }
            Step::Reset => {
                store.reset().unwrap();
                flushes += 1;
                history = History::new(history.incarnation + 1);
                assert_eq!(store.position(), None);
            }
        }
        check_store(&store, &history.now().0);
    }
    for (snapshot, model) in &snapshots {
        check_snapshot(kind, snapshot, model);
    }
    drop(backend);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_key_value_store_is_its_model(steps in steps()) {
        run(StoreKind::KeyValue, steps);
    }

    #[test]
    fn a_window_store_is_its_model(steps in steps()) {
        run(StoreKind::Window, steps);
    }
}

fn at(next: u64) -> Position {
    Position { incarnation: 1, next }
}

#[test]
fn a_snapshot_keeps_its_content_while_another_thread_writes() {
    let directory = tempfile::tempdir().unwrap();
    let (_backend, store) = open(directory.path(), StoreKind::KeyValue);
    let write = |store: &Store, round: u64| {
        let value = round.to_be_bytes();
        let keys: Vec<[u8; 4]> = (0..500_u32).map(u32::to_be_bytes).collect();
        store.apply(keys.iter().map(|key| Change::put(key, &value)), at(round)).unwrap();
    };
    write(&store, 1);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 2..200 {
                write(&store, round);
                if round % 7 == 0 {
                    store.checkpoint().unwrap();
                }
                if round % 11 == 0 {
                    store.evict().unwrap();
                }
            }
        });
        while !writer.is_finished() {
            let snapshot = store.snapshot().unwrap();
            let round = snapshot.position().expect("written before").next.to_be_bytes();
            let entries = collect(snapshot.scan().unwrap());
            assert_eq!(entries.len(), 500);
            assert!(entries.iter().all(|(_, value)| *value == round), "rounds mixed");
        }
    });
}

#[test]
fn a_window_that_opens_and_closes_between_checkpoints_never_touches_the_cold_tier() {
    let directory = tempfile::tempdir().unwrap();
    let (_backend, store) = open(directory.path(), StoreKind::Window);
    for start in 0..50_i64 {
        let keys: Vec<Vec<u8>> = (0..20).map(|name| store_key(StoreKind::Window, name, start)).collect();
        store.get_many(keys.iter().map(Vec::as_slice)).unwrap();
        store.apply(keys.iter().map(|key| Change::put(key, b"value")), at(start as u64 + 1)).unwrap();
        store.expire_before(start).unwrap();
    }
    store.expire_before(60).unwrap();
    store.checkpoint().unwrap();
    let metrics = store.metrics();
    assert_eq!((metrics.cold_reads, metrics.hot_entries, metrics.dirty_bytes), (0, 0, 0));
    assert_eq!(store.approximate_len(), 0);
    store.apply([Change::put(&store_key(StoreKind::Window, 1, 59), b"late")], at(51)).unwrap();
    assert_eq!(store.metrics().expired_changes, 1);
}

#[test]
fn stores_that_fit_in_memory_are_never_read_from_disk() {
    let directory = tempfile::tempdir().unwrap();
    let (_backend, store) = open(directory.path(), StoreKind::KeyValue);
    for next in 1..5 {
        store.apply([Change::put(b"a", b"1"), Change::delete(b"b")], at(next)).unwrap();
        store.checkpoint().unwrap();
        store.get_many([&b"a"[..], b"b", b"never written"]).unwrap();
    }
    assert_eq!(store.metrics().cold_reads, 0);
}

#[test]
fn what_was_read_from_disk_stays_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let (backend, store) = open(directory.path(), StoreKind::KeyValue);
    store.apply([Change::put(b"a", b"1")], at(1)).unwrap();
    backend.checkpoint_all().unwrap();
    drop((backend, store));
    let (_backend, store) = open(directory.path(), StoreKind::KeyValue);
    for _ in 0..3 {
        assert_eq!(store.get(b"a").unwrap().as_deref(), Some(&b"1"[..]));
    }
    assert_eq!(store.metrics().cold_reads, 1);
}

#[test]
fn opening_a_store_again_gives_the_same_and_another_kind_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (backend, store) = open(directory.path(), StoreKind::KeyValue);
    assert!(Arc::ptr_eq(&store, &backend.open_store("store", StoreKind::KeyValue).unwrap()));
    let error = backend.open_store("store", StoreKind::Window).err().expect("refused").to_string();
    assert_eq!(
        error,
        "store store is a key-value store and was opened as a window store; open it as it is or drop it first"
    );
    drop((backend, store));
    let backend = StateBackend::open(StateConfig::new(directory.path(), 4 << 20)).unwrap();
    assert!(matches!(backend.open_store("store", StoreKind::Window), Err(StoreError::KindMismatch { .. })));
    assert!(matches!(backend.open_store("", StoreKind::Window), Err(StoreError::InvalidName { .. })));
}

#[test]
fn a_dropped_store_is_gone_and_its_handles_refuse() {
    let directory = tempfile::tempdir().unwrap();
    let (backend, store) = open(directory.path(), StoreKind::KeyValue);
    store.apply([Change::put(b"a", b"1")], at(1)).unwrap();
    store.checkpoint().unwrap();
    let snapshot = store.snapshot().unwrap();
    backend.drop_store("store").unwrap();
    assert_eq!(backend.store_names(), Vec::<String>::new());
    assert!(matches!(backend.drop_store("store"), Err(StoreError::UnknownStore { .. })));
    let again = backend.open_store("store", StoreKind::Window).unwrap();
    assert_eq!((again.position(), again.approximate_len()), (None, 0));
    assert!(matches!(store.get(b"a"), Err(StoreError::StoreDropped { .. })));
    assert!(matches!(store.apply([], at(2)), Err(StoreError::StoreDropped { .. })));
    assert!(matches!(snapshot.get_many([&b"a"[..]]), Err(StoreError::StoreDropped { .. })));
    assert!(matches!(snapshot.scan(), Err(StoreError::StoreDropped { .. })));
}

#[test]
fn positions_never_go_back_and_never_change_incarnation() {
    let directory = tempfile::tempdir().unwrap();
    let (_backend, store) = open(directory.path(), StoreKind::KeyValue);
    store.apply([Change::put(b"a", b"1")], at(5)).unwrap();
    for position in [at(4), Position { incarnation: 2, next: 9 }] {
        let error = store.apply([Change::put(b"a", b"2")], position).expect_err("refused");
        assert!(matches!(error, StoreError::PositionMismatch { .. }));
    }
    assert_eq!(store.get(b"a").unwrap().as_deref(), Some(&b"1"[..]));
    store.apply([], at(5)).unwrap();
}

#[test]
fn a_half_applied_store_refuses_until_it_is_reset() {
    let directory = tempfile::tempdir().unwrap();
    let (_backend, store) = open(directory.path(), StoreKind::Window);
    let good = store_key(StoreKind::Window, 1, 1);
    let error = store.apply([Change::put(&good, b"1"), Change::put(b"short", b"2")], at(1)).expect_err("refused");
    assert!(matches!(error, StoreError::InvalidLength { length: 5, .. }));
    assert!(matches!(store.checkpoint(), Err(StoreError::HalfApplied { .. })));
    store.reset().unwrap();
    assert_eq!(store.get(&good).unwrap(), None);
}
