//! What the fold refuses, and whom it blames.
#![cfg(test)]

use std::sync::Arc;

use viewfold::fault::{Fault, FaultKind};
use viewfold::projection::{
    Cell, ColumnType, Decimal, Delta, Fold, Latest, LoadedFold, Op, Ops, Row, RowDelta, RowKey,
    Schema, Value, apply,
};

fn schema() -> Arc<Schema> {
    let cents = ColumnType::Decimal {
        precision: 4,
        scale: 2,
    };
    Schema::builder("orders")
        .key("id", ColumnType::Text)
        .column("small", ColumnType::Smallint)
        .sum()
        .column("cents", cents)
        .sum()
        .column("note", ColumnType::Text)
        .column("list", ColumnType::Jsonb)
        .list()
        .column("object", ColumnType::Jsonb)
        .object()
        .column("newest", ColumnType::Bigint)
        .latest()
        .build()
        .unwrap()
}

fn one_event(schema: &Schema, list: Vec<(&str, Op)>) -> Ops {
    let key = RowKey::parse(schema, "secret-key").unwrap();
    let list = list
        .into_iter()
        .map(|(name, op)| (schema.column(name).unwrap_or(99), op));
    let mut ops = Ops::new();
    ops.upsert(key, list.collect());
    ops
}

fn fold(list: Vec<(&str, Op)>) -> Result<Vec<RowDelta>, Fault> {
    let schema = schema();
    let mut ops = one_event(&schema, list);
    let mut fold = Fold::new(schema);
    fold.absorb(&mut ops)?;
    assert!(ops.rows.is_empty());
    Ok(fold.finish())
}

/// The fault of one op, which both folds refuse alike.
fn refused(column: &str, op: &Op) -> Fault {
    let schema = schema();
    let mut ops = one_event(&schema, vec![(column, op.clone())]);
    let key = ops.rows[0].key.clone();
    let mut loaded = LoadedFold::new(schema, &[(key, None)]);
    let fault = loaded.absorb(&mut ops).unwrap_err();
    assert_eq!(fold(vec![(column, op.clone())]), Err(fault.clone()));
    fault
}

fn amount(text: &str) -> Op {
    Op::Add(Decimal::parse(text).unwrap())
}

#[test]
fn a_value_that_the_column_cannot_hold_is_poison() {
    let deep = "[".repeat(128) + &"]".repeat(128);
    for (column, op) in [
        ("small", amount("1.5")),
        ("small", amount("32768")),
        ("cents", amount("0.001")),
        ("cents", amount("100")),
        ("small", Op::Set(Value::Int(-32769))),
        ("note", Op::Set(Value::Bool(true))),
        ("note", Op::SetOnce(Value::Text("\0".into()))),
        (
            "newest",
            Op::Latest(Latest::new(&1.into(), "e", "x".into())),
        ),
        (
            "list",
            Op::Append {
                item: deep.clone().into(),
                keep: None,
            },
        ),
        (
            "object",
            Op::Put {
                key: "k".into(),
                value: deep.into(),
            },
        ),
        (
            "object",
            Op::Put {
                key: "\0".into(),
                value: "1".into(),
            },
        ),
    ] {
        let fault = refused(column, &op);
        assert_eq!(fault.kind, FaultKind::Poison, "{op:?}");
        let place = format!("projection orders: column {column} ");
        assert!(fault.message.starts_with(&place), "{fault}");
        assert!(!fault.message.contains("secret"), "{fault}");
    }
}

#[test]
fn an_op_that_the_column_cannot_have_is_a_bug() {
    for (column, op) in [
        ("small", Op::Max(1.into())),
        ("note", amount("1")),
        ("newest", Op::Set(1.into())),
        ("newest", Op::Unset),
        ("list", Op::Remove { key: "k".into() }),
        ("id", Op::Set("other".into())),
        ("nowhere", Op::Unset),
    ] {
        let fault = refused(column, &op);
        assert_eq!(fault.kind, FaultKind::Bug, "{op:?}");
    }
}

#[test]
fn a_value_takes_the_form_of_its_column() {
    let deltas = fold(vec![
        ("cents", Op::Set(Value::Int(5))),
        ("cents", amount("0.1")),
    ])
    .unwrap();
    let [RowDelta::Upsert(_, cells)] = &deltas[..] else {
        panic!("{deltas:?}");
    };
    let [(2, Cell::Replace(value))] = &cells[..] else {
        panic!("{cells:?}");
    };
    assert_eq!(value.canonical().unwrap(), "5.10");
}

#[test]
fn null_changes_nothing_but_creates_the_row() {
    let null = Latest::new(&1.into(), "e", Value::Null);
    let deltas = fold(vec![
        ("note", Op::SetOnce(Value::Null)),
        ("newest", Op::Latest(null)),
    ]);
    let [RowDelta::Upsert(_, cells)] = &deltas.unwrap()[..] else {
        panic!("the row is not created");
    };
    assert!(cells.is_empty());
}

/// A sum onto a value that is known overflows where it happens; a blind one in the store.
#[test]
fn a_sum_is_judged_where_its_result_is_known() {
    let most = Op::Set(Value::Int(32767));
    let fault = fold(vec![("small", most), ("small", amount("1"))]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Poison);

    let blind = fold(vec![("small", amount("32767")), ("small", amount("32767"))]).unwrap();
    let fault = apply(&schema(), None, &blind[0]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Poison);
    assert!(fault.message.contains("column small"), "{fault}");

    // Two amounts that only together fit are what the store sees.
    let list = vec![("small", amount("32767")), ("small", amount("-32767"))];
    let sum = fold(list).unwrap();
    let key = sum[0].key().clone();
    let expected = vec![(1, Cell::Op(Delta::Add(Decimal::zero())))];
    assert_eq!(sum, [RowDelta::Upsert(key.clone(), expected)]);
    let row = apply(&schema(), None, &sum[0]).unwrap().unwrap();
    let mut created = Row::new(&schema(), &key);
    created.values[1] = Value::Int(0);
    assert_eq!(row, created);
}
