//! One case: what is put in, step by step, and what came out.

use millstream::record::Record;

/// One thing that happens to a topology.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A record arrives.
    Record { topic: &'static str, record: Record },
    /// The wall clock moves on by so many milliseconds.
    Clock(u64),
}

/// A record that came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    /// The number of the step that brought it about; all are at 0 where steps were taken together.
    pub(crate) step: usize,
    pub(crate) topic: String,
    pub(crate) record: Record,
}

/// What one side made of a case: its outputs, by topic and in order, or how far it got and why not further.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Outcome {
    pub(crate) outputs: Vec<Output>,
    pub(crate) failure: Option<String>,
}

impl Outcome {
    /// The same without a word of which step brought what about.
    pub(crate) fn altogether(mut self) -> Self {
        self.outputs.iter_mut().for_each(|output| output.step = 0);
        self.by_topic()
    }

    /// The same without headers.
    pub(crate) fn without_headers(mut self) -> Self {
        self.outputs.iter_mut().for_each(|output| output.record.headers.clear());
        self
    }

    /// In order of steps, of topics, of writing.
    pub(crate) fn by_topic(mut self) -> Self {
        self.outputs.sort_by(|one, two| (one.step, &one.topic).cmp(&(two.step, &two.topic)));
        self
    }
}
