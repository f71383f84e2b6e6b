//! Exact decimals: never through binary floating point.
//!
//! Nearly every number of an event has fewer than 38 digits: such a number is an `i128` and a
//! scale, and adding two of them allocates nothing. The rare greater one is a [`BigDecimal`].

mod divide;
mod text;

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, RoundingMode, ToPrimitive, Zero};

/// An exact decimal number of at most [`Decimal::MAX_DIGITS`] digits on either side of the point.
///
/// It remembers how many digits behind the point it was written with ([`Decimal::scale`]), and
/// is compared by value: 1.0 equals 1.00.
#[derive(Clone)]
pub struct Decimal(Repr);

#[derive(Clone)]
enum Repr {
    /// `mantissa / 10^scale`.
    Small { mantissa: i128, scale: u16 },
    /// What does not fit; its scale is never negative.
    Big(Box<BigDecimal>),
}

/// `10^exponent`, where it fits.
fn pow10(exponent: u16) -> Option<i128> {
    10i128.checked_pow(u32::from(exponent))
}

impl Decimal {
    /// The most digits before, and behind, the point.
    pub const MAX_DIGITS: u64 = 1000;

    /// 0.
    pub const fn zero() -> Self {
        Self(Repr::Small {
            mantissa: 0,
            scale: 0,
        })
    }

    /// The smallest form of `big`.
    fn from_big(big: BigDecimal) -> Self {
        let big = if big.fractional_digit_count() < 0 {
            big.with_scale(0)
        } else {
            big
        };
        let (mantissa, scale) = big.as_bigint_and_scale();
        match (mantissa.to_i128(), u16::try_from(scale)) {
            (Some(mantissa), Ok(scale)) => Self(Repr::Small { mantissa, scale }),
            _ => Self(Repr::Big(Box::new(big))),
        }
    }

    fn to_big(&self) -> BigDecimal {
        match &self.0 {
            Repr::Small { mantissa, scale } => {
                BigDecimal::new(BigInt::from(*mantissa), i64::from(*scale))
            }
            Repr::Big(big) => (**big).clone(),
        }
    }

    /// The number as an integer of units of `10^-scale`.
    fn mantissa(&self) -> (BigInt, u16) {
        match &self.0 {
            Repr::Small { mantissa, scale } => (BigInt::from(*mantissa), *scale),
            Repr::Big(big) => {
                let (mantissa, _) = big.as_bigint_and_scale();
                (mantissa.into_owned(), self.scale())
            }
        }
    }

    /// How many digits behind the point it carries, trailing zeros included.
    pub fn scale(&self) -> u16 {
        match &self.0 {
            Repr::Small { scale, .. } => *scale,
            Repr::Big(big) => u16::try_from(big.fractional_digit_count()).unwrap_or(u16::MAX),
        }
    }

    /// Both numbers in units of the finer one's scale, where that fits.
    fn aligned(&self, other: &Self) -> Option<(i128, i128, u16)> {
        let (
            Repr::Small {
                mantissa: a,
                scale: x,
            },
            Repr::Small {
                mantissa: b,
                scale: y,
            },
        ) = (&self.0, &other.0)
        else {
            return None;
        };
        match x.cmp(y) {
            Ordering::Equal => Some((*a, *b, *x)),
            Ordering::Less => Some((a.checked_mul(pow10(y - x)?)?, *b, *y)),
            Ordering::Greater => Some((*a, b.checked_mul(pow10(x - y)?)?, *x)),
        }
    }

    /// The exact sum, of any size. For folding, where only the stored result is judged.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let small = self
            .aligned(other)
            .and_then(|(a, b, scale)| Some((a.checked_add(b)?, scale)));
        match small {
            Some((mantissa, scale)) => Self(Repr::Small { mantissa, scale }),
            None => Self::from_big(self.to_big() + other.to_big()),
        }
    }

    /// The exact sum; none beyond [`Decimal::MAX_DIGITS`].
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        self.plus(other).limited()
    }

    /// The exact difference; none beyond [`Decimal::MAX_DIGITS`].
    pub fn checked_sub(&self, other: &Self) -> Option<Self> {
        self.plus(&other.neg()).limited()
    }

    /// The exact product; none beyond [`Decimal::MAX_DIGITS`].
    pub fn checked_mul(&self, other: &Self) -> Option<Self> {
        if let (
            Repr::Small {
                mantissa: a,
                scale: x,
            },
            Repr::Small {
                mantissa: b,
                scale: y,
            },
        ) = (&self.0, &other.0)
            && let Some(mantissa) = a.checked_mul(*b)
        {
            let scale = x + y;
            return Self(Repr::Small { mantissa, scale }).limited();
        }
        Self::from_big(self.to_big() * other.to_big()).limited()
    }

    /// The number, unless it has more digits on a side than a number may have. Trailing zeros
    /// behind the point do not count.
    fn limited(self) -> Option<Self> {
        let limit = Self::MAX_DIGITS;
        let number = if u64::from(self.scale()) > limit {
            self.normalized()
        } else {
            self
        };
        (u64::from(number.scale()) <= limit && number.whole_digits() <= limit).then_some(number)
    }

    /// Whether it has at most [`Decimal::MAX_DIGITS`] digits on either side.
    pub fn is_within_limits(&self) -> bool {
        self.clone().limited().is_some()
    }

    /// How many digits stand before the point; 0 below 1.
    fn whole_digits(&self) -> u64 {
        match &self.0 {
            Repr::Small { mantissa, scale } => {
                let digits = mantissa
                    .unsigned_abs()
                    .checked_ilog10()
                    .map_or(0, |d| d + 1);
                u64::from(digits.saturating_sub(u32::from(*scale)))
            }
            Repr::Big(big) => big.digits().saturating_sub(u64::from(self.scale())),
        }
    }

    /// Rounded to at most `scale` digits behind the point, half away from zero (as Postgres rounds).
    #[must_use]
    pub fn round(&self, scale: u16) -> Self {
        if self.scale() <= scale {
            return self.clone();
        }
        match &self.0 {
            Repr::Small { mantissa, scale: x } => {
                let Some(unit) = pow10(x - scale) else {
                    return Self(Repr::Small { mantissa: 0, scale });
                };
                let rest = (mantissa % unit).abs();
                let away = i128::from(rest >= unit - rest) * mantissa.signum();
                Self(Repr::Small {
                    mantissa: mantissa / unit + away,
                    scale,
                })
            }
            Repr::Big(big) => {
                Self::from_big(big.with_scale_round(i64::from(scale), RoundingMode::HalfUp))
            }
        }
    }

    /// The negative of it.
    #[must_use]
    pub fn neg(&self) -> Self {
        match &self.0 {
            Repr::Small { mantissa, scale } if *mantissa != i128::MIN => Self(Repr::Small {
                mantissa: -mantissa,
                scale: *scale,
            }),
            _ => Self::from_big(-self.to_big()),
        }
    }

    /// Whether it is 0.
    pub fn is_zero(&self) -> bool {
        match &self.0 {
            Repr::Small { mantissa, .. } => *mantissa == 0,
            Repr::Big(big) => big.is_zero(),
        }
    }

    /// Whether it is below 0.
    pub fn is_negative(&self) -> bool {
        match &self.0 {
            Repr::Small { mantissa, .. } => *mantissa < 0,
            Repr::Big(big) => big.sign() == bigdecimal::num_bigint::Sign::Minus,
        }
    }

    /// The integer that it equals; none when there is no such 64-bit integer.
    pub fn to_i64(&self) -> Option<i64> {
        match self.with_scale_exact(0)?.0 {
            Repr::Small { mantissa, .. } => i64::try_from(mantissa).ok(),
            Repr::Big(_) => None,
        }
    }

    /// The nearest double; infinite beyond its range.
    pub fn to_f64(&self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// The same number with exactly `scale` digits behind the point; none when it has more.
    pub fn with_scale_exact(&self, scale: u16) -> Option<Self> {
        let own = self.scale();
        if own == scale {
            return Some(self.clone());
        }
        if let Repr::Small { mantissa, .. } = &self.0 {
            if own > scale {
                let exact = match pow10(own - scale) {
                    Some(unit) => (mantissa % unit == 0).then_some(mantissa / unit),
                    None => (*mantissa == 0).then_some(0),
                }?;
                return Some(Self(Repr::Small {
                    mantissa: exact,
                    scale,
                }));
            }
            if let Some(mantissa) = pow10(scale - own).and_then(|unit| mantissa.checked_mul(unit)) {
                return Some(Self(Repr::Small { mantissa, scale }));
            }
        }
        let big = self.to_big();
        let scaled = big.with_scale(i64::from(scale));
        (scaled == big).then(|| Self::from_big(scaled))
    }

    /// Whether a `numeric(precision, scale)` holds it exactly.
    pub fn fits(&self, precision: u16, scale: u16) -> bool {
        let whole = u64::from(precision.saturating_sub(scale));
        self.whole_digits() <= whole && self.with_scale_exact(scale).is_some()
    }

    /// The same number without trailing zeros behind the point.
    #[must_use]
    pub fn normalized(&self) -> Self {
        match &self.0 {
            Repr::Small { mantissa, scale } => {
                let (mut mantissa, mut scale) = (*mantissa, *scale);
                while scale > 0 && mantissa % 10 == 0 {
                    mantissa /= 10;
                    scale -= 1;
                }
                Self(Repr::Small { mantissa, scale })
            }
            Repr::Big(big) => Self::from_big(big.normalized()),
        }
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        Self(Repr::Small {
            mantissa: i128::from(number),
            scale: 0,
        })
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match self.aligned(other) {
            Some((a, b, _)) => a.cmp(&b),
            None => self.to_big().cmp(&other.to_big()),
        }
    }
}

impl Hash for Decimal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.normalized().0 {
            Repr::Small { mantissa, scale } => (mantissa, scale).hash(state),
            Repr::Big(big) => big.hash(state),
        }
    }
}

#[cfg(test)]
mod tests;
