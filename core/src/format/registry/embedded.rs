//! A registry of the process itself: in memory, and, if it has a log, durable in one compacted topic.
//!
//! Invariant: what [`register`](SchemaRegistry::register) has answered is in the topic before it is in memory. Ids are given in rising order
//! and never twice; deleted versions stay known, so that their ids do.
//!
//! On a log that processes share each of them has such a registry over the one topic. Whoever changes it first takes the topic's only
//! producer from whoever has it, then reads to the end: what it commits after that follows from all that is there, or is refused because
//! another process has taken the producer in between, and is tried again.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use arrow::array::{BinaryArray, Int64Array};
use parking_lot::{Mutex, MutexGuard};

use super::{
    Compatibility, RegistryError, Schema, SchemaId, SchemaRegistry, SubjectVersion, Version, check,
    record::{RecordKey, config_value, read_config, read_version, version_value},
};
use crate::{
    log::{Append, CleanupPolicy, CommitError, LogError, Producer, SharedLog, TopicConfig, Transaction},
    record::{Offset, PartitionId, Records, TopicName, TopicPartition},
};

/// The topic that holds the schemas.
const TOPIC: &str = "_millstream_schemas";

/// A registry of the process itself.
pub struct EmbeddedRegistry {
    state: Mutex<State>,
}

struct State {
    subjects: BTreeMap<String, Subject>,
    schemas: HashMap<SchemaId, Arc<Schema>>,
    by_text: HashMap<String, SchemaId>,
    last: u32,
    compatibility: Compatibility,
    store: Option<Store>,
}

#[derive(Default)]
struct Subject {
    /// By rising version; deleted ones are marked.
    versions: Vec<(SubjectVersion, bool)>,
    compatibility: Option<Compatibility>,
}

impl Subject {
    fn live(&self) -> impl DoubleEndedIterator<Item = &SubjectVersion> {
        self.versions.iter().filter(|(_, deleted)| !deleted).map(|(version, _)| version)
    }
}

/// Where changes are written.
struct Store {
    /// The log, if other processes write to the topic as well; one of this process alone is free as soon as its engine lets go of it.
    shared: Option<SharedLog>,
    producer: Box<dyn Producer>,
    partition: TopicPartition,
    /// Where to read on.
    position: Offset,
}

/// How often a change may be tried that other processes come in between of.
const ATTEMPTS: u32 = 100;

impl fmt::Debug for EmbeddedRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        write!(f, "EmbeddedRegistry({} subjects, {} schemas)", state.subjects.len(), state.schemas.len())
    }
}

fn storage(problem: impl fmt::Display) -> RegistryError {
    RegistryError::Storage { problem: problem.to_string() }
}

impl EmbeddedRegistry {
    /// An empty one that forgets everything at the end of the process.
    pub fn in_memory() -> Self {
        Self {
            state: Mutex::new(State {
                subjects: BTreeMap::new(),
                schemas: HashMap::new(),
                by_text: HashMap::new(),
                last: 0,
                compatibility: Compatibility::Backward,
                store: None,
            }),
        }
    }

    /// The one kept in a topic of `log`, which is made if it is not there.
    ///
    /// # Errors
    /// [`RegistryError::Storage`] if the topic cannot be made or read, or holds something else.
    pub fn open(log: &SharedLog) -> Result<Self, RegistryError> {
        let topic = TopicName::new(TOPIC).map_err(storage)?;
        let config = TopicConfig { cleanup: CleanupPolicy::Compact, ..TopicConfig::default() };
        match log.create_topic(&topic, &config) {
            Ok(()) | Err(LogError::TopicExists { .. }) => {}
            Err(error) => return Err(storage(error)),
        }
        let partition = TopicPartition { topic, partition: PartitionId(0) };
        let producer = log.exclusive_producer(TOPIC).map_err(storage)?;
        let position: Offset = log.start_offset(&partition).map_err(storage)?;
        let registry = Self::in_memory();
        let mut state = registry.state.lock();
        let shared = log.is_shared().then(|| SharedLog::clone(log));
        state.store = Some(Store { shared, producer, partition, position });
        state.read_on(log)?;
        drop(state);
        Ok(registry)
    }

    /// What is known, with all that other processes have written.
    fn known(&self) -> Result<MutexGuard<'_, State>, RegistryError> {
        let mut state = self.state.lock();
        if let Some(log) = state.shared_log() {
            state.read_on(&log)?;
        }
        Ok(state)
    }

    /// Makes a change of what is known; where processes share it, no other one comes in between.
    fn change<T>(&self, change: impl Fn(&mut State) -> Result<T, Changing>) -> Result<T, RegistryError> {
        let mut state = self.state.lock();
        for _ in 0..ATTEMPTS {
            if let Some(log) = state.shared_log() {
                state.take_over(&log)?;
            }
            match change(&mut state) {
                Err(Changing::Outrun) => {}
                Err(Changing::Refused(error)) => return Err(error),
                Ok(done) => return Ok(done),
            }
        }
        Err(storage(format!("other processes changed topic {TOPIC} {ATTEMPTS} times in between; try again")))
    }

    /// Registers a schema under an id that is given, for tests that expect one.
    ///
    /// # Errors
    /// [`RegistryError::InvalidSchema`] if another schema has the id, or the schema is not valid.
    pub fn register_as(&self, subject: &str, id: SchemaId, schema: &Schema) -> Result<(), RegistryError> {
        self.change(|state| {
            let taken = state.schemas.get(&id).is_some_and(|found| found.canonical() != schema.canonical());
            if taken {
                let problem = format!("another schema has the id {id}");
                return Err(RegistryError::InvalidSchema { problem }.into());
            }
            let versions = state.subjects.get(subject).map_or(0, |subject| subject.versions.len());
            let version = u32::try_from(versions).unwrap_or(u32::MAX).saturating_add(1);
            state.add(SubjectVersion { subject: subject.to_owned(), version, id, schema: Arc::new(schema.clone()) })
        })
    }
}

/// Why a change is not made.
enum Changing {
    /// Another process has changed something in between.
    Outrun,
    /// It cannot be made.
    Refused(RegistryError),
}

impl From<RegistryError> for Changing {
    fn from(error: RegistryError) -> Self {
        Self::Refused(error)
    }
}

impl State {
    fn shared_log(&self) -> Option<SharedLog> {
        self.store.as_ref()?.shared.clone()
    }

    /// Takes the topic's only producer, and reads what was written until then.
    fn take_over(&mut self, log: &SharedLog) -> Result<(), RegistryError> {
        if let Some(store) = &mut self.store {
            store.producer = log.exclusive_producer(TOPIC).map_err(storage)?;
        }
        self.read_on(log)
    }

    /// Reads on to the end of the topic.
    fn read_on(&mut self, log: &SharedLog) -> Result<(), RegistryError> {
        let Some(store) = &self.store else { return Ok(()) };
        let (partition, mut position) = (store.partition.clone(), store.position);
        let end = log.end_offset(&partition).map_err(storage)?;
        while position < end {
            let fetched = log.fetch(&partition, position, 1 << 20).map_err(storage)?;
            for batch in &fetched.batches {
                let (keys, values) = (batch.records.keys(), batch.records.values());
                for (row, (key, value)) in keys.iter().zip(values.iter()).enumerate() {
                    let (Some(key), Some(value)) = (key, value) else { continue };
                    let place = |problem: String| {
                        storage(format!("topic={TOPIC} partition=0 offset={}: {problem}", batch.offsets.at(row)))
                    };
                    self.replay(key, value).map_err(place)?;
                }
            }
            position = fetched.next;
        }
        if let Some(store) = &mut self.store {
            store.position = position;
        }
        Ok(())
    }

    fn replay(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        match serde_json::from_slice(key).map_err(|error| error.to_string())? {
            RecordKey::Schema { .. } => {
                let (version, deleted) = read_version(value)?;
                self.keep(version, deleted);
            }
            RecordKey::Config { subject: None } => self.compatibility = read_config(value)?,
            RecordKey::Config { subject: Some(subject) } => {
                self.subjects.entry(subject).or_default().compatibility = Some(read_config(value)?);
            }
        }
        Ok(())
    }

    fn keep(&mut self, version: SubjectVersion, deleted: bool) {
        self.last = self.last.max(version.id.0);
        self.by_text.entry(version.schema.canonical()).or_insert(version.id);
        self.schemas.insert(version.id, Arc::clone(&version.schema));
        let versions = &mut self.subjects.entry(version.subject.clone()).or_default().versions;
        match versions.binary_search_by_key(&version.version, |(known, _)| known.version) {
            Ok(at) => versions[at] = (version, deleted),
            Err(at) => versions.insert(at, (version, deleted)),
        }
    }

    fn write(&mut self, key: &RecordKey, value: Vec<u8>) -> Result<(), Changing> {
        let Some(store) = &mut self.store else { return Ok(()) };
        let key = serde_json::to_vec(key).map_err(storage)?;
        let records = Records::new(
            BinaryArray::from_vec(vec![key.as_slice()]),
            BinaryArray::from_vec(vec![value.as_slice()]),
            Int64Array::from(vec![0]),
            None,
        );
        let appends = vec![Append { partition: store.partition.clone(), records }];
        match store.producer.commit(Transaction { appends, offsets: Vec::new() }) {
            Ok(_) => Ok(()),
            Err(CommitError::Fenced { .. }) if store.shared.is_some() => Err(Changing::Outrun),
            Err(error) => Err(storage(error).into()),
        }
    }

    fn add(&mut self, version: SubjectVersion) -> Result<(), Changing> {
        let key = RecordKey::Schema { subject: version.subject.clone(), version: version.version };
        self.write(&key, version_value(&version, false))?;
        self.keep(version, false);
        Ok(())
    }

    fn register(&mut self, subject: &str, schema: &Schema) -> Result<SchemaId, Changing> {
        if let Some(found) = self.find(subject, schema) {
            return Ok(found.id);
        }
        let used = self.resolve(schema)?;
        check::valid(schema, &used)?;
        let level = self.level(subject);
        let older: Vec<SubjectVersion> =
            self.subjects.get(subject).map(|found| found.live().cloned().collect()).unwrap_or_default();
        for version in check::compared(level, &older) {
            let old_used = self.resolve(&version.schema)?;
            check::compatible(level, (schema, &used), (&version.schema, &old_used)).map_err(|problem| {
                RegistryError::Incompatible {
                    subject: subject.to_owned(),
                    version: version.version,
                    level: level.name(),
                    problem,
                }
            })?;
        }
        let id = match self.by_text.get(&schema.canonical()) {
            Some(&id) => id,
            None => SchemaId(self.last.checked_add(1).ok_or_else(|| storage("there are no ids left"))?),
        };
        let last = self.subjects.get(subject).and_then(|found| found.versions.last());
        let version = last.map_or(1, |(version, _)| version.version.saturating_add(1));
        self.add(SubjectVersion { subject: subject.to_owned(), version, id, schema: Arc::new(schema.clone()) })?;
        Ok(id)
    }

    fn level(&self, subject: &str) -> Compatibility {
        self.subjects.get(subject).and_then(|subject| subject.compatibility).unwrap_or(self.compatibility)
    }

    fn subject(&self, subject: &str) -> Result<&Subject, RegistryError> {
        let found = self.subjects.get(subject).filter(|found| found.live().next().is_some());
        found.ok_or_else(|| RegistryError::UnknownSubject { subject: subject.to_owned() })
    }

    fn find(&self, subject: &str, schema: &Schema) -> Option<&SubjectVersion> {
        let wanted = schema.canonical();
        self.subjects.get(subject)?.live().find(|version| version.schema.canonical() == wanted)
    }

    fn resolve(&self, schema: &Schema) -> Result<Vec<(String, Arc<Schema>)>, RegistryError> {
        let mut found = Vec::new();
        for reference in &schema.references {
            let version = self.version(&reference.subject, Version::Number(reference.version))?;
            for inner in self.resolve(&version.schema)? {
                if !found.iter().any(|(name, _)| *name == inner.0) {
                    found.push(inner);
                }
            }
            found.push((reference.name.clone(), version.schema));
        }
        Ok(found)
    }

    fn version(&self, subject: &str, version: Version) -> Result<SubjectVersion, RegistryError> {
        let found = self.subject(subject)?;
        match version {
            Version::Latest => found.live().next_back().cloned(),
            Version::Number(number) => found.live().find(|version| version.version == number).cloned(),
        }
        .ok_or_else(|| RegistryError::UnknownVersion {
            subject: subject.to_owned(),
            version: match version {
                Version::Latest => 0,
                Version::Number(number) => number,
            },
        })
    }
}

impl SchemaRegistry for EmbeddedRegistry {
    fn register(&self, subject: &str, schema: &Schema) -> Result<SchemaId, RegistryError> {
        if let Some(found) = self.known()?.find(subject, schema) {
            return Ok(found.id);
        }
        self.change(|state| state.register(subject, schema))
    }

    fn schema(&self, id: SchemaId) -> Result<Arc<Schema>, RegistryError> {
        if let Some(found) = self.state.lock().schemas.get(&id) {
            return Ok(Arc::clone(found));
        }
        self.known()?.schemas.get(&id).cloned().ok_or(RegistryError::UnknownId { id })
    }

    fn version(&self, subject: &str, version: Version) -> Result<SubjectVersion, RegistryError> {
        self.known()?.version(subject, version)
    }

    fn find(&self, subject: &str, schema: &Schema) -> Result<Option<SubjectVersion>, RegistryError> {
        Ok(self.known()?.find(subject, schema).cloned())
    }

    fn subjects(&self) -> Result<Vec<String>, RegistryError> {
        let state = self.known()?;
        let live = state.subjects.iter().filter(|(_, subject)| subject.live().next().is_some());
        Ok(live.map(|(name, _)| name.clone()).collect())
    }

    fn versions(&self, subject: &str) -> Result<Vec<u32>, RegistryError> {
        Ok(self.known()?.subject(subject)?.live().map(|version| version.version).collect())
    }

    fn delete_subject(&self, subject: &str) -> Result<Vec<u32>, RegistryError> {
        self.change(|state| {
            let live: Vec<SubjectVersion> = state.subject(subject)?.live().cloned().collect();
            for version in &live {
                let key = RecordKey::Schema { subject: subject.to_owned(), version: version.version };
                state.write(&key, version_value(version, true))?;
                state.keep(version.clone(), true);
            }
            Ok(live.iter().map(|version| version.version).collect())
        })
    }

    fn compatibility(&self, subject: Option<&str>) -> Result<Compatibility, RegistryError> {
        let state = self.known()?;
        Ok(subject.map_or(state.compatibility, |subject| state.level(subject)))
    }

    fn set_compatibility(&self, subject: Option<&str>, level: Compatibility) -> Result<(), RegistryError> {
        self.change(|state| {
            state.write(&RecordKey::Config { subject: subject.map(str::to_owned) }, config_value(level))?;
            match subject {
                None => state.compatibility = level,
                Some(subject) => {
                    state.subjects.entry(subject.to_owned()).or_default().compatibility = Some(level);
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{format::registry::SchemaType, testing::MemoryLog};

    fn avro(fields: &str) -> Schema {
        Schema::new(SchemaType::Avro, format!(r#"{{"type": "record", "name": "r", "fields": [{fields}]}}"#))
    }

    const A: &str = r#"{"name": "a", "type": "int"}"#;
    const B: &str = r#"{"name": "b", "type": ["null", "int"], "default": null}"#;
    const C: &str = r#"{"name": "c", "type": "int"}"#;

    #[test]
    fn versions_and_ids_come_back_from_the_topic() {
        let log: SharedLog = Arc::new(MemoryLog::new());
        let registry = EmbeddedRegistry::open(&log).expect("an empty topic");
        let (one, two) = (avro(A), avro(&format!("{A}, {B}")));
        assert_eq!(registry.register("t-value", &one), Ok(SchemaId(1)));
        assert_eq!(registry.register("t-value", &two), Ok(SchemaId(2)));
        assert_eq!(registry.register("u-value", &one), Ok(SchemaId(1)), "the same schema has one id");
        assert_eq!(registry.register("t-value", &one), Ok(SchemaId(1)), "and stays the version it was");
        registry.set_compatibility(Some("u-value"), Compatibility::None).expect("a level");
        assert_eq!(registry.delete_subject("t-value"), Ok(vec![1, 2]));

        let registry = EmbeddedRegistry::open(&log).expect("the topic of before");
        assert_eq!(registry.subjects(), Ok(vec!["u-value".to_owned()]));
        assert_eq!(registry.schema(SchemaId(2)).as_deref(), Ok(&two), "deleted versions keep their ids");
        assert_eq!(registry.compatibility(Some("u-value")), Ok(Compatibility::None));
        assert_eq!(registry.compatibility(None), Ok(Compatibility::Backward));
        assert_eq!(registry.register("t-value", &avro(C)), Ok(SchemaId(3)));
        assert_eq!(registry.versions("t-value"), Ok(vec![3]));
        assert_eq!(registry.version("t-value", Version::Latest).map(|version| version.id), Ok(SchemaId(3)));
    }

    #[test]
    fn what_a_registry_refuses() {
        let registry = EmbeddedRegistry::in_memory();
        let check = |schema: &Schema, expected: &str| {
            let error = registry.register("s", schema).expect_err("it is refused").to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(&Schema::new(SchemaType::Avro, "{\"type\": \"record\"}"), "schema is not valid: ");
        registry.register("s", &avro(A)).expect("a first schema");
        check(
            &avro(&format!("{A}, {C}")),
            "schema is not compatible with version 1 of subject s (BACKWARD): field c has no default",
        );
        assert_eq!(registry.schema(SchemaId(9)), Err(RegistryError::UnknownId { id: SchemaId(9) }));
        assert!(matches!(registry.version("x", Version::Latest), Err(RegistryError::UnknownSubject { .. })));
    }
}
