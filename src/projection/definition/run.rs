//! What a handler does with one event.
//!
//! The ops of a handler run in document order, element by element. `row.` sees the row as it is
//! before the event, and inside `each` as the earlier elements of the same event left it. Where
//! there is no row yet, columns read as their defaults and key columns as null, so that
//! `row.<key column> == null` asks whether the row is new.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::action::Action;
use super::matching::TOMBSTONE;
use crate::event::{Event, Json, Path, PathSet, SlotMap};
use crate::fault::{Fault, Result};
use crate::projection::expr::{Env, Expr};
use crate::projection::{Fold, Handled, Ops, Row, RowDelta, RowKey, Rows, Schema, apply};

/// A handler's condition.
#[derive(Debug)]
pub(super) struct When {
    pub(super) expr: Expr,
    /// Asked once for the whole event although there is `each`.
    pub(super) once: bool,
}

/// A handler's array.
#[derive(Debug)]
pub(super) struct Each {
    array: Expr,
    paths: Vec<Path>,
    set: PathSet,
    slots: SlotMap,
}

impl Each {
    /// Elements of `array`, of which `paths` are read.
    pub(super) fn new(array: Expr, paths: Vec<Path>) -> Self {
        let set = PathSet::new(paths.iter().cloned());
        let slots = set.map(&paths).unwrap_or_else(|| SlotMap(Box::default()));
        Self {
            array,
            paths,
            set,
            slots,
        }
    }

    /// The paths under `item`.
    pub(super) fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// The values at the paths, in the paths' order.
    pub(super) fn extract<'e>(&self, element: &'e str) -> Result<Vec<Json<'e>>> {
        if self.paths.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = self.set.extract(element).map_err(Fault::poison)?;
        let take = |slot: &u32| {
            found
                .get_mut(*slot as usize)
                .map_or(Json::Missing, |json| std::mem::replace(json, Json::Missing))
        };
        Ok(self.slots.0.iter().map(take).collect())
    }

    /// The elements' JSON texts.
    pub(super) fn elements<'e>(&self, env: &Env<'e>) -> Result<Vec<&'e str>> {
        self.array.eval_array(env)
    }
}

/// What happens for the events of one type.
#[derive(Debug)]
pub(super) struct Handler {
    /// The event type it is for, as it was written.
    pub(super) name: String,
    /// `[on."…"]`.
    pub(super) title: String,
    pub(super) key: Vec<Expr>,
    pub(super) when: Option<When>,
    pub(super) each: Option<Each>,
    pub(super) ops: Vec<(usize, Action)>,
    pub(super) delete: bool,
    /// The paths under `data` that it reads.
    pub(super) data_used: Vec<Path>,
    /// Whether it looks at rows.
    pub(super) reads_row: bool,
}

impl Handler {
    /// The handler, knowing whether it looks at rows.
    pub(super) fn ready(mut self) -> Self {
        let when = self.when.as_ref().is_some_and(|w| w.expr.reads_row());
        self.reads_row = when || self.ops.iter().any(|(_, action)| action.reads_row());
        self
    }

    /// Turns `event` into ops.
    pub(super) fn run(
        &self,
        schema: &Arc<Schema>,
        event: &Event<'_>,
        rows: &dyn Rows,
        ops: &mut Ops,
    ) -> Result<Handled> {
        let mut step = Step {
            handler: self,
            schema,
            event,
            rows,
            reads_row: self.reads_row,
            earlier: BTreeMap::new(),
        };
        let applied = match &self.each {
            None => step.take(None, ops)?,
            Some(each) => step.take_each(each, ops)?,
        };
        Ok(if applied {
            Handled::Applied
        } else {
            Handled::Filtered
        })
    }

    /// The keys of the rows that [`Handler::run`] may look at.
    pub(super) fn row_keys(&self, schema: &Schema, event: &Event<'_>) -> Result<Vec<RowKey>> {
        let env = Env {
            event,
            item: None,
            row: None,
        };
        let Some(each) = &self.each else {
            return Ok(vec![self.key(schema, &env)?]);
        };
        let mut keys = Vec::new();
        if self.when.as_ref().is_some_and(|when| when.once) {
            // Its row is named without an element.
            keys.extend(self.key(schema, &env).ok());
        }
        for element in each.elements(&env)? {
            let item = each.extract(element)?;
            let env = Env {
                event,
                item: Some(&item),
                row: None,
            };
            // An element without a usable key fails the event, or is filtered before its key is asked for.
            keys.extend(self.key(schema, &env).ok());
        }
        Ok(keys)
    }

    fn key(&self, schema: &Schema, env: &Env<'_>) -> Result<RowKey> {
        let mut parts = Vec::with_capacity(self.key.len());
        for (expr, &column) in self.key.iter().zip(&schema.key) {
            let name = || schema.columns.get(column).map_or("", |c| &c.name);
            let value = expr
                .eval(env)
                .map_err(|fault| fault.during(format_args!("key column {}", name())))?;
            if value.is_null() {
                return Err(Fault::poison(format!("key column {} is null", name())));
            }
            parts.push(value);
        }
        RowKey::new(schema, parts).map_err(Fault::poison)
    }
}

/// One event on its way through a handler.
struct Step<'s> {
    handler: &'s Handler,
    schema: &'s Arc<Schema>,
    event: &'s Event<'s>,
    rows: &'s dyn Rows,
    reads_row: bool,
    /// Rows as earlier elements of this event left them. Only kept where rows are read.
    earlier: BTreeMap<RowKey, Option<Row>>,
}

impl Step<'_> {
    fn take_each(&mut self, each: &Each, ops: &mut Ops) -> Result<bool> {
        if let Some(when) = self.handler.when.as_ref().filter(|when| when.once)
            && !self.asked_once(when)?
        {
            return Ok(false);
        }
        let event = self.event;
        let elements = each.elements(&Env {
            event,
            item: None,
            row: None,
        })?;
        let mut applied = elements.is_empty();
        for (index, element) in elements.into_iter().enumerate() {
            let context = |fault: Fault| fault.during(format_args!("element {index}"));
            let item = each.extract(element).map_err(context)?;
            applied |= self.take(Some(&item), ops).map_err(context)?;
        }
        Ok(applied)
    }

    fn asked_once(&self, when: &When) -> Result<bool> {
        let mut env = Env {
            event: self.event,
            item: None,
            row: None,
        };
        let row;
        if when.expr.reads_row() {
            let key = self.handler.key(self.schema, &env)?;
            row = self.row(&key);
            env.row = Some(&row);
        }
        when.expr
            .eval_bool(&env)
            .map_err(|fault| fault.during("when"))
    }

    /// Runs the handler for the event or one element. `false` when `when` says no.
    fn take(&mut self, item: Option<&[Json<'_>]>, ops: &mut Ops) -> Result<bool> {
        let handler = self.handler;
        let mut env = Env {
            event: self.event,
            item,
            row: None,
        };
        let when = handler.when.as_ref().filter(|when| !when.once);
        let asks = |env: &Env<'_>| match when {
            None => Ok(true),
            Some(when) => when
                .expr
                .eval_bool(env)
                .map_err(|fault| fault.during("when")),
        };
        if !self.reads_row && !asks(&env)? {
            return Ok(false);
        }
        let key = handler.key(self.schema, &env)?;
        let row;
        if self.reads_row {
            row = self.row(&key);
            env.row = Some(&row);
            if !asks(&env)? {
                return Ok(false);
            }
        }
        let first = ops.rows.len();
        if handler.delete {
            ops.delete(key);
        } else {
            let mut row_ops = Vec::with_capacity(handler.ops.len());
            for (column, action) in &handler.ops {
                let op = action.run(&env).map_err(|fault| {
                    let name = self.schema.columns.get(*column).map_or("", |c| &c.name);
                    fault.during(format_args!("column {name}"))
                })?;
                row_ops.extend(op.map(|op| (*column, op)));
            }
            ops.upsert(key, row_ops);
        }
        if self.reads_row && handler.each.is_some() {
            self.remember(ops, first)?;
        }
        Ok(true)
    }

    /// The row of `key` as it is now; the defaults when there is none.
    fn row(&self, key: &RowKey) -> Row {
        let current = match self.earlier.get(key) {
            Some(row) => row.clone(),
            None => self.rows.get(key).cloned(),
        };
        current.unwrap_or_else(|| no_row(self.schema))
    }

    /// Applies the ops from `first` on to the rows that later elements will see.
    fn remember(&mut self, ops: &Ops, first: usize) -> Result<()> {
        let mut fold = Fold::new(self.schema.clone());
        let mut own = Ops {
            rows: ops.rows.get(first..).unwrap_or_default().to_vec(),
        };
        fold.absorb(&mut own)?;
        for delta in fold.finish() {
            let (RowDelta::Upsert(key, _) | RowDelta::Delete(key)) = &delta;
            let before = match self.earlier.remove(key) {
                Some(row) => row,
                None => self.rows.get(key).cloned(),
            };
            let after = apply(self.schema, before, &delta)?;
            self.earlier.insert(key.clone(), after);
        }
        Ok(())
    }
}

/// What `row` reads as where there is none.
fn no_row(schema: &Schema) -> Row {
    Row {
        values: schema.columns.iter().map(|c| c.default.clone()).collect(),
        orders: vec![None; schema.columns.len()],
        page: 0,
    }
}

/// Whether records of this type have no value.
pub(super) fn is_tombstone(event: &Event<'_>) -> bool {
    event.event_type() == TOMBSTONE
}
