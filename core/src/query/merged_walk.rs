//! The entries of several partitions in one order of keys.

use super::partition_snapshot::{EntryWalk, PartitionSnapshot, ScanOrder};

/// Walks partitions side by side and gives the lowest key first, or the highest.
pub(super) struct MergedWalk<'s> {
    walks: Vec<EntryWalk<'s>>,
    /// The next entry of each walk; `None` at its end.
    heads: Vec<Option<Head>>,
    order: ScanOrder,
    /// Whose head was given last.
    given: Option<usize>,
}

#[derive(Default)]
struct Head {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<'s> MergedWalk<'s> {
    pub(super) fn new(
        partitions: impl Iterator<Item = &'s PartitionSnapshot>,
        from: &'s [u8],
        to: Option<&'s [u8]>,
        order: ScanOrder,
    ) -> Result<Self, String> {
        let walks = partitions.map(|partition| partition.walk(from, to, order)).collect::<Result<Vec<_>, _>>()?;
        let heads = walks.iter().map(|_| Some(Head::default())).collect();
        let mut merged = Self { walks, heads, order, given: None };
        if merged.walks.len() > 1 {
            (0..merged.walks.len()).try_for_each(|walk| merged.advance(walk))?;
        }
        Ok(merged)
    }

    /// The next entry, borrowed until the one after it.
    pub(super) fn next(&mut self) -> Result<Option<(&[u8], &[u8])>, String> {
        if self.walks.len() == 1 {
            return self.walks[0].next();
        }
        if let Some(given) = self.given.take() {
            self.advance(given)?;
        }
        let heads =
            self.heads.iter().enumerate().filter_map(|(walk, head)| Some((head.as_ref()?.key.as_slice(), walk)));
        let first = match self.order {
            ScanOrder::Ascending => heads.min(),
            ScanOrder::Descending => heads.max(),
        };
        self.given = first.map(|(_, walk)| walk);
        let head = self.given.and_then(|walk| self.heads[walk].as_ref());
        Ok(head.map(|head| (head.key.as_slice(), head.value.as_slice())))
    }

    fn advance(&mut self, walk: usize) -> Result<(), String> {
        let mut head = self.heads[walk].take().unwrap_or_default();
        if let Some((key, value)) = self.walks[walk].next()? {
            head.key.clear();
            head.key.extend_from_slice(key);
            head.value.clear();
            head.value.extend_from_slice(value);
            self.heads[walk] = Some(head);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::MemoryRows;

    #[test]
    fn partitions_are_walked_in_one_order() {
        let partition = |keys: &[&str]| {
            let mut rows = MemoryRows::default();
            keys.iter().for_each(|key| rows.insert(key.as_bytes(), b"x"));
            PartitionSnapshot::Memory(rows)
        };
        let partitions = [partition(&["a", "d", "g"]), partition(&[]), partition(&["b", "c", "h"])];
        let check = |count: usize, from: &str, to: Option<&str>, order: ScanOrder, expected: &str| {
            let mut walk = MergedWalk::new(partitions[..count].iter(), from.as_bytes(), to.map(str::as_bytes), order)
                .expect("memory does not fail");
            let mut keys = String::new();
            while let Some((key, _)) = walk.next().expect("memory does not fail") {
                keys.push_str(std::str::from_utf8(key).expect("text"));
            }
            assert_eq!(keys, expected);
        };
        check(3, "", None, ScanOrder::Ascending, "abcdgh");
        check(3, "", None, ScanOrder::Descending, "hgdcba");
        check(3, "b", Some("g"), ScanOrder::Ascending, "bcd");
        check(3, "b", Some("g"), ScanOrder::Descending, "dcb");
        check(1, "b", None, ScanOrder::Descending, "gd");
        check(3, "g", Some("b"), ScanOrder::Ascending, "");
    }
}
