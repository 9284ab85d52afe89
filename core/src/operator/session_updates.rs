//! What a session aggregate passes on: which sessions are no more, which are new or changed, and both as columns.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, Int64Array, UInt32Array},
    buffer::NullBuffer,
    compute,
};

use super::{
    EmitPolicy, FoldError, FoldFactory,
    session_interval::{Part, SessionInterval},
};
use crate::{Batch, batch::Before, row::RowCodec, schema::StreamSchema, window::Session};

/// A session that is new or changed; its merged state has the same number.
pub(super) struct Final {
    pub(super) key: usize,
    pub(super) session: Session,
    pub(super) parts: Vec<Part>,
    /// Whether its state is nothing: it is passed on as a tombstone and not kept.
    pub(super) gone: bool,
}

/// A row that is passed on.
pub(super) struct Update {
    pub(super) key: usize,
    session: Session,
    /// Whether it is a session that is new or changed, not one that is no more.
    is_result: bool,
    /// The number of its state; none for a tombstone.
    after: Option<usize>,
    /// The place among the replaced sessions of the state that was there.
    before: Option<usize>,
}

/// Where the changed sessions of each key lie: they are in the order of keys.
pub(super) fn by_key(finals: &[Final], keys: usize) -> Vec<Range<usize>> {
    let mut ranges = vec![0..0; keys];
    for (number, one) in finals.iter().enumerate() {
        let range: &mut Range<usize> = &mut ranges[one.key];
        *range = if range.start == range.end { number..number + 1 } else { range.start..number + 1 };
    }
    ranges
}

/// Tombstones for sessions that are no more, then new and changed ones, key by key.
///
/// Under [`EmitPolicy::Record`] a session has a tombstone even if a new one has its bounds, unless it is a single moment; under
/// [`EmitPolicy::Commit`] it then has none.
pub(super) fn updates(
    interval: &SessionInterval,
    finals: &[Final],
    finals_of: &[Range<usize>],
    replaced: &[usize],
    emit: EmitPolicy,
) -> Vec<Update> {
    let mut updates = Vec::with_capacity(finals.len() + replaced.len());
    let stays = |key: usize, session: Session| {
        let is_point = session.start == session.end;
        (emit == EmitPolicy::Commit || is_point)
            && finals[finals_of[key].clone()].iter().any(|one| one.session == session)
    };
    for (place, &one) in replaced.iter().enumerate() {
        let stored = &interval.stored[one];
        if !stays(stored.key, stored.session) {
            let (key, session) = (stored.key, stored.session);
            updates.push(Update { key, session, is_result: false, after: None, before: Some(place) });
        }
    }
    for (number, one) in finals.iter().enumerate() {
        let same = |&place: &usize| {
            let stored = &interval.stored[replaced[place]];
            stored.session == one.session && stays(one.key, one.session)
        };
        let before = one.parts.iter().find_map(|part| match part {
            Part::Stored(stored) => replaced.binary_search(stored).ok().filter(same),
            Part::Folded(_) => None,
        });
        let after = (!one.gone).then_some(number);
        updates.push(Update { key: one.key, session: one.session, is_result: true, after, before });
    }
    updates.sort_by_key(|update| (update.key, update.is_result, update.session.end));
    updates
}

/// Makes columns of sessions.
pub(super) struct SessionRows<'a> {
    /// The columns.
    pub(super) output: &'a Arc<StreamSchema>,
    /// What reads results from states.
    pub(super) fold: &'a dyn FoldFactory,
    /// How keys are stored.
    pub(super) keys: &'a RowCodec,
    /// Whether rows say what was there before.
    pub(super) needs_before: bool,
}

impl SessionRows<'_> {
    /// Updates as rows; `states` are those after, `old_states` those of the replaced sessions.
    pub(super) fn of_updates(
        &self,
        interval: &SessionInterval,
        updates: &[Update],
        states: &[ArrayRef],
        old_states: &[ArrayRef],
    ) -> Result<Batch, FoldError> {
        let pick = |states: &[ArrayRef], place: &dyn Fn(&Update) -> Option<usize>| {
            let places: UInt32Array = updates.iter().map(|update| place(update).map(|place| place as u32)).collect();
            let results = self.fold.results_of(states)?;
            let columns = results.iter().map(|column| compute::take(column, &places, None));
            columns.collect::<Result<Vec<_>, _>>().map_err(FoldError::of)
        };
        let results = pick(states, &|update| update.after)?;
        let present = NullBuffer::from_iter(updates.iter().map(|update| update.after.is_some()));
        let before = match self.needs_before {
            false => None,
            true => {
                let present = NullBuffer::from_iter(updates.iter().map(|update| update.before.is_some()));
                Some(Before { values: pick(old_states, &|update| update.before)?, present: Some(present) })
            }
        };
        let keys = updates.iter().map(|update| &*interval.keys[update.key].key);
        let rows = self.of_sessions(keys, updates.iter().map(|update| update.session), results)?;
        Ok(rows.with_present(Some(present)).with_before(before))
    }

    /// Keys, bounds and results as rows; the timestamp of a row is the end of its session.
    pub(super) fn of_sessions<'k>(
        &self,
        keys: impl Iterator<Item = &'k [u8]>,
        sessions: impl Iterator<Item = Session> + Clone,
        results: Vec<ArrayRef>,
    ) -> Result<Batch, FoldError> {
        let mut columns = self.keys.decode(keys).map_err(FoldError::of)?;
        let starts = Int64Array::from_iter_values(sessions.clone().map(|session| session.start));
        let ends: ArrayRef = Arc::new(Int64Array::from_iter_values(sessions.map(|session| session.end)));
        let offsets = Batch::no_offsets(ends.len());
        columns.extend([Arc::new(starts) as ArrayRef, Arc::clone(&ends)]);
        columns.extend(results);
        columns.extend([ends, offsets]);
        Ok(Batch::new(Arc::clone(self.output), columns))
    }
}
