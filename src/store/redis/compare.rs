//! Batches that depend on rows: load, compute, and write only what is still as it was loaded.

use std::collections::HashMap;

use super::batch::{Outlook, PackedRows, needs_row, pack_moves};
use super::pack::Pack;
use super::reply::{Text, plain, tagged, unexpected};
use super::row::{Columns, Fields, row_of};
use super::script::{Call, LOAD};
use super::settings::{COMPARE_ATTEMPTS, KEYS_PER_LOAD};
use super::{Answer, RedisStore, Target, judge};
use crate::fault::{Fault, Result};
use crate::projection::{Row, RowDelta, RowKey, apply};
use crate::store::{FoldRows, Move, Outcome};

/// Rows as they were loaded, in the order in which they were asked for.
#[derive(Default)]
struct Loaded {
    rows: Vec<(RowKey, Option<Row>)>,
    /// Per row, the texts that its hashes held.
    fields: Vec<Option<Fields>>,
    places: HashMap<RowKey, usize>,
}

impl Loaded {
    fn put(&mut self, target: &Target<'_>, key: RowKey, fields: Fields) -> Result<()> {
        let row = row_of(&target.generation.schema, &fields)?;
        let fields = row.is_some().then_some(fields);
        match self.places.get(&key) {
            Some(&at) => {
                if let (Some(slot), Some(texts)) = (self.rows.get_mut(at), self.fields.get_mut(at))
                {
                    slot.1 = row;
                    *texts = fields;
                }
            }
            None => {
                self.places.insert(key.clone(), self.rows.len());
                self.rows.push((key, row));
                self.fields.push(fields);
            }
        }
        Ok(())
    }

    /// Takes over what the rows hold now: each with its key first.
    fn renew(&mut self, target: &Target<'_>, rows: Vec<Vec<Text>>) -> Result<()> {
        for mut fields in rows {
            let key = fields.first_mut().and_then(Option::take);
            let text = key
                .as_deref()
                .and_then(|key| key.strip_prefix(&*target.keys.rows));
            let known = self.rows.iter().find(|(key, _)| Some(key.text()) == text);
            let Some((key, _)) = known else {
                return Err(unexpected("changed"));
            };
            fields.remove(0);
            self.put(target, key.clone(), fields)?;
        }
        Ok(())
    }

    /// The deltas as a batch that is refused when a loaded row has changed.
    fn pack<'t>(&self, target: &'t Target<'_>, deltas: &[RowDelta]) -> Result<PackedRows<'t>> {
        let schema = &*target.generation.schema;
        let mut packed = PackedRows::new(schema, &target.keys.rows, deltas.len());
        let mut outlooks: Vec<Outlook> = self.rows.iter().map(|_| Outlook::Stay).collect();
        for delta in deltas {
            let Some(&at) = self.places.get(delta.key()) else {
                packed.push(delta)?;
                continue;
            };
            let current = self.rows.get(at).and_then(|(_, row)| row.clone());
            if let Some(outlook) = outlooks.get_mut(at) {
                *outlook = match apply(schema, current, delta)? {
                    Some(row) => Outlook::Write(row),
                    None => Outlook::Delete,
                };
            }
        }
        for (((key, _), fields), outlook) in self.rows.iter().zip(&self.fields).zip(&outlooks) {
            packed.push_loaded(key, fields.as_ref(), outlook);
        }
        Ok(packed)
    }
}

impl RedisStore {
    /// Applies what `fold` makes of the rows of `keys`, and of its deltas those that need their
    /// row, computed from it; repeated while somebody else changes one of these rows.
    pub(super) async fn compare_and_write(
        &self,
        target: &Target<'_>,
        moves: &[Move],
        keys: &[RowKey],
        fold: &FoldRows<'_>,
    ) -> Result<Outcome> {
        let mut loaded = Loaded::default();
        if let Some(outcome) = self.load_into(&mut loaded, target, moves, keys).await? {
            return Ok(outcome);
        }
        for _ in 0..COMPARE_ATTEMPTS {
            let asked = loaded.rows.get(..keys.len()).unwrap_or_default();
            let deltas = fold(asked)?;
            let more: Vec<RowKey> = deltas
                .iter()
                .filter(|delta| needs_row(delta) && !loaded.places.contains_key(delta.key()))
                .map(|delta| delta.key().clone())
                .collect();
            if let Some(outcome) = self.load_into(&mut loaded, target, moves, &more).await? {
                return Ok(outcome);
            }
            let packed = loaded.pack(target, &deltas)?;
            match self.write(target, moves, packed).await? {
                Answer::Settled(outcome) => return Ok(outcome),
                Answer::Changed(rows) => loaded.renew(target, rows)?,
            }
        }
        Err(Fault::transient(format!(
            "{}: rows of the batch were changed by others {COMPARE_ATTEMPTS} times in a row",
            target.generation
        )))
    }

    /// Loads rows while the cursors are where the moves begin; an outcome when they are not. A
    /// batch that was applied is never computed again from its own result.
    async fn load_into(
        &self,
        loaded: &mut Loaded,
        target: &Target<'_>,
        moves: &[Move],
        keys: &[RowKey],
    ) -> Result<Option<Outcome>> {
        for some in keys.chunks(KEYS_PER_LOAD) {
            match self.load(target, moves, some).await? {
                Ok(rows) => {
                    for (key, fields) in some.iter().zip(rows) {
                        loaded.put(target, key.clone(), fields)?;
                    }
                }
                Err(stored) => return Ok(Some(judge(moves, stored.as_deref())?)),
            }
        }
        Ok(None)
    }

    /// The fields of at most [`KEYS_PER_LOAD`] rows, read at one instant; where the cursors are
    /// not where the moves begin, what is stored there (none: no such build).
    pub(super) async fn load(
        &self,
        target: &Target<'_>,
        moves: &[Move],
        keys: &[RowKey],
    ) -> Result<Result<Vec<Fields>, Option<Vec<Text>>>> {
        let (names, orders) = Columns::of(&target.generation.schema).finish();
        let texts: Pack = keys.iter().map(RowKey::text).collect();
        let reply = self
            .reads
            .call(Call {
                script: &LOAD,
                keys: &target.row_keys(),
                arguments: &[
                    target.build.as_bytes(),
                    &pack_moves(moves),
                    &names,
                    &orders,
                    &texts.finish(),
                ],
            })
            .await?;
        let (tag, rest) = tagged(reply)?;
        match tag.as_str() {
            "rows" => Ok(Ok(rest.into_iter().map(plain).collect::<Result<_>>()?)),
            "cursors" => Ok(Err(Some(
                rest.into_iter().map(plain).collect::<Result<_>>()?,
            ))),
            "gone" => Ok(Err(None)),
            other => Err(unexpected(other)),
        }
    }
}
