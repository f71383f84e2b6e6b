//! Page tokens: where a list goes on.
//!
//! A token is a version, a hash, and the last row's values of the order as canonical texts. The hash covers what was asked (view,
//! order, conditions; not the generation, `limit` or `select`) and the values: so a
//! token is of use only where it came from, and a mangled one is noticed. It is no secret and gives no right.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::projection::{ColumnType, Value};

/// The first byte of a token.
const VERSION: u8 = 1;
/// So many bytes of the hash tell requests apart.
const HASH: usize = 8;
/// In the place of a length: there is no text.
const NULL: u16 = u16::MAX;
/// With this the token still fits into a request, beside its conditions; keys always do.
const LONGEST: usize = 3900;

const ADVICE: &str = "repeat the conditions and the order of the request that it came from, \
     or leave page_token out to start anew";

/// What was asked, told apart from everything else that can be asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Identity(Sha256Bytes);

type Sha256Bytes = [u8; 32];

impl Identity {
    pub(super) fn of(asked: &serde_json::Value) -> Self {
        Self(Sha256::digest(asked.to_string()).into())
    }

    /// What a token of this list with these values carries.
    fn seal(&self, values: &[u8]) -> [u8; HASH] {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(values);
        let hash = hash.finalize();
        let mut seal = [0; HASH];
        seal.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        seal
    }
}

/// The token for the page behind a row.
pub(super) fn write(identity: &Identity, last: &[Value]) -> Result<String, String> {
    let mut values = Vec::new();
    for value in last {
        let text = value.canonical();
        let bytes = text.as_ref().map(|text| text.as_bytes());
        let length = match bytes {
            None => Some(NULL),
            Some(bytes) => u16::try_from(bytes.len()).ok(),
        };
        let length = length.filter(|_| values.len() + bytes.map_or(0, <[u8]>::len) <= LONGEST);
        let Some(length) = length else {
            return Err(
                "order: the values of this order are too long to go on from; \
                 order by columns with shorter values"
                    .into(),
            );
        };
        values.extend(length.to_be_bytes());
        values.extend(bytes.unwrap_or_default());
    }
    let token = [&[VERSION][..], &identity.seal(&values), &values].concat();
    Ok(URL_SAFE_NO_PAD.encode(token))
}

/// The values of a token, which are of these types.
pub(super) fn read(
    token: &str,
    identity: &Identity,
    types: &[ColumnType],
) -> Result<Vec<Value>, String> {
    let damaged = || format!("page_token: it is damaged; {ADVICE}");
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| damaged())?;
    let (&version, rest) = bytes.split_first().ok_or_else(damaged)?;
    if version != VERSION {
        return Err(format!(
            "page_token: it is damaged or of another version of viewfold; {ADVICE}"
        ));
    }
    let (seal, mut values) = rest.split_at_checked(HASH).ok_or_else(damaged)?;
    if seal != identity.seal(values) {
        return Err(format!(
            "page_token: it belongs to another request, or to an earlier shape of the view, or is damaged; {ADVICE}"
        ));
    }
    let read = types.iter().map(|ty| {
        let (text, rest) = next_text(values)?;
        values = rest;
        match text {
            None => Some(Value::Null),
            Some(text) => Value::parse(*ty, text).ok(),
        }
    });
    let read: Option<Vec<Value>> = read.collect();
    let read = read.ok_or_else(damaged)?;
    match values.is_empty() {
        true => Ok(read),
        false => Err(damaged()),
    }
}

/// The first text of `bytes`, which may be none, and what follows.
fn next_text(bytes: &[u8]) -> Option<(Option<&str>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let length = u16::from_be_bytes(*length);
    if length == NULL {
        return Some((None, rest));
    }
    let (text, rest) = rest.split_at_checked(usize::from(length))?;
    Some((Some(std::str::from_utf8(text).ok()?), rest))
}
