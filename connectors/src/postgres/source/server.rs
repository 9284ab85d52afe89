//! The server of a source: who it is, its publication, its replication slot.
//!
//! Invariant: the slot is confirmed only up to places that are committed here, so `confirmed_flush_lsn` is never ahead of what is durable.
//! A slot that is ahead is therefore not the one of before, or somebody else has moved it: changes are missing, which is an error.

use millstream::connect::ConnectError;

use super::{PostgresSource, PublicationMode, lsn::Lsn};
use crate::postgres::{
    identifier::{literal, quoted},
    session::Session,
};

/// What tells a server and database from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) system: String,
    pub(super) database: String,
}

/// A replication slot as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    plugin: Option<String>,
    database: Option<String>,
    pub(super) confirmed: Lsn,
    wal_status: Option<String>,
    active_pid: Option<i32>,
}

/// Who the server is; it must decode its log.
pub(super) fn identity(session: &Session) -> Result<Identity, ConnectError> {
    let rows = session.query(
        "see who the server is",
        "SELECT (SELECT system_identifier::text FROM pg_control_system()), current_database()::text, current_setting('wal_level'), pg_is_in_recovery()",
        &[],
    )?;
    let Some(row) = rows.first() else { return Err(session.refusal("it does not say who it is".to_owned())) };
    let level: String = row.get(2);
    if level != "logical" {
        let problem = format!(
            "'wal_level' is {level}, and must be logical for changes to be followed: ALTER SYSTEM SET wal_level = logical, and restart it"
        );
        return Err(session.refusal(problem));
    }
    if row.get(3) {
        return Err(session.refusal("it is a standby; connect to the primary".to_owned()));
    }
    Ok(Identity { system: row.get(0), database: row.get(1) })
}

/// Makes the publication if it is not there and may be made.
pub(super) fn ensure_publication(session: &Session, config: &PostgresSource, name: &str) -> Result<(), ConnectError> {
    let found =
        session.query("look for the publication", "SELECT 1 FROM pg_publication WHERE pubname = $1", &[&name])?;
    if !found.is_empty() {
        return Ok(());
    }
    let tables: Vec<String> = config.table_names().iter().map(super::TableName::sql).collect();
    let sql = format!(
        "CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true)",
        quoted(name),
        tables.join(", ")
    );
    if config.missing_publication == PublicationMode::Disabled {
        let problem = format!(
            "there is no publication {name}; make it ({sql}), or let the connector do it with 'publication.autocreate.mode' = 'filtered'"
        );
        return Err(session.refusal(problem));
    }
    session.batch("make the publication", &sql)
}

/// The slot, if it is there.
pub(super) fn slot(session: &Session, name: &str) -> Result<Option<Slot>, ConnectError> {
    let rows = session.query(
        "look at the replication slot",
        "SELECT plugin::text, database::text, confirmed_flush_lsn::text, wal_status, active_pid FROM pg_replication_slots WHERE slot_name = $1",
        &[&name],
    )?;
    let Some(row) = rows.first() else { return Ok(None) };
    let confirmed: Option<String> = row.get(2);
    let confirmed = confirmed.map(|text| lsn(session, &text)).transpose()?.unwrap_or_default();
    Ok(Some(Slot {
        plugin: row.get(0),
        database: row.get(1),
        confirmed,
        wal_status: row.get(3),
        active_pid: row.get(4),
    }))
}

impl Slot {
    /// Whether changes can be read from it in this database; if not, why.
    pub(super) fn problem(&self, database: &str) -> Option<String> {
        if self.plugin.as_deref() != Some("pgoutput") || self.database.as_deref() != Some(database) {
            return Some("it is not one of pgoutput in this database; name another one in 'slot.name'".to_owned());
        }
        if self.wal_status.as_deref() == Some("lost") {
            return Some(
                "the server has given up the log that it needs ('max_slot_wal_keep_size'): changes are lost. Drop it, and start anew with a connector \
                 of another name"
                    .to_owned(),
            );
        }
        None
    }

    /// The process that reads from it, if one does.
    pub(super) fn reader(&self) -> Option<i32> {
        self.active_pid
    }
}

/// Makes a slot; returns the place from which on it has all transactions.
pub(super) fn make_slot(session: &Session, name: &str) -> Result<Lsn, ConnectError> {
    let sql = format!("SELECT lsn::text FROM pg_create_logical_replication_slot({}, 'pgoutput')", literal(name));
    one_lsn(session, "make the replication slot", &sql)
}

pub(super) fn drop_slot(session: &Session, name: &str) -> Result<(), ConnectError> {
    session.batch("drop the replication slot", &format!("SELECT pg_drop_replication_slot({})", literal(name)))
}

/// Confirms a slot up to a place: the server may forget what lies before.
pub(super) fn confirm(session: &Session, name: &str, to: Lsn) -> Result<(), ConnectError> {
    let sql = format!("SELECT pg_replication_slot_advance({}, '{to}')", literal(name));
    session.batch("confirm the replication slot", &sql)
}

/// The end of the server's log, as far as it is durable there.
pub(super) fn log_end(session: &Session) -> Result<Lsn, ConnectError> {
    one_lsn(session, "ask for the end of the log", "SELECT pg_current_wal_flush_lsn()::text")
}

fn one_lsn(session: &Session, action: &str, sql: &str) -> Result<Lsn, ConnectError> {
    let rows = session.query(action, sql, &[])?;
    lsn(session, rows.first().and_then(|row| row.get::<_, Option<&str>>(0)).unwrap_or_default())
}

pub(super) fn lsn(session: &Session, text: &str) -> Result<Lsn, ConnectError> {
    text.parse().map_err(|problem| session.refusal(problem))
}
