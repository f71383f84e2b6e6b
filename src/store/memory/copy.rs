//! A generation that begins as a copy of another one's rows. The store is free between two pages, so that
//! batches come between them, as they do in the other stores.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::build::{Build, unclaimed};
use super::{Held, MemoryStore};
use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::projection::{Row, RowKey};
use crate::store::shapes::{Taken, taken};
use crate::store::{BasePages, Cursor, Generation, other_build};

/// Rows per page: few, so that tests with few rows have several.
const ROWS: usize = 64;

/// What was copied so far.
#[derive(Default)]
struct Copied {
    cursors: Vec<Cursor>,
    rows: BTreeMap<RowKey, Row>,
    pages: BasePages,
}

pub(super) async fn create_from(
    store: &MemoryStore,
    (from, to): (&Generation, &Generation),
    starts: &[(TopicPartition, Position)],
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<()> {
    let taken = taken(&from.schema, &to.schema)?;
    let mut copied = Copied::default();
    loop {
        let mut held = store.held.lock().await;
        let key = (to.projection.clone(), to.number);
        match held.builds.get(&key) {
            Some(build) if build.id == to.build => return Ok(()),
            Some(_) => return Err(other_build(to, store.kind)),
            None => {}
        }
        let last = copied.page(&held, from, to, &taken)?;
        progress(copied.rows.len() as u64);
        if last {
            held.builds.insert(key, copied.finish(to, starts));
            return Ok(());
        }
        drop(held);
        tokio::task::yield_now().await;
    }
}

impl Copied {
    /// Copies the next page. Whether it was the last one.
    fn page(
        &mut self,
        held: &Held,
        from: &Generation,
        to: &Generation,
        taken: &[Option<Taken>],
    ) -> Result<bool> {
        let build = held
            .build(from)
            .ok_or_else(|| Fault::transient(format!("{from} is not in memory")))?;
        let cursors: Vec<Cursor> = build.cursors.values().cloned().collect();
        let positions = cursors.iter().map(|c| (c.partition.clone(), c.position));
        self.pages.0.push(positions.collect());
        if self.pages.0.len() == 1 {
            self.cursors = cursors;
        }
        let page = u32::try_from(self.pages.0.len()).unwrap_or(u32::MAX);
        let begin = match self.rows.last_key_value() {
            Some((key, _)) => Bound::Excluded(key.clone()),
            None => Bound::Unbounded,
        };
        let mut rest = build.rows.range((begin, Bound::Unbounded)).peekable();
        for (key, old) in rest.by_ref().take(ROWS) {
            let mut row = Row::new(&to.schema, key);
            row.page = page;
            let columns = row.values.iter_mut().zip(&mut row.orders);
            for ((value, order), taken) in columns.zip(taken) {
                let Some(Taken { from, ordered }) = *taken else {
                    continue;
                };
                if let Some(old) = old.values.get(from) {
                    *value = old.clone();
                }
                let old = old.orders.get(from).cloned().flatten();
                *order = old.filter(|_| ordered);
            }
            self.rows.insert(key.clone(), row);
        }
        Ok(rest.peek().is_none())
    }

    fn finish(self, to: &Generation, starts: &[(TopicPartition, Position)]) -> Build {
        let cursors = self.cursors.into_iter().map(|cursor| {
            let elsewhere = starts.iter().find(|(of, _)| *of == cursor.partition);
            let position = elsewhere.map_or(cursor.position, |(_, at)| *at);
            let mut new = unclaimed(&cursor.partition, position);
            new.newest_micros = cursor.newest_micros;
            (cursor.partition, new)
        });
        Build {
            id: to.build,
            cursors: cursors.collect(),
            rows: self.rows,
            pages: Some(self.pages),
        }
    }
}
