//! What is wrong with a configuration, and where it was said.

use std::fmt;

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A place in a file: name, 1-based line, 1-based column in characters.
    File(String, usize, usize),
    /// A whole file.
    WholeFile(String),
    /// The environment variable of this name.
    Variable(String),
    /// This option of the command line.
    Option(String),
    /// What is built in.
    BuiltIn,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(name, line, column) => write!(f, "{name}:{line}:{column}"),
            Self::WholeFile(name) | Self::Variable(name) | Self::Option(name) => f.write_str(name),
            Self::BuiltIn => f.write_str("built-in defaults"),
        }
    }
}

/// One problem. Its message never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was said.
    pub origin: Origin,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.message)
    }
}

/// All problems of a configuration, layer by layer, in the order of the document. One per line.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Adds a problem.
    pub(super) fn add(&mut self, origin: &Origin, message: impl Into<String>) {
        self.0.push(Problem {
            origin: origin.clone(),
            message: message.into(),
        });
    }

    /// Brings the problems of files, in this order of files, into the order of their documents, in
    /// front of all others.
    pub(super) fn sort(&mut self, files: &[String]) {
        let place = |name: &String| files.iter().position(|file| file == name);
        self.0.sort_by_key(|problem| match &problem.origin {
            Origin::File(name, line, column) => (place(name).unwrap_or(usize::MAX), *line, *column),
            Origin::WholeFile(name) => (place(name).unwrap_or(usize::MAX), 0, 0),
            _ => (usize::MAX, 0, 0),
        });
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
