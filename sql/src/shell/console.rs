//! Statements in, answers out: what the shell, `-e`, scripts and the demo have in common.
//!
//! Rows go to standard output in the chosen format. A line like `Created stream ORDERS` goes there too in table format, and to
//! standard error in the others, so that what is piped on holds rows only.

use std::{
    io::{self, IsTerminal, Write},
    sync::mpsc::RecvTimeoutError,
    time::Duration,
};

use super::interrupt::Interrupts;
use crate::{
    engine::{EngineError, Session},
    output::{LiveWriter, OutputError, OutputFormat, write_rows},
    response::{PushQuery, Response},
    syntax::{Position, render_at},
};

/// How often a waiting push query looks for Ctrl-C.
const INTERRUPT_CHECK: Duration = Duration::from_millis(50);

/// Why statements were not run to the end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsoleError {
    /// A statement was refused or failed.
    #[error("{rendered}")]
    Statement {
        /// The error, with the line and a caret under the place where that is known.
        rendered: String,
        /// The engine's own error.
        #[source]
        source: Box<EngineError>,
    },
    /// A push query ended with an error.
    #[error("the query failed: {0}")]
    Query(String),
    /// The answer could not be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl ConsoleError {
    /// Whether the reader of the output has gone, which is nothing to complain about.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.is_closed_pipe())
    }
}

/// A session of the engine with a place to write its answers to.
pub struct Console {
    session: Session,
    interrupts: Interrupts,
    /// How rows are written.
    pub format: OutputFormat,
}

impl Console {
    /// A console that writes to standard output.
    pub fn new(session: Session, format: OutputFormat, interrupts: Interrupts) -> Self {
        Self { session, interrupts, format }
    }

    /// Runs the statements of `text` and shows each answer. A push query is shown until it ends or a signal comes.
    /// `origin` names the text in errors: a file, or nothing for what was typed.
    ///
    /// # Errors
    /// [`ConsoleError`]; the statements before the failing one were run. After an answer could not be written the
    /// statements that follow are still run.
    pub fn run(&mut self, text: &str, origin: Option<&str>) -> Result<(), ConsoleError> {
        let mut shown = Ok(());
        let (format, interrupts) = (self.format, &self.interrupts);
        let ran = self.session.run_script(text, &mut |_statement, response| {
            if shown.is_ok() {
                shown = show(response, format, interrupts);
            }
        });
        ran.map_err(|error| statement_error(error, text, origin))?;
        shown
    }
}

fn statement_error(source: EngineError, text: &str, origin: Option<&str>) -> ConsoleError {
    let message = match origin {
        Some(origin) => format!("{origin}:{source}"),
        None => source.to_string(),
    };
    let rendered = match source.position() {
        Some((line, column)) => render_at(&message, text, Position::new(line, column)),
        None => message,
    };
    ConsoleError::Statement { rendered, source: Box::new(source) }
}

/// The width of the terminal that standard output is, if it is one.
pub fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    comfy_table::Table::new().width().map(usize::from).filter(|width| *width > 0)
}

fn show(response: Response, format: OutputFormat, interrupts: &Interrupts) -> Result<(), ConsoleError> {
    match response {
        Response::Done { message } if format == OutputFormat::Table => {
            writeln!(io::stdout().lock(), "{message}").map_err(OutputError::Io)?;
        }
        Response::Done { message } => eprintln!("{message}"),
        Response::Rows(rows) => {
            let mut out = io::BufWriter::new(io::stdout().lock());
            write_rows(format, &rows.schema, &rows.batches, terminal_width(), &mut out)?;
        }
        Response::Push(query) => show_live(&query, format, interrupts)?,
    }
    Ok(())
}

fn show_live(query: &PushQuery, format: OutputFormat, interrupts: &Interrupts) -> Result<(), ConsoleError> {
    let mut writer = LiveWriter::new(format, &query.schema, terminal_width());
    let mut out = io::BufWriter::new(io::stdout().lock());
    if io::stdout().is_terminal() {
        eprintln!("Waiting for rows; Ctrl-C ends the query");
    }
    while !interrupts.is_set() {
        match query.batches.recv_timeout(INTERRUPT_CHECK) {
            Ok(Ok(batch)) => writer.write(&batch, &mut out)?,
            Ok(Err(message)) => return Err(ConsoleError::Query(message)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    writer.finish(&mut out)?;
    Ok(())
}
