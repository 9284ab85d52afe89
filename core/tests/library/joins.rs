//! Stream-table joins and tables, case by case.

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Materialized, Produced},
    expression::{col, lit},
    operator::EmitPolicy,
    record::Record,
    testing::TopologyTestDriver,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Click {
    page: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct User {
    city: String,
    age: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Seen {
    page: String,
    city: Option<String>,
}

fn text(records: Vec<Record>) -> Vec<(String, Option<String>)> {
    let utf8 = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    records.into_iter().map(|record| (utf8(record.key.unwrap_or_default()), record.value.map(utf8))).collect()
}

fn check(left: bool) -> Vec<(String, Option<String>)> {
    let builder = StreamsBuilder::new();
    let users = builder.table::<String, User>("users", Consumed::json(), Materialized::named("users"));
    let clicks = builder.stream::<String, Click>("clicks", Consumed::json());
    let seen = if left {
        clicks.left_join(&users, |_, click, user: Option<User>| Seen {
            page: click.page,
            city: user.map(|user| user.city),
        })
    } else {
        clicks.join(&users, |_, click, user: User| Seen { page: click.page, city: Some(user.city) })
    };
    seen.to("seen", Produced::json());
    let mut driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("can be run");
    let click = |page: &str| Record::new("ada", format!(r#"{{"page":"{page}"}}"#));
    driver.push("clicks", click("early")).expect("runs");
    driver.push("users", Record::new("ada", r#"{"city":"London","age":36}"#).at_ms(1)).expect("runs");
    driver.push("clicks", click("first").at_ms(2)).expect("runs");
    driver.push("users", Record::new("ada", r#"{"city":"Paris","age":37}"#).at_ms(3)).expect("runs");
    driver.push("clicks", click("second").at_ms(4)).expect("runs");
    driver.push("users", Record { value: None, ..Record::new("ada", "").at_ms(5) }).expect("runs");
    driver.push("clicks", click("last").at_ms(6)).expect("runs");
    text(driver.drain("seen").expect("an output"))
}

fn row(page: &str, city: Option<&str>) -> (String, Option<String>) {
    let city = city.map_or("null".to_owned(), |city| format!("{city:?}"));
    ("ada".to_owned(), Some(format!(r#"{{"page":{page:?},"city":{city}}}"#)))
}

#[test]
fn only_the_stream_triggers_and_meets_the_row_of_the_moment() {
    assert_eq!(check(false), [row("first", Some("London")), row("second", Some("Paris"))]);
}

#[test]
fn a_left_join_passes_on_what_meets_nothing() {
    let expected = [row("early", None), row("first", Some("London")), row("second", Some("Paris")), row("last", None)];
    assert_eq!(check(true), expected);
}

#[test]
fn records_of_both_sides_are_taken_in_the_order_of_their_timestamps() {
    let builder = StreamsBuilder::new();
    let users = builder.table::<String, User>("users", Consumed::json(), Materialized::named("users"));
    let clicks = builder.stream::<String, Click>("clicks", Consumed::json());
    clicks
        .join(&users, |_, click, user: User| Seen { page: click.page, city: Some(user.city) })
        .to("seen", Produced::json());
    let topology = builder.build().expect("legal");
    for emit in [EmitPolicy::Record, EmitPolicy::Commit] {
        let mut driver = TopologyTestDriver::with(&topology, 4, emit).expect("can be run");
        // One subtopology reads both topics; what was written first does not matter, timestamps do.
        let users =
            (0..20).map(|n| Record::new(format!("u{}", n % 4), format!(r#"{{"city":"c{n}","age":1}}"#)).at_ms(10 * n));
        let clicks =
            (0..20).map(|n| Record::new(format!("u{}", n % 4), format!(r#"{{"page":"p{n}"}}"#)).at_ms(10 * n + 5));
        driver.pause();
        driver.push_all("clicks", clicks).expect("runs");
        driver.push_all("users", users).expect("runs");
        driver.resume().expect("runs");
        let mut seen = text(driver.drain("seen").expect("an output"));
        seen.sort();
        let mut expected: Vec<_> =
            (0..20).map(|n| (format!("u{}", n % 4), Some(format!(r#"{{"page":"p{n}","city":"c{n}"}}"#)))).collect();
        expected.sort();
        assert_eq!(seen, expected);
    }
}

#[test]
fn a_filtered_table_deletes_rows_that_no_longer_pass() {
    let builder = StreamsBuilder::new();
    let users = builder.table::<String, User>("users", Consumed::json(), Materialized::named("users"));
    users.filter_expr(col("age").gt(lit(30_i64))).to_stream().to("adults", Produced::json());
    users.filter(|_, user| user.age > 30).to_stream().to("adults-too", Produced::json());
    let mut driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("can be run");
    for (key, age) in [("ada", 36), ("bob", 7), ("ada", 20), ("ada", 40)] {
        driver.push("users", Record::new(key, format!(r#"{{"city":"x","age":{age}}}"#))).expect("runs");
    }
    driver.push("users", Record { value: None, ..Record::new("ada", "") }).expect("runs");
    let row = |age: i64| Some(format!(r#"{{"city":"x","age":{age}}}"#));
    let expected = [row(36), None, row(40), None].map(|value| ("ada".to_owned(), value));
    assert_eq!(text(driver.drain("adults").expect("an output")), expected);
    assert_eq!(text(driver.drain("adults-too").expect("an output")), expected, "closures and expressions agree");
}

#[test]
fn a_grouped_table_takes_back_what_changed() {
    let builder = StreamsBuilder::new();
    let users = builder.table::<String, User>("users", Consumed::json(), Materialized::named("users"));
    let ages = users.group_by_expr::<String>(col("city")).sum::<i64>(col("age"), "ages");
    ages.to_stream().to("ages", Produced::kafka());
    let mut driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("can be run");
    let mut push = |key: &str, value: Option<(&str, i64)>| {
        let value = value.map(|(city, age)| format!(r#"{{"city":"{city}","age":{age}}}"#).into_bytes());
        driver.push("users", Record { value, ..Record::new(key, "") }).expect("runs");
        let changes = driver.drain("ages").expect("an output").into_iter().map(|record| {
            let key = String::from_utf8(record.key.expect("a key")).expect("text");
            let sum = i64::from_be_bytes(record.value.expect("a sum").try_into().expect("eight bytes"));
            (key, sum)
        });
        let mut last: Vec<(String, i64)> = changes.collect::<std::collections::BTreeMap<_, _>>().into_iter().collect();
        last.sort();
        last
    };
    let named = |rows: &[(&str, i64)]| rows.iter().map(|(city, sum)| ((*city).to_owned(), *sum)).collect::<Vec<_>>();
    assert_eq!(push("ada", Some(("London", 36))), named(&[("London", 36)]));
    assert_eq!(push("bob", Some(("London", 4))), named(&[("London", 40)]));
    assert_eq!(push("ada", Some(("Paris", 37))), named(&[("London", 4), ("Paris", 37)]));
    assert_eq!(push("bob", None), named(&[("London", 0)]));
}

#[test]
fn of_one_timestamp_the_table_comes_first() {
    let builder = StreamsBuilder::new();
    let clicks = builder.stream::<String, Click>("clicks", Consumed::json());
    // Read behind a stateless operator, and after the stream.
    let users = builder.stream::<String, User>("users", Consumed::json()).map_values(|user| user).to_table("users");
    clicks
        .join(&users, |_, click, user: User| Seen { page: click.page, city: Some(user.city) })
        .to("seen", Produced::json());
    let mut driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("can be run");
    driver.pause();
    let click = |page: &str, at: i64| Record::new("ada", format!(r#"{{"page":"{page}"}}"#)).at_ms(at);
    driver.push_all("clicks", [click("before", 3), click("same", 5)]).expect("runs");
    driver.push("users", Record::new("ada", r#"{"city":"London","age":36}"#).at_ms(5)).expect("runs");
    driver.resume().expect("runs");
    assert_eq!(text(driver.drain("seen").expect("an output")), [row("same", Some("London"))]);
}

#[test]
fn a_stream_that_makes_a_table_meets_its_own_newest_row() {
    let builder = StreamsBuilder::new();
    let users = builder.stream::<String, User>("users", Consumed::json());
    let table = users.to_table("users");
    users.join(&table, |_, user, row: User| format!("{} {}", user.age, row.age)).to("ages", Produced::kafka());
    let mut driver =
        TopologyTestDriver::with(&builder.build().expect("legal"), 1, EmitPolicy::Commit).expect("can be run");
    let user = |age: i64| Record::new("ada", format!(r#"{{"city":"x","age":{age}}}"#));
    driver.push_all("users", [user(1), user(2), user(3)]).expect("runs");
    let ages: Vec<_> =
        text(driver.drain("ages").expect("an output")).into_iter().filter_map(|(_, ages)| ages).collect();
    assert_eq!(ages, ["1 1", "2 2", "3 3"]);
}

#[test]
fn a_join_sees_an_aggregate_of_the_same_interval() {
    let builder = StreamsBuilder::new();
    let counts = builder.stream::<String, User>("users", Consumed::json()).group_by_key().count("counts");
    let clicks = builder.stream::<String, Click>("clicks", Consumed::json());
    clicks.join(&counts, |_, click, count: i64| format!("{} {count}", click.page)).to("seen", Produced::kafka());
    let mut driver =
        TopologyTestDriver::with(&builder.build().expect("legal"), 1, EmitPolicy::Commit).expect("can be run");
    driver.pause();
    let user = |at: i64| Record::new("ada", r#"{"city":"x","age":1}"#).at_ms(at);
    let click = |page: &str, at: i64| Record::new("ada", format!(r#"{{"page":"{page}"}}"#)).at_ms(at);
    driver.push_all("users", [user(1), user(3), user(5)]).expect("runs");
    driver.push_all("clicks", [click("a", 2), click("b", 4)]).expect("runs");
    driver.resume().expect("runs");
    let seen: Vec<_> =
        text(driver.drain("seen").expect("an output")).into_iter().filter_map(|(_, seen)| seen).collect();
    assert_eq!(seen, ["a 1", "b 2"]);
}

#[test]
fn two_parts_read_one_topic_each_at_its_own_pace() {
    let builder = StreamsBuilder::new();
    let ages = builder.stream::<String, User>("users", Consumed::json()).map_values(|user| user.age);
    ages.group_by_key().reduce(|a, b| a + b, "ages").to_stream().to("ages", Produced::kafka());
    let cities = builder.stream::<String, User>("users", Consumed::json()).map_values(|user| user.city);
    cities.to("cities", Produced::kafka());
    let mut driver = TopologyTestDriver::new(&builder.build().expect("legal")).expect("can be run");
    for _ in 0..2 {
        driver.push("users", Record::new("ada", r#"{"city":"x","age":1}"#)).expect("runs");
    }
    assert_eq!(driver.drain("ages").expect("an output").len(), 2);
    assert_eq!(driver.drain("cities").expect("an output").len(), 2);
}
