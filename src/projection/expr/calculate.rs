//! Exact arithmetic.

use super::val::Val;
use crate::projection::Decimal;

/// An operation on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

const TOO_LARGE: &str = "has too many digits";

/// `left op right`, exactly; null when one is null.
pub(super) fn calculate<'v>(
    op: Arithmetic,
    left: Val<'v>,
    right: Val<'v>,
) -> Result<Val<'v>, String> {
    match (left, right) {
        (Val::Number(a), Val::Number(b)) => exactly(op, &a, &b).map(Val::Number),
        (Val::Double(a), Val::Double(b)) => {
            let result = match op {
                Arithmetic::Add => a + b,
                Arithmetic::Subtract => a - b,
                Arithmetic::Multiply => a * b,
                Arithmetic::Divide => a / b,
            };
            if result.is_finite() {
                Ok(Val::Double(result))
            } else {
                Err("is no finite double".into())
            }
        }
        (Val::Null, _) | (_, Val::Null) => Ok(Val::Null),
        _ => Err("is not a calculation with two numbers".into()),
    }
}

fn exactly(op: Arithmetic, a: &Decimal, b: &Decimal) -> Result<Decimal, String> {
    let result = match op {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide => {
            if b.is_zero() {
                return Err("divides by zero".into());
            }
            return a.div(b).ok_or_else(|| {
                "has no exact decimal result: write round(a / b, n) to keep n digits".to_owned()
            });
        }
    };
    result
        .map(|number| number.normalized())
        .ok_or_else(|| TOO_LARGE.to_owned())
}

/// `-of`; null when it is null.
pub(super) fn negate(of: Val<'_>) -> Result<Val<'_>, String> {
    match of {
        Val::Number(n) => Ok(Val::Number(n.neg())),
        Val::Double(n) => Ok(Val::Double(-n)),
        Val::Null => Ok(Val::Null),
        _ => Err("is not a number".into()),
    }
}

/// A fraction: what a calculation is worth before it is rounded once.
pub(super) struct Fraction {
    over: Decimal,
    /// None for 1, the common case.
    under: Option<Decimal>,
}

impl Fraction {
    pub(super) fn whole(number: Decimal) -> Self {
        Self {
            over: number,
            under: None,
        }
    }

    pub(super) fn neg(self) -> Self {
        Self {
            over: self.over.neg(),
            under: self.under,
        }
    }

    /// `self op other`, without loss.
    pub(super) fn calculate(self, op: Arithmetic, other: Self) -> Result<Self, String> {
        let product = |a: &Decimal, b: &Decimal| exactly(Arithmetic::Multiply, a, b);
        let scaled = |a: &Decimal, by: Option<&Decimal>| match by {
            Some(by) => product(a, by),
            None => Ok(a.clone()),
        };
        let under = |a: Option<&Decimal>, b: Option<&Decimal>| match (a, b) {
            (Some(a), Some(b)) => product(a, b).map(Some),
            (one, None) | (None, one) => Ok(one.cloned()),
        };
        let (left, right) = (self.under.as_ref(), other.under.as_ref());
        match op {
            Arithmetic::Add | Arithmetic::Subtract => Ok(Self {
                over: exactly(op, &scaled(&self.over, right)?, &scaled(&other.over, left)?)?,
                under: under(left, right)?,
            }),
            Arithmetic::Multiply => Ok(Self {
                over: product(&self.over, &other.over)?,
                under: under(left, right)?,
            }),
            Arithmetic::Divide if other.over.is_zero() => Err("divides by zero".into()),
            Arithmetic::Divide => Ok(Self {
                over: scaled(&self.over, right)?,
                under: under(left, Some(&other.over))?,
            }),
        }
    }

    /// The value with `digits` behind the point, half away from zero.
    pub(super) fn round(&self, digits: u16) -> Result<Decimal, String> {
        let rounded = match &self.under {
            None => Some(self.over.round(digits)),
            Some(under) => self.over.div_rounded(under, digits),
        };
        rounded
            .map(|number| number.normalized())
            .ok_or_else(|| TOO_LARGE.to_owned())
    }
}
