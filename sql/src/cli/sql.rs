//! `millstream sql`: the shell, or statements from the command line, a file or standard input.

use std::{
    io::{self, IsTerminal, Read},
    path::Path,
};

use super::{arguments::SqlArguments, failure::Failure};
use crate::{
    engine::Engine,
    shell::{console::Console, interrupt::Interrupts, session},
};

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: &SqlArguments, interrupts: &Interrupts) -> Result<(), Failure> {
    let script = script(arguments)?;
    let engine = Engine::open(arguments.engine.config_on(arguments.data.clone(), &arguments.service)?)?;
    let outcome = match script {
        None => session::run(&engine, &arguments.data, arguments.output, interrupts).map_err(Failure::from),
        Some(Script { text, origin }) => {
            let mut console = Console::new(engine.session(), arguments.output, interrupts.clone());
            console.run(&text, origin.as_deref()).map_err(Failure::from)
        }
    };
    // What was asked for is stopped in order even if it failed; the first failure is the one to tell.
    let stopped = engine.shutdown();
    outcome?;
    stopped?;
    Ok(())
}

struct Script {
    text: String,
    /// What errors call it.
    origin: Option<String>,
}

/// What to run; nothing for the interactive shell.
fn script(arguments: &SqlArguments) -> Result<Option<Script>, Failure> {
    if let Some(text) = &arguments.execute {
        return Ok(Some(Script { text: text.clone(), origin: None }));
    }
    match &arguments.file {
        Some(file) if file.as_path() != Path::new("-") => {
            Ok(Some(Script { text: read_script(file)?, origin: Some(file.display().to_string()) }))
        }
        None if io::stdin().is_terminal() && io::stdout().is_terminal() => Ok(None),
        _ => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map_err(Failure::file("standard input", "read"))?;
            Ok(Some(Script { text, origin: Some("standard input".to_owned()) }))
        }
    }
}

/// The text of a script.
///
/// # Errors
/// [`Failure::File`].
pub fn read_script(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(Failure::file(file, "read"))
}
