//! `millstream run`: the persistent queries and connectors of a script, until a signal or until all is done.

use super::{
    arguments::RunArguments,
    failure::Failure,
    idle::{Outcome, run_until_signal, wait_until_idle},
    progress::{Reporter, failed, summary},
    sql::read_script,
};
use crate::{
    engine::Engine,
    shell::{console::Console, interrupt::Interrupts},
};

/// Runs the command.
///
/// # Errors
/// [`Failure`]; whatever was committed by then stays.
pub fn run(arguments: &RunArguments, interrupts: &Interrupts) -> Result<(), Failure> {
    let script = read_script(&arguments.script)?;
    let engine = Engine::open(arguments.engine.config_on(arguments.data.clone(), &arguments.service)?)?;
    let outcome = work(&engine, &script, arguments, interrupts);
    let last = engine.progress();
    let stopped = engine.shutdown();
    eprintln!("{}", summary(&last));
    match outcome? {
        Outcome::Idle => eprintln!("Done: sources are exhausted and all queries have caught up"),
        Outcome::Interrupted => eprintln!("Stopped; run it again to go on"),
    }
    stopped?;
    match failed(&last) {
        Some(names) => Err(Failure::Refused(format!("{names} ended with an error, see above"))),
        None => Ok(()),
    }
}

fn work(engine: &Engine, script: &str, arguments: &RunArguments, interrupts: &Interrupts) -> Result<Outcome, Failure> {
    let origin = arguments.script.display().to_string();
    Console::new(engine.session(), arguments.output, interrupts.clone()).run(script, Some(&origin))?;
    let mut reporter = Reporter::new();
    let outcome = if arguments.until_idle {
        wait_until_idle(engine, interrupts, &mut |progress| reporter.show(progress))
    } else {
        eprintln!("Running; SIGINT (Ctrl-C) or SIGTERM commits and ends");
        run_until_signal(engine, interrupts, &mut |progress| reporter.show(progress))
    };
    reporter.clear();
    outcome
}
