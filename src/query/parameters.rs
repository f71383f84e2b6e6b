//! The text behind a `?`, taken apart.

use super::shown;
use crate::projection::decode_percent;

/// The longest text behind a `?` that is read, in bytes.
pub const LONGEST_QUERY: usize = 8 * 1024;

/// The names and values of a query string, in order: split at `&` and the first `=`, then decoded; `+` is a space.
/// The error names the parameter.
pub fn parameters(query: &str) -> Result<Vec<(String, String)>, String> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let Some((name, value)) = part.split_once('=') else {
                return Err(format!(
                    "{} has no value; parameters are written name=value",
                    shown(part)
                ));
            };
            let decoded = |text: &str| {
                let text = text.replace('+', " ");
                decode_percent(&text).map_err(|reason| format!("{} {reason}", shown(part)))
            };
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}
