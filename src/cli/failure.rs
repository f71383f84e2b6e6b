//! How a command ends when it did not do what it was asked for.

use crate::config::Problems;
use crate::fault::{Fault, FaultKind};

/// Why a command failed. The exit code is the variant's; the text goes to standard error and says
/// what to do next.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// 1: tried and failed.
    #[error("{0}")]
    Failed(String),
    /// 1: the service was not reached: nothing was asked of it.
    #[error("{0}")]
    Away(String),
    /// 1: the service was asked, and its answer did not arrive.
    #[error("{0}")]
    Lost(String),
    /// 2: bad usage or bad configuration.
    #[error("{0}")]
    Usage(String),
    /// 3: a precondition does not hold, or a token was not accepted.
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    pub(super) const fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Away(_) | Self::Lost(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Usage(problems.to_string())
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault.kind {
            FaultKind::Misconfigured => Self::Usage(fault.message),
            _ => Self::Failed(fault.message),
        }
    }
}
