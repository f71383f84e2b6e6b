//! TOML with the byte span of every key and value, in document order.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Problems;

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it stands, in bytes; for a table with a header, the header.
    pub(super) span: Range<usize>,
    /// What it is.
    pub(super) kind: Kind,
}

/// What a value is. Numbers keep their text, so that no decimal passes through a double.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A string, unescaped.
    Text(String),
    /// An integer in decimal digits.
    Integer(String),
    /// A float, as written (without `_`).
    Float(String),
    /// `true` or `false`.
    Boolean(bool),
    /// A date, a time or both, as TOML writes it.
    Datetime(String),
    /// An array.
    Array(Vec<Node>),
    /// A table of any notation, in document order.
    Table(Vec<Entry>),
}

/// One key of a table.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The key, unquoted.
    pub(super) key: String,
    /// The byte where the key stands.
    pub(super) at: usize,
    /// Its value.
    pub(super) value: Node,
}

impl Node {
    /// What it is, for messages.
    pub(super) fn what(&self) -> &'static str {
        match self.kind {
            Kind::Text(_) => "a string",
            Kind::Integer(_) => "an integer",
            Kind::Float(_) => "a float",
            Kind::Boolean(_) => "a boolean",
            Kind::Datetime(_) => "a date-time",
            Kind::Array(_) => "an array",
            Kind::Table(_) => "a table",
        }
    }

    /// The first byte.
    pub(super) fn at(&self) -> usize {
        self.span.start
    }

    /// The string, or a problem that says what `name` should be.
    pub(super) fn text(&self, name: &str, problems: &mut Problems<'_>) -> Option<&str> {
        if let Kind::Text(text) = &self.kind {
            return Some(text);
        }
        problems.add(
            self.at(),
            format!("`{name}` must be a string, not {}", self.what()),
        );
        None
    }

    /// The boolean, or a problem.
    pub(super) fn boolean(&self, name: &str, problems: &mut Problems<'_>) -> Option<bool> {
        if let Kind::Boolean(value) = self.kind {
            return Some(value);
        }
        problems.add(
            self.at(),
            format!("`{name}` must be true or false, not {}", self.what()),
        );
        None
    }

    /// The entries, or a problem that shows `example`.
    pub(super) fn table(
        &self,
        name: &str,
        example: &str,
        problems: &mut Problems<'_>,
    ) -> Option<&[Entry]> {
        if let Kind::Table(entries) = &self.kind {
            return Some(entries);
        }
        problems.add(
            self.at(),
            format!(
                "`{name}` must be a table, not {}: write {example}",
                self.what()
            ),
        );
        None
    }
}

/// Reads `problems.text()`. None when it is not TOML: then nothing but syntax is reported. Duplicate
/// keys are reported and the document is still checked further.
pub(super) fn read(problems: &mut Problems<'_>) -> Option<Vec<Entry>> {
    let text = problems.text();
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut syntax: Option<(usize, String)> = None;
    for error in errors {
        let span = error.span().unwrap_or_default();
        if error.message() == "duplicate key" {
            let key = text.get(span.clone()).unwrap_or_default();
            problems.add(span.start, format!("duplicate key `{key}`"));
        } else if syntax.as_ref().is_none_or(|(first, _)| span.start < *first) {
            // What follows the first one is mostly its consequence.
            let message = error.message().trim().replace('\n', ", ");
            syntax = Some((span.start, format!("not valid TOML: {message}")));
        }
    }
    if let Some((at, message)) = syntax {
        problems.add(at, message);
        return None;
    }
    Some(entries(root.into_inner()))
}

fn entries(table: DeTable<'_>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .into_iter()
        .map(|(key, value)| Entry {
            at: key.span().start,
            key: key.into_inner().into_owned(),
            value: node(value),
        })
        .collect();
    entries.sort_by_key(|entry| entry.at);
    entries
}

fn node(value: Spanned<DeValue<'_>>) -> Node {
    let span = value.span();
    let kind = match value.into_inner() {
        DeValue::String(text) => Kind::Text(text.into_owned()),
        DeValue::Integer(integer) => Kind::Integer(
            i128::from_str_radix(integer.as_str(), integer.radix())
                .map_or_else(|_| integer.as_str().to_owned(), |number| number.to_string()),
        ),
        DeValue::Float(float) => Kind::Float(float.as_str().to_owned()),
        DeValue::Boolean(value) => Kind::Boolean(value),
        DeValue::Datetime(datetime) => Kind::Datetime(datetime.to_string()),
        DeValue::Array(array) => Kind::Array(array.into_iter().map(node).collect()),
        DeValue::Table(table) => Kind::Table(entries(table)),
    };
    Node { span, kind }
}

/// Where byte `offset` of the string `decoded` stands in the document, whose string literal is at
/// `span`. Exact through escapes, line continuations and the newline behind an opening `"""`.
pub(super) fn locate(text: &str, span: &Range<usize>, decoded: &str, offset: usize) -> usize {
    let raw = text.get(span.clone()).unwrap_or_default();
    let multi_line = raw.starts_with("\"\"\"") || raw.starts_with("'''");
    let literal = raw.starts_with('\'');
    let quote = if multi_line { 3 } else { 1 };
    let mut at = quote;
    let rest = |at: usize| raw.get(at..).unwrap_or_default();
    if multi_line {
        at += newline(rest(at));
    }
    let wanted = decoded.get(..offset).unwrap_or(decoded);
    for character in wanted.chars() {
        if !literal {
            at += continuation(rest(at));
        }
        let here = rest(at);
        at += match here.strip_prefix('\\') {
            Some(escape) if !literal => 1 + escape_length(escape),
            // A CRLF may have been read as LF.
            _ if character == '\n' && here.starts_with("\r\n") => 2,
            _ => here.chars().next().map_or(0, char::len_utf8),
        };
    }
    if !literal {
        at += continuation(rest(at));
    }
    span.start + at.min(raw.len())
}

fn newline(text: &str) -> usize {
    match text.as_bytes() {
        [b'\r', b'\n', ..] => 2,
        [b'\n', ..] => 1,
        _ => 0,
    }
}

/// The length of a backslash at the end of a line with the white space that it swallows; 0 when there is none.
fn continuation(text: &str) -> usize {
    let Some(behind) = text.strip_prefix('\\') else {
        return 0;
    };
    let trimmed = behind.trim_start_matches([' ', '\t', '\r', '\n']);
    let swallowed = behind.strip_suffix(trimmed).unwrap_or_default();
    if swallowed.contains('\n') {
        1 + swallowed.len() + continuation(trimmed)
    } else {
        0
    }
}

/// The length of an escape without its backslash.
fn escape_length(escape: &str) -> usize {
    match escape.as_bytes().first() {
        Some(b'x') => 3,
        Some(b'u') => 5,
        Some(b'U') => 9,
        Some(_) => 1,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every character of a decoded string is found at its own place in the literal.
    fn assert_located(literal: &str, needle: &str) {
        let text = format!("a = {literal}\n");
        let mut problems = Problems::new("f", &text);
        let entries = read(&mut problems).unwrap();
        let Kind::Text(decoded) = &entries[0].value.kind else {
            panic!("{literal}")
        };
        let offset = decoded.find(needle).unwrap();
        let found = locate(&text, &entries[0].value.span, decoded, offset);
        assert!(text[found..].starts_with(needle), "{literal}: {found}");
    }

    #[test]
    fn a_place_in_a_string_is_found_through_quotes_and_escapes() {
        assert_located(r#""a + X""#, "X");
        assert_located(r"'a \n + X'", "X");
        assert_located(r#""\"é\u00e9\U0001F600\t' + X""#, "X");
        assert_located("\"\"\"\n  a +\n  X\"\"\"", "X");
        assert_located("\"\"\"a \\\n   \n   X\"\"\"", "X");
        assert_located("'''\r\na\r\n + X'''", "X");
    }

    #[test]
    fn duplicates_do_not_hide_other_keys() {
        let text = "a = 1\na = 2\nb = 0x10\n[t]\nc = 1\n[t]\nd = 1.50\n";
        let mut problems = Problems::new("f", text);
        let entries = read(&mut problems).unwrap();
        let keys: Vec<&str> = entries.iter().map(|e| e.key.as_str()).collect();
        assert_eq!(keys, ["a", "b", "t"]);
        let found: Vec<String> = problems.finish().iter().map(|d| d.to_string()).collect();
        assert_eq!(
            found,
            ["f:2:1: duplicate key `a`", "f:6:2: duplicate key `t`"]
        );
    }
}
