//! Window definitions that cannot be, and why.

use crate::record::TimeSpan;

/// A window definition that cannot be.
///
/// ```
/// # use std::time::Duration;
/// # use millstream::window::{InvalidWindow, TimeWindows};
/// let error = TimeWindows::hopping(Duration::from_millis(10), Duration::ZERO, Duration::ZERO).unwrap_err();
/// assert!(matches!(error, InvalidWindow::Advance { .. }));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWindow {
    /// The size is zero.
    #[error("a window must be longer than zero milliseconds")]
    Empty,
    /// The advance is zero or larger than the size.
    #[error("a window of {size} cannot advance by {advance}: the advance must be above zero and at most the size")]
    Advance {
        /// The size.
        size: TimeSpan,
        /// The advance.
        advance: TimeSpan,
    },
    /// The size of cumulating windows is no multiple of their step.
    #[error("windows cannot grow by {step} up to {size}: the size must be a multiple of the step")]
    Step {
        /// The size.
        size: TimeSpan,
        /// The step.
        step: TimeSpan,
    },
    /// The offset is not shorter than the distance of two starts.
    #[error("an offset of {offset} cannot be: windows start every {every} anyway, so it must be shorter than that")]
    Offset {
        /// The offset.
        offset: TimeSpan,
        /// How far apart windows start.
        every: TimeSpan,
    },
    /// A length does not fit days of a time zone.
    #[error(
        "windows by local time cannot be made of {length}: days have 23 to 25 hours there, so it must divide a day or be whole days; \
         leave the time zone out or choose another length"
    )]
    LocalLength {
        /// The size, advance or step.
        length: TimeSpan,
    },
    /// The changes of a zone's clock are not in the order of time.
    #[error("the changes of the clock of {zone} are not in the order of time")]
    Zone {
        /// The zone.
        zone: String,
    },
}
