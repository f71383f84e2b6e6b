//! Decimals from and to text.

use std::fmt;

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;

use super::{Decimal, Repr};

/// What is left of a text that looks like a number: its sign, digits and scale.
struct Scanned {
    negative: bool,
    /// Significant digits, without leading zeros.
    digits: String,
    /// Digits behind the point; negative where zeros follow before the point.
    scale: i64,
}

/// Splits `[+-]digits[.digits][e[+-]digits]`; at least one digit is needed before the exponent.
fn scan(text: &str) -> Option<Scanned> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (number, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (unsigned.get(..at)?, Some(unsigned.get(at + 1..)?)),
        None => (unsigned, None),
    };
    let exponent = exponent.map_or(Some(0), scan_exponent)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let mut digits = String::with_capacity(whole.len() + fraction.len());
    digits.push_str(whole);
    digits.push_str(if whole.is_empty() {
        fraction.trim_start_matches('0')
    } else {
        fraction
    });
    Some(Scanned {
        negative,
        digits,
        scale: i64::try_from(fraction.len()).ok()?.saturating_sub(exponent),
    })
}

/// An exponent, clamped to what is far beyond every limit.
fn scan_exponent(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    const FAR: i64 = 1_000_000_000;
    let size = unsigned.parse::<i64>().map_or(FAR, |size| size.min(FAR));
    Some(if text.starts_with('-') { -size } else { size })
}

impl Decimal {
    /// Reads `[+-]digits[.digits][e[+-]digits]` exactly. Refuses more than [`Decimal::MAX_DIGITS`]
    /// digits on a side, before any big number is built.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(small) = Self::parse_short(text) {
            return Ok(small);
        }
        let Scanned {
            negative,
            mut digits,
            scale,
        } = scan(text).ok_or("is not a number")?;
        let limit = Self::MAX_DIGITS as i64;
        if digits.is_empty() {
            let scale = u16::try_from(scale.clamp(0, limit)).unwrap_or_default();
            return Ok(Self(Repr::Small { mantissa: 0, scale }));
        }
        let before = i64::try_from(digits.len())
            .unwrap_or(i64::MAX)
            .saturating_sub(scale);
        if before > limit || scale > limit {
            return Err(format!("has more than {limit} digits on a side"));
        }
        let zeros = usize::try_from(-scale).unwrap_or_default();
        digits.extend(std::iter::repeat_n('0', zeros));
        if negative {
            digits.insert(0, '-');
        }
        let scale = u16::try_from(scale.max(0)).unwrap_or_default();
        let decimal = match digits.parse::<i128>() {
            Ok(mantissa) => Self(Repr::Small { mantissa, scale }),
            Err(_) => {
                let mantissa: BigInt = digits.parse().map_err(|_| "is not a number")?;
                Self::from_big(BigDecimal::new(mantissa, i64::from(scale)))
            }
        };
        Ok(decimal)
    }

    /// The common case of [`Decimal::parse`] in one pass: at most 18 digits, no exponent.
    fn parse_short(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (negative, digits) = match bytes.split_first()? {
            (b'-', rest) => (true, rest),
            _ => (false, bytes),
        };
        if digits.is_empty() || digits.len() > 18 {
            return None;
        }
        let mut mantissa = 0i64;
        let mut scale = None;
        for &byte in digits {
            match byte {
                b'0'..=b'9' => {
                    mantissa = mantissa * 10 + i64::from(byte - b'0');
                    scale = scale.map(|s: u16| s + 1);
                }
                b'.' if scale.is_none() => scale = Some(0),
                _ => return None,
            }
        }
        if digits == b"." {
            return None;
        }
        let mantissa = if negative { -mantissa } else { mantissa };
        Some(Self(Repr::Small {
            mantissa: i128::from(mantissa),
            scale: scale.unwrap_or_default(),
        }))
    }

    /// Plain digits with exactly `scale` behind the point, rounded where there are more.
    pub fn to_text(&self, scale: u16) -> String {
        let rounded = self.round(scale);
        let mut text = rounded.plain();
        let own = rounded.scale();
        if own < scale {
            if own == 0 {
                text.push('.');
            }
            text.extend(std::iter::repeat_n('0', usize::from(scale - own)));
        }
        text
    }

    /// Plain digits, with as many behind the point as it carries.
    pub(crate) fn plain(&self) -> String {
        let (negative, mut text) = match &self.0 {
            Repr::Small { mantissa, .. } => (*mantissa < 0, mantissa.unsigned_abs().to_string()),
            Repr::Big(big) => {
                let (mantissa, _) = big.as_bigint_and_scale();
                (self.is_negative(), mantissa.magnitude().to_string())
            }
        };
        let scale = usize::from(self.scale());
        if scale > 0 {
            if text.len() <= scale {
                text.insert_str(0, &"0".repeat(scale + 1 - text.len()));
            }
            text.insert(text.len() - scale, '.');
        }
        if negative {
            text.insert(0, '-');
        }
        text
    }
}

impl std::str::FromStr for Decimal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl fmt::Display for Decimal {
    /// The canonical text of `numeric`: plain digits, no exponent, no trailing zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.normalized().plain())
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.plain())
    }
}
