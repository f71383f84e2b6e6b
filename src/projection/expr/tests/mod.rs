//! What expressions mean, and what is said about wrong ones.

mod problems;
mod properties;
mod results;

use std::sync::Arc;

use super::{Env, Expr, Paths, Problem, Scope, Want, compile};
use crate::event::{Chunk, Decoder, Envelope, Path, PathSet};
use crate::fault::FaultKind;
use crate::position::{Position, TopicPartition};
use crate::projection::{ColumnType, Row, Value};
use crate::record::{RawChunk, RawRecord};

/// The columns of the test view.
const COLUMNS: [(&str, ColumnType); 9] = [
    ("customer_id", ColumnType::Text),
    ("orders", ColumnType::Bigint),
    (
        "spent",
        ColumnType::Decimal {
            precision: 18,
            scale: 2,
        },
    ),
    ("at", ColumnType::Timestamptz),
    ("day", ColumnType::Date),
    ("rate", ColumnType::Double),
    ("doc", ColumnType::Jsonb),
    ("tags", ColumnType::TextArray),
    ("open", ColumnType::Boolean),
];

fn row() -> Row {
    let texts = [
        "c-1",
        "3",
        "12.50",
        "2026-11-20T10:00:00Z",
        "2026-11-20",
        "0.5",
        r#"{"a":{"b":7},"list":[1,2]}"#,
        r#"["red","blue"]"#,
        "true",
    ];
    let values: Vec<Value> = COLUMNS
        .iter()
        .zip(texts)
        .map(|((_, ty), text)| Value::parse(*ty, text).unwrap())
        .collect();
    Row {
        orders: vec![None; values.len()],
        values,
        page: 0,
    }
}

/// A compiled expression with the paths that it reads.
struct Compiled {
    expr: Expr,
    data: Vec<Path>,
    item: Vec<Path>,
}

fn compiled(source: &str, want: Want) -> Result<Compiled, Vec<Problem>> {
    let columns: Vec<(Arc<str>, ColumnType)> = COLUMNS
        .iter()
        .map(|(name, ty)| (Arc::from(*name), *ty))
        .collect();
    let (mut data, mut item) = (Paths::default(), Paths::default());
    let mut scope = Scope {
        columns: &columns,
        data: &mut data,
        item: Some(&mut item),
        row_allowed: true,
    };
    let expr = compile(source, want, &mut scope)?;
    Ok(Compiled {
        expr,
        data: data.into_vec(),
        item: item.into_vec(),
    })
}

/// One CloudEvent with `data`, decoded for `paths`, with the key `k-1` and the header `x`.
fn chunk(data: &str, paths: &[Path]) -> Chunk {
    let mut raw = RawChunk::empty(TopicPartition::new("orders", 2), Position::at(7));
    let value = format!(
        r#"{{"specversion":"1.0","id":"e-1","type":"order.created.v2","source":"/shop","time":"2026-11-21T06:30:15.25Z","aggregateversion":"12","data":{data}}}"#
    );
    let value = raw.store(value.as_bytes());
    let key = raw.store(b"k-1");
    let header = (raw.store(b"x"), Some(raw.store(b"17")));
    raw.records.push(RawRecord {
        offset: 7,
        timestamp_ms: 1,
        key: Some(key),
        value: Some(value),
        headers: Box::new([header]),
    });
    raw.range.to = Position::at(8);
    let paths = Arc::new(PathSet::new(paths.iter().cloned()));
    Decoder::new(Envelope::CloudEvents, paths).decode(raw)
}

/// Evaluates against an event with `data`, the item `{"sku":"s-1","qty":2}` and a row or none.
fn evaluated(compiled: &Compiled, data: &str, row: Option<&Row>) -> Result<Value, String> {
    let chunk = chunk(data, &compiled.data);
    let map = chunk.map(&compiled.data).unwrap();
    let event = chunk.event(0, &map);
    assert_eq!(event.fault(), None);
    let item_paths = PathSet::new(compiled.item.iter().cloned());
    let found = item_paths.extract(r#"{"sku":"s-1","qty":2}"#).unwrap();
    let slots = item_paths.map(&compiled.item).unwrap();
    let item: Vec<_> = slots.0.iter().map(|s| found[*s as usize].clone()).collect();
    let env = Env {
        event: &event,
        item: Some(&item),
        row,
    };
    compiled.expr.eval(&env).map_err(|fault| {
        assert_eq!(fault.kind, FaultKind::Poison, "{fault}");
        assert!(!fault.message.contains("wrong kind"), "{fault}");
        fault.message
    })
}

/// The type that `name` names, or what else is wanted.
fn want(name: &str) -> Want {
    let column = |ty| Want::Column(ty);
    match name {
        "text" => column(ColumnType::Text),
        "bigint" => column(ColumnType::Bigint),
        "integer" => column(ColumnType::Integer),
        "smallint" => column(ColumnType::Smallint),
        "numeric" => column(ColumnType::Numeric),
        "money" => column(ColumnType::Decimal {
            precision: 18,
            scale: 2,
        }),
        "double" => column(ColumnType::Double),
        "boolean" => column(ColumnType::Boolean),
        "timestamptz" => column(ColumnType::Timestamptz),
        "date" => column(ColumnType::Date),
        "uuid" => column(ColumnType::Uuid),
        "jsonb" => column(ColumnType::Jsonb),
        "text[]" => column(ColumnType::TextArray),
        "condition" => Want::Condition,
        "order" => Want::Order,
        "name" => Want::Text,
        "json" => Want::Json,
        "amount" => Want::Amount,
        "array" => Want::Array,
        other => panic!("no such want: {other}"),
    }
}
