//! The typed plan: what is left of an expression when all questions about types are answered.

use super::calculate::Arithmetic;
use super::compare::Comparison;
use super::functions::Function;
use crate::event::{Field, PathSet};
use crate::projection::{ColumnType, Value};
use std::sync::Arc;

/// Where a path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    Data,
    Item,
}

/// A path into the event or the item.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub(super) root: Root,
    pub(super) slot: usize,
    /// Whether absent means null.
    pub(super) optional: bool,
    /// What must be there even so: the part before the first `.?`, and its name.
    pub(super) guard: Option<(usize, Box<str>)>,
    /// As it is called in messages.
    pub(super) name: Box<str>,
}

/// One step of evaluation.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    Const(Value),
    /// A JSON value as it is.
    Raw(Reference),
    /// A JSON value read as a type.
    Read(Reference, ColumnType),
    /// Whether there is something at a path.
    Has(Reference),
    /// An envelope field as text.
    Envelope {
        field: Field,
        required: bool,
    },
    /// The event's time.
    Time {
        required: bool,
    },
    Key,
    Header {
        name: Box<str>,
        required: bool,
    },
    Topic,
    Partition,
    Offset,
    /// A column of the current row.
    Column(usize),
    /// A JSON value in a jsonb column of the current row.
    ColumnPath(usize, Arc<PathSet>),
    Cast(Box<Plan>, ColumnType, Label),
    Arithmetic(Arithmetic, Box<[Plan; 2]>, Label),
    Negate(Box<Plan>, Label),
    /// A whole calculation, rounded once.
    Round(Box<Plan>, u16, Label),
    /// Joined texts.
    Join(Box<[Plan; 2]>),
    Compare(Comparison, Box<[Plan; 2]>),
    IsNull(Box<Plan>),
    And(Box<[Plan; 2]>),
    Or(Box<[Plan; 2]>),
    Not(Box<Plan>),
    If(Box<[Plan; 3]>),
    /// The first that is not null.
    First(Box<[Plan]>),
    Apply(Function, Box<[Plan]>, Label),
    /// Whether the first is among the others.
    Among(Box<[Plan]>),
    /// A JSON array of JSON values.
    List(Box<[Plan]>),
    /// A list of texts.
    Texts(Box<[Plan]>),
    /// A JSON object: names and values.
    Map(Box<[(Plan, Plan)]>),
}

/// The source text of a part, for faults.
pub(super) type Label = Box<str>;
