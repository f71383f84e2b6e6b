//! Reads: what a caller has seen or written already ([`Token`]), what it prefers ([`Preferences`]), and waiting
//! until a view is that far ([`Watches`]); and following what happens to its rows ([`Feeds`]).
//!
//! **Architecture invariant:** nothing here decides that an answer is fresh enough but the answer's own
//! positions, read at the same instant as its rows (I12). A watch only says when it is worth reading again.

mod changes;
mod prefer;
mod token;
mod watch;

pub use changes::{FeedEvent, FeedId, FeedIdError, FeedKind, FeedSource, Feeds};
pub use prefer::{LONGEST_WAIT, PreferError, Preferences};
pub use token::{Token, TokenError};
pub use watch::{Positions, Waited, Watches};
