//! Runs every topology of a family on both sides and compares.

use std::{env, sync::mpsc::Receiver};

use super::{
    SEEDS,
    case::{Outcome, Step},
    generate,
    java::KafkaStreams,
    ours::{self, Way},
    report, shrink,
    topology::Topology,
};

/// A case that Kafka Streams was asked about.
struct Asked {
    seed: u64,
    steps: Vec<Step>,
    answer: Receiver<Outcome>,
}

/// Compares all topologies of a family; fails with every one that differs.
pub(crate) fn family(topologies: Vec<Topology>) {
    let Some(kafka_streams) = KafkaStreams::get() else {
        eprintln!("skipped: Java and maven are missing, so that there is no Kafka Streams to compare with");
        return;
    };
    let wanted = env::var("MILLSTREAM_ORACLE_TOPOLOGY").ok();
    let chosen: Vec<Topology> = topologies
        .into_iter()
        .filter(|topology| wanted.as_ref().is_none_or(|wanted| *wanted == topology.name))
        .collect();
    // Everything is asked at the start: the other side works while ours does.
    let asked: Vec<Vec<Asked>> = chosen.iter().map(|topology| ask(kafka_streams, topology)).collect();
    let (mut cases, mut problems) = (0, Vec::new());
    for (topology, asked) in chosen.iter().zip(asked) {
        cases += asked.len();
        problems.extend(asked.into_iter().find_map(|asked| difference(kafka_streams, topology, &asked)));
    }
    eprintln!("{} topologies, {cases} cases, {} topologies differ", chosen.len(), problems.len());
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

fn ask(kafka_streams: &KafkaStreams, topology: &Topology) -> Vec<Asked> {
    let seeds = match number("MILLSTREAM_ORACLE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MILLSTREAM_ORACLE_SEEDS").unwrap_or(SEEDS),
    };
    let case = |seed| {
        let steps = generate::steps(&topology.input, seed);
        let answer = kafka_streams.ask(&topology.name, &steps);
        Asked { seed, steps, answer }
    };
    seeds.map(case).collect()
}

/// The ways in which a case of this seed is put in.
fn ways(topology: &Topology, seed: u64) -> [Way; 2] {
    let batches = seed % 2 == 1 && !topology.one_by_one;
    [Way::Alone, if batches { Way::InBatches { seed } } else { Way::InStretches { seed } }]
}

/// What is said of a case whose outcomes differ.
fn difference(kafka_streams: &KafkaStreams, topology: &Topology, asked: &Asked) -> Option<String> {
    let expected = received(topology, &asked.answer);
    ways(topology, asked.seed).into_iter().find_map(|way| {
        let got = ours::run(topology, &asked.steps, way);
        (!same(&expected, &got, way)).then(|| {
            let steps = shrink::shrink(asked.steps.clone(), |steps| {
                let expected = received(topology, &kafka_streams.ask(&topology.name, steps));
                !same(&expected, &ours::run(topology, steps, way), way)
            });
            let expected = received(topology, &kafka_streams.ask(&topology.name, &steps));
            report::difference(topology, asked.seed, way, &steps, &expected, &ours::run(topology, &steps, way))
        })
    })
}

fn received(topology: &Topology, answer: &Receiver<Outcome>) -> Outcome {
    let outcome = answer.recv().unwrap_or_else(|_| panic!("Kafka Streams ended while it ran {}", topology.name));
    let outcome = if topology.headers { outcome } else { outcome.without_headers() };
    outcome.by_topic()
}

/// Whether outcomes are the same. Both may fail, but not for the same words.
fn same(expected: &Outcome, got: &Outcome, way: Way) -> bool {
    if expected.failure.is_some() || got.failure.is_some() {
        return false;
    }
    match way {
        Way::Alone => expected == got,
        Way::InStretches { .. } | Way::InBatches { .. } => expected.clone().altogether() == *got,
    }
}
