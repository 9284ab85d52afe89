//! Joins of typed streams and tables: what closures are given, and the sequences that Kafka Streams gives.

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Data, KStream, KTable, Materialized, Produced, StreamJoined, TableJoined},
    operator::EmitPolicy,
    testing::TopologyTestDriver,
    topology::Topology,
    window::JoinWindows,
};
use serde::{Deserialize, Serialize};

use crate::join_sequences::{Push, drained, record, span};

/// A row that may be there with nothing in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Note {
    text: Option<String>,
}

fn stream<V: Data>(builder: &StreamsBuilder, topic: &str) -> KStream<String, V> {
    builder.stream(topic, Consumed::json())
}

fn table<V: Data>(builder: &StreamsBuilder, topic: &str) -> KTable<String, V> {
    builder.table(topic, Consumed::json(), Materialized::named(topic))
}

fn words(builder: &StreamsBuilder, topic: &str) -> KTable<String, String> {
    builder.table(topic, Consumed::kafka(), Materialized::named(topic))
}

/// Both sides as text.
fn both(left: Option<String>, right: Option<String>) -> String {
    format!("[{},{}]", left.unwrap_or("null".to_owned()), right.unwrap_or("null".to_owned()))
}

/// What is there, and what is in it.
fn seen(key: &str, left: Option<Note>, right: Option<Note>) -> String {
    let side = |note: Option<Note>| note.map_or("none".to_owned(), |note| note.text.unwrap_or("empty".to_owned()));
    format!("{key}: {} {}", side(left), side(right))
}

/// Pushes one after another, with a restart after each, and in the order of arrival: the same comes out.
fn check(topology: &Topology, pushes: &[Push<'_>], expected: &[&str]) {
    for restarts in [false, true] {
        let mut driver = TopologyTestDriver::new(topology).expect("can be run");
        for push in pushes {
            driver.push(push.0, record(push)).expect("runs");
            if restarts {
                driver.restart().expect("starts again");
            }
        }
        assert_eq!(drained(&mut driver), expected, "restarts: {restarts}");
    }
    let mut driver = TopologyTestDriver::with(topology, 1, EmitPolicy::Commit).expect("can be run");
    driver.pause();
    pushes.iter().for_each(|push| driver.push(push.0, record(push)).expect("runs"));
    driver.resume_in_order_of_arrival().expect("runs");
    assert_eq!(drained(&mut driver), expected, "in the order of arrival");
}

const EMPTY: Option<&str> = Some("{}");

#[test]
fn a_side_that_is_there_with_nothing_in_it_is_not_a_missing_one() {
    let builder = StreamsBuilder::new();
    let notes = table::<Note>(&builder, "notes");
    let asked = stream::<Note>(&builder, "asked");
    asked.join(&notes, |key, left, right| seen(key, Some(left), Some(right))).to("out", Produced::kafka());
    let pushes = [("asked", Some("k"), EMPTY, 0), ("notes", Some("k"), EMPTY, 1), ("asked", Some("k"), EMPTY, 2)];
    check(&builder.build().expect("legal"), &pushes, &["k k: empty empty@2"]);

    let builder = StreamsBuilder::new();
    let (notes, asked) = (table::<Note>(&builder, "notes"), stream::<Note>(&builder, "asked"));
    asked.left_join(&notes, |key, left, right| seen(key, Some(left), right)).to("out", Produced::kafka());
    check(&builder.build().expect("legal"), &pushes, &["k k: empty none@0", "k k: empty empty@2"]);
}

#[test]
fn streams_and_tables_say_which_sides_there_were() {
    let pushes = [("left", Some("k"), EMPTY, 0), ("right", Some("k"), EMPTY, 1), ("right", Some("j"), EMPTY, 2)];
    let builder = StreamsBuilder::new();
    let (left, right) = (stream::<Note>(&builder, "left"), stream::<Note>(&builder, "right"));
    left.outer_join_stream(&right, JoinWindows::new(span(5), span(5)), |key, left, right| seen(key, left, right))
        .to("out", Produced::kafka());
    let expected = ["k k: empty none@0", "k k: empty empty@1", "j j: none empty@2"];
    check(&builder.build().expect("legal"), &pushes, &expected);

    let builder = StreamsBuilder::new();
    let (left, right) = (table::<Note>(&builder, "left"), table::<Note>(&builder, "right"));
    let joined = left.outer_join(&right, |key, left, right| seen(key, left, right));
    joined.to_stream().to("out", Produced::kafka());
    check(&builder.build().expect("legal"), &pushes, &expected);
}

#[test]
fn a_grace_holds_an_unmatched_record_back_until_stream_time_is_past_its_window_and_the_grace() {
    let builder = StreamsBuilder::new();
    let [left, right] =
        ["left", "right"].map(|topic| builder.stream::<Option<String>, String>(topic, Consumed::kafka()));
    let windows = JoinWindows::new(span(10), span(10)).with_grace(span(5));
    left.outer_join_stream(&right, windows, |_, left, right| both(left, right)).to("out", Produced::kafka());
    let topology = builder.build().expect("legal");
    let pushes = [
        ("left", Some("k"), Some("A"), 100),
        ("right", Some("k"), Some("early"), 89),
        ("right", Some("x"), Some("b"), 115),
    ];
    // What is in no window of 100 is over at 89 + 10, below the stream time.
    let expected = ["k [null,early]@89"];
    check(&topology, &pushes, &expected);
    let pushes = [pushes.as_slice(), &[("right", Some("x"), Some("c"), 116)]].concat();
    check(&topology, &pushes, &[expected.as_slice(), &["k [A,null]@100"]].concat());
    let pushes =
        [("left", Some("k"), Some("A"), 100), ("right", Some("k"), Some("a"), 110), ("left", None, Some("n"), 111)];
    check(&topology, &pushes, &["k [A,a]@110", "? [n,null]@111"]);
}

/// The sequence of section "Table-table" of the semantics: L and R by turns.
const SEQUENCE: [Push<'static>; 12] = [
    ("left", Some("k"), None, 1),
    ("left", Some("k"), Some("A"), 3),
    ("right", Some("k"), Some("a"), 4),
    ("left", Some("k"), Some("B"), 5),
    ("right", Some("k"), Some("b"), 6),
    ("left", Some("k"), None, 7),
    ("right", Some("k"), None, 8),
    ("left", Some("k"), Some("C"), 9),
    ("right", Some("k"), Some("c"), 10),
    ("right", Some("k"), None, 11),
    ("left", Some("k"), None, 12),
    ("right", Some("k"), Some("d"), 14),
];

fn joined_tables(
    join: impl Fn(&KTable<String, String>, &KTable<String, String>) -> KTable<String, String>,
) -> Topology {
    let builder = StreamsBuilder::new();
    let joined = join(&words(&builder, "left"), &words(&builder, "right"));
    joined.to_stream().to("out", Produced::kafka());
    builder.build().expect("legal")
}

#[test]
fn tables_join_in_the_sequence_of_kafka_streams() {
    let pushes = [SEQUENCE.as_slice(), &[("left", Some("k"), Some("D"), 15)]].concat();
    let inner = joined_tables(|left, right| left.join(right, |_, left, right| both(Some(left), Some(right))));
    let expected = ["k [A,a]@4", "k [B,a]@5", "k [B,b]@6", "k -@7", "k [C,c]@10", "k -@11", "k [D,d]@15"];
    check(&inner, &pushes, &expected);
    let left = joined_tables(|left, right| left.left_join(right, |_, left, right| both(Some(left), right)));
    let expected = [
        "k [A,null]@3",
        "k [A,a]@4",
        "k [B,a]@5",
        "k [B,b]@6",
        "k -@7",
        "k [C,null]@9",
        "k [C,c]@10",
        "k [C,null]@11",
        "k -@12",
        "k [D,d]@15",
    ];
    check(&left, &pushes, &expected);
    let outer = joined_tables(|left, right| left.outer_join(right, |_, left, right| both(left, right)));
    let expected = [
        "k [A,null]@3",
        "k [A,a]@4",
        "k [B,a]@5",
        "k [B,b]@6",
        "k [null,b]@7",
        "k -@8",
        "k [C,null]@9",
        "k [C,c]@10",
        "k [C,null]@11",
        "k -@12",
        "k [null,d]@14",
        "k [D,d]@15",
    ];
    check(&outer, &pushes, &expected);
}

/// A left row names the key of the right one: `(key, foreign key)`.
fn foreign(kind: &str) -> Topology {
    let builder = StreamsBuilder::new();
    let left = builder.table::<String, i64>("left", Consumed::json(), Materialized::named("left"));
    let right = words(&builder, "right");
    let named = |_: &String, value: &i64| Some(value.to_string());
    let joined = match kind {
        "inner" => left.join_foreign(&right, named, |key, left, right| format!("({key},{left},{right})")),
        _ => left.left_join_foreign(TableJoined::with(&right).named("fk"), named, |key, left, right| {
            format!("({key},{left},{})", right.unwrap_or("null".to_owned()))
        }),
    };
    joined.to_stream().to("out", Produced::kafka());
    builder.build().expect("legal")
}

#[test]
fn foreign_keys_join_in_the_sequence_of_kafka_streams() {
    let pushes = [
        ("left", Some("k"), Some("1"), 1),
        ("right", Some("1"), Some("foo"), 2),
        ("left", Some("k"), Some("2"), 3),
        ("left", Some("k"), Some("3"), 4),
        ("right", Some("3"), Some("bar"), 5),
        ("left", Some("q"), Some("10"), 6),
        ("left", Some("r"), Some("10"), 7),
        ("right", Some("10"), Some("baz"), 8),
    ];
    let inner = ["k (k,1,foo)@2", "k -@3", "k -@4", "k (k,3,bar)@5", "q (q,10,baz)@8", "r (r,10,baz)@8"];
    check(&foreign("inner"), &pushes, &inner);
    let left = [
        "k (k,1,null)@1",
        "k (k,1,foo)@2",
        "k (k,2,null)@3",
        "k (k,3,null)@4",
        "k (k,3,bar)@5",
        "q (q,10,null)@6",
        "r (r,10,null)@7",
        "q (q,10,baz)@8",
        "r (r,10,baz)@8",
    ];
    check(&foreign("left"), &pushes, &left);
    assert!(foreign("left").describe().contains("<application>-fk-subscription-registration"));
}

#[test]
fn a_foreign_key_may_come_from_the_key_and_may_be_none() {
    let builder = StreamsBuilder::new();
    let (left, right) = (words(&builder, "left"), words(&builder, "right"));
    let before_dash = |key: &String, _: &String| key.split_once('-').map(|(named, _)| named.to_owned());
    let joined = left.left_join_foreign(&right, before_dash, |_, left, right| both(Some(left), right));
    joined.to_stream().to("out", Produced::kafka());
    let pushes = [
        ("right", Some("a"), Some("x"), 0),
        ("left", Some("a-1"), Some("A"), 1),
        ("left", Some("none"), Some("B"), 2),
        ("right", Some("a"), Some("y"), 3),
    ];
    check(&builder.build().expect("legal"), &pushes, &["a-1 [A,x]@1", "none [B,null]@2", "a-1 [A,y]@3"]);
}

#[test]
fn a_row_that_a_closure_cannot_read_is_a_dead_letter() {
    #[derive(Debug, Clone, Serialize, Deserialize)]
    struct Strict {
        text: String,
    }
    let builder = StreamsBuilder::new();
    let (left, right) = (table::<Strict>(&builder, "left"), table::<Note>(&builder, "right"));
    let joined = left.join(&right, |_, left, right| both(Some(left.text), right.text));
    joined.to_stream().to("out", Produced::kafka());
    let mut driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("can be run");
    for push in
        [("right", Some("k"), EMPTY, 0), ("left", Some("k"), EMPTY, 1), ("left", Some("k"), Some(r#"{"text":"t"}"#), 2)]
    {
        driver.push(push.0, record(&push)).expect("runs");
    }
    assert_eq!(drained(&mut driver), ["k [t,null]@2"]);
    assert_eq!(driver.dead_letters().expect("a topic").len(), 1);
}

#[test]
fn a_longer_retention_lets_later_records_meet_and_a_shorter_one_is_refused() {
    let topology = |retention: i64| {
        let builder = StreamsBuilder::new();
        let [left, right] = ["left", "right"].map(|topic| builder.stream::<String, String>(topic, Consumed::kafka()));
        let windows = JoinWindows::new(span(10), span(10)).with_grace(span(0));
        let joined = StreamJoined::within(windows).retention(span(retention));
        left.join_stream(&right, joined, |_, left, right| both(Some(left), Some(right))).to("out", Produced::kafka());
        builder.build()
    };
    let pushes =
        [("left", Some("k"), Some("A"), 0), ("left", Some("k"), Some("B"), 50), ("right", Some("k"), Some("late"), 5)];
    check(&topology(20).expect("legal"), &pushes, &[]);
    check(&topology(60).expect("legal"), &pushes, &["k [A,late]@5"]);
    let problem = topology(19).err().expect("too short").to_string();
    assert!(problem.contains("a retention of 19 ms is shorter"), "{problem}");
}

#[test]
fn named_joins_name_their_topics_and_stores() {
    let builder = StreamsBuilder::new();
    let [left, right] = ["left", "right"].map(|topic| builder.stream::<String, String>(topic, Consumed::kafka()));
    let (left, right) = (left.select_key(|_, value| value.clone()), right.select_key(|_, value| value.clone()));
    let windows = JoinWindows::new(span(10), span(10)).with_grace(span(5));
    let joined = StreamJoined::within(windows).named("pairs");
    left.outer_join_stream(&right, joined, |_, left, right| both(left, right)).to("out", Produced::kafka());
    let plan = builder.build().expect("legal").describe();
    for name in ["pairs-left-repartition", "pairs-right-repartition", "`pairs-left`", "`pairs-right`", "pairs-waiting"]
    {
        assert!(plan.contains(name), "{name} in {plan}");
    }
}

#[test]
fn options_are_values_and_nothing_is_no_value() {
    // Records without value meet nothing, whatever the type; a joiner that gives none makes a record without value.
    let builder = StreamsBuilder::new();
    let left = builder.stream::<Option<String>, Option<String>>("left", Consumed::kafka());
    let right = builder.table::<Option<String>, Option<String>>("right", Consumed::kafka(), "right".into());
    let joined = left.left_join(&right, |_, left, right| match right {
        Some(right) => left.zip(right).map(|(left, right)| left + &right),
        None => left,
    });
    joined.filter(|_, both| both.as_deref() != Some("hidden")).to("out", Produced::kafka());
    let pushes = [
        ("left", Some("k"), Some("a"), 0),
        ("left", Some("k"), None, 1),
        ("right", Some("k"), Some("x"), 2),
        ("left", Some("k"), Some("b"), 3),
        ("right", Some("k"), None, 4),
        ("left", Some("k"), Some("c"), 5),
        ("left", None, Some("d"), 6),
    ];
    check(&builder.build().expect("legal"), &pushes, &["k a@0", "k bx@3", "k c@5", "? d@6"]);

    let builder = StreamsBuilder::new();
    let (left, right) = (words(&builder, "left"), words(&builder, "right"));
    let joined = left.outer_join(&right, |_, left, right| left.filter(|left| Some(left) != right.as_ref()));
    joined.to_stream().to("out", Produced::kafka());
    let pushes = [
        ("left", Some("k"), Some("a"), 0),
        ("right", Some("k"), Some("a"), 1),
        ("right", Some("k"), Some("b"), 2),
        ("left", Some("k"), None, 3),
    ];
    check(&builder.build().expect("legal"), &pushes, &["k a@0", "k -@1", "k a@2", "k -@3"]);
}
