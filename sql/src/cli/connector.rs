//! `millstream connector`: connectors of a script, looked at without running them.

use std::{io, path::PathBuf, sync::Arc};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use clap::{Args, Subcommand};

use super::failure::Failure;
use crate::{
    engine::{CheckedConnector, check_connectors},
    output::{OutputFormat, write_rows},
    shell::console::terminal_width,
};

/// `millstream connector`
#[derive(Debug, Subcommand)]
pub enum ConnectorCommand {
    /// Check the connectors of a script: properties, secrets that they name, streams and tables that sinks read. Nothing is connected to.
    Validate(ValidateArguments),
}

/// `millstream connector validate`
#[derive(Debug, Args)]
pub struct ValidateArguments {
    /// The script.
    pub file: PathBuf,
    /// How rows are written.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: OutputFormat,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`], also if a connector is not as it has to be.
pub fn run(command: &ConnectorCommand) -> Result<(), Failure> {
    let ConnectorCommand::Validate(arguments) = command;
    let script = std::fs::read_to_string(&arguments.file).map_err(Failure::file(&arguments.file, "read"))?;
    let checked = check_connectors(&script)?;
    write(arguments.output, &checked)?;
    let wrong = checked.iter().filter(|connector| connector.problem.is_some()).count();
    match wrong {
        0 => Ok(()),
        _ => Err(Failure::Refused(format!("{wrong} of {} connectors cannot run", checked.len()))),
    }
}

fn write(format: OutputFormat, checked: &[CheckedConnector]) -> Result<(), Failure> {
    let column = |text: &dyn Fn(&CheckedConnector) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(checked.iter().map(text)))
    };
    let columns = [
        ("Connector", column(&|connector| connector.name.clone())),
        ("Type", column(&|connector| connector.direction.to_string().to_uppercase())),
        ("Class", column(&|connector| connector.class.clone())),
        ("Topics", column(&|connector| connector.topics.join(", "))),
        ("Target", column(&|connector| connector.target.clone())),
        ("Problem", column(&|connector| connector.problem.clone().unwrap_or_else(|| "none".to_owned()))),
    ];
    let rows = RecordBatch::try_from_iter(columns).map_err(|error| Failure::Output(error.into()))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    write_rows(format, &rows.schema(), std::slice::from_ref(&rows), terminal_width(), &mut out)?;
    Ok(())
}
