//! One generation in memory: rows and cursors that change together.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::fault::Result;
use crate::position::{Position, TopicPartition};
use crate::projection::{Row, RowDelta, RowKey, Schema, Value, apply};
use crate::store::{BasePages, Cursor, Move, Outcome, Verdict};

/// One generation.
#[derive(Debug)]
pub(super) struct Build {
    pub(super) id: Uuid,
    pub(super) cursors: BTreeMap<TopicPartition, Cursor>,
    pub(super) rows: BTreeMap<RowKey, Row>,
    /// With which cursors the pages of a copy were read; none where it is no copy.
    pub(super) pages: Option<BasePages>,
}

/// A cursor that nobody has claimed yet.
pub(super) fn unclaimed(partition: &TopicPartition, position: Position) -> Cursor {
    Cursor {
        partition: partition.clone(),
        position,
        claim: None,
        epoch: 0,
        newest_micros: None,
    }
}

/// What a batch with this one move would find.
pub(super) fn verdict(build: Option<&Build>, wanted: &Move) -> Verdict {
    let stored = build.and_then(|build| build.cursors.get(&wanted.partition));
    Verdict::judge(wanted, stored.map(|cursor| (cursor.claim, cursor.position)))
}

/// Whether the batch must be applied, or what is to be answered without applying it.
pub(super) fn judge(build: Option<&Build>, moves: &[Move]) -> Result<(), Outcome> {
    let verdicts: Vec<Verdict> = moves.iter().map(|wanted| verdict(build, wanted)).collect();
    if verdicts.iter().all(|v| *v == Verdict::NotApplied) {
        Ok(())
    } else if verdicts.iter().all(|v| *v == Verdict::Applied) {
        Err(Outcome::Applied)
    } else {
        Err(Outcome::Refused(verdicts))
    }
}

impl Build {
    /// Computes all rows first, then writes: a fault changes nothing.
    pub(super) fn apply(
        &mut self,
        schema: &Schema,
        moves: &[Move],
        deltas: &[RowDelta],
    ) -> Result<()> {
        let rows = deltas
            .iter()
            .map(|delta| {
                let before = self.rows.get(delta.key()).cloned();
                Ok((delta.key(), apply(schema, before, delta)?))
            })
            .collect::<Result<Vec<_>>>()?;
        for (key, row) in rows {
            match row {
                Some(row) => self.rows.insert(key.clone(), row),
                None => self.rows.remove(key),
            };
        }
        for wanted in moves {
            self.advance(wanted);
        }
        Ok(())
    }

    pub(super) fn advance(&mut self, wanted: &Move) {
        if let Some(cursor) = self.cursors.get_mut(&wanted.partition) {
            cursor.position = wanted.to;
            cursor.newest_micros = cursor.newest_micros.max(wanted.newest_micros);
        }
    }
}

/// How many rows there are, and about how many bytes their texts take.
pub(super) fn size(build: &Build) -> (u64, u64) {
    let bytes = build.rows.iter().map(|(key, row)| {
        let texts = row.values.iter().filter_map(Value::canonical);
        key.text().len() + texts.map(|text| text.len()).sum::<usize>()
    });
    (build.rows.len() as u64, bytes.sum::<usize>() as u64)
}
