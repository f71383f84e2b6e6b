//! One JSON value of an event, as it lies in the chunk's buffer.

use std::borrow::Cow;

/// A JSON value of an event, borrowed from its chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json<'a> {
    /// There is nothing at this path (or a parent is null, missing, or no container).
    Missing,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written.
    Number(&'a str),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array, as JSON text.
    Array(&'a str),
    /// An object, as JSON text.
    Object(&'a str),
}

impl<'a> Json<'a> {
    /// Reads the text of one scanned value: the first byte tells its kind. No text is [`Json::Missing`].
    pub(super) fn of(text: &'a str) -> Self {
        match text.as_bytes().first() {
            None => Self::Missing,
            Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'"') => Self::String(unquoted(text)),
            Some(b'[') => Self::Array(text),
            Some(b'{') => Self::Object(text),
            Some(_) => Self::Number(text),
        }
    }

    /// The value as plain text: strings unescaped, everything else as written; none for null and missing.
    pub(super) fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Missing | Self::Null => None,
            Self::Bool(true) => Some(Cow::Borrowed("true")),
            Self::Bool(false) => Some(Cow::Borrowed("false")),
            Self::String(text) => Some(text),
            Self::Number(text) | Self::Array(text) | Self::Object(text) => {
                Some(Cow::Borrowed(text))
            }
        }
    }
}

/// The content of a JSON string that the scanner has accepted.
pub(super) fn unquoted(text: &str) -> Cow<'_, str> {
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or("");
    if !inner.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    match serde_json::from_str::<String>(text) {
        Ok(unescaped) => Cow::Owned(unescaped),
        // Not reached: the scanner accepts no string that serde_json refuses.
        Err(_) => Cow::Borrowed(inner),
    }
}
