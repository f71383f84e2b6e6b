//! The request header `Prefer` (RFC 7240), as far as it concerns reads.

use std::time::Duration;

/// No request waits longer than this for a position: it has to be answered before its time is over.
pub const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What a caller prefers. Preferences that are not known are ignored, as the RFC demands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// How long to wait for what was asked for, at most [`LONGEST_WAIT`].
    pub wait: Option<Duration>,
    /// Whether any age will do.
    pub stale_ok: bool,
}

/// Why a preference cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Prefer: wait needs a number of seconds, such as wait=2")]
pub struct PreferError;

impl Preferences {
    /// Reads the values of all `Prefer` headers of a request. The first of several equal preferences counts.
    pub fn parse<'v>(values: impl IntoIterator<Item = &'v str>) -> Result<Self, PreferError> {
        let mut preferences = Self::default();
        let all = values.into_iter().flat_map(|value| value.split(','));
        for preference in all {
            // Parameters behind a semicolon belong to no preference that is known.
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = match preference.split_once('=') {
                Some((name, value)) => (name, value.trim().trim_matches('"')),
                None => (preference, ""),
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "stale-ok" => preferences.stale_ok = true,
                "wait" if preferences.wait.is_none() => preferences.wait = Some(seconds(value)?),
                _ => {}
            }
        }
        Ok(preferences)
    }
}

/// Seconds, whole or with a fraction.
fn seconds(text: &str) -> Result<Duration, PreferError> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = text.parse().map_err(|_| PreferError)?;
    match plain {
        true => Ok(Duration::from_secs_f64(
            number.min(LONGEST_WAIT.as_secs_f64()),
        )),
        false => Err(PreferError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(values: &[&str]) -> Result<Option<f64>, PreferError> {
        let preferences = Preferences::parse(values.iter().copied())?;
        Ok(preferences.wait.map(|wait| wait.as_secs_f64()))
    }

    #[test]
    fn several_preferences_may_come_in_any_form() {
        assert_eq!(wait(&["wait=2"]), Ok(Some(2.0)));
        assert_eq!(wait(&["return=minimal, WAIT = \"3\"; x=y"]), Ok(Some(3.0)));
        assert_eq!(
            wait(&["stale-ok", "respond-async,wait=0.25"]),
            Ok(Some(0.25))
        );
        assert_eq!(wait(&["wait=1, wait=5", "wait=7"]), Ok(Some(1.0)));
        assert_eq!(wait(&["handling=lenient"]), Ok(None));
        assert!(Preferences::parse(["wait=1, Stale-OK"]).unwrap().stale_ok);
        assert!(!Preferences::parse(["wait=1"]).unwrap().stale_ok);
    }

    #[test]
    fn nobody_waits_longer_than_a_request_may_take() {
        for long in ["wait=11", "wait=99999999999999999999999999999"] {
            assert_eq!(wait(&[long]), Ok(Some(10.0)));
        }
    }

    #[test]
    fn a_wait_that_is_no_number_is_refused() {
        for wrong in [
            "wait",
            "wait=",
            "wait=soon",
            "wait=-1",
            "wait=1e3",
            "wait=inf",
            "wait=NaN",
            "wait=.",
        ] {
            assert_eq!(wait(&[wrong]), Err(PreferError), "{wrong}");
        }
    }
}
