//! State stores for processors: which kinds there are, and where they are kept.

use std::{marker::PhantomData, sync::Arc};

use super::{
    KeyValueStore, SessionStore, StateStore, WindowStore,
    store_codec::StoreCodec,
    stretches::{Place, Stretches},
};
use crate::{
    dsl::typed::Data,
    operator::{StoreKind, StoreLogging, StoreOptions, StoreRetention, StoreSpec},
    record::TimeSpan,
};

/// Makes state stores.
///
/// ```
/// use millstream::{StreamsBuilder, dsl::Stores};
///
/// let builder = StreamsBuilder::new();
/// let counts = builder.add_state_store(Stores::key_value::<String, i64>("counts"));
/// let seen = builder.add_state_store(Stores::key_value::<String, bool>("seen").in_memory().with_logging_disabled());
/// ```
#[derive(Debug)]
pub struct Stores;

impl Stores {
    /// A store of one value a key, with the timestamp of its last change.
    ///
    /// # State
    /// One row a key: key columns; value columns and `ROWTIME`. It can be queried like a table's.
    pub fn key_value<K: Data, V: Data>(name: &str) -> StoreBuilder<KeyValueStore<K, V>> {
        Self::builder(name, StoreRetention::Forever, |codec| KeyValueStore::new(name.into(), codec))
    }

    /// A store of one value a key and window. All windows are `size` long; each is there for `retention` of stream time, from its start.
    ///
    /// # State
    /// One row a key and stretch of time, with the windows that start in it: rows are read and written whole, so that a key should not have
    /// thousands of windows in a 32nd of the retention.
    pub fn window<K: Data, V: Data>(
        name: &str,
        retention: impl Into<TimeSpan>,
        size: impl Into<TimeSpan>,
    ) -> StoreBuilder<WindowStore<K, V>> {
        let (stretches, size) = (Stretches::new(Place::Start, retention.into()), size.into());
        Self::builder(name, stretches.kept(), |codec| WindowStore::new(name.into(), codec, stretches, size))
    }

    /// A store of one value a key and session. Each session is there for `retention` of stream time, from its end.
    ///
    /// # State
    /// One row a key and stretch of time, with the sessions that end in it.
    pub fn session<K: Data, V: Data>(name: &str, retention: impl Into<TimeSpan>) -> StoreBuilder<SessionStore<K, V>> {
        let stretches = Stretches::new(Place::End, retention.into());
        Self::builder(name, stretches.kept(), |codec| SessionStore::new(name.into(), codec, stretches))
    }

    fn builder<K: Data, V: Data, S>(
        name: &str,
        retention: StoreRetention,
        store: impl FnOnce(Arc<Result<StoreCodec<K, V>, String>>) -> S,
    ) -> StoreBuilder<S> {
        let codec = StoreCodec::<K, V>::new();
        let spec = codec.as_ref().map(|codec| codec.spec(name, retention, StoreOptions::default()));
        StoreBuilder { spec: spec.map_err(Clone::clone), store: store(Arc::new(codec)), types: PhantomData }
    }
}

/// A state store to be added to a topology: kept on disk and logged, unless told otherwise.
pub struct StoreBuilder<S> {
    pub(in crate::dsl) spec: Result<StoreSpec, String>,
    pub(in crate::dsl) store: S,
    types: PhantomData<fn() -> S>,
}

impl<S: StateStore> StoreBuilder<S> {
    fn with(mut self, set: impl FnOnce(&mut StoreOptions)) -> Self {
        if let Ok(spec) = &mut self.spec {
            set(&mut spec.options);
        }
        self
    }

    /// Keeps the rows in memory. They come back from the changelog after a restart, all of them: it takes as long as there are changes.
    pub fn in_memory(self) -> Self {
        self.with(|options| options.kind = StoreKind::InMemory)
    }

    /// Keeps the rows on disk, behind a cache: the default.
    pub fn persistent(self) -> Self {
        self.with(|options| options.kind = StoreKind::Persistent)
    }

    /// Writes no changelog: the store is empty after every start.
    pub fn with_logging_disabled(self) -> Self {
        self.with(|options| options.logging = StoreLogging::Disabled)
    }

    /// Writes a changelog, from which the store comes back: the default.
    pub fn with_logging_enabled(self) -> Self {
        self.with(|options| options.logging = StoreLogging::Enabled)
    }
}
