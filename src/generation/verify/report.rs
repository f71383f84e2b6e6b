//! What a comparison found, and how it is counted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::columns::Finding;
use super::order::{Feeds, Order};
use crate::projection::RowKey;

/// How many differing rows are named.
pub const EXAMPLES: usize = 20;
/// How many differing rows are kept until it is known which of them are named.
const KEPT: usize = 10 * EXAMPLES;
/// How many differing keys are remembered, so that a key that a store repeats counts once, and so that it can be
/// found out whether its records come from several partitions. Keys beyond them count each time, and
/// never as order-sensitive.
pub(super) const REMEMBERED: usize = 100_000;
/// What rows that are on one side only are counted under.
const WHOLE_ROW: &str = "(row)";

/// One row that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// The row's key as text.
    pub key: String,
    /// The columns that differ; none when the row is on one side only.
    pub columns: Vec<String>,
    /// The row on the first side, by column; null when absent.
    pub first: serde_json::Value,
    /// The row on the second side.
    pub second: serde_json::Value,
    /// Whether only columns differ whose value depends on the order in which partitions are read.
    pub order_sensitive: bool,
    /// What else is to be known about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a comparison found in one store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// The store.
    pub store: String,
    /// What the first side was compared with: `generation 1` or `log`.
    pub against: String,
    /// Whether both run the same definition: then no row may differ.
    pub same_definition: bool,
    /// Rows on the first side (the generation, or the live one).
    pub rows_first: u64,
    /// Rows on the second side.
    pub rows_second: u64,
    /// Keys that were compared. A store that repeats a key may have it counted twice.
    pub compared: u64,
    /// Keys that differ, `order_sensitive` ones included.
    pub differing: u64,
    /// Of these, how many differ only in columns that depend on the order between partitions. Always 0 where the
    /// definitions differ.
    pub order_sensitive: u64,
    /// Keys that could not be compared, because rows that their events look at changed all the time.
    #[serde(default)]
    pub unsettled: u64,
    /// How many rows differ in each column; rows on one side only count under `(row)`.
    pub by_column: BTreeMap<String, u64>,
    /// Some of the rows that differ, at most [`EXAMPLES`]; order-sensitive ones come last.
    pub examples: Vec<Difference>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl Verification {
    /// Whether it passes: no row differs (order-sensitive ones only count when `strict`), or, where the definition
    /// has changed, at most `max_changed` (0…1) of all keys do; any number may when that is not given.
    pub fn passes(&self, strict: bool, max_changed: Option<f64>) -> bool {
        if self.same_definition {
            return self.is_same(strict);
        }
        let counted = self.counted(strict) as f64;
        max_changed.is_none_or(|most| counted <= most * self.compared as f64)
    }

    /// Whether no row differs; order-sensitive ones only count when `strict`.
    pub fn is_same(&self, strict: bool) -> bool {
        self.counted(strict) == 0
    }

    fn counted(&self, strict: bool) -> u64 {
        let excused = if strict { 0 } else { self.order_sensitive };
        self.differing.saturating_sub(excused)
    }

    /// What differs, in one sentence with some keys.
    pub fn describe(&self) -> String {
        let keys: Vec<&str> = self.examples.iter().take(5).map(|row| &*row.key).collect();
        format!(
            "in {} {} of {} rows differ from {} (such as {})",
            self.store,
            self.differing,
            self.compared,
            self.against,
            keys.join(", ")
        )
    }
}

/// Counts while the comparison goes on.
pub(super) struct Tally {
    report: Verification,
    found: HashMap<RowKey, Finding>,
    kept: Vec<(RowKey, Difference)>,
    begun: Instant,
}

impl Tally {
    pub(super) fn new(store: &str, against: String, same_definition: bool) -> Self {
        Self {
            report: Verification {
                store: store.to_owned(),
                against,
                same_definition,
                ..Verification::default()
            },
            found: HashMap::new(),
            kept: Vec::new(),
            begun: Instant::now(),
        }
    }

    /// A key was compared, which is (or is not) on either side.
    pub(super) fn compared(&mut self, first: bool, second: bool) {
        self.report.rows_first += u64::from(first);
        self.report.rows_second += u64::from(second);
        self.report.compared += u64::from(first || second);
    }

    /// Keys could not be compared.
    pub(super) fn unsettled(&mut self, keys: usize) {
        self.report.unsettled += keys as u64;
    }

    /// Whether no row may differ.
    pub(super) fn same_definition(&self) -> bool {
        self.report.same_definition
    }

    /// How many keys were compared.
    pub(super) fn keys(&self) -> u64 {
        self.report.compared
    }

    /// A key differs. `rows` gives both rows as JSON.
    pub(super) fn differs(
        &mut self,
        key: &RowKey,
        finding: Finding,
        rows: impl FnOnce() -> (serde_json::Value, serde_json::Value),
    ) {
        if self.found.contains_key(key) {
            return;
        }
        self.report.differing += 1;
        for name in names(&finding) {
            *self.report.by_column.entry(name.to_owned()).or_default() += 1;
        }
        if self.kept.len() < KEPT {
            let (first, second) = rows();
            let example = example(key, &finding, first, second);
            self.kept.push((key.clone(), example));
        }
        if self.found.len() < REMEMBERED {
            self.found.insert(key.clone(), finding);
        }
    }

    /// The keys of which it must be found out whether the order between partitions explains the difference.
    pub(super) fn suspects(&self) -> impl Iterator<Item = &RowKey> {
        self.found.keys()
    }

    /// Tells apart what the order between partitions explains.
    pub(super) fn judge(&mut self, feeds: &Feeds) {
        let order = |key: &RowKey, finding: &Finding| feeds.order(key, finding);
        let orders: HashMap<RowKey, Order> = self
            .found
            .iter()
            .map(|(key, finding)| (key.clone(), order(key, finding)))
            .collect();
        let sensitive = orders.values().filter(|order| order.matters()).count();
        self.report.order_sensitive = sensitive as u64;
        for (key, example) in &mut self.kept {
            let order = orders.get(key).copied().unwrap_or(Order::Fixed);
            example.order_sensitive = order.matters();
            example.note = order.note().map(str::to_owned);
        }
        self.name_others(&orders);
    }

    /// Names keys whose rows were not kept, where too few of those that count were.
    fn name_others(&mut self, orders: &HashMap<RowKey, Order>) {
        let counting = |(_, example): &&(RowKey, Difference)| !example.order_sensitive;
        let missing = EXAMPLES.saturating_sub(self.kept.iter().filter(counting).count());
        if missing == 0 {
            return;
        }
        let mut others: Vec<&RowKey> = orders
            .iter()
            .filter(|(key, order)| !order.matters() && self.kept.iter().all(|(k, _)| k != *key))
            .map(|(key, _)| key)
            .collect();
        others.sort_unstable();
        others.truncate(missing);
        for key in others {
            let Some(finding) = self.found.get(key) else {
                continue;
            };
            let null = serde_json::Value::Null;
            let mut example = example(key, finding, null.clone(), null);
            example.note = Some("its rows were not kept, too many others differ".to_owned());
            self.kept.push((key.clone(), example));
        }
    }

    pub(super) fn finish(mut self) -> Verification {
        self.kept
            .sort_by_key(|(_, example)| example.order_sensitive);
        let examples = self.kept.into_iter().map(|(_, example)| example);
        self.report.examples = examples.take(EXAMPLES).collect();
        self.report.seconds = self.begun.elapsed().as_secs_f64();
        self.report
    }
}

fn names(finding: &Finding) -> impl Iterator<Item = &str> {
    let row = matches!(finding, Finding::OneSided).then_some(WHOLE_ROW);
    let columns: &[Arc<str>] = match finding {
        Finding::OneSided => &[],
        Finding::Columns { names, .. } => names,
    };
    row.into_iter().chain(columns.iter().map(|name| &**name))
}

fn example(
    key: &RowKey,
    finding: &Finding,
    first: serde_json::Value,
    second: serde_json::Value,
) -> Difference {
    let columns = match finding {
        Finding::OneSided => Vec::new(),
        Finding::Columns { names, .. } => names.iter().map(|name| name.to_string()).collect(),
    };
    Difference {
        key: key.text().to_owned(),
        columns,
        first,
        second,
        order_sensitive: false,
        note: None,
    }
}
