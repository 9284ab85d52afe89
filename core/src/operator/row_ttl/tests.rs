//! The index of a table with a TTL: an entry a row, whatever happens to it.

use arrow::{
    array::StringArray,
    datatypes::{DataType, Field},
};

use super::*;
use crate::{
    operator::{MemoryStore, StoreRetention, TaskId, TaskTime},
    record::PartitionId,
};

#[test]
fn the_index_has_an_entry_a_row() {
    let field = |name: &str| Arc::new(Field::new(name, DataType::Utf8, true));
    let schema = StreamSchema::new(vec![field("k")], vec![field("v")], false).unwrap();
    let task = TaskId { subtopology: 0, partition: PartitionId(0) };
    for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
        let ttl = TimeSpan::from_millis(40).unwrap();
        let schema = Arc::clone(&schema);
        let mut table =
            RowTtl::new(RowTtlSettings { store: 0, index: 1, ttl, schema, emit, needs_before: true }).unwrap();
        let store = || TaskStore::new(Box::new(MemoryStore::default()), StoreRetention::Forever);
        let mut stores = [store(), store()];
        let (mut seed, mut most) = (7_u64, 0);
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for step in 0..400_i64 {
            let rows = 1 + random(6) as usize;
            let keys: Vec<String> = (0..rows).map(|_| random(9).to_string()).collect();
            let times: Vec<i64> = (0..rows).map(|_| step + random(50) as i64).collect();
            let present: Vec<bool> = (0..rows).map(|_| random(5) > 0).collect();
            let (mut output, mut sinks, mut dead_letters) = (Vec::new(), Vec::new(), Vec::new());
            let mut context = Context {
                stores: &mut stores,
                output: &mut output,
                sinks: &mut sinks,
                dead_letters: &mut dead_letters,
                late: &mut crate::operator::LateOutput::default(),
                operator: "row-ttl",
                input: 0,
                origin: None,
                time: &TaskTime::new(task, Timestamp::NONE, Timestamp(0)),
            };
            let keys: ArrayRef = Arc::new(StringArray::from(keys));
            let times: ArrayRef = Arc::new(Int64Array::from(times));
            let columns = vec![Arc::clone(&keys), keys, times, Batch::no_offsets(rows)];
            let batch = Batch::new(Arc::clone(&table.settings.schema), columns);
            let batch = batch.with_present(Some(NullBuffer::from(present)));
            table.on_batch(batch, &mut context).unwrap();
            if step % 3 == 0 {
                table.on_flush(&mut context).unwrap();
                for store in &mut stores {
                    let changes = store.changes();
                    store.apply(&changes, 1, step as u64).unwrap();
                }
            }
            let counts = stores.each_mut().map(|store| {
                let mut count = 0;
                let mut each = |_: &[u8], _: &[u8]| {
                    count += 1;
                    true
                };
                store.range(&[], None, &mut each).unwrap();
                count
            });
            assert_eq!(counts[1], 2 * counts[0], "an entry and its time for each row, step {step}");
            most = most.max(counts[0]);
        }
        assert!(most > 4, "{most} rows at most");
    }
}
