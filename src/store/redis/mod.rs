//! Views in Redis: one script per batch, which checks everything before it writes anything.
//!
//! A script is isolated, but what it wrote before an error stays. So each one first reads and
//! judges all that could refuse it (build, claims, positions, types of keys, sums that do not
//! fit), then asks the server with writes that change nothing whether it takes writes at all,
//! and only then writes (I4). Whoever comes with another build or an old claim changes nothing
//! (I2, I5). Column values never pass through doubles or cjson: sums are computed on decimal
//! texts, JSON columns here, in Rust, from loaded rows that the script compares (`compare`).
//!
//! All keys of a projection share a hash slot (`keys`). Row keys are computed inside the
//! scripts from a declared stem. Runs on Redis 6.2 and newer, and Valkey.
//!
//! **Architecture invariant:** nothing but [`ViewStore::create`] and [`ViewStore::create_from`] brings a generation into being;
//! everything else looks for its build id first.

mod batch;
mod compare;
mod copy;
mod cutover;
mod keys;
mod link;
mod pack;
mod pages;
mod pointer;
mod refusal;
mod removal;
mod reply;
mod row;
mod scan;
mod script;
mod settings;
mod size;

pub use settings::{DEFAULT_PREFIX, DEFAULT_URL, Settings};

use std::collections::HashMap;
use std::fmt;

use async_trait::async_trait;
use uuid::Uuid;

use self::batch::{PackedRows, needs_row, overflow, pack_moves};
use self::keys::{GenerationKeys, ProjectionKeys, cursor_field};
use self::link::Link;
use self::pack::Pack;
use self::reply::{Text, cursor_text, plain, read_cursor, tagged, unexpected};
use self::row::{corrupt, fields_of, row_of};
use self::script::{ADD_CURSOR, ADVANCE, APPLY, CLAIM, CREATE, CURSORS, Call, POINT, Script};
use self::settings::KEYS_PER_LOAD;
use super::{
    BasePages, Batch, Claimed, ComparePage, Cursor, CutOver, CutOverOutcome, FoldRows, Generation,
    Move, Outcome, PageToken, PointRead, Pointer, Verdict, ViewStore, other_build,
};
use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};
use crate::projection::{Row, RowKey, StoreKind};

/// A Redis server (or a compatible one) as a store of views.
pub struct RedisStore {
    prefix: String,
    /// Batches and everything else that changes something.
    writes: Link,
    /// Its own connection, so that no read waits behind a batch.
    reads: Link,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis store with prefix {}", self.prefix)
    }
}

/// A generation with what all scripts need of it.
struct Target<'g> {
    generation: &'g Generation,
    keys: GenerationKeys,
    projection: ProjectionKeys,
    build: String,
}

impl Target<'_> {
    /// The keys of scripts that touch rows.
    fn row_keys(&self) -> [&str; 4] {
        let keys = &self.keys;
        [&keys.cursors, &keys.meta, &keys.rows, &keys.orders]
    }
}

/// What a batch was answered with.
enum Answer {
    /// It is applied or refused.
    Settled(Outcome),
    /// These rows are not what was loaded; each with its key and what it holds now.
    Changed(Vec<Vec<Text>>),
}

impl RedisStore {
    /// A store that connects when it is first used; the server need not be up.
    ///
    /// # Errors
    /// `Misconfigured` for a URL that is none, or a prefix with braces (they would change which
    /// keys share a hash slot).
    pub fn connect(settings: &Settings) -> Result<Self> {
        if settings.prefix.contains(['{', '}']) {
            return Err(Fault::misconfigured(
                "redis prefix: braces are not possible, they mark the hash tag of keys",
            ));
        }
        Ok(Self {
            prefix: settings.prefix.clone(),
            writes: Link::new(&settings.url, true)?,
            reads: Link::new(&settings.url, false)?,
        })
    }

    fn target<'g>(&self, generation: &'g Generation) -> Target<'g> {
        let projection = ProjectionKeys::new(&self.prefix, &generation.projection);
        Target {
            generation,
            keys: projection.generation(generation.number),
            projection,
            build: generation.build.to_string(),
        }
    }

    /// Runs a script that answers with one word.
    async fn word(
        &self,
        script: &'static Script,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> Result<String> {
        let call = Call {
            script,
            keys,
            arguments,
        };
        plain(self.writes.call(call).await?)
    }

    /// Sends a batch.
    async fn write(
        &self,
        target: &Target<'_>,
        moves: &[Move],
        packed: PackedRows<'_>,
    ) -> Result<Answer> {
        let (columns, rows) = packed.finish();
        failpoint!("redis::sending");
        let reply = self
            .writes
            .call(Call {
                script: &APPLY,
                keys: &target.row_keys(),
                arguments: &[target.build.as_bytes(), &pack_moves(moves), &columns, &rows],
            })
            .await?;
        failpoint!("redis::answered");
        let (tag, rest) = tagged(reply)?;
        if tag == "changed" {
            let rows = rest.into_iter().map(plain).collect::<Result<_>>()?;
            return Ok(Answer::Changed(rows));
        }
        let texts: Vec<Text> = rest.into_iter().map(plain).collect::<Result<_>>()?;
        let column = || texts.first().and_then(|name| name.as_deref()).unwrap_or("");
        match tag.as_str() {
            "applied" => Ok(Answer::Settled(Outcome::Applied)),
            "held" => Ok(Answer::Settled(Outcome::Held)),
            "gone" => Ok(Answer::Settled(judge(moves, None)?)),
            "cursors" => Ok(Answer::Settled(judge(moves, Some(&texts))?)),
            "corrupt" => Err(corrupt(column())),
            "overflow" => {
                let schema = &target.generation.schema;
                let known = schema.columns.iter().find(|c| &*c.name == column());
                Err(known.map_or_else(|| unexpected("overflow"), overflow))
            }
            other => Err(unexpected(other)),
        }
    }
}

/// The outcome for cursors that are not where the moves begin; `stored` is none when there is
/// no such build.
fn judge(moves: &[Move], stored: Option<&[Text]>) -> Result<Outcome> {
    let verdicts = verdicts(moves, stored)?;
    if verdicts.iter().all(|v| *v == Verdict::Applied) {
        Ok(Outcome::Applied)
    } else {
        Ok(Outcome::Refused(verdicts))
    }
}

fn verdicts(moves: &[Move], stored: Option<&[Text]>) -> Result<Vec<Verdict>> {
    let judged = moves.iter().enumerate().map(|(index, wanted)| {
        let text = stored.and_then(|texts| texts.get(index)?.as_deref());
        let cursor = text.map(read_cursor).transpose()?;
        Ok(Verdict::judge(wanted, cursor))
    });
    judged.collect()
}

/// Cursors from the answers of `HGETALL`; none when the build is another one.
fn cursors_of(
    build: &str,
    mut fields: HashMap<String, String>,
    meta: &HashMap<String, String>,
) -> Result<Option<Vec<Cursor>>> {
    if fields.remove("build").is_none_or(|stored| stored != build) {
        return Ok(None);
    }
    let number = |kind: &str, field: &str| meta.get(&format!("{kind} {field}"))?.parse().ok();
    let mut cursors = Vec::with_capacity(fields.len());
    for (field, text) in &fields {
        let partition: TopicPartition = field.parse().map_err(|_| {
            Fault::misconfigured("the cursors key in redis has a field that is no partition")
        })?;
        let (claim, position) = read_cursor(text)?;
        cursors.push(Cursor {
            partition,
            position,
            claim,
            epoch: number("epoch", field).unwrap_or(0),
            newest_micros: number("newest", field),
        });
    }
    cursors.sort_by(|a, b| a.partition.cmp(&b.partition));
    Ok(Some(cursors))
}

#[async_trait]
impl ViewStore for RedisStore {
    fn kind(&self) -> StoreKind {
        StoreKind::Redis
    }

    async fn ping(&self) -> Result<()> {
        self.writes.command(&redis::cmd("PING")).await.map(drop)
    }

    async fn create(
        &self,
        generation: &Generation,
        starts: &[(TopicPartition, Position)],
    ) -> Result<()> {
        let target = self.target(generation);
        let mut packed = Pack::new();
        for (partition, start) in starts {
            packed.text(&cursor_field(partition));
            packed.text(&cursor_text(*start, None));
        }
        let (packed, number) = (packed.finish(), generation.number.to_string());
        let keys = [
            &*target.keys.cursors,
            &*target.keys.meta,
            &*target.projection.live,
        ];
        let arguments: [&[u8]; 3] = [target.build.as_bytes(), number.as_bytes(), &packed];
        loop {
            match self.word(&CREATE, &keys, &arguments).await?.as_str() {
                "created" | "there" => return Ok(()),
                "other" => return Err(other_build(generation, StoreKind::Redis)),
                "leftovers" => drop(self.sweep(&target, "").await?),
                other => return Err(unexpected(other)),
            }
        }
    }

    async fn add_cursor(
        &self,
        generation: &Generation,
        partition: &TopicPartition,
        start: Position,
    ) -> Result<bool> {
        let target = self.target(generation);
        let (field, cursor) = (cursor_field(partition), cursor_text(start, None));
        let reply = self
            .writes
            .call(Call {
                script: &ADD_CURSOR,
                keys: &[&target.keys.cursors],
                arguments: &[target.build.as_bytes(), field.as_bytes(), cursor.as_bytes()],
            })
            .await?;
        plain(reply)
    }

    async fn publish(&self, generation: &Generation, intent: i64) -> Result<()> {
        self.publish_generation(&self.target(generation), intent)
            .await
    }

    async fn cursors(&self, generation: &Generation) -> Result<Option<Vec<Cursor>>> {
        let target = self.target(generation);
        let reply = self
            .reads
            .call(Call {
                script: &CURSORS,
                keys: &[&target.keys.cursors, &target.keys.meta],
                arguments: &[],
            })
            .await?;
        let (fields, meta) = plain(reply)?;
        cursors_of(&target.build, fields, &meta)
    }

    async fn claim(&self, generation: &Generation, read: &Cursor, claim: Uuid) -> Result<Claimed> {
        let target = self.target(generation);
        let field = cursor_field(&read.partition);
        let known = read.claim.map(|id| id.to_string()).unwrap_or_default();
        let claim = claim.to_string();
        let reply = self
            .writes
            .call(Call {
                script: &CLAIM,
                keys: &[&target.keys.cursors, &target.keys.meta],
                arguments: &[
                    target.build.as_bytes(),
                    field.as_bytes(),
                    known.as_bytes(),
                    claim.as_bytes(),
                ],
            })
            .await?;
        let (tag, rest) = tagged(reply)?;
        match tag.as_str() {
            "lost" => Ok(Claimed::Lost),
            "gone" => Ok(Claimed::Gone),
            "ours" => {
                let position = rest.into_iter().next().map(plain::<i64>).transpose()?;
                let position = position.ok_or_else(|| unexpected("ours"))?;
                Ok(Claimed::Ours(Position::at(position)))
            }
            other => Err(unexpected(other)),
        }
    }

    async fn apply(&self, generation: &Generation, batch: &Batch) -> Result<Outcome> {
        let target = self.target(generation);
        if batch.rows.iter().any(needs_row) {
            let deltas = |_: &[(RowKey, Option<Row>)]| Ok(batch.rows.clone());
            return self
                .compare_and_write(&target, &batch.moves, &[], &deltas)
                .await;
        }
        let mut packed = PackedRows::new(&generation.schema, &target.keys.rows, batch.rows.len());
        for delta in &batch.rows {
            packed.push(delta)?;
        }
        match self.write(&target, &batch.moves, packed).await? {
            Answer::Settled(outcome) => Ok(outcome),
            Answer::Changed(_) => Err(unexpected("changed")),
        }
    }

    async fn apply_reading(
        &self,
        generation: &Generation,
        moves: &[Move],
        keys: &[RowKey],
        fold: &FoldRows<'_>,
    ) -> Result<Outcome> {
        let target = self.target(generation);
        self.compare_and_write(&target, moves, keys, fold).await
    }

    async fn advance(&self, generation: &Generation, moves: &[Move]) -> Result<Vec<Verdict>> {
        let target = self.target(generation);
        let reply = self
            .writes
            .call(Call {
                script: &ADVANCE,
                keys: &[&target.keys.cursors, &target.keys.meta],
                arguments: &[target.build.as_bytes(), &pack_moves(moves)],
            })
            .await?;
        let (tag, rest) = tagged(reply)?;
        let texts: Vec<Text> = rest.into_iter().map(plain).collect::<Result<_>>()?;
        let before = match tag.as_str() {
            "gone" => verdicts(moves, None)?,
            "cursors" => verdicts(moves, Some(&texts))?,
            "held" => return verdicts(moves, Some(&texts)),
            other => return Err(unexpected(other)),
        };
        // What stood where its move begins has been moved; no cursor is ever locked here.
        let moved = |verdict| match verdict {
            Verdict::NotApplied => Verdict::Applied,
            other => other,
        };
        Ok(before.into_iter().map(moved).collect())
    }

    async fn rows(&self, generation: &Generation, keys: &[RowKey]) -> Result<Vec<Option<Row>>> {
        let target = self.target(generation);
        let mut rows = Vec::with_capacity(keys.len());
        for some in keys.chunks(KEYS_PER_LOAD) {
            match self.load(&target, &[], some).await? {
                Ok(loaded) => {
                    for fields in loaded {
                        rows.push(row_of(&generation.schema, &fields)?);
                    }
                }
                Err(_) => rows.extend(some.iter().map(|_| None)),
            }
        }
        Ok(rows)
    }

    async fn point_read(
        &self,
        projection: &str,
        key: &RowKey,
        schemas: &(dyn Fn(u32) -> Option<Generation> + Send + Sync),
    ) -> Result<Option<PointRead>> {
        let names = ProjectionKeys::new(&self.prefix, projection);
        let reply = self
            .reads
            .call(Call {
                script: &POINT,
                keys: &[&names.live, &names.stem],
                arguments: &[key.text().as_bytes()],
            })
            .await?;
        let parts: Vec<redis::Value> = plain(reply)?;
        let Ok([number, row, orders, cursors, meta]) = <[redis::Value; 5]>::try_from(parts) else {
            return Ok(None);
        };
        let number: u32 = plain(number)?;
        let Some(generation) = schemas(number) else {
            return Err(Fault::transient(format!(
                "projection {projection}: generation {number} is live in redis and not known here yet"
            )));
        };
        let build = generation.build.to_string();
        let Some(cursors) = cursors_of(&build, plain(cursors)?, &plain(meta)?)? else {
            return Ok(None);
        };
        let fields = fields_of(&generation.schema, plain(row)?, plain(orders)?);
        Ok(Some(PointRead {
            generation: number,
            row: row_of(&generation.schema, &fields)?,
            cursors,
        }))
    }

    async fn remove(&self, generation: &Generation) -> Result<()> {
        self.remove_generation(&self.target(generation)).await
    }

    async fn pointer(&self, projection: &str) -> Result<Option<Pointer>> {
        self.read_pointer(&ProjectionKeys::new(&self.prefix, projection))
            .await
    }

    async fn forget(&self, projection: &str) -> Result<()> {
        let names = ProjectionKeys::new(&self.prefix, projection);
        self.forget_projection(projection, &names).await
    }

    async fn cut_over(&self, cut: &CutOver) -> Result<CutOverOutcome> {
        self.move_readers(cut).await
    }

    async fn compare_page(
        &self,
        first: &Generation,
        second: &Generation,
        after: Option<&PageToken>,
        rows: usize,
    ) -> Result<Option<ComparePage>> {
        let (first, second) = (self.target(first), self.target(second));
        self.read_pages(&first, &second, after, rows).await
    }

    async fn create_from(
        &self,
        from: &Generation,
        to: &Generation,
        starts: &[(TopicPartition, Position)],
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        let (from, to) = (self.target(from), self.target(to));
        self.copy((&from, &to), starts, progress).await
    }

    async fn base_pages(&self, generation: &Generation) -> Result<Option<BasePages>> {
        self.pages_of(&self.target(generation)).await
    }

    async fn dependants(&self, _projection: &str) -> Result<Vec<String>> {
        // Hashes have no shape that others could depend on.
        Ok(Vec::new())
    }

    async fn size(&self, generation: &Generation) -> Result<Option<(u64, u64)>> {
        self.estimate(&self.target(generation)).await
    }
}
