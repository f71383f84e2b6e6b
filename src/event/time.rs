//! Times of envelopes, as microseconds since the epoch.

use jiff::fmt::temporal::DateTimeParser;

static PARSER: DateTimeParser = DateTimeParser::new();

/// An RFC 3339 text. What is finer than microseconds is cut off.
pub(super) fn rfc3339(text: &str) -> Option<i64> {
    if !text.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    let time = PARSER.parse_timestamp(text).ok()?;
    i64::try_from(time.as_nanosecond().div_euclid(1000)).ok()
}

/// A number since the epoch: seconds below 10^11, milliseconds below 10^14, microseconds below
/// 10^17, else nanoseconds. So seconds reach to the year 5138, and milliseconds are understood
/// from 1973 on. What is finer than microseconds is cut off.
pub(super) fn epoch(number: &str) -> Option<i64> {
    let (whole, fraction) = parts(number)?;
    let places = match whole.unsigned_abs() {
        0..100_000_000_000 => 6,
        0..100_000_000_000_000 => 3,
        0..100_000_000_000_000_000 => 0,
        _ => return i64::try_from(whole.div_euclid(1000)).ok(),
    };
    micros(number, whole, fraction, places)
}

/// A number of milliseconds since the epoch.
pub(super) fn epoch_millis(number: &str) -> Option<i64> {
    let (whole, fraction) = parts(number)?;
    micros(number, whole, fraction, 3)
}

/// The digits before and behind the point of a JSON number. One with an exponent has to be whole.
fn parts(number: &str) -> Option<(i128, &str)> {
    if number.contains(['e', 'E']) {
        let value: f64 = number.parse().ok()?;
        let whole = value.fract() == 0.0 && value.abs() < 1e18;
        return whole.then_some((value as i128, ""));
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    Some((whole.parse().ok()?, fraction))
}

/// `whole.fraction` units of 10^`places` microseconds each.
fn micros(number: &str, whole: i128, fraction: &str, places: usize) -> Option<i64> {
    let kept = fraction.get(..places).unwrap_or(fraction);
    let scale = |digits: usize| 10_i128.pow((places - digits) as u32);
    let part = kept
        .parse()
        .map_or(0, |part: i128| part * scale(kept.len()));
    let part = if number.starts_with('-') { -part } else { part };
    i64::try_from(whole.checked_mul(scale(0))?.checked_add(part)?).ok()
}
