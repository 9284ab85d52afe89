//! The S3 sink: topics as objects of a bucket, each record once.
//!
//! # What is where
//! ```text
//! <topics.dir>/<topic>/<directory>/<topic>+<partition>+<first offset>+<epoch>.<format>       the output
//! <topics.dir>/_millstream/<connector>/00000000000000000017.json                             the manifest
//! ```
//! The output are the files that the entries of the manifest name. After a clean run and after a restart has opened, nothing else lies under
//! the directories of the topics, so that programs that read all files of a directory read the output; a program that must be right even while
//! the sink crashes goes by the manifest.
//!
//! # How it is exact
//! A file ends by rows, bytes, record time or wall clock, so where it ends cannot be repeated, and need not be:
//!
//! 1. Rows are encoded in memory; of large files parts are put, which nobody sees. An entry of the manifest names the upload first.
//! 2. When files have ended, an entry *announces* their names; then the objects are put where there are none, uploads are completed; then an
//!    entry *commits* the files together with the positions behind them. Only then the group's offsets move.
//! 3. A writer begins with an entry of a new epoch. It removes what was announced or being uploaded and never committed, and reads from the
//!    positions in the manifest. Names hold the epoch, so nothing that a writer of an earlier epoch still does can touch the output.
//!
//! Files of one partition end at different offsets if rows go to several directories. The position of a partition is the first record of its
//! oldest open file; of directories that are further, the manifest says how far, and records that come again are left out there.
//!
//! # Who was replaced
//! A writer finds out that it was replaced when the next number of the manifest is taken by another one. Then it ends, removes what it had under
//! way, and never begins again: not even when an error that passes has it opened anew, for the other one would be fenced by that. A *new* writer
//! of the name always takes over.
//!
//! A writer that stood still while it was replaced may, when it goes on, put objects that it had announced before, after they were removed. It
//! removes them itself when it cannot commit them. In case it dies in between, the entry with which an epoch begins still names what was under
//! way in the epochs before, and whoever begins after that removes it once more.
//!
//! Invariants: an object of the output is put once and never changed; a record is in exactly one committed file, or in none and behind the
//! position; entries of the manifest are never changed.

use std::{collections::BTreeMap, sync::Arc};

use millstream::{
    connect::{ConnectError, Promise, RejectedRecord, Sink, SinkPosition, SinkPositions},
    log::FetchedBatch,
    record::{Timestamp, TopicName, TopicPartition},
};
use serde::{Deserialize, Serialize};

use super::{
    S3Sink,
    connection::Connection,
    manifest::{Claim, Manifest},
    partitioner::Placer,
    session::{Makers, Session},
};
use crate::{file_format::RowMaker, rows::TopicRows, runtime::Clock};

/// Writes topics into a bucket.
pub struct S3SinkWriter {
    config: S3Sink,
    connector: String,
    rows: TopicRows,
    clock: Arc<dyn Clock>,
    positions: SinkPositions,
    /// From `open` on.
    session: Option<Session>,
    /// The claims of this writer, so that it knows what it wrote and who replaced it.
    claim: Option<Claim>,
    /// The manifest as the last session left it, until it is known whether the writer was replaced since.
    left: Option<Manifest>,
}

/// What is committed with the offsets.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    /// An entry of the manifest.
    entry: u64,
}

impl S3SinkWriter {
    pub(super) fn new(config: S3Sink, connector: &str, rows: TopicRows, clock: Arc<dyn Clock>) -> Self {
        let (connector, positions) = (connector.to_owned(), SinkPositions::new());
        Self { config, connector, rows, clock, positions, session: None, claim: None, left: None }
    }

    fn prefix(&self) -> String {
        format!("{}/_millstream/{}", self.config.topics_dir, self.connector)
    }

    /// What makes rows of each topic, and places them.
    fn makers(&self) -> Result<Makers, ConnectError> {
        let maker = |topic: &TopicName| {
            let maker = RowMaker::new(self.config.format, topic, &self.rows)?;
            let schema = maker.schema().map(AsRef::as_ref);
            let placer = Placer::new(&self.config.partitioner, &self.config.time, schema, topic.as_str())?;
            Ok((topic.clone(), (maker, placer)))
        };
        self.config.topics.iter().map(maker).collect()
    }

    fn not_open(&self) -> ConnectError {
        let problem = "used before it was opened; this is a bug of the caller".to_owned();
        ConnectError::Position { partition: format!("s3:{}", self.prefix()), problem }
    }

    /// The number of the newest entry that was committed with offsets.
    fn newest_mark(&self, committed: &[SinkPosition]) -> Result<Option<u64>, ConnectError> {
        let mut newest = None;
        for bytes in committed.iter().filter_map(|position| position.mark.as_ref()) {
            let mark: Mark = serde_json::from_slice(bytes).map_err(|error| ConnectError::Position {
                partition: format!("s3:{}", self.prefix()),
                problem: format!("the mark is not readable ({error})"),
            })?;
            newest = newest.max(Some(mark.entry));
        }
        Ok(newest)
    }

    /// Whether the manifest is this connector's and its positions mean the same as now.
    fn check(&self, manifest: &Manifest, known: Option<u64>) -> Result<(), ConnectError> {
        let state = manifest.state();
        if known.is_none() && !state.positions.is_empty() {
            return Err(manifest.refused(
                "a connector of this name has written here before, which is not known to this Millstream; give this one another name, or another 'topics.dir'".to_owned(),
            ));
        }
        let is_split = state.positions.values().flat_map(BTreeMap::values).any(|partition| !partition.done.is_empty());
        if is_split && state.layout != self.config.layout() {
            return Err(manifest.refused(format!(
                "rows went to directories by `{}`, and some of them are further than others; go on with the same partitioner, or begin anew with a connector of another name",
                state.layout
            )));
        }
        Ok(())
    }
}

impl Sink for S3SinkWriter {
    fn topics(&self) -> &[TopicName] {
        &self.config.topics
    }

    fn promise(&self) -> Promise {
        Promise::ExactlyOnce
    }

    fn open(&mut self, committed: &[SinkPosition]) -> Result<(), ConnectError> {
        self.left = self.session.take().map(Session::into_manifest).or(self.left.take());
        let makers = self.makers()?;
        let connection = Connection::open(&self.config.bucket)?;
        if let Some(left) = &self.left
            && let Some(error) = left.replaced(&connection)?
        {
            left.abandon(&connection);
            return Err(error);
        }
        let known = self.newest_mark(committed)?;
        let mut manifest = Manifest::load(&connection, &self.prefix(), known)?;
        self.check(&manifest, known)?;
        let claim = match &mut self.claim {
            Some(claim) => claim,
            none => none.insert(Claim::new()?),
        };
        manifest.claim(&connection, claim, &self.config.layout())?;
        self.left = None;
        claim.tidy(&connection)?;
        self.session =
            Some(Session::new(self.config.clone(), connection, manifest, makers, committed, &mut self.positions));
        Ok(())
    }

    fn write(&mut self, partition: &TopicPartition, batch: &FetchedBatch) -> Result<(), ConnectError> {
        let (not_open, now) = (self.not_open(), self.clock.now());
        let session = self.session.as_mut().ok_or(not_open)?;
        session.write(partition, batch, now).map_err(|error| session.explain(error))
    }

    fn settle(&mut self) -> Result<Vec<RejectedRecord>, ConnectError> {
        let not_open = self.not_open();
        Ok(self.session.as_mut().ok_or(not_open)?.take_rejected())
    }

    fn flush(&mut self) -> Result<Vec<u8>, ConnectError> {
        let (not_open, now) = (self.not_open(), self.clock.now());
        let session = self.session.as_mut().ok_or(not_open)?;
        let entry = session.flush(now, &mut self.positions).map_err(|error| session.explain(error))?;
        Ok(serde_json::to_vec(&Mark { entry }).expect("a number is always JSON"))
    }

    fn positions(&self) -> Option<&SinkPositions> {
        Some(&self.positions)
    }

    fn is_due(&mut self, now: Timestamp) -> Result<bool, ConnectError> {
        Ok(self.session.as_ref().is_some_and(|session| session.is_any_due(now)))
    }
}
