//! Names and paths: what `event.id`, `data.a[0].?b`, `row.total` and `headers["x"]` stand for.

use std::sync::Arc;

use super::check::{Checker, Part, Reported};
use super::kind::Kind;
use super::near::advice;
use super::plan::{Plan, Reference, Root};
use super::tree::{Node, Syntax};
use crate::event::{Field, Path, PathSet, Segment};
use crate::projection::ColumnType;

/// The envelope fields, as they are written.
pub(super) const ENVELOPE: [(&str, Field); 13] = [
    ("event.id", Field::Id),
    ("event.type", Field::Type),
    ("event.version", Field::Version),
    ("event.source", Field::Source),
    ("event.time", Field::Time),
    ("event.subject", Field::Subject),
    ("event.correlation_id", Field::CorrelationId),
    ("event.causation_id", Field::CausationId),
    ("event.trace_id", Field::TraceId),
    ("event.user_id", Field::UserId),
    ("event.aggregate_id", Field::AggregateId),
    ("event.aggregate_type", Field::AggregateType),
    ("event.aggregate_version", Field::AggregateVersion),
];

const ROOTS: [&str; 9] = [
    "data",
    "event",
    "headers",
    "item",
    "key",
    "offset",
    "partition",
    "row",
    "topic",
];

/// One step behind a name.
struct Step<'n> {
    segment: Segment,
    optional: bool,
    /// Where what it leads to ends in the source.
    node: &'n Node,
}

/// A name and the steps behind it.
pub(super) struct Chain<'n> {
    name: &'n str,
    at: usize,
    steps: Vec<Step<'n>>,
}

fn field_of(chain: &Chain<'_>) -> Option<Field> {
    let [step] = chain.steps.as_slice() else {
        return None;
    };
    let Segment::Key(name) = &step.segment else {
        return None;
    };
    ENVELOPE
        .iter()
        .find(|(full, _)| full.strip_prefix("event.") == Some(name))
        .map(|(_, field)| *field)
}

impl<'n> Chain<'n> {
    /// The chain that `node` is, if it begins with a name. Err: where, and what is wrong.
    pub(super) fn of(node: &'n Node) -> Result<Option<Self>, (usize, String)> {
        let mut steps = Vec::new();
        let mut at = node;
        loop {
            match &at.syntax {
                Syntax::Name(name) => {
                    steps.reverse();
                    return Ok(Some(Self {
                        name,
                        at: at.start,
                        steps,
                    }));
                }
                Syntax::Field {
                    of,
                    field,
                    optional,
                } => {
                    steps.push(Step {
                        segment: Segment::Key(field.as_str().into()),
                        optional: *optional,
                        node: at,
                    });
                    at = of;
                }
                Syntax::Index {
                    of,
                    index,
                    optional,
                } => {
                    steps.push(Step {
                        segment: segment(index)?,
                        optional: *optional,
                        node: at,
                    });
                    at = of;
                }
                _ => return Ok(None),
            }
        }
    }

    fn optional(&self) -> Option<usize> {
        self.steps.iter().position(|s| s.optional)
    }

    /// Whether its value is a text unless its place reads it as something else.
    pub(super) fn is_soft(&self) -> bool {
        match self.name {
            "key" | "headers" => true,
            "event" => !matches!(field_of(self), None | Some(Field::Time)),
            _ => false,
        }
    }

    /// The kind of its value where that is certain; nothing is reported.
    pub(super) fn kind(&self, columns: &[(Arc<str>, ColumnType)]) -> Option<Kind> {
        match self.name {
            "topic" => Some(Kind::Text),
            "partition" | "offset" => Some(Kind::Number),
            "event" if field_of(self) == Some(Field::Time) => Some(Kind::Time),
            "row" => match self.steps.first().map(|s| &s.segment) {
                Some(Segment::Key(name)) => columns
                    .iter()
                    .find(|(column, _)| **column == **name)
                    .map(|(_, ty)| Kind::of(*ty))
                    .filter(|kind| *kind != Kind::Json),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The step that an index is: a literal text or a literal whole number.
fn segment(index: &Node) -> Result<Segment, (usize, String)> {
    let wrong = match &index.syntax {
        Syntax::Text(key) => return Ok(Segment::Key(key.as_str().into())),
        Syntax::Number(n) => match n.parse() {
            Ok(n) => return Ok(Segment::Index(n)),
            Err(_) => "an index is a whole number from 0",
        },
        _ => "an index must be a literal: a number from 0, or a text such as [\"a-b\"]",
    };
    Err((index.start, wrong.to_owned()))
}

impl Checker<'_, '_> {
    /// What a name with its steps stands for.
    pub(super) fn chain(&mut self, node: &Node, chain: &Chain<'_>) -> Result<Part, Reported> {
        let (plan, kind) = match chain.name {
            "data" => self.path(Root::Data, chain)?,
            "item" if self.scope.item.is_none() => {
                let message = "`item` has a meaning only in a handler with `each`";
                return self.problem(chain.at, message);
            }
            "item" => self.path(Root::Item, chain)?,
            "event" => self.envelope(chain)?,
            "headers" => self.header(chain)?,
            "row" => self.row(chain)?,
            "key" => self.plain(chain, Plan::Key, Kind::Soft)?,
            "topic" => self.plain(chain, Plan::Topic, Kind::Text)?,
            "partition" => self.plain(chain, Plan::Partition, Kind::Number)?,
            "offset" => self.plain(chain, Plan::Offset, Kind::Number)?,
            other => return self.unknown(chain, other),
        };
        Ok(Part::new(node, plan, kind))
    }

    fn unknown(&mut self, chain: &Chain<'_>, name: &str) -> Result<Part, Reported> {
        let column = self
            .scope
            .columns
            .iter()
            .any(|(column, _)| **column == *name);
        let message = if column && self.scope.row_allowed {
            format!(
                "unknown name `{name}`; did you mean data.{name}, or row.{name} for the column?"
            )
        } else if ENVELOPE
            .iter()
            .any(|(full, _)| full.strip_prefix("event.") == Some(name))
        {
            format!("unknown name `{name}`; did you mean event.{name} or data.{name}?")
        } else {
            let roots = ROOTS.iter().copied().filter(|root| match *root {
                "item" => self.scope.item.is_some(),
                "row" => self.scope.row_allowed,
                _ => true,
            });
            format!("unknown name `{name}`{}", advice(name, roots))
        };
        self.problem(chain.at, message)
    }

    fn plain(
        &mut self,
        chain: &Chain<'_>,
        plan: Plan,
        kind: Kind,
    ) -> Result<(Plan, Kind), Reported> {
        if chain.steps.is_empty() {
            return Ok((plan, kind));
        }
        let message = format!("`{}` is a single value: nothing can follow it", chain.name);
        self.problem(chain.at, message)
    }

    fn path(&mut self, root: Root, chain: &Chain<'_>) -> Result<(Plan, Kind), Reported> {
        let segments = |count: usize| {
            let steps = chain.steps.iter().take(count);
            Path(steps.map(|s| s.segment.clone()).collect())
        };
        let whole = segments(chain.steps.len());
        let name = display(chain.name, &whole);
        let first_optional = chain.optional();
        let before = first_optional.filter(|count| *count > 0).map(segments);
        let paths = match (root, self.scope.item.as_deref_mut()) {
            (Root::Item, Some(item)) => item,
            _ => &mut *self.scope.data,
        };
        let reference = Reference {
            root,
            slot: paths.intern(whole),
            optional: first_optional.is_some(),
            guard: before.map(|path| {
                let name = display(chain.name, &path);
                (paths.intern(path), name)
            }),
            name,
        };
        Ok((Plan::Raw(reference), Kind::Any))
    }

    fn envelope(&mut self, chain: &Chain<'_>) -> Result<(Plan, Kind), Reported> {
        if let Some(field) = field_of(chain) {
            let optional = chain.optional().is_some();
            let required = matches!(field, Field::Id | Field::Type) && !optional;
            return Ok(match field {
                Field::Time => (
                    Plan::Time {
                        required: !optional,
                    },
                    Kind::Time,
                ),
                field => (Plan::Envelope { field, required }, Kind::Soft),
            });
        }
        let names = ENVELOPE.iter().map(|(full, _)| *full);
        let message = match chain.steps.as_slice() {
            [] => "`event` alone is no value: name a field, such as event.id".to_owned(),
            [first, ..] => match &first.segment {
                Segment::Key(key) if &**key == "data" => {
                    "`event.data` is written `data`".to_owned()
                }
                Segment::Key(key) if chain.steps.len() == 1 => {
                    let name = format!("event.{key}");
                    format!("unknown field `{name}`{}", advice(&name, names))
                }
                _ => "an envelope field is a single value: nothing can follow it".to_owned(),
            },
        };
        self.problem(chain.at, message)
    }

    fn header(&mut self, chain: &Chain<'_>) -> Result<(Plan, Kind), Reported> {
        match chain.steps.as_slice() {
            [
                Step {
                    segment: Segment::Key(name),
                    optional,
                    ..
                },
            ] => Ok((
                Plan::Header {
                    name: name.clone(),
                    required: !optional,
                },
                Kind::Soft,
            )),
            [] => self.problem(
                chain.at,
                "`headers` alone is no value: write headers[\"name\"]",
            ),
            _ => self.problem(
                chain.at,
                "a header is a text: write headers[\"name\"], nothing more",
            ),
        }
    }

    fn row(&mut self, chain: &Chain<'_>) -> Result<(Plan, Kind), Reported> {
        if !self.scope.row_allowed {
            return self.problem(
                chain.at,
                "`row` cannot be read here: only what an op writes may depend on the current row",
            );
        }
        self.reads_row = true;
        let Some((first, rest)) = chain.steps.split_first() else {
            return self.problem(
                chain.at,
                "`row` alone is no value: name a column, row.<column>",
            );
        };
        let Segment::Key(name) = &first.segment else {
            return self.problem(chain.at, "columns have names: write row.<column>");
        };
        let columns = self.scope.columns;
        let Some(index) = columns.iter().position(|(column, _)| **column == **name) else {
            let known = columns.iter().map(|(column, _)| &**column);
            let message = format!("unknown column `{name}`{}", advice(name, known));
            return self.problem(chain.at, message);
        };
        let ty = columns.get(index).map_or(ColumnType::Jsonb, |(_, ty)| *ty);
        if ty == ColumnType::Jsonb {
            let path = Path(rest.iter().map(|s| s.segment.clone()).collect());
            let paths = Arc::new(PathSet::new([path]));
            return Ok((Plan::ColumnPath(index, paths), Kind::Any));
        }
        if let Some(step) = rest.first() {
            let message = format!("column `{name}` is {ty}: only jsonb columns have parts");
            return self.problem(step.node.start, message);
        }
        Ok((Plan::Column(index), Kind::of(ty)))
    }
}

/// A path as it is called in messages.
fn display(root: &str, path: &Path) -> Box<str> {
    let mut name = String::from(root);
    for segment in &path.0 {
        match segment {
            Segment::Index(index) => name.push_str(&format!("[{index}]")),
            Segment::Key(key) => {
                let plain = !key.is_empty()
                    && !key.starts_with(|c: char| c.is_ascii_digit())
                    && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                if plain {
                    name.push('.');
                    name.push_str(key);
                } else {
                    name.push_str(&format!("[\"{key}\"]"));
                }
            }
        }
    }
    name.into()
}
