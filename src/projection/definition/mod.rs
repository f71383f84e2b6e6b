//! Definition files: TOML to a checked, typed plan.
//!
//! The way of a file: `document` reads TOML with the place of every key and value, `head`,
//! `columns`, `shape` and `handlers` (with `ops`) check it part by part, `compile` hands the
//! expressions to [`super::expr`], and `plan` with `run` is what is left to run. Nothing stops
//! at the first problem: all of them come at once, as [`Diagnostic`]s.

mod action;
mod columns;
mod compile;
mod describe;
mod diagnostic;
mod diff;
mod document;
mod family;
mod files;
mod handlers;
mod hash;
mod head;
mod matching;
mod names;
mod ops;
mod plan;
mod run;
mod sample;
mod shape;

pub use describe::{ColumnDescription, Description};
pub use diagnostic::Diagnostic;
pub use diff::changes;
pub use sample::{PathCount, Sample};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use self::compile::{Compiler, Place};
use self::diagnostic::Problems;
use self::document::{Entry, Kind};
use self::family::{Use, family_of};
use self::handlers::HandlerReader;
use self::hash::NormalForm;
use self::matching::{Matcher, Pattern};
use self::plan::Plan;
use self::run::Handler;
use self::shape::Shape;
use super::{Column, Family, Projection, Schema, Value};
use crate::event::Path;

/// What happens to an event that cannot be processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPoison {
    /// The track stops at it, by name, until it is skipped.
    Stop,
}

/// A checked definition: its text and what runs.
#[derive(Clone)]
pub struct Definition {
    /// The projection's name.
    pub name: Arc<str>,
    /// The text it was read from; for a Rust projection a rendering of its schema and version.
    pub text: Arc<str>,
    /// SHA-256 of what identifies its behaviour, as lower-case hex.
    pub hash: Arc<str>,
    /// What runs.
    pub plan: Arc<dyn Projection>,
    /// One sentence for people; empty when not given.
    pub description: String,
    /// What to do about poison events.
    pub on_poison: OnPoison,
    /// How long a replaced generation is kept; the configured default when none.
    pub retain: Option<Duration>,
    /// Whether a changed definition is rebuilt without being asked for.
    pub auto_rebuild: bool,
    /// Whether a compacted topic is accepted although ops accumulate or depend on order.
    pub accept_compacted: bool,
    /// The same as `plan`, for a definition file.
    file: Option<Arc<Plan>>,
    /// What was hashed, for a definition file.
    normal: Option<Arc<NormalForm>>,
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.hash)
    }
}

impl Definition {
    /// Parses and checks the definition `text` of the projection `name`, read from `file`. All
    /// problems are reported, in document order.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let mut problems = Problems::new(file, text);
        if let Some(problem) = names::name_problem(name) {
            problems.add(0, format!("the file's name is the projection's: {problem}"));
        }
        let entries = document::read(&mut problems);
        let checked = entries.and_then(|entries| check(name, text, &entries, &mut problems));
        match checked {
            Some(definition) if problems.count() == 0 => Ok(definition),
            _ => Err(problems.finish()),
        }
    }

    /// The definition of a projection written in Rust.
    pub fn of(projection: Arc<dyn Projection>) -> Self {
        let schema = projection.schema();
        let topics: Vec<String> = projection
            .topics()
            .iter()
            .map(|topic| format!("{topic:?}"))
            .collect();
        let text = format!(
            "rust projection\n{}\ntopics {}\nstores {:?}\nversion {:?}\n",
            hash::shape_text(schema),
            topics.join(", "),
            projection.stores(),
            projection.version()
        );
        Self {
            name: schema.name.clone(),
            hash: hash::sha256(&text).into(),
            text: text.into(),
            plan: projection,
            description: String::new(),
            on_poison: OnPoison::Stop,
            retain: None,
            auto_rebuild: false,
            accept_compacted: false,
            file: None,
            normal: None,
        }
    }
}

/// Checks everything behind the syntax. None when there was a problem (all are noted).
fn check(
    name: &str,
    text: &str,
    entries: &[Entry],
    problems: &mut Problems<'_>,
) -> Option<Definition> {
    let head = head::read(entries, problems);
    let (shape, key) = read_shape(entries, problems);
    let parts = read_handlers(entries, &shape, &key, problems);
    let families: Vec<Family> = (0..shape.columns.len())
        .map(|column| family_of(column, shape.name(column), &parts.uses, problems))
        .collect();
    check_defaults(&shape, &families, problems);
    head::note_missing(entries, problems);
    if problems.count() > 0 {
        return None;
    }
    let schema = Arc::new(schema(name, shape, &families)?);
    let normal = NormalForm::of(&schema, &head, entries);
    let hash = normal.hash();
    let mut matcher = Matcher::default();
    let mut handlers = Vec::new();
    for (index, (pattern, handler)) in parts.handlers.into_iter().enumerate() {
        matcher.add(pattern, index);
        handlers.push(handler);
    }
    let plan = Arc::new(Plan {
        schema,
        topics: head.topics,
        stores: head.stores,
        version: hash.clone(),
        paths: parts.paths,
        matcher,
        handlers,
    });
    Some(Definition {
        name: name.into(),
        text: text.into(),
        hash: hash.into(),
        plan: plan.clone(),
        description: head.description,
        on_poison: OnPoison::Stop,
        retain: head.retain,
        auto_rebuild: head.auto_rebuild,
        accept_compacted: head.accept_compacted,
        file: Some(plan),
        normal: Some(Arc::new(normal)),
    })
}

/// The value of the top-level key `name`.
fn top<'e>(entries: &'e [Entry], name: &str) -> Option<&'e document::Node> {
    let entry = entries.iter().find(|entry| entry.key == name);
    entry.map(|entry| &entry.value)
}

/// The columns, and the expressions of the key in key order.
fn read_shape<'e>(
    entries: &'e [Entry],
    problems: &mut Problems<'_>,
) -> (Shape, Vec<(usize, &'e document::Node)>) {
    let example = "[columns]";
    let columns = top(entries, "columns").and_then(|node| node.table("columns", example, problems));
    let mut shape = Shape {
        columns: columns
            .map(|columns| columns::read(columns, problems))
            .unwrap_or_default(),
        key: Vec::new(),
        columns_known: columns.is_some(),
    };
    let key = top(entries, "key")
        .map(|node| shape.read_key(node, problems))
        .unwrap_or_default();
    (shape, key)
}

/// What the handlers come to.
struct Parts {
    handlers: Vec<(Pattern, Handler)>,
    uses: Vec<Use>,
    paths: Vec<Path>,
}

fn read_handlers(
    entries: &[Entry],
    shape: &Shape,
    key: &[(usize, &document::Node)],
    problems: &mut Problems<'_>,
) -> Parts {
    let on = top(entries, "on")
        .and_then(|node| node.table("on", "[on.\"order.created\"]", problems))
        .unwrap_or_default();
    if on.is_empty()
        && let Some(node) = top(entries, "on")
        && matches!(node.kind, Kind::Table(_))
    {
        problems.add(
            node.at(),
            "`on` has no handler: write [on.\"order.created\"]",
        );
    }
    let any_each = on.iter().any(|entry| {
        matches!(&entry.value.kind, Kind::Table(fields) if fields.iter().any(|f| f.key == "each"))
    });
    // The top-level key is checked even where every handler has its own; its paths are then not read.
    let mut apart = Compiler::new(problems, shape.typed());
    HandlerReader::new(&mut apart, shape, key, any_each).read_key(key, &mut Place::new(any_each));
    let mut compiler = Compiler::new(problems, shape.typed());
    let mut reader = HandlerReader::new(&mut compiler, shape, key, any_each);
    let handlers = reader.read(on);
    Parts {
        handlers,
        uses: reader.uses,
        paths: compiler.into_paths(),
    }
}

/// A list starts as an array, an object as an object.
fn check_defaults(shape: &Shape, families: &[Family], problems: &mut Problems<'_>) {
    for (column, family) in shape.columns.iter().zip(families) {
        let (Value::Json(text), Some(at)) = (&column.default, column.default_at) else {
            continue;
        };
        let (opening, wanted) = match family {
            Family::List => ('[', "`append` needs a JSON array, such as \"[]\""),
            Family::Object => ('{', "`put` and `remove` need a JSON object, such as \"{}\""),
            _ => continue,
        };
        if !text.starts_with(opening) {
            problems.add(
                at,
                format!("the default of column `{}`: {wanted}", column.name),
            );
        }
    }
}

fn schema(name: &str, shape: Shape, families: &[Family]) -> Option<Schema> {
    let columns = shape
        .columns
        .into_iter()
        .zip(families)
        .map(|(column, family)| {
            Some(Column {
                name: column.name,
                ty: column.ty?,
                default: column.default,
                index: column.index,
                family: *family,
            })
        })
        .collect::<Option<Vec<Column>>>()?;
    Some(Schema {
        name: name.into(),
        columns,
        key: shape.key,
    })
}
