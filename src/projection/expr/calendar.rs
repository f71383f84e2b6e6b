//! Days and the beginnings of hours, weeks and years, in a time zone.

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// What `trunc` cuts down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Unit {
    pub(super) const NAMES: [&'static str; 7] =
        ["second", "minute", "hour", "day", "week", "month", "year"];

    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "second" => Self::Second,
            "minute" => Self::Minute,
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "year" => Self::Year,
            _ => return None,
        })
    }
}

/// The time zone of an IANA name such as `Europe/Berlin`; UTC needs none.
pub(super) fn zone(name: &str) -> Result<Option<TimeZone>, String> {
    if matches!(name, "UTC" | "Z" | "Etc/UTC") {
        return Ok(None);
    }
    TimeZone::get(name)
        .map(Some)
        .map_err(|_| "is no time zone: write a name such as Europe/Berlin".into())
}

/// The day on which an instant (microseconds) falls.
pub(super) fn day(micros: i64, zone: Option<&TimeZone>) -> Result<i32, String> {
    let days = match zone {
        None => micros.div_euclid(DAY),
        Some(zone) => {
            let date = zone.to_datetime(instant(micros)?).date();
            let seconds = date
                .at(0, 0, 0, 0)
                .duration_since(civil::date(1970, 1, 1).at(0, 0, 0, 0))
                .as_secs();
            seconds.div_euclid(86_400)
        }
    };
    i32::try_from(days).map_err(|_| OUT_OF_RANGE.into())
}

/// The instant at which a day begins in UTC.
pub(super) fn midnight(days: i32) -> i64 {
    i64::from(days) * DAY
}

/// The beginning of the unit in which an instant falls. Weeks begin on Monday.
pub(super) fn trunc(micros: i64, unit: Unit, zone: Option<&TimeZone>) -> Result<i64, String> {
    let simple = match unit {
        Unit::Second => Some((SECOND, 0)),
        Unit::Minute if zone.is_none() => Some((60 * SECOND, 0)),
        Unit::Hour if zone.is_none() => Some((3600 * SECOND, 0)),
        Unit::Day if zone.is_none() => Some((DAY, 0)),
        // The epoch was a Thursday, three days after a Monday.
        Unit::Week if zone.is_none() => Some((7 * DAY, 3 * DAY)),
        _ => None,
    };
    if let Some((length, shift)) = simple {
        return Ok(micros - (micros + shift).rem_euclid(length));
    }
    let zone = zone.cloned().unwrap_or(TimeZone::UTC);
    let at = instant(micros)?.to_zoned(zone.clone());
    let date = at.date();
    let first = match unit {
        Unit::Second | Unit::Minute | Unit::Hour => {
            // Local clocks are cut off without leaving the offset: an hour that is passed twice stays two.
            let local = midnight(1) + i64::from(at.offset().seconds()) * SECOND + micros;
            let length = if unit == Unit::Hour { 3600 } else { 60 };
            return Ok(micros - local.rem_euclid(length * SECOND));
        }
        Unit::Day => date,
        Unit::Week => {
            let back = i64::from(date.weekday().to_monday_zero_offset());
            date.checked_sub(jiff::Span::new().days(back))
                .map_err(|_| OUT_OF_RANGE)?
        }
        Unit::Month => date.first_of_month(),
        Unit::Year => date.first_of_year(),
    };
    let start = first.to_zoned(zone).map_err(|_| OUT_OF_RANGE)?;
    Ok(start.timestamp().as_microsecond())
}

const OUT_OF_RANGE: &str = "is out of range";

fn instant(micros: i64) -> Result<Timestamp, String> {
    Timestamp::from_microsecond(micros).map_err(|_| OUT_OF_RANGE.into())
}
