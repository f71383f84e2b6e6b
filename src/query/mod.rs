//! What readers ask of views, from the text of a request to typed reads: conditions, orders, pages ([`ListQuery`]);
//! what a caller has seen or written already ([`Token`]), what it prefers ([`Preferences`]), and waiting until a view
//! is that far ([`Watches`]); and following what happens to its rows ([`Feeds`]).
//!
//! [`ListQuery::bind`] gives a list the meaning it has for one generation's
//! [`Schema`](crate::projection::Schema), because readers may be moved to another one while they turn pages.
//!
//! **Architecture invariant:** nothing here decides that an answer is fresh enough but the answer's own
//! positions, read at the same instant as its rows (I12). A watch only says when it is worth reading again.

mod changes;
mod filter;
mod list;
mod order;
mod page;
mod parameters;
mod prefer;
mod select;
#[cfg(test)]
mod tests;
mod token;
mod watch;

pub use self::changes::{FeedEvent, FeedId, FeedIdError, FeedKind, FeedSource, Feeds};
pub use self::list::{BoundList, ListQuery};
pub use self::parameters::{LONGEST_QUERY, parameters};
pub use self::prefer::{LONGEST_WAIT, PreferError, Preferences};
pub use self::select::select;
pub use self::token::{Token, TokenError};
pub use self::watch::{Positions, Waited, Watches};
pub use crate::store::list::Counting;

/// What somebody wrote, short enough for a message.
fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        None => format!("`{text}`"),
        Some((end, _)) => format!("`{}…`", text.get(..end).unwrap_or_default()),
    }
}

/// Names for a message.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
