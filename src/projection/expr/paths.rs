//! Interned paths.

use crate::event::Path;

/// The paths that a definition's expressions read, each once, in the order of first use.
#[derive(Debug, Default)]
pub struct Paths {
    paths: Vec<Path>,
}

impl Paths {
    /// The number of `path`.
    pub fn intern(&mut self, path: Path) -> usize {
        match self.paths.iter().position(|p| *p == path) {
            Some(known) => known,
            None => {
                self.paths.push(path);
                self.paths.len() - 1
            }
        }
    }

    /// All paths, by number.
    pub fn into_vec(self) -> Vec<Path> {
        self.paths
    }
}
