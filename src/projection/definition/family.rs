//! One family of ops per column.

use super::diagnostic::Problems;
use crate::projection::{ColumnType, Family};

/// An op as it is written in a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpName {
    Set,
    SetPresent,
    SetOnce,
    Latest,
    Add,
    Max,
    Min,
    Append,
    Put,
    Remove,
    Unset,
}

impl OpName {
    /// All of them.
    pub(super) const ALL: [Self; 11] = [
        Self::Set,
        Self::SetPresent,
        Self::SetOnce,
        Self::Latest,
        Self::Add,
        Self::Max,
        Self::Min,
        Self::Append,
        Self::Put,
        Self::Remove,
        Self::Unset,
    ];

    /// How it is written.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::SetPresent => "set_present",
            Self::SetOnce => "set_once",
            Self::Latest => "latest",
            Self::Add => "add",
            Self::Max => "max",
            Self::Min => "min",
            Self::Append => "append",
            Self::Put => "put",
            Self::Remove => "remove",
            Self::Unset => "unset",
        }
    }

    /// The op called `name`.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str() == name)
    }

    /// The family it belongs to; none for `set` and `unset`, which several families have.
    pub(super) const fn family(self) -> Option<Family> {
        match self {
            Self::Set | Self::Unset => None,
            Self::SetPresent | Self::SetOnce => Some(Family::Assign),
            Self::Latest => Some(Family::Latest),
            Self::Add => Some(Family::Sum),
            Self::Max => Some(Family::Greatest),
            Self::Min => Some(Family::Least),
            Self::Append => Some(Family::List),
            Self::Put | Self::Remove => Some(Family::Object),
        }
    }

    /// Why a column of type `ty` cannot have this op.
    pub(super) fn refuses(self, ty: ColumnType) -> Option<&'static str> {
        match self {
            Self::Add if ty == ColumnType::Double => {
                Some("sums of doubles depend on the order of addition: declare the column numeric")
            }
            Self::Add if !ty.is_integer() && !ty.is_decimal() => {
                Some("only integers and numeric can be added to")
            }
            Self::Max | Self::Min
                if matches!(
                    ty,
                    ColumnType::Boolean
                        | ColumnType::Uuid
                        | ColumnType::Jsonb
                        | ColumnType::TextArray
                ) =>
            {
                Some("it has no greatest or least: use text, a number, timestamptz or date")
            }
            Self::Append | Self::Put | Self::Remove if ty != ColumnType::Jsonb => {
                Some("declare the column jsonb")
            }
            _ => None,
        }
    }
}

/// One op on one column in one handler.
#[derive(Debug)]
pub(super) struct Use {
    /// The column's index.
    pub(super) column: usize,
    /// The op.
    pub(super) op: OpName,
    /// Where it stands.
    pub(super) at: usize,
    /// The handler, as `[on."…"]`.
    pub(super) handler: String,
    /// How many elements stay, for `append`.
    pub(super) keep: Option<u32>,
}

/// The family of column `column`, called `name`; mixtures and different `keep`s are problems.
pub(super) fn family_of(
    column: usize,
    name: &str,
    uses: &[Use],
    problems: &mut Problems<'_>,
) -> Family {
    let uses = || uses.iter().filter(move |used| used.column == column);
    let Some(first) = uses().find(|used| used.op.family().is_some()) else {
        return Family::Assign;
    };
    let family = first.op.family().unwrap_or(Family::Assign);
    let may_be_reset = matches!(
        family,
        Family::Assign | Family::Sum | Family::Greatest | Family::Least
    );
    for used in uses() {
        let fits = used.op.family().map_or(may_be_reset, |own| own == family);
        if !fits {
            problems.add(
                used.at,
                format!(
                    "column `{name}`: `{}` in {} does not mix with `{}` in {}: a column keeps to one family of ops",
                    used.op.as_str(),
                    used.handler,
                    first.op.as_str(),
                    first.handler
                ),
            );
        } else if used.op == OpName::Append && used.keep != first.keep {
            problems.add(
                used.at,
                format!(
                    "column `{name}`: {} here and {} in {}: every `append` to a column keeps the same number",
                    keep_text(used.keep),
                    keep_text(first.keep),
                    first.handler
                ),
            );
        }
    }
    family
}

fn keep_text(keep: Option<u32>) -> String {
    keep.map_or_else(|| "no keep".to_owned(), |keep| format!("keep = {keep}"))
}
