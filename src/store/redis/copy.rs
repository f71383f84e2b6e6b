//! A generation that begins as a copy of another one's rows, page by page while that one goes on.
//!
//! The first page is empty and read before any key is looked for, so that whatever a scan misses (rows that
//! come or come back meanwhile) is folded from its positions. Every row that is copied carries its
//! page's number. Only the attempt whose id stands in the copy's `meta` writes to it; its identity and its
//! cursors come last.

use std::time::Instant;

use uuid::Uuid;

use super::keys::cursor_field;
use super::pack::Pack;
use super::reply::{cursor_text, plain, unexpected};
use super::row::Columns;
use super::scan::Scan;
use super::script::{COPY_BEGIN, COPY_END, COPY_PAGE, Call, PAGES};
use super::settings::ROWS_PER_PAGE;
use super::{RedisStore, Target};
use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::projection::{Column, Schema, StoreKind};
use crate::store::shapes::{Taken, taken as taken_over};
use crate::store::{BasePages, Cursor, ViewStore, other_build};

/// What is copied of a row, and what a copy has beside it.
#[derive(Debug)]
struct Shape {
    columns: Columns,
    /// Names and defaults of new columns in turn.
    defaults: Pack,
}

impl Shape {
    /// What a row of `to` takes from a row of `from`.
    fn between(from: &Schema, to: &Schema) -> Result<Self> {
        let mut columns = Columns::default();
        let mut defaults = Pack::new();
        let mut taken: Vec<(&Column, bool, Option<Taken>)> = Vec::new();
        for (at, (column, take)) in to.columns.iter().zip(taken_over(from, to)?).enumerate() {
            taken.push((column, to.key.contains(&at), take));
        }
        // A key column comes first: it tells whether there is a row.
        taken.sort_by_key(|(_, is_key, _)| !is_key);
        for (column, _, take) in taken {
            match take {
                Some(take) => columns.push(&column.name, take.ordered),
                None => {
                    if let Some(default) = column.default.canonical() {
                        defaults.text(&column.name);
                        defaults.text(&default);
                    }
                }
            }
        }
        Ok(Self { columns, defaults })
    }
}

impl RedisStore {
    pub(super) async fn copy(
        &self,
        (from, to): (&Target<'_>, &Target<'_>),
        starts: &[(TopicPartition, Position)],
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        let shape = Shape::between(&from.generation.schema, &to.generation.schema)?;
        self.rows_match_cursors(from).await?;
        let attempt = Uuid::new_v4().to_string();
        if !self.begin_copy(from, to, &attempt).await? {
            return Ok(());
        }
        let (columns, orders) = shape.columns.finish();
        let defaults = shape.defaults.finish();
        let mut page = 1_u32;
        let mut copied = 0;
        let mut scan = Scan::new(&from.keys.rows);
        while scan.next().is_some() {
            let begun = Instant::now();
            let found = scan.page(self, ROWS_PER_PAGE).await?;
            if found.is_empty() {
                continue;
            }
            page += 1;
            let number = page.to_string();
            let keys: Pack = found.iter().map(String::as_str).collect();
            let keys = keys.finish();
            let arguments: [&[u8]; 7] = [
                from.build.as_bytes(),
                attempt.as_bytes(),
                number.as_bytes(),
                &columns,
                &orders,
                &defaults,
                &keys,
            ];
            copied += self.copy_page(from, to, &arguments).await?;
            progress(copied);
            // A copy takes half of the server's time at most (I7).
            tokio::time::sleep(begun.elapsed()).await;
        }
        self.end_copy(to, &attempt, page, starts).await
    }

    /// Refuses an original that is a copy itself and still has rows ahead of its cursors.
    async fn rows_match_cursors(&self, from: &Target<'_>) -> Result<()> {
        let Some(pages) = self.pages_of(from).await? else {
            return Ok(());
        };
        let cursors = self.cursors(from.generation).await?.unwrap_or_default();
        let behind = |at: &Cursor| {
            pages
                .end(&at.partition)
                .is_some_and(|end| at.position < end)
        };
        match cursors.iter().find(|cursor| behind(cursor)) {
            None => Ok(()),
            Some(cursor) => Err(Fault::transient(format!(
                "{} has not caught up on {} with the rows that were copied into it",
                from.generation, cursor.partition
            ))),
        }
    }

    /// `false` when the copy was completed before. Sweeps what an earlier attempt left.
    async fn begin_copy(&self, from: &Target<'_>, to: &Target<'_>, attempt: &str) -> Result<bool> {
        let keys = [
            &*from.keys.cursors,
            &*from.keys.meta,
            &*to.keys.cursors,
            &*to.keys.meta,
            &*to.keys.pages,
        ];
        let arguments = [&*from.build, &*to.build, attempt].map(str::as_bytes);
        loop {
            match self.word(&COPY_BEGIN, &keys, &arguments).await?.as_str() {
                "begun" => return Ok(true),
                "there" => return Ok(false),
                "other" => return Err(other_build(to.generation, StoreKind::Redis)),
                "gone" => return Err(vanished(from)),
                "leftovers" => {
                    if !self.sweep(to, attempt).await? {
                        return Err(overtaken(to));
                    }
                }
                other => return Err(unexpected(other)),
            }
        }
    }

    /// Copies one page; how many rows it had.
    async fn copy_page(
        &self,
        from: &Target<'_>,
        to: &Target<'_>,
        arguments: &[&[u8]],
    ) -> Result<u64> {
        let reply = self
            .writes
            .call(Call {
                script: &COPY_PAGE,
                keys: &[
                    &from.keys.cursors,
                    &to.keys.meta,
                    &to.keys.pages,
                    &from.keys.rows,
                    &from.keys.orders,
                    &to.keys.rows,
                    &to.keys.orders,
                ],
                arguments,
            })
            .await?;
        let answer: String = plain(reply)?;
        match answer.as_str() {
            "gone" => Err(vanished(from)),
            "overtaken" => Err(overtaken(to)),
            count => count.parse().map_err(|_| unexpected(count)),
        }
    }

    async fn end_copy(
        &self,
        to: &Target<'_>,
        attempt: &str,
        pages: u32,
        starts: &[(TopicPartition, Position)],
    ) -> Result<()> {
        let mut packed = Pack::new();
        for (partition, start) in starts {
            packed.text(&cursor_field(partition));
            packed.text(&cursor_text(*start, None));
        }
        let packed = packed.finish();
        let (number, pages) = (to.generation.number.to_string(), pages.to_string());
        let keys = [
            &*to.keys.cursors,
            &*to.keys.meta,
            &*to.keys.pages,
            &*to.projection.live,
        ];
        let [build, attempt, number, pages] =
            [&*to.build, attempt, &*number, &*pages].map(str::as_bytes);
        let arguments = [build, attempt, number, pages, &packed];
        match self.word(&COPY_END, &keys, &arguments).await?.as_str() {
            "created" => Ok(()),
            "overtaken" => Err(overtaken(to)),
            other => Err(unexpected(other)),
        }
    }

    pub(super) async fn pages_of(&self, target: &Target<'_>) -> Result<Option<BasePages>> {
        let reply = self
            .reads
            .call(Call {
                script: &PAGES,
                keys: &[&target.keys.cursors, &target.keys.pages],
                arguments: &[target.build.as_bytes()],
            })
            .await?;
        let flat: Vec<String> = plain(reply)?;
        let mut pages = vec![Vec::new(); flat.len() / 2];
        for pair in flat.chunks_exact(2) {
            let [number, line] = pair else { continue };
            let number: usize = number.parse().map_err(|_| spoilt(target))?;
            let slot = number.checked_sub(1).and_then(|at| pages.get_mut(at));
            *slot.ok_or_else(|| spoilt(target))? = line
                .split_ascii_whitespace()
                .map(|text| position(text).ok_or_else(|| spoilt(target)))
                .collect::<Result<_>>()?;
        }
        Ok((!pages.is_empty()).then_some(BasePages(pages)))
    }
}

/// Reads `topic/partition:position`.
fn position(text: &str) -> Option<(TopicPartition, Position)> {
    let (partition, position) = text.rsplit_once(':')?;
    Some((
        partition.parse().ok()?,
        Position::at(position.parse().ok()?),
    ))
}

fn vanished(from: &Target<'_>) -> Fault {
    Fault::transient(format!(
        "{} is not in redis, so its rows cannot be copied",
        from.generation
    ))
}

fn overtaken(to: &Target<'_>) -> Fault {
    Fault::transient(format!(
        "{}: another instance copies its rows in redis, or removes it",
        to.generation
    ))
}

fn spoilt(target: &Target<'_>) -> Fault {
    Fault::misconfigured(format!(
        "{}: the pages key in redis holds no positions; something else writes to the view's keys",
        target.generation
    ))
}
