//! The laws of folding: however a sequence of ops is cut into folds, the rows are those of an
//! interpreter that applies op by op, and that shares no code with the fold.
#![cfg(test)]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value as Json;
use viewfold::projection::{
    Cell, ColumnType, Decimal, Fold, Latest, LoadedFold, Op, Ops, Row, RowDelta, RowKey, Rows,
    Schema, Value, apply,
};

/// One op, as plain data.
#[derive(Clone, Debug)]
enum Do {
    Set(&'static str, Option<i64>),
    SetOnce(Option<i64>),
    Unset(&'static str),
    Latest {
        by: i64,
        id: u8,
        null: bool,
    },
    /// In hundredths.
    Add(&'static str, i64),
    Max(Option<i64>),
    Min(Option<i64>),
    Append(&'static str, i64),
    Put(u8, i64),
    Remove(u8),
}

/// One event's part for one row.
#[derive(Clone, Debug)]
enum Step {
    Upsert(u8, Vec<Do>),
    Delete(u8),
}

const KEEP: usize = 3;

fn schema(defaults: bool) -> Arc<Schema> {
    let cents = ColumnType::Decimal {
        precision: 18,
        scale: 2,
    };
    let default = |value: Value| if defaults { value } else { Value::Null };
    let json = |text: &str| Value::Json(text.into());
    Schema::builder("laws")
        .column("assigned", ColumnType::Text)
        .default_value(default("-1".into()))
        .column("latest", ColumnType::Text)
        .latest()
        .default_value(default("-1".into()))
        .key("id", ColumnType::Integer)
        .column("total", ColumnType::Bigint)
        .sum()
        .default_value(default(7.into()))
        .column("cents", cents)
        .sum()
        .default_value(default("7.00".into()))
        .column("greatest", ColumnType::Bigint)
        .greatest()
        .default_value(default(0.into()))
        .column("least", ColumnType::Date)
        .least()
        .default_value(default("1970-01-01".into()))
        .column("recent", ColumnType::Jsonb)
        .list()
        .default_value(default(json("[1,2,3,4,5]")))
        .column("all", ColumnType::Jsonb)
        .list()
        .default_value(default(json("[]")))
        .column("entries", ColumnType::Jsonb)
        .object()
        .default_value(default(json(r#"{"k1":0}"#)))
        .build()
        .unwrap()
}

/// A row of the interpreter: every column in the plainest Rust type.
#[derive(Clone, Debug, PartialEq)]
struct Plain {
    assigned: Option<i64>,
    latest: Option<String>,
    order: Option<(i64, u8)>,
    total: Option<i64>,
    cents: Option<i64>,
    greatest: Option<i64>,
    least: Option<i64>,
    recent: Option<Vec<i64>>,
    all: Option<Vec<i64>>,
    entries: Option<BTreeMap<u8, i64>>,
}

impl Plain {
    fn new(defaults: bool) -> Self {
        let some = |number| defaults.then_some(number);
        Self {
            assigned: some(-1),
            latest: defaults.then(|| "-1".to_owned()),
            order: None,
            total: some(7),
            cents: some(700),
            greatest: some(0),
            least: some(0),
            recent: defaults.then(|| vec![1, 2, 3, 4, 5]),
            all: defaults.then(Vec::new),
            entries: defaults.then(|| BTreeMap::from([(1, 0)])),
        }
    }

    fn number(&mut self, column: &str) -> &mut Option<i64> {
        match column {
            "assigned" => &mut self.assigned,
            "total" => &mut self.total,
            "cents" => &mut self.cents,
            "greatest" => &mut self.greatest,
            "least" => &mut self.least,
            other => panic!("{other} is no number"),
        }
    }

    fn run(&mut self, step: &Do, defaults: bool) {
        match step {
            Do::Set(column, number) => *self.number(column) = *number,
            Do::Unset(column) => *self.number(column) = None,
            Do::SetOnce(number) => self.assigned = self.assigned.or(*number),
            Do::Latest { null: true, .. } => {}
            Do::Latest { by, id, .. } => {
                if self.order.is_none_or(|order| (*by, *id) >= order) {
                    self.order = Some((*by, *id));
                    self.latest = Some(format!("{by}/{id}"));
                }
            }
            Do::Add(column, amount) => {
                let number = self.number(column);
                *number = Some(number.unwrap_or(0) + amount);
            }
            Do::Max(number) => {
                self.greatest = self.greatest.into_iter().chain(*number).max();
            }
            Do::Min(number) => self.least = self.least.into_iter().chain(*number).min(),
            Do::Append("all", item) => self.all.get_or_insert_default().push(*item),
            Do::Append(_, item) => {
                let list = self.recent.get_or_insert_default();
                list.push(*item);
                while list.len() > KEEP {
                    list.remove(0);
                }
            }
            Do::Put(key, value) => {
                self.entries.get_or_insert_default().insert(*key, *value);
            }
            Do::Remove(key) => {
                if let Some(entries) = &mut self.entries {
                    entries.remove(key);
                    if entries.is_empty() && !defaults {
                        self.entries = None;
                    }
                }
            }
        }
    }

    /// The canonical texts, in the schema's order.
    fn texts(&self, id: u8) -> Vec<Option<String>> {
        let json = |json: Json| Some(json.to_string());
        let entries = self.entries.as_ref().map(|entries| {
            let entries = entries
                .iter()
                .map(|(k, v)| (format!("k{k}"), Json::from(*v)));
            entries.collect::<serde_json::Map<_, _>>()
        });
        let cents = self.cents.map(|cents| {
            let sign = if cents < 0 { "-" } else { "" };
            format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
        });
        vec![
            self.assigned.map(|n| n.to_string()),
            self.latest.clone(),
            Some(id.to_string()),
            self.total.map(|n| n.to_string()),
            cents,
            self.greatest.map(|n| n.to_string()),
            self.least.map(|n| format!("1970-01-{:02}", n + 1)),
            self.recent.clone().and_then(|list| json(list.into())),
            self.all.clone().and_then(|list| json(list.into())),
            entries.and_then(|entries| json(entries.into())),
        ]
    }
}

fn interpret(rows: &mut BTreeMap<u8, Plain>, step: &Step, defaults: bool) {
    match step {
        Step::Delete(id) => {
            rows.remove(id);
        }
        Step::Upsert(id, ops) => {
            let row = rows.entry(*id).or_insert_with(|| Plain::new(defaults));
            for op in ops {
                row.run(op, defaults);
            }
        }
    }
}

fn key(schema: &Schema, id: u8) -> RowKey {
    RowKey::new(schema, vec![Value::Int(id.into())]).unwrap()
}

/// The same op for the fold.
fn op(schema: &Schema, step: &Do) -> (usize, Op) {
    let at = |column: &str| schema.column(column).unwrap();
    let date = |number: i64| Value::Date(number as i32);
    let value = |column: &str, number: Option<i64>| match (column, number) {
        (_, None) => Value::Null,
        ("assigned", Some(number)) => Value::Text(number.to_string().into()),
        ("cents", Some(number)) => hundredths(number).into(),
        ("least", Some(number)) => date(number),
        (_, Some(number)) => Value::Int(number),
    };
    match step {
        Do::Set(column, number) => (at(column), Op::Set(value(column, *number))),
        Do::Unset(column) => (at(column), Op::Unset),
        Do::SetOnce(number) => (at("assigned"), Op::SetOnce(value("assigned", *number))),
        Do::Latest { by, id, null } => {
            let text = Value::Text(format!("{by}/{id}").into());
            let value = if *null { Value::Null } else { text };
            let id = format!("event-{id:03}");
            (
                at("latest"),
                Op::Latest(Latest::new(&Value::Int(*by), &id, value)),
            )
        }
        Do::Add("cents", amount) => (at("cents"), Op::Add(hundredths(*amount))),
        Do::Add(column, amount) => (at(column), Op::Add(Decimal::from(*amount))),
        Do::Max(number) => (at("greatest"), Op::Max(value("greatest", *number))),
        Do::Min(number) => (at("least"), Op::Min(value("least", *number))),
        Do::Append(column, item) => {
            let keep = (*column == "recent").then_some(KEEP as u32);
            let item = item.to_string().into();
            (at(column), Op::Append { item, keep })
        }
        Do::Put(key, value) => {
            let (key, value) = (format!("k{key}").into(), value.to_string().into());
            (at("entries"), Op::Put { key, value })
        }
        Do::Remove(key) => {
            let key = format!("k{key}").into();
            (at("entries"), Op::Remove { key })
        }
    }
}

fn hundredths(number: i64) -> Decimal {
    Decimal::parse(&format!("{number}e-2")).unwrap()
}

fn ops(schema: &Schema, step: &Step) -> Ops {
    let mut ops = Ops::new();
    match step {
        Step::Delete(id) => ops.delete(key(schema, *id)),
        Step::Upsert(id, list) => {
            let list = list.iter().map(|step| op(schema, step)).collect();
            ops.upsert(key(schema, *id), list);
        }
    }
    ops
}

/// Rows as a store would hold them.
type Stored = BTreeMap<RowKey, Row>;

fn store(schema: &Schema, rows: &mut Stored, deltas: Vec<RowDelta>) {
    assert!(deltas.is_sorted_by(|a, b| a.key() < b.key()));
    for delta in deltas {
        if let RowDelta::Upsert(_, cells) = &delta {
            assert!(cells.is_sorted_by(|a, b| a.0 < b.0), "{cells:?}");
            assert!(cells.iter().all(|(index, _)| !schema.is_key(*index)));
        }
        match apply(schema, rows.remove(delta.key()), &delta).unwrap() {
            Some(row) => rows.insert(delta.key().clone(), row),
            None => None,
        };
    }
}

fn assert_equal(schema: &Schema, stored: &Stored, plain: &BTreeMap<u8, Plain>) {
    let stored: BTreeMap<String, Vec<Option<String>>> = stored
        .iter()
        .map(|(key, row)| {
            let text = |value: &Value| value.canonical().map(|text| text.into_owned());
            (key.text().to_owned(), row.values.iter().map(text).collect())
        })
        .collect();
    let plain = plain
        .iter()
        .map(|(id, row)| (key(schema, *id).text().to_owned(), row.texts(*id)))
        .collect();
    assert_eq!(stored, plain);
}

fn commuting() -> impl Strategy<Value = Do> {
    let small = || -5i64..6;
    prop_oneof![
        (small(), 0u8..4, prop::bool::weighted(0.1)).prop_map(|(by, id, null)| Do::Latest {
            by,
            id,
            null
        }),
        (prop::sample::select(vec!["total", "cents"]), -500i64..500)
            .prop_map(|(column, amount)| Do::Add(column, amount)),
        prop::option::weighted(0.9, small()).prop_map(Do::Max),
        prop::option::weighted(0.9, 0i64..20).prop_map(Do::Min),
    ]
}

fn any_op() -> impl Strategy<Value = Do> {
    let resettable = vec!["assigned", "total", "cents", "greatest", "least"];
    prop_oneof![
        4 => commuting(),
        2 => (
            prop::sample::select(resettable.clone()),
            prop::option::weighted(0.8, 0i64..20)
        ).prop_map(|(column, number)| Do::Set(column, number)),
        1 => prop::sample::select(resettable).prop_map(Do::Unset),
        1 => prop::option::weighted(0.8, 0i64..9).prop_map(Do::SetOnce),
        2 => (prop::sample::select(vec!["recent", "all"]), 0i64..99)
            .prop_map(|(column, item)| Do::Append(column, item)),
        2 => (0u8..4, 0i64..9).prop_map(|(key, value)| Do::Put(key, value)),
        1 => (0u8..4).prop_map(Do::Remove),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        9 => (0u8..3, prop::collection::vec(any_op(), 0..5)).prop_map(|(id, ops)| Step::Upsert(id, ops)),
        2 => (0u8..3).prop_map(Step::Delete),
    ];
    prop::collection::vec(step, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// I9: the batch size changes nothing.
    #[test]
    fn folding_in_any_split_is_applying_one_by_one(
        steps in steps(),
        cuts in prop::collection::vec(any::<bool>(), 30),
        defaults in any::<bool>(),
    ) {
        let schema = schema(defaults);
        let mut plain = BTreeMap::new();
        let (mut split, mut single) = (Stored::new(), Stored::new());
        let (mut fold, mut fold_of_one) = (Fold::new(schema.clone()), Fold::new(schema.clone()));
        for (step, cut) in steps.iter().zip(cuts) {
            interpret(&mut plain, step, defaults);
            fold_of_one.absorb(&mut ops(&schema, step)).unwrap();
            store(&schema, &mut single, fold_of_one.finish());
            assert_equal(&schema, &single, &plain);

            let mut of_event = ops(&schema, step);
            fold.absorb(&mut of_event).unwrap();
            prop_assert!(of_event.rows.is_empty());
            prop_assert!(fold.rows() > 0 && fold.bytes() > 0);
            if cut {
                store(&schema, &mut split, fold.finish());
                prop_assert_eq!((fold.rows(), fold.bytes()), (0, 0));
                assert_equal(&schema, &split, &plain);
            }
        }
        store(&schema, &mut split, fold.finish());
        assert_equal(&schema, &split, &plain);
        // The orders of the latest family too: they decide about later events.
        prop_assert_eq!(split, single);
    }

    #[test]
    fn folding_onto_loaded_rows_shows_each_event_what_came_before(
        steps in steps(),
        cuts in prop::collection::vec(any::<bool>(), 30),
        defaults in any::<bool>(),
        loaded_ids in prop::collection::btree_set(0u8..3, 0..=3),
    ) {
        let schema = schema(defaults);
        let load = |stored: &Stored| {
            let keys = loaded_ids.iter().map(|id| key(&schema, *id));
            let rows: Vec<(RowKey, Option<Row>)> =
                keys.map(|key| (key.clone(), stored.get(&key).cloned())).collect();
            LoadedFold::new(schema.clone(), &rows)
        };
        let mut plain = BTreeMap::new();
        let mut stored = Stored::new();
        let mut fold = load(&stored);
        for (step, cut) in steps.iter().zip(cuts) {
            interpret(&mut plain, step, defaults);
            fold.absorb(&mut ops(&schema, step)).unwrap();
            for id in &loaded_ids {
                let seen = fold.get(&key(&schema, *id));
                let texts = seen.map(|row| {
                    let texts = row.values.iter().map(|v| v.canonical().map(|t| t.into_owned()));
                    texts.collect::<Vec<_>>()
                });
                prop_assert_eq!(texts, plain.get(id).map(|row| row.texts(*id)));
            }
            if cut {
                let deltas = fold.finish();
                for delta in &deltas {
                    let RowDelta::Upsert(key, cells) = delta else { continue };
                    if loaded_ids.iter().any(|id| key.text() == id.to_string()) {
                        prop_assert_eq!(cells.len(), schema.columns.len() - 1);
                        prop_assert!(cells.iter().all(|(_, cell)| !matches!(cell, Cell::Op(_))));
                    }
                }
                store(&schema, &mut stored, deltas);
                assert_equal(&schema, &stored, &plain);
                fold = load(&stored);
            }
        }
        store(&schema, &mut stored, fold.finish());
        assert_equal(&schema, &stored, &plain);
    }

    /// I9: rows that several partitions feed are the same in any order of arrival.
    #[test]
    fn commuting_families_do_not_mind_the_order(
        (steps, shuffled) in prop::collection::vec((0u8..3, prop::collection::vec(commuting(), 0..5)), 0..20)
            .prop_flat_map(|steps| (Just(steps.clone()), Just(steps).prop_shuffle())),
        defaults in any::<bool>(),
    ) {
        let schema = schema(defaults);
        let run = |steps: &[(u8, Vec<Do>)], batch: usize| {
            let mut stored = Stored::new();
            for batch in steps.chunks(batch) {
                let mut fold = Fold::new(schema.clone());
                for (id, list) in batch {
                    let step = Step::Upsert(*id, list.clone());
                    fold.absorb(&mut ops(&schema, &step)).unwrap();
                }
                store(&schema, &mut stored, fold.finish());
            }
            stored
        };
        let once = run(&steps, 4);
        prop_assert_eq!(&once, &run(&shuffled, 7));
        // And most of them mind no redelivery either; sums do.
        let idempotent = |steps: &[(u8, Vec<Do>)]| -> Vec<(u8, Vec<Do>)> {
            let keeps = |op: &&Do| !matches!(op, Do::Add(..));
            let of = |ops: &[Do]| ops.iter().filter(keeps).cloned().collect();
            steps.iter().map(|(id, ops)| (*id, of(ops))).collect()
        };
        let mut twice = idempotent(&steps);
        twice.extend(idempotent(&shuffled));
        prop_assert_eq!(run(&idempotent(&steps), 3), run(&twice, 5));
    }
}
