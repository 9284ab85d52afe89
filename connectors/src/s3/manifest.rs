//! The manifest: which objects are the output, and how far the topics are in it.
//!
//! It is a log of small objects `<prefix>/00000000000000000000.json`, `..1.json` and so on. Each is put on condition that none is there; so a
//! number is written once, by one writer, and the entry with the highest number is the state. An entry holds all that a restart needs (epoch,
//! positions, what is in flight), and the files that it adds; the files of all entries together are the output.
//!
//! Writers are fenced by it: a writer begins with an entry of a new epoch, and any later attempt of an earlier one to add an entry finds the
//! number taken. An entry that was put by a call whose answer was lost is recognised by its content. A writer that has held the manifest and lost
//! it does not claim it again.
//!
//! What an earlier writer had under way is named by the entry with which the next epoch begins, together with what that one's predecessors had:
//! one of them may still be about to put it.

use std::collections::BTreeMap;

use millstream::connect::ConnectError;
use serde::{Deserialize, Serialize};

use super::connection::{Connection, Put};

const ENTRY_BYTES_MAX: u64 = 64 << 20;
/// How often a writer that begins may find that another began at the same time.
const CLAIMS_MAX: usize = 5;
/// So many objects, and uploads, of writers before the last one are remembered to be removed again.
const LEFTOVERS_MAX: usize = 200;

/// What an entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EntryKind {
    /// A writer begins.
    #[default]
    Open,
    /// Parts of a large object will be put.
    Upload,
    /// Objects will be put.
    Announce,
    /// Objects are put and belong to the output from now on.
    Commit,
}

/// A state of the output.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) kind: EntryKind,
    /// Rises with each writer that begins.
    pub(super) epoch: u64,
    /// The writer, by a name made by chance.
    pub(super) writer: String,
    /// How rows are assigned to directories; `done` below only means something under the same.
    pub(super) layout: String,
    /// Topic, partition, state.
    pub(super) positions: BTreeMap<String, BTreeMap<u32, PartitionState>>,
    /// What this entry adds to the output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) files: Vec<FileEntry>,
    /// Objects that may be there and are no part of the output, unless a later entry has them among its files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) announced: Vec<String>,
    /// Uploads in parts that are not finished.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) uploads: Vec<Upload>,
    /// The entry with which the epoch began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) opened: Option<u64>,
    /// Where an epoch begins: what earlier writers left, which is to be removed.
    #[serde(default, skip_serializing_if = "Leftovers::is_empty")]
    pub(super) leftovers: Leftovers,
}

/// How far a partition is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct PartitionState {
    /// All records below are in the output, or dead letters.
    pub(super) next: u64,
    /// Directories in which more is done: records of theirs below this offset are in the output.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) done: BTreeMap<String, u64>,
    /// Records below this offset that cannot be taken are dead letters already.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) rejected: u64,
}

fn is_zero(offset: &u64) -> bool {
    *offset == 0
}

/// A file of the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileEntry {
    pub(super) key: String,
    pub(super) topic: String,
    pub(super) partition: u32,
    /// The offset of its first record.
    pub(super) first: u64,
    /// The offset of its last record. In between are records of other directories too.
    pub(super) last: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// An upload in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) id: String,
}

/// Objects and uploads that are no part of the output.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Leftovers {
    pub(super) objects: Vec<String>,
    pub(super) uploads: Vec<Upload>,
}

impl Leftovers {
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.uploads.is_empty()
    }

    /// Adds others.
    fn add(&mut self, more: &Self) {
        self.objects.extend_from_slice(&more.objects);
        self.uploads.extend_from_slice(&more.uploads);
    }

    /// Keeps the newest.
    fn shorten(&mut self) {
        self.objects.drain(..self.objects.len().saturating_sub(LEFTOVERS_MAX));
        self.uploads.drain(..self.uploads.len().saturating_sub(LEFTOVERS_MAX));
    }

    /// Removes them from the bucket.
    pub(super) fn remove(&self, connection: &Connection) -> Result<(), ConnectError> {
        if !self.objects.is_empty() {
            connection.delete_all(&self.objects)?;
        }
        self.uploads.iter().try_for_each(|upload| connection.abort_upload(&upload.key, &upload.id))
    }
}

/// A writer, and what it has claimed.
pub(super) struct Claim {
    /// A name that no other writer has.
    writer: String,
    /// The newest epoch that was its own.
    epoch: Option<u64>,
    /// What it has to remove from the bucket.
    leftovers: Leftovers,
}

impl Claim {
    /// A writer that has claimed nothing.
    pub(super) fn new() -> Result<Self, ConnectError> {
        let mut bytes = [0_u8; 8];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).map_err(|_| {
            ConnectError::Input {
                input: "the system's source of randomness".to_owned(),
                problem: "it gives nothing".to_owned(),
            }
        })?;
        Ok(Self {
            writer: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            epoch: None,
            leftovers: Leftovers::default(),
        })
    }

    /// Removes what the writers before left. One that is opened anew removes what it has left itself since.
    pub(super) fn tidy(&mut self, connection: &Connection) -> Result<(), ConnectError> {
        self.leftovers.remove(connection)?;
        self.leftovers = Leftovers::default();
        Ok(())
    }
}

/// The log of entries, at its end.
pub(super) struct Manifest {
    prefix: String,
    /// The number of `state`.
    last: Option<u64>,
    state: Entry,
}

impl Manifest {
    /// Reads the newest entry. `known` is the number of an entry that was there at the last commit.
    pub(super) fn load(connection: &Connection, prefix: &str, known: Option<u64>) -> Result<Self, ConnectError> {
        let mut manifest = Self { prefix: prefix.to_owned(), last: None, state: Entry::default() };
        let before = known.and_then(|known| known.checked_sub(1)).map(|number| manifest.key(number));
        let newest = connection.list(prefix, before.as_deref())?;
        let newest = newest.iter().rev().find_map(|object| number_of(object.location.as_ref()));
        let Some(newest) = newest.filter(|newest| known.is_none_or(|known| *newest >= known)) else {
            return match known {
                None => Ok(manifest),
                Some(known) => Err(manifest.refused(format!(
                    "entry {known} of the manifest was committed and is not there; put the objects back, or start anew with a connector of another name"
                ))),
            };
        };
        manifest.state = manifest.get(connection, newest)?;
        manifest.last = Some(newest);
        Ok(manifest)
    }

    pub(super) fn state(&self) -> &Entry {
        &self.state
    }

    /// The number of the newest entry.
    pub(super) fn last(&self) -> Option<u64> {
        self.last
    }

    /// Begins a new epoch: whoever wrote before can add no entry any more. What it left is among the leftovers.
    ///
    /// # Errors
    /// [`ConnectError::Position`] if another writer has begun since an earlier claim of this one.
    pub(super) fn claim(
        &mut self,
        connection: &Connection,
        claim: &mut Claim,
        layout: &str,
    ) -> Result<(), ConnectError> {
        for _ in 0..CLAIMS_MAX {
            let is_replaced = claim.epoch.is_some_and(|epoch| self.state.epoch > epoch);
            if is_replaced && self.state.writer != claim.writer {
                return Err(self.replaced_since(self.state.epoch));
            }
            let (before, last) = self.left_behind(connection)?;
            let entry = self.opening(&before, &last, &claim.writer, layout);
            if self.put(connection, entry)? {
                if claim.epoch.is_none() {
                    claim.leftovers.add(&before);
                }
                claim.leftovers.add(&last);
                claim.epoch = Some(self.state.epoch);
                return Ok(());
            }
            *self = Self::load(connection, &self.prefix, self.last)?;
        }
        Err(self.refused("other writers of the same name keep beginning; stop all but one".to_owned()))
    }

    /// What the writers before the last one left, and what that one did.
    fn left_behind(&self, connection: &Connection) -> Result<(Leftovers, Leftovers), ConnectError> {
        let mut before = match self.state.opened {
            Some(opened) if self.state.kind != EntryKind::Open => {
                self.find(connection, opened)?.unwrap_or_default().leftovers
            }
            _ => self.state.leftovers.clone(),
        };
        before.shorten();
        Ok((before, self.under_way()))
    }

    fn under_way(&self) -> Leftovers {
        Leftovers { objects: self.state.announced.clone(), uploads: self.state.uploads.clone() }
    }

    /// The entry with which the next epoch begins.
    fn opening(&self, before: &Leftovers, last: &Leftovers, writer: &str, layout: &str) -> Entry {
        let mut leftovers = before.clone();
        leftovers.add(last);
        Entry {
            kind: EntryKind::Open,
            epoch: self.state.epoch + 1,
            writer: writer.to_owned(),
            layout: layout.to_owned(),
            positions: self.state.positions.clone(),
            opened: Some(self.next()),
            leftovers,
            ..Entry::default()
        }
    }

    /// Adds an entry behind the state.
    ///
    /// # Errors
    /// [`ConnectError::Position`] if another writer has added one: this one is fenced.
    pub(super) fn append(&mut self, connection: &Connection, entry: Entry) -> Result<(), ConnectError> {
        let entry = Entry { leftovers: Leftovers::default(), ..entry };
        if self.put(connection, entry)? {
            return Ok(());
        }
        Err(self.replaced_since(self.state.epoch + 1))
    }

    /// The error that says so, if another writer has added an entry behind the state.
    pub(super) fn replaced(&self, connection: &Connection) -> Result<Option<ConnectError>, ConnectError> {
        let behind = self.find(connection, self.next())?.filter(|entry| entry.writer != self.state.writer);
        Ok(behind.map(|entry| self.replaced_since(entry.epoch)))
    }

    fn replaced_since(&self, epoch: u64) -> ConnectError {
        self.refused(format!(
            "another connector of the same name writes here since epoch {epoch}; stop one of them, or give one another name"
        ))
    }

    /// Removes what was under way, of a writer that was replaced. What cannot be removed now, the next writer removes that begins.
    pub(super) fn abandon(&self, connection: &Connection) {
        if let Err(error) = self.under_way().remove(connection) {
            tracing::warn!(manifest = %self.prefix, %error, "objects that were never committed stay until a connector of this name starts");
        }
    }

    /// Whether the entry is now the newest; if not, somebody else's is.
    fn put(&mut self, connection: &Connection, entry: Entry) -> Result<bool, ConnectError> {
        let number = self.next();
        let content = serde_json::to_vec(&entry).expect("an entry is always JSON");
        if connection.put_new(&self.key(number), content)? == Put::Exists && self.get(connection, number)? != entry {
            return Ok(false);
        }
        self.last = Some(number);
        self.state = entry;
        Ok(true)
    }

    fn get(&self, connection: &Connection, number: u64) -> Result<Entry, ConnectError> {
        let entry = self.find(connection, number)?;
        entry.ok_or_else(|| self.refused(format!("object {} has just been there and is gone", self.key(number))))
    }

    fn find(&self, connection: &Connection, number: u64) -> Result<Option<Entry>, ConnectError> {
        let key = self.key(number);
        let content = connection.get(&key, ENTRY_BYTES_MAX)?;
        let read = content.map(|content| serde_json::from_slice(&content)).transpose();
        read.map_err(|error| self.refused(format!("object {key} is not readable ({error})")))
    }

    /// The number of the entry to come.
    fn next(&self) -> u64 {
        self.last.map_or(0, |last| last + 1)
    }

    fn key(&self, number: u64) -> String {
        format!("{}/{number:020}.json", self.prefix)
    }

    pub(super) fn refused(&self, problem: String) -> ConnectError {
        ConnectError::Position { partition: format!("s3:{}", self.prefix), problem }
    }
}

fn number_of(key: &str) -> Option<u64> {
    key.rsplit('/').next()?.strip_suffix(".json")?.parse().ok()
}
