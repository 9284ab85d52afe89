//! Many keys under a small budget: every store of the process together stays near it, and nothing is lost.
//!
//! In a process of its own, because it looks at the resident memory. `measure_throughput` prints figures and asserts little:
//! `cargo test -p millstream-state --test memory_budget -- --ignored --nocapture`

use std::sync::Arc;

use millstream_state::{Change, Position, StateBackend, StateConfig, Store, StoreKind, Values};

const BATCH: u64 = 10_000;

fn key(number: u64) -> [u8; 20] {
    let mut key = [0; 20];
    // Spread over the key space as hashes are.
    key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key[12..].copy_from_slice(&number.to_be_bytes());
    key
}

fn value(number: u64, round: u64) -> [u8; 16] {
    let mut value = [0; 16];
    value[..8].copy_from_slice(&number.to_be_bytes());
    value[8..].copy_from_slice(&round.to_be_bytes());
    value
}

fn write(store: &Store, numbers: impl Iterator<Item = u64> + Clone, round: u64, next: u64) {
    let entries: Vec<([u8; 20], [u8; 16])> = numbers.map(|number| (key(number), value(number, round))).collect();
    let changes = entries.iter().map(|(key, value)| Change::put(key, value));
    store.apply(changes, Position { incarnation: 1, next }).expect("a fresh directory takes writes");
}

fn read(store: &Store, numbers: impl Iterator<Item = u64>) -> Values {
    let keys: Vec<[u8; 20]> = numbers.map(key).collect();
    store.get_many(keys.iter().map(|key| &key[..])).expect("an undamaged directory can be read")
}

/// Resident bytes of this process, where the system tells.
fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? * 1024)
}

fn fill(backend: &Arc<StateBackend>, stores: &[Arc<Store>], keys: u64) -> (usize, usize) {
    let before = resident_bytes().unwrap_or(0);
    let (mut counted, mut resident) = (0, 0);
    for batch in 0..keys / BATCH {
        for store in stores {
            write(store, batch * BATCH..(batch + 1) * BATCH, 1, batch + 1);
        }
        counted = counted.max(backend.memory_usage().total_bytes());
        resident = resident.max(resident_bytes().unwrap_or(0).saturating_sub(before));
    }
    (counted, resident)
}

#[test]
fn two_million_keys_fit_into_a_budget_that_holds_a_fifth_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let limit = 32 << 20;
    let backend = StateBackend::open(StateConfig::new(directory.path(), limit)).unwrap();
    let names = ["one", "two"];
    let stores = names.map(|name| backend.open_store(name, StoreKind::KeyValue).unwrap());
    let keys = 1_000_000;
    let (counted, resident) = fill(&backend, &stores, keys);
    assert!(counted <= limit, "{counted} bytes counted, the budget is {limit}");
    assert!(resident <= 2 * limit, "{resident} bytes resident, the budget is {limit}");
    for store in &stores {
        for first in (0..keys).step_by(50_021) {
            let numbers = first..(first + 500).min(keys);
            let values = read(store, numbers.clone().chain(keys..keys + 10));
            for (place, number) in numbers.enumerate() {
                assert_eq!(values.get(place), Some(&value(number, 1)[..]));
            }
            assert_eq!(values.get(values.len() - 1), None);
        }
    }
    backend.checkpoint_all().unwrap();
    assert_eq!(backend.memory_usage().dirty_bytes, 0);
}

#[test]
#[ignore = "a measurement, not a test"]
#[expect(clippy::disallowed_methods, reason = "measures wall time")]
fn measure_throughput() {
    for (title, keys, limit) in
        [("a tenth fits", 1_000_000, 16 << 20), ("ten million", 10_000_000, 256 << 20), ("fits", 1_000_000, 1 << 30)]
    {
        let directory = tempfile::tempdir().unwrap();
        let backend = StateBackend::open(StateConfig::new(directory.path(), limit)).unwrap();
        let store = backend.open_store("store", StoreKind::KeyValue).unwrap();
        let timed = |what: &str, run: &mut dyn FnMut()| {
            let start = std::time::Instant::now();
            run();
            let rate = keys as f64 / start.elapsed().as_secs_f64() / 1e6;
            eprintln!("{title}: {what}: {rate:.2} M keys/s");
        };
        let batches = keys / BATCH;
        let mut peak = (0, 0);
        timed("first apply", &mut || peak = fill(&backend, std::slice::from_ref(&store), keys));
        // Each batch takes keys from all over the key space.
        let batch = |number: u64| (0..BATCH).map(move |place| place * batches + number);
        timed("get_many", &mut || {
            (0..batches).for_each(|number| assert_eq!(read(&store, batch(number)).len() as u64, BATCH))
        });
        timed("apply again", &mut || (0..batches).for_each(|number| write(&store, batch(number), 2, batches + number)));
        timed("checkpoint", &mut || store.checkpoint().unwrap());
        timed("scan", &mut || {
            let snapshot = store.snapshot().unwrap();
            let mut cursor = snapshot.scan().unwrap();
            let mut count = 0;
            while cursor.next_entry().unwrap().is_some() {
                count += 1;
            }
            assert_eq!(count, keys);
        });
        eprintln!("{title}: peak while filling {} MiB counted, {} MiB resident", peak.0 >> 20, peak.1 >> 20);
    }
}
