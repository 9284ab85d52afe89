//! What the shell does itself, beside SQL: `help`, `exit`, `output json`, `run script 'file'`, ..
//!
//! A command is one line; a semicolon after it is optional. None begins like a statement of SQL, save `run script`.

use super::token::{Kind, tokens};
use crate::output::OutputFormat;

/// A line for the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `help [statement]`
    Help(Option<String>),
    /// `exit`, `quit`
    Exit,
    /// `clear`
    Clear,
    /// `version`
    Version,
    /// `history`
    History,
    /// `output [table|json|csv]`; without a format it tells the present one.
    Output(Option<OutputFormat>),
    /// `run script 'file'`
    RunScript(String),
}

impl Command {
    /// The command in `text`: `None` if it is none, an error if it is one that is not well formed.
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        let mut words: Vec<(Kind, &str)> = tokens(text)
            .into_iter()
            .filter(|token| !matches!(token.kind, Kind::Space | Kind::Comment))
            .map(|token| (token.kind, &text[token.span]))
            .collect();
        if words.last().is_some_and(|(kind, _)| *kind == Kind::Semicolon) {
            words.pop();
        }
        let (&(kind, first), rest) = words.split_first()?;
        if kind != Kind::Word || rest.iter().any(|(kind, _)| *kind == Kind::Semicolon) {
            return None;
        }
        let alone = |command: Self| {
            Some(if rest.is_empty() {
                Ok(command)
            } else {
                Err(format!("`{}` takes nothing after it", first.to_lowercase()))
            })
        };
        match first.to_ascii_lowercase().as_str() {
            "help" => {
                let topic = rest.iter().map(|(_, word)| *word).collect::<Vec<_>>().join(" ").to_uppercase();
                Some(Ok(Self::Help((!topic.is_empty()).then_some(topic))))
            }
            "exit" | "quit" => alone(Self::Exit),
            "clear" => alone(Self::Clear),
            "version" => alone(Self::Version),
            "history" => alone(Self::History),
            "output" => Some(output(rest)),
            "run" => Some(run_script(rest)),
            _ => None,
        }
    }
}

fn output(rest: &[(Kind, &str)]) -> Result<Command, String> {
    let format = match rest {
        [] => None,
        [(_, format)] => Some(match format.to_ascii_lowercase().as_str() {
            "table" | "tabular" => OutputFormat::Table,
            "json" => OutputFormat::Json,
            "csv" => OutputFormat::Csv,
            other => return Err(format!("there is no output format `{other}`; use table, json or csv")),
        }),
        _ => return Err("write `output table`, `output json` or `output csv`".to_owned()),
    };
    Ok(Command::Output(format))
}

fn run_script(rest: &[(Kind, &str)]) -> Result<Command, String> {
    match rest {
        [(Kind::Word, script), (Kind::Text, file)] if script.eq_ignore_ascii_case("script") && file.ends_with('\'') => {
            Ok(Command::RunScript(file[1..file.len() - 1].replace("''", "'")))
        }
        _ => Err("write `run script 'file.sql'`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_statements() {
        let check = |text: &str, expected: Option<Result<Command, &str>>| {
            assert_eq!(Command::parse(text), expected.map(|result| result.map_err(str::to_owned)), "{text:?}");
        };
        check("help", Some(Ok(Command::Help(None))));
        check(" HELP create stream; ", Some(Ok(Command::Help(Some("CREATE STREAM".into())))));
        check("quit;", Some(Ok(Command::Exit)));
        check("exit now", Some(Err("`exit` takes nothing after it")));
        check("output", Some(Ok(Command::Output(None))));
        check("OUTPUT JSON", Some(Ok(Command::Output(Some(OutputFormat::Json)))));
        check("output tabular", Some(Ok(Command::Output(Some(OutputFormat::Table)))));
        check("output xml", Some(Err("there is no output format `xml`; use table, json or csv")));
        check("RUN SCRIPT 'it''s.sql';", Some(Ok(Command::RunScript("it's.sql".into()))));
        check("run x", Some(Err("write `run script 'file.sql'`")));
        check("run script 'open", Some(Err("write `run script 'file.sql'`")));
        check("SELECT 1;", None);
        check("exit; SELECT 1;", None);
        check("", None);
        check("-- help", None);
    }
}
