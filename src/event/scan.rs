//! One pass over a JSON text: checks it wholly and notes where the wanted parts lie.
//!
//! We scan by hand because one pass has to do four things that a deserializer does in several
//! or not at all: find the spans of places that are wanted together with places below them,
//! count nesting also in what is skipped, refuse strings that are no Unicode text wherever they
//! stand (so that what one projection reads never decides whether another's event is a fault),
//! and let the last of equal members win. A property test holds it to what serde_json says.

use super::json::unquoted;
use super::trie::{Node, Trie};
use crate::record::Span;

/// How many arrays and objects may lie in one another. Deeper is a fault for every store.
pub(super) const MAX_DEPTH: u32 = 128;

/// The span of what is not there.
pub(super) const MISSING: Span = Span { start: 0, end: 0 };

/// Why a text is not acceptable, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub(super) struct Wrong {
    what: &'static str,
    at: usize,
}

/// Scans `text`, which lies at `base` in its buffer, and writes the span of every place that `trie`
/// wants into its slot. `slots` has to be as long as the trie asks, and all [`MISSING`].
pub(super) fn scan(text: &str, base: u32, trie: &Trie, slots: &mut [Span]) -> Result<(), Wrong> {
    let mut scanner = Scanner {
        text,
        at: 0,
        depth: 0,
        base,
        trie,
        slots,
    };
    scanner.value(trie.root())?;
    scanner.skip_space();
    match scanner.peek() {
        None => Ok(()),
        Some(_) => Err(scanner.wrong("something behind the value")),
    }
}

/// The elements of a JSON array text, each as JSON text. Anything else, invalid JSON, and
/// nesting beyond 128 levels are errors.
pub fn elements(json: &str) -> Result<Vec<&str>, String> {
    let trie = Trie::default();
    let mut scanner = Scanner {
        text: json,
        at: 0,
        depth: 0,
        base: 0,
        trie: &trie,
        slots: &mut [],
    };
    let mut found = Vec::new();
    scanner
        .elements(&mut found)
        .map_err(|wrong| wrong.to_string())?;
    Ok(found)
}

struct Scanner<'t, 's> {
    text: &'t str,
    at: usize,
    depth: u32,
    base: u32,
    trie: &'s Trie,
    slots: &'s mut [Span],
}

impl<'t, 's> Scanner<'t, 's> {
    fn value(&mut self, node: Option<&'s Node>) -> Result<(), Wrong> {
        self.skip_space();
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                self.string()?;
            }
            Some(b'{') => self.object(node.filter(|n| n.wants_members()))?,
            Some(b'[') => self.array(node.filter(|n| n.wants_items()))?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => return Err(self.wrong("no JSON value")),
            None => return Err(self.wrong("an early end")),
        }
        if let Some(slot) = node.and_then(|n| n.slot)
            && let Some(place) = self.slots.get_mut(slot as usize)
        {
            *place = Span {
                start: self.base + start as u32,
                end: self.base + self.at as u32,
            };
        }
        Ok(())
    }

    fn object(&mut self, node: Option<&'s Node>) -> Result<(), Wrong> {
        self.enter()?;
        if self.empty(b'}') {
            return Ok(());
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("no member name"));
            }
            let start = self.at;
            let escaped = self.string()?;
            let child = node.and_then(|n| self.member(n, start, escaped));
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.wrong("no `:`"));
            }
            self.at += 1;
            // The last of equal members wins, also against what lay below an earlier one.
            for &slot in child.map(Node::below).unwrap_or_default() {
                if let Some(place) = self.slots.get_mut(slot as usize) {
                    *place = MISSING;
                }
            }
            self.value(child)?;
            if self.last(b'}')? {
                return Ok(());
            }
        }
    }

    /// The child of `node` for the member whose quoted name lies between `start` and here.
    fn member(&self, node: &'s Node, start: usize, escaped: bool) -> Option<&'s Node> {
        let quoted = self.text.get(start..self.at)?;
        if escaped {
            self.trie.member(node, unquoted(quoted).as_bytes())
        } else {
            self.trie
                .member(node, quoted.as_bytes().get(1..quoted.len() - 1)?)
        }
    }

    fn array(&mut self, node: Option<&'s Node>) -> Result<(), Wrong> {
        self.enter()?;
        if self.empty(b']') {
            return Ok(());
        }
        for index in 0u32.. {
            self.value(node.and_then(|n| self.trie.item(n, index)))?;
            if self.last(b']')? {
                break;
            }
        }
        Ok(())
    }

    fn elements(&mut self, found: &mut Vec<&'t str>) -> Result<(), Wrong> {
        self.skip_space();
        if self.peek() != Some(b'[') {
            return Err(self.wrong("no array"));
        }
        self.enter()?;
        if !self.empty(b']') {
            loop {
                self.skip_space();
                let start = self.at;
                self.value(None)?;
                found.extend(self.text.get(start..self.at));
                if self.last(b']')? {
                    break;
                }
            }
        }
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.wrong("something behind the array")),
        }
    }

    /// Steps over the opening bracket.
    fn enter(&mut self) -> Result<(), Wrong> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong("nesting beyond 128 levels"));
        }
        self.at += 1;
        Ok(())
    }

    /// Steps over `close` if the container is empty.
    fn empty(&mut self, close: u8) -> bool {
        self.skip_space();
        let empty = self.peek() == Some(close);
        if empty {
            self.at += 1;
            self.depth -= 1;
        }
        empty
    }

    /// Steps over the `,` or `close` behind an entry; says whether it was `close`.
    fn last(&mut self, close: u8) -> Result<bool, Wrong> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(true)
            }
            Some(_) => Err(self.wrong("no `,` or closing bracket")),
            None => Err(self.wrong("an early end")),
        }
    }

    /// Steps over a string; says whether it contains escapes.
    fn string(&mut self) -> Result<bool, Wrong> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at = plain_end(self.text.as_bytes(), self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.wrong("a control character in a string")),
                None => return Err(self.wrong("an early end")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Wrong> {
        match self.byte(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let unit = self.unit()?;
                let low = match unit {
                    0xD800..=0xDBFF if self.peek() == Some(b'\\') && self.byte(1) == Some(b'u') => {
                        Some(self.unit()?)
                    }
                    0xD800..=0xDFFF => Some(0),
                    _ => None,
                };
                if low.is_some_and(|low| !(0xDC00..=0xDFFF).contains(&low)) {
                    return Err(self.wrong("half a surrogate pair"));
                }
            }
            _ => return Err(self.wrong("no valid escape")),
        }
        Ok(())
    }

    /// Steps over `\uXXXX` and gives its number.
    fn unit(&mut self) -> Result<u16, Wrong> {
        let digits = self
            .text
            .as_bytes()
            .get(self.at + 2..self.at + 6)
            .unwrap_or_default();
        let mut unit = 0;
        for &digit in digits {
            let digit = char::from(digit)
                .to_digit(16)
                .ok_or_else(|| self.wrong("no valid escape"))?;
            unit = unit << 4 | digit as u16;
        }
        if digits.len() < 4 {
            return Err(self.wrong("no valid escape"));
        }
        self.at += 6;
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), Wrong> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.wrong("no digit"));
        }
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), Wrong> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.wrong("no JSON value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.byte(0)
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn wrong(&self, what: &'static str) -> Wrong {
        Wrong { what, at: self.at }
    }
}

/// The first byte at or behind `at` that ends or interrupts plain text in a string: a quote, a
/// backslash, a control character; eight bytes at a time.
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    while let Some(&eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(eight);
        let quote = zero_bytes(word ^ (ONES * u64::from(b'"')));
        let backslash = zero_bytes(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        // A borrow can only mark bytes above one that is marked rightly.
        let found = quote | backslash | control;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes
        .get(at)
        .is_some_and(|&byte| !matches!(byte, b'"' | b'\\' | 0..0x20))
    {
        at += 1;
    }
    at
}
