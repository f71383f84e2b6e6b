//! What differs between two definitions of one projection, in short sentences.

use std::fmt::Display;

use super::Definition;
use super::hash::{HandlerForm, NormalForm, Part};
use crate::projection::{Column, Schema};

/// What an operator need not rebuild for.
const NO_REBUILD: &str = "(no rebuild needed)";

/// What `proposed` changes about `live`: columns, key, topics, stores and handlers, then what changes no row. Empty
/// when they are the same.
pub fn changes(live: &Definition, proposed: &Definition) -> Vec<String> {
    let mut said = Vec::new();
    if live.hash != proposed.hash {
        let (old, new) = (live.plan.schema(), proposed.plan.schema());
        columns(old, new, &mut said);
        key(live, proposed, &mut said);
        topics(live, proposed, &mut said);
        stores(live, proposed, &mut said);
        behaviour(live, proposed, &mut said);
        if said.is_empty() {
            said.push("the definition's text differs".to_owned());
        }
    }
    without_rows(live, proposed, &mut said);
    said
}

impl Definition {
    /// Whether both find the same row for the same event, as far as the projection's own key says.
    pub fn has_key_of(&self, other: &Self) -> bool {
        let columns = |definition: &Self| -> Vec<_> {
            let schema = definition.plan.schema();
            let key = schema.key_columns();
            key.map(|column| (column.name.clone(), column.ty)).collect()
        };
        columns(self) == columns(other) && key_text(self) == key_text(other)
    }
}

fn key_text(definition: &Definition) -> Option<&str> {
    let normal = definition.normal.as_ref()?;
    normal.key.as_deref()
}

fn columns(old: &Schema, new: &Schema, said: &mut Vec<String>) {
    for column in &old.columns {
        match new.column(&column.name).and_then(|at| new.columns.get(at)) {
            Some(now) => column_changes(column, now, said),
            None => said.push(format!("column {} dropped", column.name)),
        }
    }
    let is_old = |column: &&Column| old.column(&column.name).is_some();
    for (at, column) in new.columns.iter().enumerate() {
        if is_old(&column) {
            continue;
        }
        let next = new.columns.iter().skip(at).find(is_old);
        let place = next.map_or(String::new(), |next| format!(", before {}", next.name));
        said.push(format!(
            "column {} added ({}){place}",
            column.name, column.ty
        ));
    }
    let kept_before = old
        .columns
        .iter()
        .filter(|column| new.column(&column.name).is_some());
    let kept_now: Vec<&Column> = new.columns.iter().filter(is_old).collect();
    if !kept_before
        .map(|column| &column.name)
        .eq(kept_now.iter().map(|column| &column.name))
    {
        let order: Vec<&str> = new.columns.iter().map(|column| &*column.name).collect();
        said.push(format!("columns reordered: {}", order.join(", ")));
    }
}

fn column_changes(old: &Column, new: &Column, said: &mut Vec<String>) {
    let name = &old.name;
    if old.ty != new.ty {
        said.push(moved(format_args!("column {name}"), old.ty, new.ty));
    }
    let default = |column: &Column| {
        let text = column.default.canonical();
        text.map_or_else(|| "none".to_owned(), |text| text.into_owned())
    };
    if default(old) != default(new) {
        let what = format_args!("column {name}: default");
        said.push(format!("{what} {} → {}", default(old), default(new)));
    }
    if old.index != new.index {
        let how = if new.index { "added" } else { "dropped" };
        said.push(format!("column {name}: index {how}"));
    }
    if old.family != new.family {
        let (old, new) = (old.family.as_str(), new.family.as_str());
        said.push(format!("column {name}: ops of family {old} → {new}"));
    }
}

fn key(live: &Definition, proposed: &Definition, said: &mut Vec<String>) {
    let names = |definition: &Definition| {
        let columns = definition.plan.schema().key_columns();
        let names: Vec<&str> = columns.map(|column| &*column.name).collect();
        names.join(", ")
    };
    if names(live) != names(proposed) {
        said.push(moved("key", names(live), names(proposed)));
    } else if let (Some(old), Some(new)) = (key_text(live), key_text(proposed))
        && old != new
    {
        said.push("key: other expressions".to_owned());
    }
}

fn topics(live: &Definition, proposed: &Definition, said: &mut Vec<String>) {
    let texts = |definition: &Definition| -> Vec<String> {
        definition
            .plan
            .topics()
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    added_and_removed("topic", &texts(live), &texts(proposed), said);
}

fn stores(live: &Definition, proposed: &Definition, said: &mut Vec<String>) {
    let texts = |definition: &Definition| -> Vec<String> {
        let stores = definition.plan.stores().iter();
        stores.map(ToString::to_string).collect()
    };
    let (old, new) = (texts(live), texts(proposed));
    added_and_removed("store", &old, &new, said);
    if old.first() != new.first() {
        let first = |stores: &[String]| stores.first().cloned().unwrap_or_default();
        said.push(moved("store for reads", first(&old), first(&new)));
    }
}

fn added_and_removed(what: &str, old: &[String], new: &[String], said: &mut Vec<String>) {
    let removed = old.iter().filter(|text| !new.contains(text));
    said.extend(removed.map(|text| format!("{what} {text} removed")));
    let added = new.iter().filter(|text| !old.contains(text));
    said.extend(added.map(|text| format!("{what} {text} added")));
}

/// What happens to events: handlers of files, versions of Rust projections.
fn behaviour(live: &Definition, proposed: &Definition, said: &mut Vec<String>) {
    match (&live.normal, &proposed.normal) {
        (Some(old), Some(new)) => {
            handlers(old, new, said);
            if old.on_poison != new.on_poison {
                said.push(moved(
                    "on_poison",
                    written(&old.on_poison),
                    written(&new.on_poison),
                ));
            }
        }
        (None, None) => {
            let (old, new) = (live.plan.version(), proposed.plan.version());
            if old != new {
                said.push(moved("Rust projection: version", old, new));
            }
        }
        (Some(_), None) => {
            let version = proposed.plan.version();
            said.push(format!(
                "definition file → Rust projection, version {version}"
            ));
        }
        (None, Some(_)) => {
            let version = live.plan.version();
            said.push(format!(
                "Rust projection, version {version} → definition file"
            ));
        }
    }
}

fn written(text: &str) -> &str {
    if text.is_empty() { "default" } else { text }
}

fn handlers(old: &NormalForm, new: &NormalForm, said: &mut Vec<String>) {
    let find = |form: &NormalForm, pattern: &str| -> Option<HandlerForm> {
        let mut handlers = form.handlers.iter();
        handlers.find(|handler| handler.pattern == pattern).cloned()
    };
    for handler in &old.handlers {
        match find(new, &handler.pattern) {
            None => said.push(format!("handler {} removed", handler.name)),
            Some(now) if now.text() != handler.text() => {
                let parts = changed_parts(handler, &now).join(", ");
                said.push(format!("handler {} changed: {parts}", now.name));
            }
            Some(_) => {}
        }
    }
    let added = new
        .handlers
        .iter()
        .filter(|handler| find(old, &handler.pattern).is_none());
    said.extend(added.map(|handler| format!("handler {} added", handler.name)));
}

/// The parts of a handler that were added, removed or changed, by name.
fn changed_parts(old: &HandlerForm, new: &HandlerForm) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (before, now) in [(&old.others, &new.others), (&old.ops, &new.ops)] {
        let all = before.iter().chain(now.iter());
        for part in all.filter(|part| texts(before, &part.name) != texts(now, &part.name)) {
            let how = match (
                texts(before, &part.name).is_empty(),
                texts(now, &part.name).is_empty(),
            ) {
                (true, _) => " added",
                (_, true) => " removed",
                _ => "",
            };
            let name = format!("{}{how}", part.name);
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    if names.is_empty() {
        // The same ops on one column in another order.
        names.push("order of ops".to_owned());
    }
    names
}

fn texts<'p>(parts: &'p [Part], name: &str) -> Vec<&'p str> {
    let named = parts.iter().filter(|part| part.name == name);
    named.map(|part| part.text.as_str()).collect()
}

/// What is not hashed, because it changes no row.
fn without_rows(live: &Definition, proposed: &Definition, said: &mut Vec<String>) {
    if live.description != proposed.description {
        said.push(format!("description changed {NO_REBUILD}"));
    }
    let retain = |definition: &Definition| {
        let retain = definition.retain.map(humantime::format_duration);
        retain.map_or_else(|| "default".to_owned(), |retain| retain.to_string())
    };
    if live.retain != proposed.retain {
        let change = moved("retain", retain(live), retain(proposed));
        said.push(format!("{change} {NO_REBUILD}"));
    }
    if live.auto_rebuild != proposed.auto_rebuild {
        let change = moved("auto_rebuild", live.auto_rebuild, proposed.auto_rebuild);
        said.push(format!("{change} {NO_REBUILD}"));
    }
    if live.accept_compacted != proposed.accept_compacted {
        said.push(moved(
            "accept_compacted",
            live.accept_compacted,
            proposed.accept_compacted,
        ));
    }
}

fn moved(what: impl Display, old: impl Display, new: impl Display) -> String {
    format!("{what}: {old} → {new}")
}
