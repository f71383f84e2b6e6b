//! Division: exact, or rounded to a number of digits.

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::{BigInt, Sign};

use super::Decimal;

/// `10^exponent`.
fn big_pow10(exponent: u16) -> BigInt {
    BigInt::from(10).pow(u32::from(exponent))
}

impl Decimal {
    /// The exact quotient; none when it has no finite decimal form within the limits, or `other` is 0.
    pub fn div(&self, other: &Self) -> Option<Self> {
        // A finite quotient is nearly always short: try few digits first.
        [0, 6, 18, 100, 1000].into_iter().find_map(|scale| {
            let (quotient, exact) = self.divided(other, scale)?;
            exact.then(|| quotient.normalized().limited()).flatten()
        })
    }

    /// The quotient rounded to `scale` digits, half away from zero; none when `other` is 0 or the
    /// result is beyond the limits.
    pub fn div_rounded(&self, other: &Self, scale: u16) -> Option<Self> {
        let (numerator, denominator) = self.fraction(other, scale)?;
        // (2n ± d) / 2d cut off towards zero is n / d rounded half away from zero.
        let same_sign = (numerator.sign() == Sign::Minus) == (denominator.sign() == Sign::Minus);
        let half = if same_sign {
            denominator.clone()
        } else {
            -denominator.clone()
        };
        let quotient: BigInt = (numerator * 2 + half) / (denominator * 2);
        Self::from_big(BigDecimal::new(quotient, i64::from(scale))).limited()
    }

    /// The quotient cut off behind `scale` digits, and whether nothing was cut off.
    fn divided(&self, other: &Self, scale: u16) -> Option<(Self, bool)> {
        let (numerator, denominator) = self.fraction(other, scale)?;
        let quotient = &numerator / &denominator;
        let exact = &quotient * &denominator == numerator;
        let quotient = Self::from_big(BigDecimal::new(quotient, i64::from(scale)));
        Some((quotient, exact))
    }

    /// `self / other` in units of `10^-scale`, as a fraction of integers.
    fn fraction(&self, other: &Self, scale: u16) -> Option<(BigInt, BigInt)> {
        if other.is_zero() {
            return None;
        }
        let (a, x) = self.mantissa();
        let (b, y) = other.mantissa();
        Some((a * big_pow10(y) * big_pow10(scale), b * big_pow10(x)))
    }
}
