//! The failure vocabulary: every error becomes one [`Fault`] where it is first understood.
//!
//! What is done about each kind is decided in one place, `pipeline::policy`.

use std::fmt;

/// What kind of failure it is, and so what may be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// A broker or a store is away, slow or busy. Keep the work, back off, try again. No event is blamed.
    Transient,
    /// This event (or the one row that it touches) cannot be processed, now or later.
    Poison,
    /// Another owner holds the claim. End the track and change nothing.
    Fenced,
    /// What was asked for cannot work here: stop that part and tell the operator what to change.
    Misconfigured,
    /// Our own mistake, or a panic in a handler.
    Bug,
}

impl FaultKind {
    /// The kind as a metric label and log field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Poison => "poison",
            Self::Fenced => "fenced",
            Self::Misconfigured => "misconfigured",
            Self::Bug => "bug",
        }
    }
}

/// A classified failure. The message is a lowercase fragment that fits behind "failed to …:"
/// and names the thing that failed.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What may be done about it.
    pub kind: FaultKind,
    /// What failed, where, and (for people) what to do next. Never a payload or a secret.
    pub message: String,
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}

impl Fault {
    /// A fault of `kind`.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// See [`FaultKind::Transient`].
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Transient, message)
    }

    /// See [`FaultKind::Poison`].
    pub fn poison(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Poison, message)
    }

    /// See [`FaultKind::Fenced`].
    pub fn fenced(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Fenced, message)
    }

    /// See [`FaultKind::Misconfigured`].
    pub fn misconfigured(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Misconfigured, message)
    }

    /// See [`FaultKind::Bug`].
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Bug, message)
    }

    /// The same fault, with what was being done in front: `{context}: {message}`.
    #[must_use]
    pub fn during(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}

/// The result of anything that can fail with a classified fault.
pub type Result<T, E = Fault> = std::result::Result<T, E>;
