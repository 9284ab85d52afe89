//! Windows: which windows a timestamp falls into, when a window is closed, and how keys with windows are written.
//!
//! A window knows no store and no clock; it is told the stream time. The rules are those of Kafka Streams.

mod invalid_window;
mod join_windows;
mod local_time;
mod session_windows;
mod sliding_windows;
mod time_windows;
mod windowed_key;

use std::fmt;

pub use invalid_window::InvalidWindow;
pub use join_windows::{GRACE_WITHOUT_ONE, JoinSide, JoinWindows};
pub use local_time::LocalTime;
pub use session_windows::{Session, SessionWindows};
pub use sliding_windows::SlidingWindows;
pub use time_windows::TimeWindows;
pub use windowed_key::{SplitKeys, WindowBounds, append_window, split_key, split_keys, with_windows};

use crate::{record::TimeSpan, schema::WindowKind};

/// The windows of an aggregation.
///
/// ```
/// use std::time::Duration;
/// use millstream::window::{SessionWindows, Windows};
///
/// let windows = Windows::from(SessionWindows::new(Duration::from_secs(300), Duration::ZERO)?);
/// assert!(matches!(windows, Windows::Session(_)));
/// # Ok::<(), millstream::window::InvalidWindow>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Windows {
    /// Tumbling, hopping, cumulating or unlimited windows.
    Time(TimeWindows),
    /// Sessions.
    Session(SessionWindows),
    /// Windows around the records.
    Sliding(SlidingWindows),
}

impl Windows {
    /// How long a window waits after its end, as far as results that are passed on when it closes are concerned: of a session gap and grace.
    pub(crate) fn waits(&self) -> TimeSpan {
        match self {
            Self::Time(windows) => windows.grace(),
            Self::Session(windows) => {
                let waits = windows.gap().millis().saturating_add(windows.grace().millis());
                TimeSpan::from_millis(waits).unwrap_or_default()
            }
            Self::Sliding(windows) => windows.grace(),
        }
    }

    /// What keys in these windows look like.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{window::{TimeWindows, Windows}, schema::WindowKind};
    /// let size = Duration::from_millis(10);
    /// let windows = Windows::from(TimeWindows::tumbling(size, Duration::ZERO)?);
    /// assert_eq!(windows.kind(), WindowKind::time(size.into()));
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn kind(&self) -> WindowKind {
        match self {
            Self::Time(windows) if windows.has_one_length() => WindowKind::time(windows.size()),
            Self::Time(_) => WindowKind::Bounds,
            Self::Session(_) => WindowKind::Session,
            Self::Sliding(windows) => WindowKind::time(windows.time_difference()),
        }
    }

    /// How long a result is needed at least: until its window is closed; of a sliding window until none can be made of it any more.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::window::{TimeWindows, Windows};
    /// let windows = Windows::from(TimeWindows::tumbling(Duration::from_millis(10), Duration::from_millis(3))?);
    /// assert_eq!(windows.least_retention().millis(), 13);
    /// # Ok::<(), millstream::window::InvalidWindow>(())
    /// ```
    pub fn least_retention(&self) -> TimeSpan {
        let (length, grace) = match self {
            Self::Time(windows) => (windows.longest(), windows.grace()),
            Self::Session(windows) => (windows.gap(), windows.grace()),
            Self::Sliding(windows) => {
                let difference = windows.time_difference().millis();
                (TimeSpan::from_millis(difference.saturating_mul(2)).unwrap_or_default(), windows.grace())
            }
        };
        TimeSpan::from_millis(length.millis().saturating_add(grace.millis())).unwrap_or_default()
    }
}

impl From<TimeWindows> for Windows {
    fn from(windows: TimeWindows) -> Self {
        Self::Time(windows)
    }
}

impl From<SessionWindows> for Windows {
    fn from(windows: SessionWindows) -> Self {
        Self::Session(windows)
    }
}

impl From<SlidingWindows> for Windows {
    fn from(windows: SlidingWindows) -> Self {
        Self::Sliding(windows)
    }
}

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(windows) => windows.fmt(f),
            Self::Session(windows) => windows.fmt(f),
            Self::Sliding(windows) => windows.fmt(f),
        }
    }
}

/// Which results of a windowed aggregation are passed on.
///
/// ```
/// # use millstream::window::EmitStrategy;
/// assert_eq!(EmitStrategy::default(), EmitStrategy::OnUpdate);
/// assert!(EmitStrategy::OnClose.is_final());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmitStrategy {
    /// Every update of a window.
    #[default]
    OnUpdate,
    /// The final result of a window, once, when it closes.
    OnClose,
    /// As [`OnClose`](Self::OnClose), but a time window that is no longer kept when it closes is left out, as in Kafka Streams: when stream
    /// time jumps so far that the start of the newest window lies more than the retention after its own start. It becomes a dead letter.
    OnCloseIfKept,
}

impl EmitStrategy {
    /// Whether only final results are passed on.
    ///
    /// ```
    /// # use millstream::window::EmitStrategy;
    /// let all = [EmitStrategy::OnUpdate, EmitStrategy::OnClose, EmitStrategy::OnCloseIfKept];
    /// assert_eq!(all.map(EmitStrategy::is_final), [false, true, true]);
    /// ```
    pub fn is_final(self) -> bool {
        self != Self::OnUpdate
    }
}
