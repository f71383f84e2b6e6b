//! A projection written in Rust, in a binary of one's own: `customer_tiers`, one row per customer with what the
//! customer spent and the tier that this is worth (`none`, `bronze`, `silver`, `gold`).
//!
//! A definition file could add up `spent`, but not climb a ladder of thresholds that is a table in code, shared with
//! the rest of a system. That is when a projection is written in Rust: the engine, the stores and every command stay
//! the same, only [`Projection::handle`] is yours.
//!
//! ```sh
//! cargo run --example rust_projection -- check                 # shows the columns
//! cargo run --example rust_projection -- try customer_tiers \
//!     --events projections/cases/customer_orders/lifecycle.events.jsonl
//! cargo run --example rust_projection -- run                   # the service, with the projections/ folder as well
//! cargo test --example rust_projection
//! ```

use std::process::ExitCode;
use std::sync::Arc;

use viewfold::event::{Event, Json, Path};
use viewfold::fault::{Fault, Result};
use viewfold::projection::{
    ColumnType, Decimal, Handled, Op, Ops, Projection, Registry, RowKey, Rows, Schema,
    TopicSelector, Value,
};

fn main() -> ExitCode {
    match CustomerTiers::new() {
        Ok(tiers) => viewfold::cli::main(Registry::new().with(tiers)),
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::from(2)
        }
    }
}

/// From how much spent on each tier is reached, the highest first.
const LADDER: [(i64, &str); 3] = [(1000, "gold"), (250, "silver"), (50, "bronze")];

/// The columns, by their place in the schema.
const SPENT: usize = 1;
const TIER: usize = 2;
const REACHED_AT: usize = 3;

/// The paths that are read, by their place in [`Projection::paths`].
const CUSTOMER: usize = 0;
const TOTAL: usize = 1;
const REFUNDED: usize = 2;

/// What each customer spent, and the tier that follows from it.
struct CustomerTiers {
    schema: Arc<Schema>,
    topics: [TopicSelector; 1],
    paths: [Path; 3],
}

impl CustomerTiers {
    fn new() -> Result<Self> {
        let schema = Schema::builder("customer_tiers")
            .key("customer_id", ColumnType::Text)
            .column(
                "spent",
                ColumnType::Decimal {
                    precision: 18,
                    scale: 2,
                },
            )
            .default_value("0.00")
            .column("tier", ColumnType::Text)
            .default_value("none")
            .indexed()
            .column("reached_at", ColumnType::Timestamptz)
            .build()?;
        let path = |text: &str| Path::dotted(text).map_err(Fault::misconfigured);
        Ok(Self {
            schema,
            topics: [TopicSelector::Exact("orders".into())],
            paths: [path("customerId")?, path("total")?, path("refunded")?],
        })
    }

    /// The row that an event is about. What is missing or null is a fault of the event, never a silent null.
    fn key(&self, event: &Event<'_>) -> Result<RowKey> {
        let id = Value::from_json(ColumnType::Text, &event.path(CUSTOMER))
            .map_err(|wrong| Fault::poison(format!("data.customerId {wrong}")))?;
        RowKey::new(&self.schema, vec![id]).map_err(Fault::poison)
    }

    /// The amount that an event adds to what was spent; none when the event has none.
    fn amount(event: &Event<'_>) -> Result<Option<Decimal>> {
        let sign = match &*event.event_type() {
            "order.created" => 1,
            "order.cancelled" if event.path(REFUNDED) == Json::Bool(true) => -1,
            _ => return Ok(None),
        };
        let total = Value::from_json(ColumnType::Numeric, &event.path(TOTAL))
            .map_err(|wrong| Fault::poison(format!("data.total {wrong}")))?;
        let total = total
            .to_decimal()
            .ok_or_else(|| Fault::poison("data.total is null"))?;
        Ok(Some(if sign < 0 { total.neg() } else { total }))
    }
}

/// The tier of a customer who spent this much.
fn tier(spent: &Decimal) -> &'static str {
    let reached = LADDER
        .iter()
        .find(|(from, _)| *spent >= Decimal::from(*from));
    reached.map_or("none", |(_, name)| name)
}

impl Projection for CustomerTiers {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn topics(&self) -> &[TopicSelector] {
        &self.topics
    }

    /// To be raised with every change of [`LADDER`] or of the handler: it is part of the definition's hash.
    fn version(&self) -> String {
        "1".into()
    }

    fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// The tier depends on the sum so far, so every event is folded onto its row.
    fn reads_rows(&self) -> bool {
        true
    }

    fn row_keys(&self, event: &Event<'_>) -> Result<Vec<RowKey>> {
        match Self::amount(event)? {
            Some(_) => Ok(vec![self.key(event)?]),
            None => Ok(Vec::new()),
        }
    }

    fn handle(&self, event: &Event<'_>, rows: &dyn Rows, ops: &mut Ops) -> Result<Handled> {
        let Some(amount) = Self::amount(event)? else {
            return Ok(Handled::Filtered);
        };
        let key = self.key(event)?;
        let stored = rows
            .get(&key)
            .and_then(|row| row.values.get(SPENT))
            .and_then(Value::to_decimal);
        let before = stored.unwrap_or_else(Decimal::zero);
        let after = before.plus(&amount);
        let mut changes = vec![(SPENT, Op::Set(after.clone().into()))];
        if tier(&after) != tier(&before) {
            changes.push((TIER, Op::Set(tier(&after).into())));
            // The event's own time: a projection never looks at a clock.
            changes.push((
                REACHED_AT,
                Op::Set(event.time_micros().map_or(Value::Null, Value::Time)),
            ));
        }
        ops.upsert(key, changes);
        Ok(Handled::Applied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use viewfold::event::lines::chunk_from_lines;
    use viewfold::event::{Decoder, Envelope, PathSet};
    use viewfold::projection::Definition;
    use viewfold::projection::trial::trial;

    /// The rows after these records, as JSON.
    fn rows(records: &str) -> String {
        let definition = Definition::of(Arc::new(CustomerTiers::new().unwrap()));
        let chunks: Vec<_> = chunk_from_lines("orders", records)
            .unwrap()
            .into_iter()
            .map(|raw| {
                let envelope = Envelope::detect(&raw).unwrap_or(Envelope::Plain);
                Decoder::new(envelope, Arc::new(PathSet::default())).decode(raw)
            })
            .collect();
        let trial = trial(&definition, &chunks);
        assert!(trial.faults.is_empty(), "{:?}", trial.faults);
        trial.to_json().replace('\n', "")
    }

    fn event(kind: &str, hour: u32, data: &str) -> String {
        format!(
            r#"{{"eventId":"e{hour}","eventType":"{kind}","timestamp":"2026-11-21T{hour:02}:00:00Z","data":{data}}}"#
        )
    }

    #[test]
    fn a_customer_climbs_and_falls() {
        let records = [
            event("order.created", 1, r#"{"customerId":"c1","total":"40.00"}"#),
            event(
                "order.created",
                2,
                r#"{"customerId":"c1","total":"210.00"}"#,
            ),
            event("order.paid", 3, r#"{"customerId":"c1","amount":"210.00"}"#),
            event(
                "order.cancelled",
                4,
                r#"{"customerId":"c1","total":"210.00","refunded":true}"#,
            ),
            event(
                "order.created",
                5,
                r#"{"customerId":"c2","total":"999.99"}"#,
            ),
        ];
        assert_eq!(
            rows(&records.join("\n")),
            concat!(
                r#"[{"customer_id":"c1","spent":"40.00","tier":"none","reached_at":"2026-11-21T04:00:00Z"},"#,
                r#"{"customer_id":"c2","spent":"999.99","tier":"silver","reached_at":"2026-11-21T05:00:00Z"}]"#,
            )
        );
    }
}
