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
        0..=99_999_999_999 => 6,
        100_000_000_000..=99_999_999_999_999 => 3,
        100_000_000_000_000..=99_999_999_999_999_999 => 0,
        _ => return i64::try_from(whole.div_euclid(1000)).ok(),
    };
    micros(number, whole, fraction, places)
}

/// A number of milliseconds since the epoch.
pub(super) fn epoch_millis(number: &str) -> Option<i64> {
    let (whole, fraction) = parts(number)?;
    micros(number, whole, fraction, 3)
}

/// The digits before and behind the point of a JSON number. A positive exponent, as some writers
/// of doubles give it to every large number, moves the point; a negative one is refused.
fn parts(number: &str) -> Option<(i128, &str)> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let shift: usize = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (moved, rest) = fraction.split_at_checked(shift).unwrap_or((fraction, ""));
    let zeros = u32::try_from(shift - moved.len()).ok()?;
    let digits: i128 = match moved {
        "" => whole.parse().ok()?,
        _ => format!("{whole}{moved}").parse().ok()?,
    };
    Some((digits.checked_mul(10_i128.checked_pow(zeros)?)?, rest))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_texts_are_times_and_others_are_not() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T01:00:00.5+01:00", Some(500_000)),
            ("1970-01-01t00:00:01z", Some(1_000_000)),
            ("2026-11-21T06:00:00.1234569Z", Some(1_795_240_800_123_456)),
            ("1969-12-31T23:59:59.9999999Z", Some(-1)),
            ("2026-11-21T06:00:00", None),
            ("2026-11-21", None),
            ("-002026-11-21T06:00:00Z", None),
            ("1795240800", None),
            ("2026-02-30T06:00:00Z", None),
            ("noon", None),
            ("", None),
        ] {
            assert_eq!(rfc3339(text), micros, "{text}");
        }
    }

    #[test]
    fn epoch_numbers_are_told_apart_by_magnitude() {
        for (number, micros) in [
            ("0", Some(0)),
            ("-1.5", Some(-1_500_000)),
            ("1795240800", Some(1_795_240_800_000_000)),
            ("1795240800.1234569", Some(1_795_240_800_123_456)),
            ("99999999999", Some(99_999_999_999_000_000)),
            ("100000000000", Some(100_000_000_000_000)),
            ("1795240800123", Some(1_795_240_800_123_000)),
            ("1795240800123.25", Some(1_795_240_800_123_250)),
            ("1.795240800123E12", Some(1_795_240_800_123_000)),
            ("99999999999999", Some(99_999_999_999_999_000)),
            ("1795240800123456", Some(1_795_240_800_123_456)),
            ("1795240800123456789", Some(1_795_240_800_123_456)),
            ("-1795240800123", Some(-1_795_240_800_123_000)),
            ("1e300", None),
            ("1.7952408005E9", Some(1_795_240_800_500_000)),
            ("-15e+1", Some(-150_000_000)),
            ("15e-1", None),
            ("1e99999999999999999999", None),
            ("9999999999999999999999999", None),
        ] {
            assert_eq!(epoch(number), micros, "{number}");
        }
        assert_eq!(epoch_millis("5"), Some(5_000));
    }
}
