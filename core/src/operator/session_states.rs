//! The states of sessions that records have joined: stored states and folded records brought together.
//!
//! In parts, records are folded for themselves, and the parts of a session are merged in the order in which they joined: one look at each state
//! for a whole commit interval. In order, as Kafka Streams does it, the stored sessions that a record joins are merged first and the record is
//! folded into that: what closures make of it may differ.

use arrow::{
    array::{ArrayRef, UInt32Array},
    compute,
};

use super::{
    Fold, FoldError, FoldFactory, Folded,
    session_interval::{Part, SessionInterval},
    session_updates::Final,
};

/// Sessions that are new or changed, and their states in the same order.
pub(super) struct SessionStates {
    pub(super) finals: Vec<Final>,
    pub(super) states: Vec<ArrayRef>,
}

/// What is merged.
pub(super) struct SessionMerge<'a> {
    pub(super) factory: &'a dyn FoldFactory,
    pub(super) interval: &'a SessionInterval,
    /// The stored sessions that are no more, in ascending order.
    pub(super) replaced: &'a [usize],
}

impl SessionMerge<'_> {
    fn changed(&self) -> impl Iterator<Item = Final> {
        self.interval.keys.iter().enumerate().flat_map(|(key, sessions)| {
            let changed = sessions.live.iter().filter(|live| live.changed);
            changed.map(move |live| Final { key, session: live.session, parts: live.parts.clone(), gone: false })
        })
    }

    /// Records folded for themselves, then merged with the states that were stored.
    pub(super) fn of_parts(&self, fold: &mut dyn Fold, old: &[ArrayRef]) -> Result<SessionStates, FoldError> {
        let folded = fold.finish(none_of(old), self.interval.groups)?;
        let there = |group: usize| {
            folded.present.as_ref().is_none_or(|present| present[group])
                && folded.gone.as_ref().is_none_or(|gone| !gone[group])
        };
        let place = |part: &Part| match part {
            Part::Stored(one) => self.replaced.binary_search(one).ok(),
            Part::Folded(group) => there(*group).then_some(self.replaced.len() + group),
        };
        let finals: Vec<Final> =
            self.changed().filter(|one| one.parts.iter().any(|part| place(part).is_some())).collect();
        let (mut places, mut groups) = (Vec::new(), Vec::new());
        for (number, one) in finals.iter().enumerate() {
            for found in one.parts.iter().filter_map(place) {
                places.push(found as u32);
                groups.push(number);
            }
        }
        let both = old.iter().zip(&folded.states);
        let all = both.map(|(old, folded)| compute::concat(&[old.as_ref(), folded.as_ref()]));
        let states = taken(&all.collect::<Result<Vec<_>, _>>().map_err(FoldError::of)?, places)?;
        if groups.len() == finals.len() {
            return Ok(SessionStates { finals, states });
        }
        let total = finals.len();
        Ok(SessionStates { finals, states: self.factory.merge_states(&Folded { states, groups }, total)? })
    }

    /// Records folded into the merged states of the sessions that they join: one record a key.
    pub(super) fn in_order(&self, fold: &mut dyn Fold, old: &[ArrayRef]) -> Result<SessionStates, FoldError> {
        let mut finals: Vec<(Final, usize)> =
            self.changed().filter_map(|one| group_of(&one).map(|group| (one, group))).collect();
        let (mut places, mut merged_into, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        for (one, group) in &finals {
            let stored = one.parts.iter().filter_map(|part| match part {
                Part::Stored(stored) => self.replaced.binary_search(stored).ok(),
                Part::Folded(_) => None,
            });
            let before = places.len();
            places.extend(stored.map(|place| place as u32));
            if places.len() > before {
                merged_into.extend(std::iter::repeat_n(groups.len(), places.len() - before));
                groups.push(*group);
            }
        }
        let stored = match groups.len() {
            0 => none_of(old),
            total => {
                let parts = Folded { states: taken(old, places)?, groups: merged_into };
                Folded { states: self.factory.merge_before_record(&parts, total)?, groups: groups.clone() }
            }
        };
        let folded = fold.finish(stored, self.interval.groups)?;
        // Of a record that could not be folded only the sessions are left that it has joined.
        finals.retain(|(_, group)| {
            folded.present.as_ref().is_none_or(|present| present[*group]) || groups.contains(group)
        });
        let states = taken(&folded.states, finals.iter().map(|(_, group)| *group as u32).collect())?;
        let gone = |group: usize| folded.gone.as_ref().is_some_and(|gone| gone[group]);
        let finals = finals.into_iter().map(|(one, group)| Final { gone: gone(group), ..one }).collect();
        Ok(SessionStates { finals, states })
    }
}

/// The group of the record that has joined a session.
fn group_of(one: &Final) -> Option<usize> {
    one.parts.iter().find_map(|part| match part {
        Part::Folded(group) => Some(*group),
        Part::Stored(_) => None,
    })
}

fn none_of(states: &[ArrayRef]) -> Folded {
    Folded { states: states.iter().map(|column| column.slice(0, 0)).collect(), groups: Vec::new() }
}

fn taken(states: &[ArrayRef], places: Vec<u32>) -> Result<Vec<ArrayRef>, FoldError> {
    let places = UInt32Array::from(places);
    let states = states.iter().map(|column| compute::take(column, &places, None));
    states.collect::<Result<Vec<_>, _>>().map_err(FoldError::of)
}
