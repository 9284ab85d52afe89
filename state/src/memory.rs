//! One memory budget for all stores of a process, and where it goes.
//!
//! | share | for |
//! |---|---|
//! | 7/16 | hot tier: tables of committed values, all stores together |
//! | 1/4 | RocksDB's block cache: data, index and filter blocks |
//! | 1/16 | RocksDB's memtables, which only small checkpoints go through |
//! | 1/4 | passing needs: the order of a checkpoint's keys, a table that grows, the allocator |
//!
//! A snapshot keeps the layers that it saw; as long as it lives, what has since been replaced is not counted.

use crate::error::StoreError;

const LEAST_MEMORY_BYTES: usize = 1 << 20;
const LEAST_CHECKPOINT_BYTES: usize = 16 << 10;

/// Bytes per use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryBudget {
    pub(crate) memory_bytes: usize,
    pub(crate) hot_bytes: usize,
    pub(crate) block_cache_bytes: usize,
    pub(crate) write_buffer_bytes: usize,
    pub(crate) checkpoint_bytes: usize,
}

impl MemoryBudget {
    /// Splits the budget. A checkpoint is bounded by an eighth of it: the order of its keys takes half as much again.
    pub(crate) fn split(memory_bytes: usize, checkpoint_bytes: usize) -> Result<Self, StoreError> {
        if memory_bytes < LEAST_MEMORY_BYTES {
            let (setting, least) = ("memory_bytes", LEAST_MEMORY_BYTES);
            return Err(StoreError::InvalidConfig { setting, value: memory_bytes, least });
        }
        if checkpoint_bytes < LEAST_CHECKPOINT_BYTES {
            let (setting, least) = ("checkpoint_bytes", LEAST_CHECKPOINT_BYTES);
            return Err(StoreError::InvalidConfig { setting, value: checkpoint_bytes, least });
        }
        Ok(Self {
            memory_bytes,
            hot_bytes: memory_bytes / 16 * 7,
            block_cache_bytes: memory_bytes / 4,
            write_buffer_bytes: memory_bytes / 16,
            checkpoint_bytes: checkpoint_bytes.min(memory_bytes / 8),
        })
    }
}

/// What the stores hold in memory now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUsage {
    /// Tables of all stores.
    pub hot_bytes: usize,
    /// Part of them that no checkpoint has written yet.
    pub dirty_bytes: usize,
    /// RocksDB's block cache.
    pub block_cache_bytes: usize,
    /// RocksDB's memtables.
    pub write_buffer_bytes: usize,
    /// The budget.
    pub limit_bytes: usize,
}

impl MemoryUsage {
    /// All uses together; dirty bytes are part of the hot ones.
    pub fn total_bytes(&self) -> usize {
        self.hot_bytes + self.block_cache_bytes + self.write_buffer_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_leave_room_for_the_order_of_a_checkpoint() {
        let budget = MemoryBudget::split(256 << 20, 1 << 30).expect("large enough");
        let shares = budget.hot_bytes + budget.block_cache_bytes + budget.write_buffer_bytes;
        assert!(shares + budget.checkpoint_bytes <= budget.memory_bytes);
    }

    #[test]
    fn a_budget_too_small_names_the_setting() {
        let error = MemoryBudget::split(4096, 1 << 20).expect_err("too small").to_string();
        assert_eq!(error, "state configuration: memory_bytes is 4096; it must be at least 1048576");
    }
}
