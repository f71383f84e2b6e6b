//! Where a client of the change feed stands, as text: the `id` of its events.
//!
//! `orders/0@118,orders/1@97;g2`: everything up to and including these records was told, and readers saw
//! generation 2. Behind a row that is not its batch's last one, `;451.3` follows: the positions are those before
//! batch 451, of which 3 rows were told. A plain `View-Position` or `View-Token` is an id too.

use std::fmt;

use crate::position::{Position, RecordName};
use crate::query::{Token, TokenError};
use crate::store::changes::Reached;

/// Above this many bytes positions are written in the opaque form: an id comes with every event.
const LONGEST_LIST: usize = 512;

/// A place in the change feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedId {
    /// Everything up to here was told.
    pub(super) reached: Reached,
    /// What readers saw; none where a client brings a position of its own.
    pub(super) generation: Option<u32>,
    /// The batch that was told in part, and how many of its rows.
    pub(super) within: Option<(i64, usize)>,
}

/// Why a text is no id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedIdError {
    /// The positions cannot be read.
    #[error(transparent)]
    Positions(#[from] TokenError),
    /// What follows them cannot be read.
    #[error("`{0}` does not end as the id of an event does")]
    Rest(String),
}

impl FeedId {
    /// Reads the id of an event, a `View-Position` or a `View-Token`.
    pub fn parse(text: &str) -> Result<Self, FeedIdError> {
        let mut parts = text.trim().split(';');
        let token = Token::parse(parts.next().unwrap_or_default())?;
        // No partition ever holds that many records: the cursor behind the last one is a number too.
        let position = |record: RecordName| {
            (
                record.partition,
                Position::after(record.offset.min(i64::MAX - 1)),
            )
        };
        let mut id = Self {
            reached: token.records().map(position).collect(),
            generation: None,
            within: None,
        };
        let wrong = || FeedIdError::Rest(text.chars().take(80).collect());
        if let Some(part) = parts.next() {
            let number = part.strip_prefix('g').ok_or_else(wrong)?;
            id.generation = Some(number.parse().map_err(|_| wrong())?);
        }
        if let Some(part) = parts.next() {
            let (batch, told) = part.split_once('.').ok_or_else(wrong)?;
            id.within = Some((
                batch.parse().map_err(|_| wrong())?,
                told.parse().map_err(|_| wrong())?,
            ));
        }
        match parts.next() {
            None => Ok(id),
            Some(_) => Err(wrong()),
        }
    }

    /// The place behind everything up to `reached`.
    pub(super) fn behind(generation: u32, reached: &Reached) -> Self {
        Self {
            reached: reached.clone(),
            generation: Some(generation),
            within: None,
        }
    }
}

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.reached.iter().filter_map(|(partition, at)| {
            let offset = at.last()?;
            Some(partition.record(offset))
        });
        let records: Vec<RecordName> = last.collect();
        let names: Vec<String> = records.iter().map(ToString::to_string).collect();
        let list = names.join(",");
        if list.is_empty() || list.len() > LONGEST_LIST {
            f.write_str(&Token::opaque(&records))?;
        } else {
            f.write_str(&list)?;
        }
        if let Some(generation) = self.generation {
            write!(f, ";g{generation}")?;
        }
        if let Some((batch, told)) = self.within {
            write!(f, ";{batch}.{told}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::TopicPartition;

    fn id(partitions: i32, within: Option<(i64, usize)>) -> FeedId {
        let at = |p| {
            (
                TopicPartition::new("orders", p),
                Position::at(100 + i64::from(p)),
            )
        };
        FeedId {
            reached: (0..partitions).map(at).collect(),
            generation: Some(2),
            within,
        }
    }

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        assert_eq!(id(2, None).to_string(), "orders/0@99,orders/1@100;g2");
        assert_eq!(id(1, Some((451, 3))).to_string(), "orders/0@99;g2;451.3");
        assert_eq!(id(0, None).to_string(), "v1;g2");
        for partitions in [0, 1, 2, 500] {
            for within in [None, Some((451, 3))] {
                let id = id(partitions, within);
                assert_eq!(FeedId::parse(&id.to_string()).unwrap(), id);
            }
        }
        assert!(id(500, None).to_string().len() < 5000);
    }

    #[test]
    fn a_view_position_is_an_id() {
        let plain = FeedId::parse("orders/0@99,orders/1@100").unwrap();
        assert_eq!((plain.generation, plain.within), (None, None));
        assert_eq!(plain.reached, id(2, None).reached);
        assert!(FeedId::parse(&format!("orders/0@{}", i64::MAX)).is_ok());
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for wrong in [
            "",
            "12",
            "orders/0@1;2",
            "orders/0@1;g",
            "orders/0@1;g2;4",
            "orders/0@1;g2;4.5;6",
        ] {
            assert!(FeedId::parse(wrong).is_err(), "{wrong}");
        }
    }
}
