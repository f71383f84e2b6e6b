//! What readers ask of views, from the text of a request to typed reads: conditions, orders, pages.
//!
//! [`ListQuery`] is a list as it was asked for; [`ListQuery::bind`] gives it the meaning it has
//! for one generation's [`Schema`](crate::projection::Schema), because readers may be moved to
//! another one while they turn pages.
//!
//! **Architecture invariant:** nothing here asks a store.

mod filter;
mod list;
mod order;
mod page;
mod parameters;
mod select;
#[cfg(test)]
mod tests;

pub use self::list::{BoundList, ListQuery};
pub use self::parameters::{LONGEST_QUERY, parameters};
pub use self::select::select;
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
