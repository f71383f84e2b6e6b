//! Projections written in Rust that a binary brings along.

use std::sync::Arc;

use super::Projection;

/// The Rust projections of a binary, by name and version.
#[derive(Clone, Default)]
pub struct Registry {
    projections: Vec<Arc<dyn Projection>>,
}

impl Registry {
    /// No Rust projections.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a projection. Several versions of one name may be registered; the last one is the current.
    #[must_use]
    pub fn with(mut self, projection: impl Projection) -> Self {
        self.projections.push(Arc::new(projection));
        self
    }

    /// All of them, in order of registration.
    pub fn all(&self) -> &[Arc<dyn Projection>] {
        &self.projections
    }
}
