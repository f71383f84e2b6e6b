//! JSON texts: one canonical text per value, and arrays and objects taken apart.
//!
//! Canonical means compact, object keys sorted bytewise (the last of equal ones counts), strings
//! with the fewest escapes, numbers as they were written.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::super::decimal::Decimal;

/// The deepest nesting that is accepted.
pub(crate) const MAX_DEPTH: usize = 128;

/// The canonical form of a JSON text. Refuses what is no JSON, nesting deeper than 128 levels,
/// U+0000, lone surrogates, and numbers that no store can hold.
pub fn canonical_json(text: &str) -> Result<Box<str>, String> {
    let mut scan = Scan {
        text,
        at: 0,
        out: String::with_capacity(text.len()),
    };
    scan.blank();
    scan.value(0)?;
    scan.blank();
    if scan.at < text.len() {
        return Err(invalid());
    }
    Ok(scan.out.into())
}

fn invalid() -> String {
    "is not valid json".into()
}

/// One pass over a text, writing what it means.
struct Scan<'a> {
    text: &'a str,
    at: usize,
    out: String,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Steps over `byte`, and over blanks around it, if it is there.
    fn take(&mut self, byte: u8) -> bool {
        self.blank();
        let there = self.peek() == Some(byte);
        if there {
            self.at += 1;
            self.blank();
        }
        there
    }

    fn value(&mut self, depth: usize) -> Result<(), String> {
        match self.peek().ok_or_else(invalid)? {
            b'{' | b'[' if depth == MAX_DEPTH => {
                Err(format!("is nested deeper than {MAX_DEPTH} levels"))
            }
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'"' => {
                let string = self.string()?;
                write_string(&mut self.out, &string);
                Ok(())
            }
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        if !self.rest().starts_with(word) {
            return Err(invalid());
        }
        self.at += word.len();
        self.out.push_str(word);
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), String> {
        self.take(b'[');
        self.out.push('[');
        if !self.take(b']') {
            loop {
                self.value(depth)?;
                if self.take(b']') {
                    break;
                }
                if !self.take(b',') {
                    return Err(invalid());
                }
                self.out.push(',');
            }
        }
        self.out.push(']');
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), String> {
        self.take(b'{');
        self.out.push('{');
        let start = self.out.len();
        let mut entries: Vec<(Cow<'a, str>, std::ops::Range<usize>)> = Vec::new();
        if !self.take(b'}') {
            loop {
                let key = self.string()?;
                if !self.take(b':') {
                    return Err(invalid());
                }
                let from = self.out.len();
                write_string(&mut self.out, &key);
                self.out.push(':');
                self.value(depth)?;
                entries.push((key, from..self.out.len()));
                if self.take(b'}') {
                    break;
                }
                if !self.take(b',') {
                    return Err(invalid());
                }
                self.out.push(',');
            }
        }
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            self.sort(start, entries);
        }
        self.out.push('}');
        Ok(())
    }

    /// Writes the entries of an object, which begin at `start`, in order of their keys.
    fn sort(&mut self, start: usize, mut entries: Vec<(Cow<'a, str>, std::ops::Range<usize>)>) {
        // The sort is stable: reversed, the last of equal keys comes first and stays.
        entries.reverse();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries.dedup_by(|later, kept| later.0 == kept.0);
        let mut sorted = String::with_capacity(self.out.len() - start);
        for (at, (_, range)) in entries.into_iter().enumerate() {
            if at > 0 {
                sorted.push(',');
            }
            sorted.push_str(self.out.get(range).unwrap_or_default());
        }
        self.out.truncate(start);
        self.out.push_str(&sorted);
    }

    /// A string, unescaped.
    fn string(&mut self) -> Result<Cow<'a, str>, String> {
        let bytes = self.text.as_bytes();
        if self.peek() != Some(b'"') {
            return Err(invalid());
        }
        let start = self.at;
        self.at += 1;
        let mut escapes = false;
        loop {
            match bytes.get(self.at).ok_or_else(invalid)? {
                b'"' => break,
                b'\\' => {
                    escapes = true;
                    self.at += 2;
                }
                0..=0x1f => return Err(invalid()),
                _ => self.at += 1,
            }
        }
        self.at += 1;
        if !escapes {
            let inner = self.text.get(start + 1..self.at - 1).ok_or_else(invalid)?;
            return Ok(Cow::Borrowed(inner));
        }
        let quoted = self.text.get(start..self.at).ok_or_else(invalid)?;
        let string: String = serde_json::from_str(quoted).map_err(|_| invalid())?;
        if string.as_bytes().contains(&0) {
            return Err("contains U+0000, which no store can hold".into());
        }
        Ok(Cow::Owned(string))
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at - from
    }

    fn number(&mut self) -> Result<(), String> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let whole = self.digits();
        if whole == 0 || (leading_zero && whole > 1) {
            return Err(invalid());
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(invalid());
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(invalid());
            }
        }
        let number = self.text.get(start..self.at).ok_or_else(invalid)?;
        // Short plain numbers, nearly all, are within every limit.
        if number.len() > 18 || number.contains(['e', 'E']) {
            Decimal::parse(number).map_err(|reason| format!("contains a number that {reason}"))?;
        }
        self.out.push_str(number);
        Ok(())
    }
}

/// Writes `text` as a JSON string with the fewest escapes.
pub(in super::super) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut clean = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..=0x1f => "",
            _ => continue,
        };
        out.push_str(text.get(clean..at).unwrap_or_default());
        clean = at + 1;
        if escape.is_empty() {
            out.push_str(&format!("\\u{byte:04x}"));
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(text.get(clean..).unwrap_or_default());
    out.push('"');
}

/// The elements of a JSON array, each as its own text. Err when it is no array.
pub(in super::super) fn elements(json: &str) -> Result<Vec<&str>, String> {
    let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| "is not a json array")?;
    Ok(items.into_iter().map(RawValue::get).collect())
}

/// The entries of a JSON object, by key. Err when it is no object.
pub(in super::super) fn members(json: &str) -> Result<BTreeMap<Box<str>, &str>, String> {
    let entries: BTreeMap<Box<str>, &RawValue> =
        serde_json::from_str(json).map_err(|_| "is not a json object")?;
    Ok(entries.into_iter().map(|(k, v)| (k, v.get())).collect())
}

/// Whether canonical JSON may become an element of an array or an entry of an object without
/// going beyond the deepest nesting.
pub(in super::super) fn fits_inside(json: &str) -> bool {
    // So many brackets do not go into a shorter text.
    json.len() < 2 * MAX_DEPTH || depth(json) < MAX_DEPTH
}

fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
