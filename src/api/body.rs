//! What requests carry: paths, names of requests, JSON bodies. What is wrong with a body is said field by
//! field, all at once.

use axum::body::Bytes;
use axum::extract::Path;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::auth::Actor;
use super::operations::Asked;
use super::problem::Problem;

/// Longer names of requests are refused.
const LONGEST_KEY: usize = 255;

/// The parameters of a path, as axum hands them over.
pub(super) type PathOf<T> = Result<Path<T>, PathRejection>;

/// A body, as axum hands it over.
pub(super) type BodyOf = Result<Bytes, BytesRejection>;

/// The parameters of the path.
pub(super) fn path<T>(found: PathOf<T>) -> Result<T, Problem> {
    let Path(found) = found.map_err(|error| Problem::bad_request(error.body_text()))?;
    Ok(found)
}

/// A generation's number in a path.
pub(super) fn generation(projection: &str, text: &str) -> Result<u32, Problem> {
    match text.parse() {
        Ok(number) => Ok(number),
        Err(_) if is_digits(text) => Err(Problem::unknown_generation(projection, text)),
        Err(_) => Err(Problem::bad_request("a generation is named by its number")),
    }
}

/// Whether the text is a number, however great.
pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The whole body as one type.
pub(super) fn json_body<T: DeserializeOwned>(body: BodyOf) -> Result<T, Problem> {
    let body = bytes(body)?;
    serde_json::from_slice(&body).map_err(|error| Problem::bad_request(format!("body: {error}")))
}

fn bytes(body: BodyOf) -> Result<Bytes, Problem> {
    body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = "the body of a request may have at most 64 KiB";
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
        }
        _ => Problem::bad_request(error.body_text()),
    })
}

/// Who asks, and under which `Idempotency-Key`.
pub(super) fn asked(Actor(actor): Actor, headers: &HeaderMap) -> Result<Asked, Problem> {
    let idempotency_key = match headers.get("idempotency-key") {
        None => None,
        Some(value) => Some(request_name(value.to_str().ok())?),
    };
    Ok(Asked {
        actor,
        idempotency_key,
    })
}

fn request_name(text: Option<&str>) -> Result<String, Problem> {
    let name = text.map(str::trim).unwrap_or_default();
    match name.is_empty() || name.len() > LONGEST_KEY {
        true => Err(Problem::bad_request(format!(
            "Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters"
        ))),
        false => Ok(name.to_owned()),
    }
}

/// The fields of a JSON object, read one after the other. A field that is null counts as not given.
pub(super) struct Fields {
    fields: Map<String, Value>,
    names: &'static [&'static str],
    problems: Vec<String>,
}

impl Fields {
    /// Those of a body that may have the fields `names`; of none when the body is empty.
    pub(super) fn of(body: BodyOf, names: &'static [&'static str]) -> Result<Self, Problem> {
        let body = bytes(body)?;
        let fields = match body.trim_ascii().is_empty() {
            true => Map::new(),
            false => match serde_json::from_slice(&body) {
                Ok(Value::Object(fields)) => fields,
                Ok(_) => return Err(Problem::bad_request("body: must be a JSON object")),
                Err(error) => return Err(Problem::bad_request(format!("body: {error}"))),
            },
        };
        Ok(Self {
            fields,
            names,
            problems: Vec::new(),
        })
    }

    /// The field `name`, if it is given. `read` answers what is allowed when it is not that.
    pub(super) fn take<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.fields.remove(name).filter(|value| !value.is_null())?;
        match read(&value) {
            Ok(value) => Some(value),
            Err(allowed) => {
                self.problems.push(format!("{name} {allowed}"));
                None
            }
        }
    }

    /// The field `name`, true or false; false when not given.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        let read = |value: &Value| {
            value
                .as_bool()
                .ok_or_else(|| "must be true or false".into())
        };
        self.take(name, read).unwrap_or_default()
    }

    /// The field `name`, one of these words; the first of them when not given.
    pub(super) fn word<T: Copy + Default>(&mut self, name: &str, words: &[(&str, T)]) -> T {
        let read = |value: &Value| {
            let mut known = words.iter();
            let found = known.find(|(word, _)| value.as_str() == Some(word));
            found.map(|(_, meant)| *meant).ok_or_else(|| {
                let words: Vec<String> = words.iter().map(|(w, _)| format!("\"{w}\"")).collect();
                format!("must be {}", words.join(" or "))
            })
        };
        self.take(name, read).unwrap_or_default()
    }

    /// All problems at once, also of fields that are not known.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        let known = match self.names.is_empty() {
            true => "none".to_owned(),
            false => self.names.join(", "),
        };
        for name in self.fields.keys().filter(|n| !self.names.contains(&&***n)) {
            let name: String = name.chars().take(40).collect();
            let problem = format!("unknown field `{name}`, known are {known}");
            self.problems.push(problem);
        }
        match self.problems.is_empty() {
            true => Ok(()),
            false => Err(Problem::bad_request(self.problems.join("; "))),
        }
    }
}
