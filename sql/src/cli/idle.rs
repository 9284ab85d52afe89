//! Waiting while the engine works: until all is done, or until a signal.

use std::time::Duration;

use super::failure::Failure;
use crate::{
    engine::{Engine, EngineError, Progress},
    shell::interrupt::Interrupts,
};

/// How often a waiting command shows progress and looks for a signal.
const TICK: Duration = Duration::from_millis(200);

/// Why waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Sources are exhausted and every query has caught up.
    Idle,
    /// A signal came first.
    Interrupted,
}

/// Waits until sources are exhausted and queries have caught up, or until a signal.
///
/// # Errors
/// [`Failure::Engine`] if a query or connector failed.
pub fn wait_until_idle(
    engine: &Engine,
    interrupts: &Interrupts,
    on_progress: &mut dyn FnMut(&Progress),
) -> Result<Outcome, Failure> {
    loop {
        match engine.wait_until_idle(Some(TICK), on_progress) {
            Ok(()) => return Ok(Outcome::Idle),
            Err(EngineError::StillBusy { .. }) if interrupts.is_set() => return Ok(Outcome::Interrupted),
            Err(EngineError::StillBusy { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for a signal.
///
/// # Errors
/// None now; failures of queries are shown as progress and leave the others at work.
pub fn run_until_signal(
    engine: &Engine,
    interrupts: &Interrupts,
    on_progress: &mut dyn FnMut(&Progress),
) -> Result<Outcome, Failure> {
    while !interrupts.wait(TICK) {
        on_progress(&engine.progress());
    }
    Ok(Outcome::Interrupted)
}
