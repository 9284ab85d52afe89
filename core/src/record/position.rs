//! A position: how far each partition of some topics was read.

use std::{collections::BTreeMap, fmt};

use super::{Offset, TopicPartition};

/// For each partition, the first offset that is *not* yet included. A partition that is not mentioned is not spoken of.
///
/// An answer of a store comes with the position of the inputs that it includes; a position can be given as a bound that an answer has to
/// include at least. After a record was written at an offset, [`after`](Self::after) is the bound that lets its writer see it.
///
/// ```
/// use millstream::record::{Offset, PartitionId, Position, TopicName, TopicPartition};
///
/// let orders = |partition| TopicPartition::new(TopicName::new("orders").expect("legal"), PartitionId(partition));
/// let bound = Position::after(orders(0), Offset(6));
/// let reached = Position::from_iter([(orders(0), Offset(9)), (orders(1), Offset(2))]);
/// assert_eq!(bound.get(&orders(0)), Some(Offset(7)));
/// assert!(reached.includes(&bound) && !bound.includes(&reached));
/// assert_eq!(bound.to_string(), "orders-0 at 7");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    next: BTreeMap<TopicPartition, Offset>,
}

impl Position {
    /// A position that speaks of nothing.
    ///
    /// ```
    /// # use millstream::record::Position;
    /// assert!(Position::new().is_empty());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// The position right after the record at `offset`.
    ///
    /// ```
    /// # use millstream::record::{Offset, PartitionId, Position, TopicName, TopicPartition};
    /// let orders = TopicPartition::new(TopicName::new("orders")?, PartitionId(0));
    /// assert_eq!(Position::after(orders.clone(), Offset(6)).get(&orders), Some(Offset(7)));
    /// # Ok::<(), millstream::record::InvalidName>(())
    /// ```
    pub fn after(partition: TopicPartition, offset: Offset) -> Self {
        Self::from_iter([(partition, offset.next())])
    }

    /// The first offset of a partition that is not included.
    ///
    /// ```
    /// # use millstream::record::{PartitionId, Position, TopicName, TopicPartition};
    /// let orders = TopicPartition::new(TopicName::new("orders")?, PartitionId(0));
    /// assert_eq!(Position::new().get(&orders), None);
    /// # Ok::<(), millstream::record::InvalidName>(())
    /// ```
    pub fn get(&self, partition: &TopicPartition) -> Option<Offset> {
        self.next.get(partition).copied()
    }

    /// The partitions spoken of, each with the first offset that is not included.
    ///
    /// ```
    /// # use millstream::record::Position;
    /// assert_eq!(Position::new().iter().count(), 0);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, Offset)> {
        self.next.iter().map(|(partition, next)| (partition, *next))
    }

    /// Whether it speaks of no partition.
    ///
    /// ```
    /// # use millstream::record::Position;
    /// assert!(Position::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// Whether everything that `other` includes is included here, too.
    ///
    /// ```
    /// # use millstream::record::Position;
    /// assert!(Position::new().includes(&Position::new()));
    /// ```
    pub fn includes(&self, other: &Self) -> bool {
        other.next.iter().all(|(partition, next)| next.0 == 0 || self.get(partition).is_some_and(|own| own >= *next))
    }

    /// What includes both: of each partition the later offset.
    ///
    /// ```
    /// # use millstream::record::{Offset, PartitionId, Position, TopicName, TopicPartition};
    /// let orders = TopicPartition::new(TopicName::new("orders")?, PartitionId(0));
    /// let merged = Position::after(orders.clone(), Offset(6)).merge(&Position::after(orders.clone(), Offset(3)));
    /// assert_eq!(merged.get(&orders), Some(Offset(7)));
    /// # Ok::<(), millstream::record::InvalidName>(())
    /// ```
    pub fn merge(mut self, other: &Self) -> Self {
        for (partition, next) in &other.next {
            let own = self.next.entry(partition.clone()).or_default();
            *own = (*own).max(*next);
        }
        self
    }

    /// Takes a partition in that holds no more than up to `next`: of two offsets the earlier one stays.
    pub(crate) fn limit(&mut self, partition: &TopicPartition, next: Offset) {
        match self.next.get_mut(partition) {
            Some(own) => *own = (*own).min(next),
            None => drop(self.next.insert(partition.clone(), next)),
        }
    }
}

/// Of a partition that comes twice the later offset counts.
impl FromIterator<(TopicPartition, Offset)> for Position {
    fn from_iter<I: IntoIterator<Item = (TopicPartition, Offset)>>(next: I) -> Self {
        let mut position = Self::new();
        for (partition, next) in next {
            let own = position.next.entry(partition).or_default();
            *own = (*own).max(next);
        }
        position
    }
}

/// `orders-0 at 7, orders-1 at 2`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (partition, next)) in self.next.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}{}-{} at {next}", partition.topic, partition.partition)?;
        }
        Ok(())
    }
}
