//! A case in our own driver, in several ways of which each has to give the same.

use std::time::Duration;

use millstream::{
    StreamsBuilder,
    dsl::Tombstones,
    operator::EmitPolicy,
    testing::{DriverError, TopologyTestDriver},
};

use super::{
    case::{Outcome, Output, Step},
    generate::Random,
    topology::Topology,
};

/// How a case is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Each record alone, and its outputs are looked at before the next.
    Alone,
    /// Piled up in stretches of any length, processed in order of arrival; the application may start anew between stretches.
    InStretches { seed: u64 },
    /// As many records at once as go to one topic; the application may start anew in between.
    InBatches { seed: u64 },
}

/// What comes of a case.
pub(crate) fn run(topology: &Topology, steps: &[Step], way: Way) -> Outcome {
    let mut outcome = Outcome::default();
    if let Err(error) = run_into(topology, steps, way, &mut outcome.outputs) {
        outcome.failure = Some(error.to_string());
    }
    if !topology.headers {
        outcome = outcome.without_headers();
    }
    if way == Way::Alone { outcome.by_topic() } else { outcome.altogether() }
}

fn run_into(topology: &Topology, steps: &[Step], way: Way, outputs: &mut Vec<Output>) -> Result<(), DriverError> {
    let builder = StreamsBuilder::new().with_tombstones(Tombstones::AsKafkaStreams);
    (topology.build)(&builder);
    let built = builder.build().unwrap_or_else(|error| panic!("{}: {error}", topology.name));
    let mut driver = TopologyTestDriver::with(&built, 1, EmitPolicy::Record)?;
    for topic in &topology.chosen {
        driver.create_topic(topic, 1)?;
    }
    match way {
        Way::Alone => {
            for (number, step) in steps.iter().enumerate() {
                take(&mut driver, step)?;
                drain(topology, &mut driver, number, outputs)?;
            }
            Ok(())
        }
        Way::InStretches { seed } => {
            in_stretches(&mut driver, steps, seed, |driver| drain(topology, driver, 0, outputs))
        }
        Way::InBatches { seed } => in_batches(&mut driver, steps, seed, |driver| drain(topology, driver, 0, outputs)),
    }
}

fn in_stretches(
    driver: &mut TopologyTestDriver,
    steps: &[Step],
    seed: u64,
    mut drain: impl FnMut(&mut TopologyTestDriver) -> Result<(), DriverError>,
) -> Result<(), DriverError> {
    let mut random = Random::new(seed);
    let mut rest = steps;
    let may_restart = may_restart(steps);
    while !rest.is_empty() {
        let records = rest.iter().take_while(|step| matches!(step, Step::Record { .. })).count();
        let (stretch, after) = rest.split_at(records.min(1 + random.below(20) as usize));
        driver.pause();
        stretch.iter().try_for_each(|step| take(driver, step))?;
        driver.resume_in_order_of_arrival()?;
        rest = after;
        if let [clock @ Step::Clock(_), after @ ..] = rest {
            take(driver, clock)?;
            rest = after;
        }
        drain(driver)?;
        if random.below(2) == 0 && may_restart {
            driver.restart()?;
        }
    }
    Ok(())
}

fn in_batches(
    driver: &mut TopologyTestDriver,
    steps: &[Step],
    seed: u64,
    mut drain: impl FnMut(&mut TopologyTestDriver) -> Result<(), DriverError>,
) -> Result<(), DriverError> {
    let mut random = Random::new(seed);
    let may_restart = may_restart(steps);
    let topic = |step: &Step| match step {
        Step::Record { topic, .. } => Some(*topic),
        Step::Clock(_) => None,
    };
    for batch in steps.chunk_by(|one, two| topic(one).is_some() && topic(one) == topic(two)) {
        match topic(&batch[0]) {
            None => take(driver, &batch[0])?,
            Some(topic) => driver.push_all(topic, batch.iter().filter_map(record))?,
        }
        drain(driver)?;
        if random.below(4) == 0 && may_restart {
            driver.restart()?;
        }
    }
    Ok(())
}

/// What is scheduled by the wall clock begins anew with the application.
fn may_restart(steps: &[Step]) -> bool {
    !steps.iter().any(|step| matches!(step, Step::Clock(_)))
}

fn record(step: &Step) -> Option<millstream::record::Record> {
    match step {
        Step::Record { record, .. } => Some(record.clone()),
        Step::Clock(_) => None,
    }
}

fn take(driver: &mut TopologyTestDriver, step: &Step) -> Result<(), DriverError> {
    match step {
        Step::Record { topic, record } => driver.push(topic, record.clone()),
        Step::Clock(millis) => driver.advance_wall_clock(Duration::from_millis(*millis)),
    }
}

fn drain(
    topology: &Topology,
    driver: &mut TopologyTestDriver,
    step: usize,
    outputs: &mut Vec<Output>,
) -> Result<(), DriverError> {
    for topic in &topology.outputs {
        let records = driver.drain(topic)?.into_iter();
        outputs.extend(records.map(|record| Output { step, topic: (*topic).to_owned(), record }));
    }
    Ok(())
}
