//! 03: a stream joined with a table.
//!
//! You learn that a stream holds facts and a table holds the newest row of each key; that each order meets the customer's row
//! of its moment, so that a later move changes no order of the past; and that a null value, a tombstone, deletes a row.
//!
//! ```text
//! $ cargo run --example stream_table_join
//! ada: {"item":"ink","city":null}
//! ada: {"item":"tea","city":"London"}
//! ada: {"item":"pen","city":"Paris"}
//! ada: {"item":"cup","city":null}
//! ```
//!
//! Next: `04_sql_push_query.rs`.
#![expect(clippy::print_stdout, reason = "examples show their results")]

use std::error::Error;

use millstream::{
    StreamsBuilder,
    dsl::{Consumed, Produced},
    record::Record,
    testing::TopologyTestDriver,
};
use serde::{Deserialize, Serialize};

/// A value in JSON: each field is a column, and expressions can name it: `filter_expr(col("amount").gt(lit(10)))`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    item: String,
    amount: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Customer {
    city: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Shipment {
    item: String,
    /// `Option` is how a column says that it may be null.
    city: Option<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let builder = StreamsBuilder::new();
    let customers = builder.table::<String, Customer>("customers", Consumed::json(), "customers".into());
    // Both topics have the customer as key and must have the same number of partitions: rows that belong together then lie in
    // partitions of one number, and one task has both.
    builder
        .stream::<String, Order>("orders", Consumed::json())
        .filter(|_customer, order| order.amount > 0)
        // `join` would leave out orders of customers who are not there.
        .left_join(&customers, |_customer, order, customer: Option<Customer>| Shipment {
            item: order.item,
            city: customer.map(|customer| customer.city),
        })
        .to("shipments", Produced::json());
    let mut driver = TopologyTestDriver::new(&builder.build()?)?;

    let order = |item: &str, amount: i64| Record::new("ada", format!(r#"{{"item":"{item}","amount":{amount}}}"#));
    let lives_in = |city: &str| Record::new("ada", format!(r#"{{"city":"{city}"}}"#));
    driver.push("orders", order("ink", 1).at_ms(1))?;
    driver.push("customers", lives_in("London").at_ms(2))?;
    driver.push("orders", order("tea", 2).at_ms(3))?;
    driver.push("orders", order("nothing", 0).at_ms(4))?;
    // A change of the table passes nothing on: only the stream's records do.
    driver.push("customers", lives_in("Paris").at_ms(5))?;
    driver.push("orders", order("pen", 1).at_ms(6))?;
    driver.push("customers", Record { value: None, ..Record::new("ada", "").at_ms(7) })?;
    driver.push("orders", order("cup", 1).at_ms(8))?;

    let mut shipments = Vec::new();
    for record in driver.drain("shipments")? {
        let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
        shipments.push(format!("{}: {}", String::from_utf8(key)?, String::from_utf8(value)?));
    }
    shipments.iter().for_each(|shipment| println!("{shipment}"));
    let expected = [
        r#"ada: {"item":"ink","city":null}"#,
        r#"ada: {"item":"tea","city":"London"}"#,
        r#"ada: {"item":"pen","city":"Paris"}"#,
        r#"ada: {"item":"cup","city":null}"#,
    ];
    assert_eq!(shipments, expected);
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
