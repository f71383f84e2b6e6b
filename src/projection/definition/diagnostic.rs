//! Problems with their places: all of a file's, in document order.

use std::fmt;

/// One problem in a definition, with its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// The file, as it was named.
    pub file: String,
    /// 1-based line.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Diagnostic {
    /// A problem of the whole file.
    pub(super) fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 1,
            column: 1,
            message: message.into(),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}",
            self.file, self.line, self.column, self.message
        )
    }
}

/// Collects what is wrong with one text, by byte offset.
#[derive(Debug)]
pub(super) struct Problems<'t> {
    file: &'t str,
    text: &'t str,
    found: Vec<(usize, String)>,
}

impl<'t> Problems<'t> {
    /// Nothing is wrong with `text` yet.
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Self {
            file,
            text,
            found: Vec::new(),
        }
    }

    /// The text that is checked.
    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// Notes a problem at byte `offset`.
    pub(super) fn add(&mut self, offset: usize, message: impl Into<String>) {
        self.found.push((offset, message.into()));
    }

    /// Whether a problem that begins with `beginning` was noted.
    pub(super) fn mention(&self, beginning: &str) -> bool {
        self.found.iter().any(|(_, m)| m.starts_with(beginning))
    }

    /// How many problems there are.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// All problems in document order, each once.
    pub(super) fn finish(self) -> Vec<Diagnostic> {
        let Self {
            file,
            text,
            mut found,
        } = self;
        found.sort();
        found.dedup();
        found
            .into_iter()
            .map(|(offset, message)| {
                let (line, column) = place(text, offset);
                Diagnostic {
                    file: file.to_owned(),
                    line,
                    column,
                    message,
                }
            })
            .collect()
    }
}

/// The 1-based line and column (in characters) of byte `offset`.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..end).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_not_bytes() {
        assert_eq!(place("ä = ü\nb", 0), (1, 1));
        assert_eq!(place("ä = ü\nb", 5), (1, 5));
        assert_eq!(place("ä = ü\nb", 8), (2, 1));
        assert_eq!(place("a\n", 99), (2, 1));
    }
}
