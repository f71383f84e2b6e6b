//! Lists: what is asked of a view's rows, and what comes back.

use super::Cursor;
use crate::projection::Value;

/// Which rows of a generation to read. Columns are indexes into its schema.
#[derive(Clone, Debug, PartialEq)]
pub struct ListRead {
    /// What a row must fulfil: all of them.
    pub conditions: Vec<Condition>,
    /// The order. It names every key column, so that no two rows are equal in it.
    pub order: Vec<OrderBy>,
    /// Only rows behind the one that has these values, one per entry of `order`.
    pub after: Option<Vec<Value>>,
    /// How many rows at most; at least 1.
    pub limit: usize,
    /// The columns to give, in this order.
    pub columns: Vec<usize>,
    /// Whether to count what fulfils the conditions, wherever the page begins and ends.
    pub count: Option<Counting>,
}

/// What one column must fulfil. As in SQL, null fulfils nothing but [`Test::Null`].
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The column.
    pub column: usize,
    /// What it must fulfil.
    pub test: Test,
}

/// A test of one value. Values are of the column's type; texts compare bytewise, json by what it means.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// It compares so with this value.
    Compare(Comparison, Value),
    /// It is one of these.
    In(Vec<Value>),
    /// A text like this pattern: `%` is any text, `_` any character, a backslash takes the
    /// meaning of the next character away.
    Like(Box<str>),
    /// It is null.
    Null,
    /// It is not null.
    NotNull,
}

/// How two values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

/// One column of an order. Nulls are last in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderBy {
    /// The column.
    pub column: usize,
    /// Whether the greatest comes first.
    pub descending: bool,
}

/// How rows are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// One by one, at the instant of the page.
    Exact,
    /// As the store supposes.
    Estimated,
}

/// What became of a list.
#[derive(Clone, Debug, PartialEq)]
pub enum Listed {
    /// Rows, with what they reflect.
    Page(ListPage),
    /// Readers see the generation of this number, not the one that was asked.
    Elsewhere(u32),
    /// Readers see nothing yet.
    NotPublished,
    /// Finding the rows takes longer than a list may.
    RowsTooSlow,
    /// Counting the rows takes longer than a list may.
    CountTooSlow,
}

/// Some rows of a list and what they reflect, read at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct ListPage {
    /// The rows in order, each with the columns that were asked for. Fewer than the limit where they are
    /// large ([`LARGEST_PAGE`]).
    pub rows: Vec<Vec<Value>>,
    /// Where the next page begins: the last row's values of the order. None where no row is left.
    pub next: Option<Vec<Value>>,
    /// The generation's cursors.
    pub cursors: Vec<Cursor>,
    /// How many rows fulfil the conditions, where that was asked.
    pub count: Option<u64>,
}

/// A page ends with the row that makes it larger than this many bytes: what a request takes in
/// memory must not depend on what rows hold (I10).
pub const LARGEST_PAGE: usize = 8 * 1024 * 1024;
