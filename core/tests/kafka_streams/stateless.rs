//! Operators that remember nothing.

use millstream::dsl::{Materialized, Produced, Repartitioned};

use super::topology::{Text, Topology, changes, first_of, is_even, out, stream, text};

pub(crate) fn topologies() -> Vec<Topology> {
    let two: &[&str] = &["a", "b"];
    vec![
        Topology::new("filter", |b| out(stream(b, "a").filter(|_, v| is_even(v)))),
        Topology::new("filter-not", |b| out(stream(b, "a").filter_not(|_, v| is_even(v)))),
        Topology::new("map-values", |b| out(stream(b, "a").map_values(|v| format!("{}!", text(&v))))),
        Topology::new("map-values-to-null", |b| out(stream(b, "a").map_values(|v| if is_even(&v) { None } else { v }))),
        Topology::new("map", |b| out(stream(b, "a").map(|k, v| (first_of(&v), format!("{}{}", text(&k), text(&v)))))),
        Topology::new("map-to-null-key", |b| out(stream(b, "a").map(|k, v| (if is_even(&v) { None } else { k }, v)))),
        Topology::new("flat-map", |b| {
            out(stream(b, "a").flat_map(|k, v| {
                let key = |c: char| Some(format!("{}{c}", text(&k)));
                text(&v).chars().map(|c| (key(c), v.clone())).collect::<Vec<(Text, Text)>>()
            }));
        }),
        Topology::new("flat-map-values", |b| {
            out(stream(b, "a").flat_map_values(|_, v| [text(&v).to_owned(), text(&v).repeat(2)]));
        }),
        Topology::new("select-key", |b| out(stream(b, "a").select_key(|_, v| first_of(v)))),
        Topology::new("merge", |b| out(stream(b, "a").merge(&stream(b, "b")))).reads(two),
        Topology::new("merge-after-map", |b| {
            let mapped = stream(b, "a").map_values(|v| Some(format!("a{}", text(&v))));
            out(mapped.merge(&stream(b, "b").filter(|_, v| is_even(v))));
        })
        .reads(two),
        Topology::new("split", |b| {
            let branches =
                stream(b, "a").split().branch(|_, v| first_of(v).as_deref() == Some("a")).branch(|_, v| is_even(v));
            two_outputs(&branches.no_default_branch());
        })
        .writes(&["out", "out2"]),
        Topology::new("split-default", |b| {
            two_outputs(&stream(b, "a").split().branch(|_, v| first_of(v).as_deref() == Some("a")).default_branch());
        })
        .writes(&["out", "out2"]),
        Topology::new("repartition", |b| {
            out(stream(b, "a").select_key(|_, v| first_of(v)).repartition(Repartitioned::default()));
        }),
        Topology::new("to-table", |b| changes(stream(b, "a").to_table(Materialized::default()))),
        Topology::new("select-key-to-table", |b| {
            changes(stream(b, "a").select_key(|_, v| first_of(v)).to_table(Materialized::default()));
        }),
        Topology::new("dynamic-topic", |b| {
            let topic = |_: &Text, v: &Text| if is_even(v) { "out" } else { "out2" }.to_owned();
            stream(b, "a").to_dynamic(topic, Produced::kafka());
        })
        .writes(&["out", "out2"])
        .chosen_by_record(),
    ]
}

fn two_outputs(branches: &[millstream::dsl::KStream<Text, Text>]) {
    branches[0].to("out", Produced::kafka());
    branches[1].to("out2", Produced::kafka());
}
