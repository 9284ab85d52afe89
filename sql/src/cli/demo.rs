//! `millstream demo`: real flight departures become views of delays by city and hour, while one watches.
//!
//! Data and scripts (`sql/demo/`) are part of the binary. They are written to the demo's data directory, which also shows how to
//! run them by hand. The demo checks its own result: the view must hold every flight exactly once.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use arrow::{
    array::AsArray,
    compute::cast,
    datatypes::{DataType, Int64Type},
};

use super::{
    arguments::DemoArguments,
    cluster::open_embedded,
    failure::Failure,
    idle::{Outcome, wait_until_idle},
    progress::Reporter,
};
use crate::{
    engine::{Engine, Progress, Session},
    output::{OutputFormat, group_digits, table},
    response::{Response, Rows},
    shell::{
        console::{Console, ConsoleError},
        highlighter::paint,
        interrupt::Interrupts,
    },
};

/// How many departures the data hold: what the view must count.
const FLIGHTS: i64 = 508_239;

/// Tells a demo's directory, which the next demo may replace, from one with a user's data.
const MARKER: &str = "made-by-millstream-demo";

/// The directory inside the demo's that scripts and data are written to.
const INPUT: &str = "demo";

/// Where the scripts expect the data, seen from the top of the repository.
const SCRIPTED_INPUT: &str = "sql/demo";

const AIRPORTS_SCRIPT: &str = include_str!("../../demo/airports.sql");
const FLIGHTS_SCRIPT: &str = include_str!("../../demo/flights.sql");
const QUESTIONS: &str = include_str!("../../demo/questions.sql");
const AIRPORTS_DATA: &[u8] = include_bytes!("../../demo/airports.csv.zst");
const FLIGHTS_DATA: &[u8] = include_bytes!("../../demo/flights.ndjson.zst");

/// What is shown while flights depart.
const BUSIEST: &str =
    "SELECT CITY, FLIGHTS, ROUND(MEAN_DELAY, 1) AS MEAN_DELAY FROM DELAYS_BY_CITY ORDER BY FLIGHTS DESC LIMIT 3;";

/// What is checked in the end.
const TOTAL: &str = "SELECT SUM(FLIGHTS) AS FLIGHTS, COUNT(*) AS WINDOWS FROM DELAYS_BY_CITY_AND_HOUR;";

/// How often the live line is asked for.
const LIVE_INTERVAL: Duration = Duration::from_millis(500);

/// Runs the command.
///
/// # Errors
/// [`Failure`]; also if the view does not hold every flight once.
pub fn run(arguments: &DemoArguments, interrupts: &Interrupts) -> Result<(), Failure> {
    let data = match &arguments.data {
        Some(data) => data.clone(),
        None => default_directory(),
    };
    prepare(&data, arguments.keep)?;
    heading(
        "Millstream demo: US flight departures of January 2001, joined with their airports, delays by city and hour",
    );
    say(&format!("Data directory: {}\n", data.display()))?;
    let engine = Engine::open(arguments.engine.config(data.clone()))?;
    let outcome = show(&engine, &data, interrupts);
    let stopped = engine.shutdown();
    match outcome? {
        Outcome::Idle => farewell(&data)?,
        Outcome::Interrupted => say("Stopped. `millstream demo --keep` goes on from here.")?,
    }
    stopped?;
    Ok(())
}

/// `$XDG_CACHE_HOME/millstream/demo`, `~/.cache/millstream/demo`, or below the directory for temporary files.
fn default_directory() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("millstream").join("demo")
}

/// Brings the directory into the state that a demo starts from, and writes data and scripts to it.
fn prepare(data: &Path, keep: bool) -> Result<(), Failure> {
    let is_demo = data.join(MARKER).exists();
    let is_used = data.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    if is_used && !is_demo {
        let advice = "give the demo a directory of its own";
        return Err(Failure::Refused(format!("{}: holds something that is not a demo; {advice}", data.display())));
    }
    if is_demo && !keep {
        // Opening it proves that no other process is at work in it.
        drop(open_embedded(data)?);
        fs::remove_dir_all(data).map_err(Failure::file(data, "remove"))?;
    }
    let input = data.join(INPUT);
    fs::create_dir_all(&input).map_err(Failure::file(&input, "make"))?;
    let marker = data.join(MARKER);
    fs::write(&marker, "`millstream demo` may remove this directory.\n").map_err(Failure::file(&marker, "write"))?;
    if keep && input.join("flights.ndjson.zst").exists() {
        // The connectors know the files they were reading: leave them as they are.
        return Ok(());
    }
    for (name, bytes) in [
        ("airports.csv.zst", AIRPORTS_DATA),
        ("flights.ndjson.zst", FLIGHTS_DATA),
        ("airports.sql", located(AIRPORTS_SCRIPT, data).as_bytes()),
        ("flights.sql", located(FLIGHTS_SCRIPT, data).as_bytes()),
        ("questions.sql", QUESTIONS.as_bytes()),
    ] {
        let file = input.join(name);
        fs::write(&file, bytes).map_err(Failure::file(&file, "write"))?;
    }
    Ok(())
}

/// The script with the paths of the data as they are in `data`.
fn located(script: &str, data: &Path) -> String {
    let input = std::path::absolute(data).unwrap_or_else(|_| data.to_owned()).join(INPUT);
    let input = input.display().to_string().replace('\'', "''");
    script.replace(&format!("'{SCRIPTED_INPUT}/"), &format!("'{input}/"))
}

fn show(engine: &Engine, data: &Path, interrupts: &Interrupts) -> Result<Outcome, Failure> {
    let mut console = Console::new(engine.session(), OutputFormat::Table, interrupts.clone());
    let mut questions = engine.session();

    heading("1. The airports, a table");
    play(&mut console, AIRPORTS_SCRIPT, &located(AIRPORTS_SCRIPT, data))?;
    if wait_until_idle(engine, interrupts, &mut |_| {})? == Outcome::Interrupted {
        return Ok(Outcome::Interrupted);
    }

    heading("2. The flights, a stream; the join; the views");
    play(&mut console, FLIGHTS_SCRIPT, &located(FLIGHTS_SCRIPT, data))?;

    heading("3. Departures flow; the view of the busiest cities while it grows");
    let mut live = Live { reporter: Reporter::new(), next: Duration::ZERO };
    let outcome = wait_until_idle(engine, interrupts, &mut |progress| live.show(progress, &mut questions))?;
    live.reporter.clear();
    if outcome == Outcome::Interrupted {
        return Ok(outcome);
    }
    check(&mut questions, live.reporter.elapsed(), &engine.progress())?;

    heading("4. Pull queries: the views, read once");
    for question in statements(QUESTIONS) {
        say(&shown(question))?;
        console.run(question, None)?;
        say("")?;
    }
    Ok(Outcome::Idle)
}

/// Shows a script as it is in the repository and runs it with the paths of this directory.
fn play(console: &mut Console, script: &str, located: &str) -> Result<(), Failure> {
    for statement in statements(script) {
        say(&shown(statement))?;
    }
    console.run(located, None)?;
    say("")
}

/// The statements of one of our own scripts, comments included: they end in a semicolon at the end of a line.
fn statements(script: &str) -> impl Iterator<Item = &str> {
    script.split_inclusive(";\n").map(str::trim).filter(|statement| !statement.is_empty())
}

/// Asks the view for its present state now and then while flights depart.
struct Live {
    reporter: Reporter,
    next: Duration,
}

impl Live {
    fn show(&mut self, progress: &Progress, questions: &mut Session) {
        let now = self.reporter.elapsed();
        if now < self.next || !self.reporter.is_line_due() {
            return;
        }
        self.next = now + LIVE_INTERVAL;
        let work = super::progress::line(progress, now);
        // The view may not be there yet; the next tick asks again.
        let cities = ask(questions, BUSIEST).ok().and_then(|rows| busiest(&rows));
        self.reporter.show_line(&cities.map_or_else(|| work.clone(), |cities| format!("{work} | {cities}")));
    }
}

/// `Chicago, IL 1,234 flights, 12.5 min late` for each row, in one line.
fn busiest(rows: &Rows) -> Option<String> {
    let mut cities = Vec::new();
    for batch in &rows.batches {
        for row in table::texts(batch).ok()? {
            if let [city, flights, delay] = row.as_slice() {
                cities.push(format!("{city}: {flights} flights, {delay} min late"));
            }
        }
    }
    (!cities.is_empty()).then(|| cities.join("; "))
}

/// The rows that the last statement of `sql` answers with.
fn ask(session: &mut Session, sql: &str) -> Result<Rows, Failure> {
    let mut answer = None;
    session.run_script(sql, &mut |_, response| {
        if let Response::Rows(rows) = response {
            answer = Some(rows);
        }
    })?;
    answer.ok_or_else(|| Failure::Refused(format!("no rows came back for {sql}")))
}

/// Every flight must be in the view, once.
fn check(questions: &mut Session, elapsed: Duration, progress: &Progress) -> Result<(), Failure> {
    let rows = ask(questions, TOTAL)?;
    let number = |column: usize| -> Option<i64> {
        let batch = rows.batches.iter().find(|batch| batch.num_rows() > 0)?;
        let column = cast(batch.column(column), &DataType::Int64).ok()?;
        Some(column.as_primitive::<Int64Type>().value(0))
    };
    let (flights, windows) = (number(0).unwrap_or(0), number(1).unwrap_or(0));
    if flights != FLIGHTS {
        let summary = super::progress::summary(progress);
        return Err(Failure::Refused(format!("the view holds {flights} flights instead of {FLIGHTS}\n{summary}")));
    }
    let seconds = elapsed.as_secs_f64().max(0.001);
    say(&format!(
        "{} flights read, joined and aggregated into {} windows in {seconds:.1} s ({} flights/s), each one once\n",
        group_digits(flights.unsigned_abs()),
        group_digits(windows.unsigned_abs()),
        group_digits((flights as f64 / seconds) as u64),
    ))
}

fn farewell(data: &Path) -> Result<(), Failure> {
    let shown = data.display();
    say(&format!(
        "\
Everything is in {shown} and survives a kill -9. Go on with
  millstream sql --data {shown}                      the shell: try SHOW QUERIES; or
                                                     SELECT * FROM DELAYS_BY_CITY WHERE CITY = 'Chicago, IL';
  millstream sql --data {shown} -f {shown}/{INPUT}/questions.sql --output json
  millstream topic consume flights --data {shown} --from-beginning --max-messages 3
The scripts are in {shown}/{INPUT}. The next `millstream demo` starts afresh; --keep goes on instead."
    ))
}

fn heading(text: &str) {
    let bold = nu_ansi_term::Style::new().bold();
    let line = if io::stdout().is_terminal() { bold.paint(text).to_string() } else { text.to_owned() };
    // A closed pipe is noticed by the next line that counts.
    drop(say(&line));
}

fn shown(statement: &str) -> String {
    let indented = statement.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");
    if io::stdout().is_terminal() { paint(&indented) } else { indented }
}

fn say(text: &str) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{text}").map_err(|error| Failure::from(ConsoleError::Output(error.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_cut_into_their_statements() {
        let check = |script: &str, firsts: &[&str]| {
            let found: Vec<&str> = statements(script)
                .map(|statement| {
                    statement.lines().find(|line| !line.starts_with("--") && !line.is_empty()).unwrap_or("")
                })
                .collect();
            assert_eq!(found.len(), firsts.len(), "{found:?}");
            for (found, first) in found.iter().zip(firsts) {
                assert!(found.starts_with(first), "{found}");
            }
        };
        check(AIRPORTS_SCRIPT, &["CREATE TABLE AIRPORTS", "CREATE SOURCE CONNECTOR"]);
        check(FLIGHTS_SCRIPT, &["CREATE STREAM", "CREATE STREAM", "CREATE TABLE", "CREATE TABLE", "CREATE SOURCE"]);
        check(QUESTIONS, &["SELECT", "SELECT", "SELECT"]);
    }

    #[test]
    fn scripts_find_the_data_of_their_directory() {
        for script in [AIRPORTS_SCRIPT, FLIGHTS_SCRIPT] {
            let located = located(script, Path::new("/data/it's"));
            assert_eq!(located.matches("'/data/it''s/demo/").count(), 1, "{located}");
            assert!(!located.contains(&format!("'{SCRIPTED_INPUT}/")));
        }
    }

    #[test]
    fn only_a_demo_directory_is_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("precious"), "x").expect("written");
        let refused = prepare(directory.path(), false).expect_err("not a demo's directory");
        assert!(refused.to_string().contains("holds something that is not a demo"), "{refused}");
        assert!(directory.path().join("precious").exists());
    }
}
