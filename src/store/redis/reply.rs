//! What scripts answer.

use redis::{FromRedisValue, Value, from_redis_value};
use uuid::Uuid;

use crate::fault::{Fault, Result};
use crate::position::Position;

/// A field of a hash; none where it has no such field.
pub(super) type Text = Option<String>;

/// An answer as plain values.
pub(super) fn plain<T: FromRedisValue>(value: Value) -> Result<T> {
    from_redis_value(value).map_err(|_| Fault::bug("redis answered a script in an unexpected form"))
}

/// An answer that is a list which begins with a word.
pub(super) fn tagged(value: Value) -> Result<(String, Vec<Value>)> {
    let mut list: Vec<Value> = plain(value)?;
    if list.is_empty() {
        return Err(Fault::bug("redis answered a script with nothing"));
    }
    let tag = plain(list.remove(0))?;
    Ok((tag, list))
}

/// The fault for an answer that none of our scripts gives.
pub(super) fn unexpected(tag: &str) -> Fault {
    Fault::bug(format!("redis answered a script with `{tag}`"))
}

/// A cursor as it is stored: `position:claim`, the claim empty while nobody has it.
pub(super) fn cursor_text(position: Position, claim: Option<Uuid>) -> String {
    match claim {
        Some(claim) => format!("{position}:{claim}"),
        None => format!("{position}:"),
    }
}

/// Reads what [`cursor_text`] wrote. Every claim that is not ours to read counts as another's.
pub(super) fn read_cursor(text: &str) -> Result<(Option<Uuid>, Position)> {
    let wrong = || {
        Fault::misconfigured(
            "a cursor in redis is not `position:claim`; something else writes to the cursors key",
        )
    };
    let (position, claim) = text.split_once(':').ok_or_else(wrong)?;
    let position: i64 = position.parse().map_err(|_| wrong())?;
    let claim = match claim {
        "" => None,
        claim => Some(claim.parse().map_err(|_| wrong())?),
    };
    Ok((claim, Position::at(position)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_as_it_was_written() {
        let claim = Uuid::from_u128(7);
        for (position, claim) in [(0, None), (118, Some(claim))] {
            let position = Position::at(position);
            let text = cursor_text(position, claim);
            assert_eq!(read_cursor(&text).unwrap(), (claim, position));
        }
        assert_eq!(cursor_text(Position::at(5), None), "5:");
        for wrong in ["", "5", "x:", "5:abc"] {
            assert!(read_cursor(wrong).is_err(), "{wrong}");
        }
    }
}
