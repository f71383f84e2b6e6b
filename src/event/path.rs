//! Paths into an event's data, and the trie that finds many of them in one pass.

use std::fmt;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// The member of an object.
    Key(Box<str>),
    /// The element of an array, from 0.
    Index(u32),
}

/// A path under `data` (or under `item`, inside `each`). The empty path is the whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Path(pub Vec<Segment>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.0 {
            match segment {
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A set of paths, each with a slot, compiled to a trie.
#[derive(Debug, Default)]
pub struct PathSet {
    paths: Vec<Path>,
}

impl PathSet {
    /// The union of `paths`, without duplicates.
    pub fn new(paths: impl IntoIterator<Item = Path>) -> Self {
        let mut paths: Vec<Path> = paths.into_iter().collect();
        paths.sort();
        paths.dedup();
        Self { paths }
    }

    /// The paths, in slot order.
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }
}
