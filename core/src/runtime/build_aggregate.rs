//! From nodes of aggregates to their operators: sessions and sliding windows have operators of their own.

use std::sync::Arc;

use crate::{
    operator::{
        Aggregate, AggregateSettings, EmitPolicy, FoldError, Operator, SessionAggregate, SessionAggregateSettings,
        SlidingAggregate, SlidingAggregateSettings, StoreRetention, StoreSpec,
    },
    record::TimeSpan,
    schema::StreamSchema,
    topology::AggregateNode,
    window::{SessionWindows, SlidingWindows, Windows},
};

/// What an aggregate finds where it is made.
pub(super) struct AggregateSite<'a> {
    /// The columns of its output.
    pub(super) output: &'a Arc<StreamSchema>,
    /// The stores of the topology.
    pub(super) specs: &'a [StoreSpec],
    /// The number that a store of the topology has in the task.
    pub(super) local_store: &'a dyn Fn(usize) -> usize,
    /// When it passes updates on.
    pub(super) emit: EmitPolicy,
    /// How many inputs it has.
    pub(super) inputs: usize,
}

/// The operator of an aggregate.
pub(super) fn operator(node: &AggregateNode, site: &AggregateSite<'_>) -> Result<Box<dyn Operator>, FoldError> {
    let windows = match &node.windows {
        Some(Windows::Session(windows)) => return session(node, *windows, site),
        Some(Windows::Sliding(windows)) => return sliding(node, *windows, site),
        Some(Windows::Time(windows)) => Some(windows.clone()),
        None => None,
    };
    let settings = AggregateSettings {
        store: (site.local_store)(node.store),
        output: Arc::clone(site.output),
        fold: Arc::clone(&node.fold),
        windows,
        strategy: node.strategy,
        retention: site.specs[node.store].retention.retention().unwrap_or_default(),
        emit: site.emit,
        inputs: site.inputs,
        tombstones: node.tombstones,
        needs_before: node.needs_before,
    };
    Ok(Box::new(Aggregate::new(settings)?))
}

fn session(
    node: &AggregateNode,
    windows: SessionWindows,
    site: &AggregateSite<'_>,
) -> Result<Box<dyn Operator>, FoldError> {
    let StoreRetention::Sessions { span, retention } = site.specs[node.store].retention else {
        return Err(FoldError::of("the store is not one of sessions"));
    };
    let settings = SessionAggregateSettings {
        store: (site.local_store)(node.store),
        output: Arc::clone(site.output),
        fold: Arc::clone(&node.fold),
        windows,
        retention: less(retention, span.millis()),
        span,
        strategy: node.strategy,
        emit: site.emit,
        inputs: site.inputs,
        needs_before: node.needs_before,
    };
    Ok(Box::new(SessionAggregate::new(settings)?))
}

fn sliding(
    node: &AggregateNode,
    windows: SlidingWindows,
    site: &AggregateSite<'_>,
) -> Result<Box<dyn Operator>, FoldError> {
    let kept = site.specs[node.store].retention.retention().unwrap_or_default();
    let index = node.index.ok_or_else(|| FoldError::of("sliding windows have no index"))?;
    let StoreRetention::Sessions { span, .. } = site.specs[index].retention else {
        return Err(FoldError::of("the index is not one of stretches of time"));
    };
    // Windows of a moment would be gone from the store of Kafka Streams while they are still open.
    let unseen = match windows.time_difference() {
        TimeSpan::ZERO => 0,
        difference => difference.millis().saturating_add(1),
    };
    let settings = SlidingAggregateSettings {
        store: (site.local_store)(node.store),
        index: (site.local_store)(index),
        output: Arc::clone(site.output),
        fold: Arc::clone(&node.fold),
        windows,
        retention: less(kept, unseen),
        span,
        strategy: node.strategy,
        emit: site.emit,
        inputs: site.inputs,
        tombstones: node.tombstones,
        needs_before: node.needs_before,
    };
    Ok(Box::new(SlidingAggregate::new(settings)?))
}

/// Stores keep rows longer than they are looked at.
fn less(kept: TimeSpan, millis: i64) -> TimeSpan {
    TimeSpan::from_millis(kept.millis().saturating_sub(millis)).unwrap_or_default()
}
