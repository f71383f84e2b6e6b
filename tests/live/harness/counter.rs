//! The projection most tests use, and what it must hold.

use std::collections::BTreeMap;

use super::Deployment;

/// Counts events per key. Whatever its generation, every row keeps `weight = events · unit`: a result
/// that mixes generations cannot.
pub(crate) const COUNTER: &str = r#"
topics = ["TOPIC"]
stores = ["postgres", "redis"]
key = { id = "data.id" }
[columns]
id = "text"
events = { type = "bigint", default = 0 }
unit = "bigint"
weight = { type = "bigint", default = 0 }
amount = { type = "numeric(18,2)", default = "0.00" }
last = "bigint"
[on."*"]
set = { unit = "1", last = "data.number" }
add = { events = "1", weight = "1", amount = "data.amount" }
"#;

/// The same with another unit, and a column more.
pub(crate) const TENFOLD: &str = r#"
topics = ["TOPIC"]
stores = ["postgres", "redis"]
key = { id = "data.id" }
[columns]
id = "text"
events = { type = "bigint", default = 0 }
unit = "bigint"
weight = { type = "bigint", default = 0 }
amount = { type = "numeric(18,2)", default = "0.00" }
last = "bigint"
doubled = { type = "numeric(18,2)", default = "0.00" }
[on."*"]
set = { unit = "10", last = "data.number" }
add = { events = "1", weight = "10", amount = "data.amount", doubled = "data.amount * 2" }
"#;

/// What events number 0 to `events` mean, dealt round over `keys` keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) events: u64,
    pub(crate) keys: u64,
}

/// One row: events, cents, number of the last event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    events: u64,
    cents: u64,
    last: u64,
}

/// Key and value of event `number`.
pub(crate) fn event(number: u64, keys: u64) -> (String, String) {
    let id = format!("k{}", number % keys);
    let value = format!(
        r#"{{"id":"{id}","number":{number},"amount":"0.{:02}","at":{}}}"#,
        number % 100,
        jiff::Timestamp::now().as_microsecond()
    );
    (id, value)
}

impl Counted {
    fn rows(self) -> BTreeMap<String, Count> {
        let mut rows: BTreeMap<String, Count> = BTreeMap::new();
        for number in 0..self.events {
            let row = rows.entry(format!("k{}", number % self.keys)).or_default();
            row.events += 1;
            row.cents += number % 100;
            row.last = number;
        }
        rows
    }

    /// Fails unless readers of both stores see exactly this, in `unit`.
    pub(crate) async fn assert_seen(self, deployment: &Deployment, view: &str, unit: u64) {
        let text = |row: &Count| {
            let amount = format!("{}.{:02}", row.cents / 100, row.cents % 100);
            let weight = row.events * unit;
            format!(
                "{} events, unit {unit}, weight {weight}, amount {amount}, last {}",
                row.events, row.last
            )
        };
        let expected: BTreeMap<String, String> = self
            .rows()
            .iter()
            .map(|(key, row)| (key.clone(), text(row)))
            .collect();
        let shown = |field: &dyn Fn(&str) -> String| {
            format!(
                "{} events, unit {}, weight {}, amount {}, last {}",
                field("events"),
                field("unit"),
                field("weight"),
                field("amount"),
                field("last")
            )
        };
        let postgres: BTreeMap<String, String> = deployment
            .postgres_rows(view, "id")
            .await
            .iter()
            .map(|(key, row)| (key.clone(), shown(&|name| row[name].to_string())))
            .collect();
        assert_eq!(postgres, expected, "postgres {view}");
        let redis: BTreeMap<String, String> = deployment
            .redis_rows(view)
            .await
            .iter()
            .map(|(key, row)| {
                let field = |name: &str| row.get(name).cloned().unwrap_or_default();
                (key.clone(), shown(&field))
            })
            .collect();
        assert_eq!(redis, expected, "redis {view}");
    }
}
