//! The shell's loop: a prompt, an input, its answer, until `exit` or Ctrl-D.
//!
//! An error ends the statement, never the shell.

use std::path::Path;

use reedline::{Reedline, Signal};

use super::{command::Command, console::Console, editor::editor, help, interrupt::Interrupts, prompt::SqlPrompt};
use crate::{engine::Engine, output::OutputFormat};

/// The file in the data directory that keeps what was typed.
pub const HISTORY_FILE: &str = "shell-history.txt";

/// Why the shell ended other than by wish.
#[derive(Debug, thiserror::Error)]
#[error("the terminal cannot be read: {0}")]
pub struct TerminalError(String);

/// Runs the shell on the terminal until its user ends it.
///
/// # Errors
/// [`TerminalError`] if the terminal fails.
pub fn run(engine: &Engine, data: &Path, format: OutputFormat, interrupts: &Interrupts) -> Result<(), TerminalError> {
    eprintln!("Millstream {} on {}", env!("CARGO_PKG_VERSION"), data.display());
    eprintln!("Statements end with a semicolon. `help` lists them, Tab completes, Ctrl-D ends.\n");
    let names = engine.clone();
    let mut shell = Shell {
        editor: editor(&data.join(HISTORY_FILE), Box::new(move || names.names())),
        console: Console::new(engine.session(), format, interrupts.clone()),
        interrupts: interrupts.clone(),
    };
    loop {
        match shell.editor.read_line(&SqlPrompt) {
            Ok(Signal::Success(input)) => {
                if shell.take(&input) == Next::End {
                    return Ok(());
                }
            }
            Ok(Signal::CtrlD) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(TerminalError(error.to_string())),
        }
        if shell.interrupts.is_set() {
            // A termination signal at the prompt: Ctrl-C there is a key, not a signal.
            return Ok(());
        }
    }
}

struct Shell {
    editor: Reedline,
    console: Console,
    interrupts: Interrupts,
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Prompt,
    End,
}

impl Shell {
    fn take(&mut self, input: &str) -> Next {
        match Command::parse(input) {
            None => self.run(input, None),
            Some(Err(problem)) => eprintln!("error: {problem}"),
            Some(Ok(Command::Exit)) => return Next::End,
            Some(Ok(Command::Help(None))) => eprintln!("{}", help::overview()),
            Some(Ok(Command::Help(Some(topic)))) => match help::on(&topic) {
                Ok(text) => eprintln!("{text}"),
                Err(problem) => eprintln!("error: {problem}"),
            },
            Some(Ok(Command::Clear)) => {
                let cleared = self.editor.clear_screen();
                complain(cleared);
            }
            Some(Ok(Command::Version)) => eprintln!("Millstream {}", env!("CARGO_PKG_VERSION")),
            Some(Ok(Command::History)) => {
                let printed = self.editor.print_history();
                complain(printed);
            }
            Some(Ok(Command::Output(format))) => {
                self.console.format = format.unwrap_or(self.console.format);
                eprintln!("Output is {:?}", self.console.format);
            }
            Some(Ok(Command::RunScript(file))) => match std::fs::read_to_string(&file) {
                Ok(script) => self.run(&script, Some(&file)),
                Err(error) => eprintln!("error: {file}: cannot read: {error}"),
            },
        }
        Next::Prompt
    }

    fn run(&mut self, text: &str, origin: Option<&str>) {
        complain(self.console.run(text, origin));
        self.interrupts.clear();
    }
}

fn complain<E: std::fmt::Display>(result: Result<(), E>) {
    if let Err(error) = result {
        eprintln!("error: {error}");
    }
}
