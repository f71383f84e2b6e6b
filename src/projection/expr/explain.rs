//! Syntax errors: what the parser complains about, in the words of a person.

use cel::{ParseError, ParseErrors};

use super::Problem;
use super::quote::quote;
use super::scan::{Scan, TokenKind};

/// One clear sentence instead of the parser's list of expected tokens.
pub(super) fn explain(scan: &Scan<'_>, errors: &ParseErrors) -> Problem {
    // What the parser says about the tree that it could not finish says less.
    let syntax = |e: &&ParseError| e.msg.starts_with("Syntax error");
    let error = errors.errors.iter().find(syntax);
    let Some(error) = error.or(errors.errors.first()) else {
        return Problem::new(0, "the expression cannot be parsed");
    };
    let at = offset(scan.source, error.pos);
    if let Some(name) = error.msg.strip_prefix("reserved identifier: ") {
        return Problem::new(at, format!("`{name}` is a reserved word in CEL"));
    }
    let token = scan.tokens.partition_point(|t| t.end <= at);
    let previous = token.checked_sub(1);
    let after_value = previous.is_some_and(|p| scan.ends_value(p));
    let text = &*quote(scan.text(token));
    if let Some(open) = open_choice(scan)
        && after_value
        && matches!(text, "" | ")" | "," | "]" | "}")
    {
        return Problem::new(open, "this `?` needs a `:` and another value: a ? b : c");
    }
    let Some(found) = scan.tokens.get(token) else {
        return Problem::new(
            scan.source.len(),
            "the expression ends too early: a value is missing here",
        );
    };
    let at = found.start;
    if found.kind == TokenKind::Text && error.msg.contains("token recognition") {
        return Problem::new(
            at,
            "this text has an escape that CEL does not know: write `\\\\` for a backslash",
        );
    }
    if previous.is_some_and(|p| scan.text(p) == ".") && found.kind == TokenKind::Word {
        let message = format!("`{text}` is a keyword: write [\"{text}\"] instead of .{text}");
        return Problem::new(at, message);
    }
    if let (true, Some(index)) = (after_value, text.strip_prefix('.')) {
        let message = format!("write [{index}] for an element of an array, not .{index}");
        return Problem::new(at, message);
    }
    let logic = match text.to_ascii_lowercase().as_str() {
        "and" => Some("&&"),
        "or" => Some("||"),
        _ => None,
    };
    if let (true, Some(sign)) = (after_value, logic) {
        return Problem::new(at, format!("`{text}` is no operator: write `{sign}`"));
    }
    let starts_value = found.kind != TokenKind::Sign || matches!(text, "(" | "{");
    let message = if after_value && starts_value {
        format!("an operator is missing before `{text}`")
    } else if after_value {
        format!("unexpected `{text}`")
    } else {
        format!("unexpected `{text}`: a value is missing before it")
    };
    Problem::new(at, message)
}

/// Where a `?` stands that begins a choice, when there are more of them than of `:` for them.
fn open_choice(scan: &Scan<'_>) -> Option<usize> {
    let mut open = Vec::new();
    for (index, token) in scan.tokens.iter().enumerate() {
        let previous = index.checked_sub(1);
        match scan.text(index) {
            "?" if previous.is_some_and(|p| scan.ends_value(p)) => open.push(token.start),
            ":" => {
                open.pop();
            }
            _ => {}
        }
    }
    open.pop()
}

/// The byte offset of a line and column (in characters), both from 1.
fn offset(source: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line).unwrap_or(0).saturating_sub(1);
    let column = usize::try_from(column).unwrap_or(0).saturating_sub(1);
    let start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = source.get(start..).unwrap_or_default();
    start + rest.chars().take(column).map(char::len_utf8).sum::<usize>()
}
