//! Positions as callers carry them: a list of records, or the same in a shorter, opaque form.
//!
//! A list is `orders/0@118,orders/1@97`, as in `View-Position`. The opaque form is
//! `v1/orders:0.76:1.61`: each topic once, then partition and offset, offsets in hexadecimal. Kafka allows
//! neither `@` nor `:` nor `/` in the name of a topic, so neither form can be taken for the other.

use std::collections::BTreeMap;
use std::fmt;

use crate::position::{RecordName, TopicPartition};

/// What the opaque form begins with.
const OPAQUE: &str = "v1";
/// Kafka's own limit.
const LONGEST_TOPIC: usize = 249;

/// The records that an answer has to reflect: one per partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    wanted: BTreeMap<TopicPartition, i64>,
}

/// Why a text is no token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a record such as orders/1@97, nor a token that a View-Token header gave")]
pub struct TokenError(String);

impl Token {
    /// Reads a list of records, or the opaque form. Of several records of a partition the greatest counts.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let records = match text.strip_prefix(OPAQUE) {
            Some(rest) if !text.contains('@') => opaque(rest),
            _ => text.split(',').map(|part| record(part.trim())).collect(),
        };
        let records = records.map_err(|part| TokenError(shortened(&part)))?;
        Ok(records.into_iter().collect())
    }

    /// The opaque form of these positions.
    pub fn opaque(records: &[RecordName]) -> String {
        let mut text = String::from(OPAQUE);
        let mut topic = "";
        for record in records {
            if *record.partition.topic != *topic {
                topic = &record.partition.topic;
                text.push('/');
                text.push_str(topic);
            }
            let partition = record.partition.partition;
            text.push_str(&format!(":{partition}.{:x}", record.offset));
        }
        text
    }

    /// The same and what `other` asks for.
    pub fn merge(&mut self, other: Self) {
        for (partition, offset) in other.wanted {
            self.add(partition, offset);
        }
    }

    fn add(&mut self, partition: TopicPartition, offset: i64) {
        let wanted = self.wanted.entry(partition).or_insert(offset);
        *wanted = offset.max(*wanted);
    }

    /// The partitions that are named.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.wanted.keys()
    }

    /// The records that are named, by partition.
    pub fn records(&self) -> impl Iterator<Item = RecordName> + '_ {
        let wanted = self.wanted.iter();
        wanted.map(|(partition, offset)| partition.record(*offset))
    }

    /// The offset named of a partition.
    pub fn offset(&self, partition: &TopicPartition) -> Option<i64> {
        self.wanted.get(partition).copied()
    }

    /// Whether every record is among those that were considered up to and including `reached` (one per partition).
    pub fn is_reached(&self, reached: &[RecordName]) -> bool {
        let is_in = |record: &&RecordName| {
            let wanted = self.offset(&record.partition);
            wanted.is_some_and(|offset| record.offset >= offset)
        };
        reached.iter().filter(is_in).count() == self.wanted.len()
    }
}

impl FromIterator<RecordName> for Token {
    fn from_iter<I: IntoIterator<Item = RecordName>>(records: I) -> Self {
        let mut token = Self::default();
        for record in records {
            token.add(record.partition, record.offset);
        }
        token
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.records().map(|record| record.to_string()).collect();
        f.write_str(&names.join(","))
    }
}

/// One record of a list; the text itself when it is none.
fn record(text: &str) -> Result<RecordName, String> {
    let record: RecordName = text.parse().map_err(|_| text.to_owned())?;
    match is_topic(&record.partition.topic) {
        true => Ok(record),
        false => Err(text.to_owned()),
    }
}

/// Reads what stands behind the mark of the opaque form.
fn opaque(text: &str) -> Result<Vec<RecordName>, String> {
    let wrong = || format!("{OPAQUE}{text}");
    let mut records = Vec::new();
    let mut topics = text.split('/');
    if topics.next() != Some("") {
        return Err(wrong());
    }
    for part in topics {
        let (topic, offsets) = part.split_once(':').ok_or_else(wrong)?;
        if !is_topic(topic) {
            return Err(wrong());
        }
        let topic: std::sync::Arc<str> = topic.into();
        for at in offsets.split(':') {
            let (partition, offset) = at.split_once('.').ok_or_else(wrong)?;
            let partition = digits(partition, 10).ok_or_else(wrong)?;
            let offset = digits(offset, 16).ok_or_else(wrong)?;
            let partition = i32::try_from(partition).map_err(|_| wrong())?;
            let partition = TopicPartition::new(std::sync::Arc::clone(&topic), partition);
            records.push(partition.record(offset));
        }
    }
    Ok(records)
}

/// A number without a sign.
fn digits(text: &str, radix: u32) -> Option<i64> {
    let plain = text.chars().all(|c| c.is_digit(radix));
    plain.then(|| i64::from_str_radix(text, radix).ok())?
}

fn is_topic(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=LONGEST_TOPIC).contains(&name.len()) && name.bytes().all(allowed)
}

/// Enough of a text to recognise it.
fn shortened(text: &str) -> String {
    const ENOUGH: usize = 80;
    let mut short: String = text.chars().take(ENOUGH).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records() -> impl Strategy<Value = Vec<RecordName>> {
        let topic = prop_oneof!["[a-zA-Z0-9._-]{1,12}", Just("v1".to_owned())];
        let offset = prop_oneof![0..20_i64, Just(i64::MAX)];
        let partition = prop_oneof![0..3_i32, Just(i32::MAX)];
        let named = (topic, partition, offset);
        prop::collection::vec(named, 1..9).prop_map(|named| {
            let record = |(topic, partition, offset): (String, i32, i64)| {
                TopicPartition::new(topic, partition).record(offset)
            };
            named.into_iter().map(record).collect()
        })
    }

    proptest! {
        #[test]
        fn both_forms_read_back_as_they_were_written(records in records()) {
            let token: Token = records.iter().cloned().collect();
            let names: Vec<String> = records.iter().map(ToString::to_string).collect();
            prop_assert_eq!(&Token::parse(&names.join(",")).unwrap(), &token);
            prop_assert_eq!(&Token::parse(&names.join(" , ")).unwrap(), &token);
            prop_assert_eq!(&Token::parse(&Token::opaque(&records)).unwrap(), &token);
            prop_assert_eq!(&Token::parse(&token.to_string()).unwrap(), &token);
            prop_assert!(token.is_reached(&token.records().collect::<Vec<_>>()));
        }

        #[test]
        fn no_text_is_too_strange_to_be_refused(text in "[v1/@:.,a0-]{0,12}|.{0,20}") {
            if let Ok(token) = Token::parse(&text) {
                let records: Vec<RecordName> = token.records().collect();
                prop_assert_eq!(Token::parse(&Token::opaque(&records)).unwrap(), token);
            }
        }
    }

    #[test]
    fn the_greatest_record_of_a_partition_counts() {
        let token = Token::parse("orders/1@97,orders/1@99,orders/1@98").unwrap();
        assert_eq!(token.to_string(), "orders/1@99");
        let mut more = Token::parse("orders/0@1").unwrap();
        more.merge(token);
        assert_eq!(more.to_string(), "orders/0@1,orders/1@99");
    }

    #[test]
    fn only_named_partitions_count_and_every_one_of_them() {
        let token = Token::parse("a/0@5,b/0@0").unwrap();
        let reached = |text: &str| {
            let records: Vec<RecordName> = Token::parse(text).unwrap().records().collect();
            token.is_reached(&records)
        };
        assert!(reached("a/0@5,b/0@0"));
        assert!(reached("a/0@6,a/1@0,b/0@9,c/0@0"));
        assert!(!reached("a/0@4,b/0@0"));
        assert!(!reached("a/0@5"), "nothing is known of b/0");
        assert!(!token.is_reached(&[]));
        assert!(Token::default().is_reached(&[]));
    }

    #[test]
    fn what_is_no_token_is_named() {
        for wrong in [
            "",
            "orders",
            "orders/1",
            "orders/1@",
            "orders/1@-1",
            "orders/-1@1",
            "orders/1@97,",
            "orders/1@97;orders/2@1",
            "or ders/1@97",
            "a/b/1@97",
            "orders/1@9223372036854775808",
            "v1orders:0.1",
            "v1/orders",
            "v1/orders:0",
            "v1/orders:0.",
            "v1/orders:0.g",
            "v1/orders:+0.1",
            "v2/orders:0.1",
            "v1/orders:0.10000000000000000",
        ] {
            assert!(Token::parse(wrong).is_err(), "{wrong}");
        }
        let text = Token::parse("orders/1@97, orders/x@2")
            .unwrap_err()
            .to_string();
        assert!(
            text.starts_with("`orders/x@2` is not a record such as orders/1@97"),
            "{text}"
        );
        let long = Token::parse(&"x".repeat(5000)).unwrap_err().to_string();
        assert!(long.len() < 200, "{long}");
    }
}
