//! Timestamps and dates: RFC 3339 to microseconds and days, and back.
//!
//! The range is that of four-digit years, 0001 to 9999, in UTC.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime};

const EPOCH: DateTime = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
const DAY_SECONDS: i64 = 86_400;

/// A fixed-width number at the start of `text`, and what follows.
fn number(text: &[u8], width: usize) -> Option<(i32, &[u8])> {
    let (digits, rest) = text.split_at_checked(width)?;
    let mut number = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i32::from(digit - b'0');
    }
    Some((number, rest))
}

/// `text` without the byte that it has to begin with.
fn after(text: &[u8], byte: u8) -> Option<&[u8]> {
    text.strip_prefix(&[byte])
}

/// A day `YYYY-MM-DD` at the start of `text`, and what follows.
fn day(text: &[u8]) -> Option<(Date, &[u8])> {
    let (year, rest) = number(text, 4)?;
    let (month, rest) = number(after(rest, b'-')?, 2)?;
    let (day, rest) = number(after(rest, b'-')?, 2)?;
    let date = Date::new(year as i16, month as i8, day as i8).ok()?;
    (year >= 1).then_some((date, rest))
}

/// A fraction of a second at the start of `text` as microseconds, cut off behind them.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let (digits, rest) = digits.split_at_checked(count)?;
    let micros = (0..6).fold(0, |micros, at| {
        micros * 10 + i64::from(digits.get(at).map_or(0, |d| d - b'0'))
    });
    Some((micros, rest))
}

/// The whole of `text` as an offset from UTC, in seconds: `Z`, `±hh:mm`, `±hhmm` or `±hh`.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text.split_first()? {
        (b'Z' | b'z', []) => return Some(0),
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = number(rest, 2)?;
    let minutes = match rest {
        [] => 0,
        _ => match number(after(rest, b':').unwrap_or(rest), 2)? {
            (minutes, []) => minutes,
            _ => return None,
        },
    };
    (hours < 24 && minutes < 60).then(|| sign * i64::from(hours * 3600 + minutes * 60))
}

/// RFC 3339 text (also with a space or `t` for `T`, and `z`) as microseconds since the epoch.
/// What is finer than a microsecond is cut off. Leap seconds have no such number.
pub(super) fn parse_timestamp(text: &str) -> Option<i64> {
    let (date, rest) = day(text.as_bytes())?;
    let rest = match rest.split_first()? {
        (b'T' | b't' | b' ', rest) => rest,
        _ => return None,
    };
    let (hour, rest) = number(rest, 2)?;
    let (minute, rest) = number(after(rest, b':')?, 2)?;
    let (second, rest) = number(after(rest, b':')?, 2)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (micros, rest) = fraction(rest)?;
    let local = date.at(hour as i8, minute as i8, second as i8, 0);
    let seconds = local.duration_since(EPOCH).as_secs() - offset(rest)?;
    let instant = seconds * 1_000_000 + micros;
    is_timestamp(instant).then_some(instant)
}

/// The civil time of an instant in UTC; none outside of the years 0001 to 9999.
fn civil(micros: i64) -> Option<DateTime> {
    let time = EPOCH.checked_add(SignedDuration::from_micros(micros)).ok();
    time.filter(|_| is_timestamp(micros))
}

/// Whether the instant lies in the years that can be written.
pub(super) fn is_timestamp(micros: i64) -> bool {
    // 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z.
    (-62_135_596_800_000_000..=253_402_300_799_999_999).contains(&micros)
}

/// The canonical text of an instant. Outside of the years that can be written: the last one inside.
pub(super) fn format_timestamp(micros: i64) -> String {
    let time = civil(micros).unwrap_or(if micros < 0 {
        jiff::civil::date(1, 1, 1).at(0, 0, 0, 0)
    } else {
        DateTime::MAX
    });
    // Written digit by digit: the formatting machinery takes several times as long.
    let mut text = String::with_capacity(27);
    push_digits(&mut text, i32::from(time.year()), 4);
    for (mark, part) in [
        ('-', time.month()),
        ('-', time.day()),
        ('T', time.hour()),
        (':', time.minute()),
        (':', time.second()),
    ] {
        text.push(mark);
        push_digits(&mut text, i32::from(part), 2);
    }
    let fraction = time.subsec_nanosecond() / 1000;
    if fraction != 0 {
        text.push('.');
        push_digits(&mut text, fraction, 6);
        text.truncate(text.trim_end_matches('0').len());
    }
    text.push('Z');
    text
}

/// Writes the last `width` digits of `number`, which is not negative.
fn push_digits(text: &mut String, number: i32, width: u32) {
    for place in (0..width).rev() {
        let digit = number / 10i32.pow(place) % 10;
        text.push(char::from(b'0' + digit as u8));
    }
}

/// `YYYY-MM-DD` as days since 1970-01-01.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    match day(text.as_bytes())? {
        (date, []) => {
            let seconds = date.at(0, 0, 0, 0).duration_since(EPOCH).as_secs();
            i32::try_from(seconds / DAY_SECONDS).ok()
        }
        _ => None,
    }
}

/// The canonical text of a day. Outside of the years that can be written: the last one inside.
pub(super) fn format_date(days: i32) -> String {
    let mut text = format_timestamp(i64::from(days) * DAY_SECONDS * 1_000_000);
    text.truncate(10);
    text
}

/// Whether the day lies in the years that can be written.
pub(super) fn is_date(days: i32) -> bool {
    is_timestamp(i64::from(days) * DAY_SECONDS * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_an_instant_gives_the_same_one() {
        let instant = parse_timestamp("2026-11-21T06:00:00Z").unwrap();
        for same in [
            "2026-11-21t06:00:00z",
            "2026-11-21 06:00:00+00:00",
            "2026-11-21T06:00:00.000Z",
            "2026-11-21T06:00:00.0000009Z",
            "2026-11-21T07:30:00+01:30",
            "2026-11-20T22:00:00-08:00",
            "2026-11-21T06:00:00-00:00",
            "2026-11-21 06:00:00+00",
            "2026-11-21T07:00:00+0100",
        ] {
            assert_eq!(parse_timestamp(same), Some(instant), "{same}");
        }
        assert_eq!(format_timestamp(instant), "2026-11-21T06:00:00Z");
    }

    #[test]
    fn a_fraction_is_written_without_trailing_zeros() {
        for (text, canonical) in [
            ("2026-11-21T06:00:00.500Z", "2026-11-21T06:00:00.5Z"),
            ("2026-11-21T06:00:00.000001Z", "2026-11-21T06:00:00.000001Z"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ] {
            let instant = parse_timestamp(text).unwrap();
            assert_eq!(format_timestamp(instant), canonical);
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for wrong in [
            "",
            "2026-11-21",
            "2026-11-21T06:00:00",
            "2026-11-21T06:00Z",
            "2026-11-21T06:00:00.Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T23:59:60Z",
            "2026-02-29T00:00:00Z",
            "2026-11-21T06:00:00+24:00",
            "2026-11-21T06:00:00+01:60",
            "2026-11-21T06:00:00+1:00",
            "2026-11-21T06:00:00Z ",
            "2026-11-21X06:00:00Z",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "+2026-11-21T06:00:00Z",
            "٢٠٢٦-11-21T06:00:00Z",
        ] {
            assert_eq!(parse_timestamp(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_day_reads_back_as_it_was_written() {
        for day in [
            "0001-01-01",
            "1969-12-31",
            "1970-01-01",
            "2024-02-29",
            "9999-12-31",
        ] {
            assert_eq!(format_date(parse_date(day).unwrap()), day);
        }
        assert_eq!(parse_date("1970-01-02"), Some(1));
        assert_eq!(parse_date("1969-12-31"), Some(-1));
        for wrong in [
            "2023-02-29",
            "2026-1-1",
            "2026-11-21T00:00:00Z",
            "0000-01-01",
            "",
        ] {
            assert_eq!(parse_date(wrong), None, "{wrong}");
        }
    }
}
