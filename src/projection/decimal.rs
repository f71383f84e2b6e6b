//! Exact decimals: never through binary floating point.

use std::fmt;

use bigdecimal::BigDecimal;

/// An exact decimal number of at most [`Decimal::MAX_DIGITS`] digits on either side of the point.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(BigDecimal);

impl Decimal {
    /// The most digits before, and behind, the point.
    pub const MAX_DIGITS: u64 = 1000;
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
