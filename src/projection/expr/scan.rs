//! Tokens of a source text: spans for messages, bounds, and a masked copy for the parser.
//!
//! The `cel` parser reads numbers through `i64` and `f64` and refuses what does not fit. So it
//! gets a copy in which every number is replaced by a small one of the same length; the literal
//! is then read again from the source, exactly, at the same place.

use super::Problem;

/// The longest source in bytes. Far beyond what anyone writes by hand.
const MAX_BYTES: usize = 16 * 1024;
/// The most tokens.
const MAX_TOKENS: usize = 2000;
/// The deepest brackets may be nested.
const MAX_BRACKETS: usize = 32;

/// What a token is, as far as we need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Word,
    Number,
    Text,
    Sign,
}

/// One token: bytes `start..end` of the source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) start: usize,
    pub(super) end: usize,
    /// For a bracket, the index of the token that it belongs to.
    pub(super) partner: Option<usize>,
}

/// A source text in tokens.
#[derive(Debug)]
pub(super) struct Scan<'s> {
    pub(super) source: &'s str,
    pub(super) tokens: Vec<Token>,
    /// As long as the source; comments are blank and numbers small.
    pub(super) masked: String,
}

impl<'s> Scan<'s> {
    /// Splits `source` into tokens.
    pub(super) fn new(source: &'s str) -> Result<Self, Problem> {
        if source.len() > MAX_BYTES {
            return Err(Problem::new(
                0,
                format!("an expression may have at most {MAX_BYTES} bytes"),
            ));
        }
        let mut scanner = Scanner {
            source,
            at: 0,
            tokens: Vec::new(),
            masked: source.as_bytes().to_vec(),
            open: Vec::new(),
        };
        while scanner.step()? {}
        if let Some(open) = scanner.open.last().and_then(|i| scanner.tokens.get(*i)) {
            let bracket = source.get(open.start..open.end).unwrap_or_default();
            return Err(Problem::new(
                open.start,
                format!("this `{bracket}` is never closed"),
            ));
        }
        let masked = String::from_utf8(scanner.masked)
            .map_err(|_| Problem::new(0, "the expression is not valid text"))?;
        Ok(Self {
            source,
            tokens: scanner.tokens,
            masked,
        })
    }

    /// The index of the token that begins at `start`.
    pub(super) fn at(&self, start: usize) -> Option<usize> {
        self.tokens.binary_search_by_key(&start, |t| t.start).ok()
    }

    /// The index of the last token that begins before `start`.
    pub(super) fn before(&self, start: usize) -> Option<usize> {
        self.tokens
            .partition_point(|t| t.start < start)
            .checked_sub(1)
    }

    /// The text of token `index`; empty beyond the last one.
    pub(super) fn text(&self, index: usize) -> &'s str {
        self.tokens
            .get(index)
            .and_then(|t| self.source.get(t.start..t.end))
            .unwrap_or_default()
    }

    /// Whether token `index` may end a value, so that an operator must follow.
    pub(super) fn ends_value(&self, index: usize) -> bool {
        match self.tokens.get(index).map(|t| t.kind) {
            Some(TokenKind::Word) => self.text(index) != "in",
            Some(TokenKind::Number | TokenKind::Text) => true,
            Some(TokenKind::Sign) => matches!(self.text(index), ")" | "]" | "}"),
            None => false,
        }
    }

    /// Whether token `index` is a `(` that only groups, and calls nothing.
    pub(super) fn groups(&self, index: usize) -> bool {
        self.text(index) == "(" && !index.checked_sub(1).is_some_and(|p| self.is_name(p))
    }

    fn is_name(&self, index: usize) -> bool {
        self.tokens
            .get(index)
            .is_some_and(|t| t.kind == TokenKind::Word)
            && self.text(index) != "in"
    }
}

struct Scanner<'s> {
    source: &'s str,
    at: usize,
    tokens: Vec<Token>,
    masked: Vec<u8>,
    open: Vec<usize>,
}

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.as_bytes().get(self.at + ahead).copied()
    }

    fn skip_while(&mut self, ahead: usize, wanted: impl Fn(u8) -> bool) -> usize {
        let mut at = ahead;
        while self.peek(at).is_some_and(&wanted) {
            at += 1;
        }
        at
    }

    /// Takes one token, or blanks; false at the end.
    fn step(&mut self) -> Result<bool, Problem> {
        let Some(byte) = self.peek(0) else {
            return Ok(false);
        };
        if self.tokens.len() >= MAX_TOKENS {
            let message = format!("the expression is too long: at most {MAX_TOKENS} tokens");
            return Err(Problem::new(self.at, message));
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | 0x0C => self.at += 1,
            b'/' if self.peek(1) == Some(b'/') => self.comment(),
            b'"' | b'\'' => self.text(0)?,
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_some_and(|b| b.is_ascii_digit()) => self.number(),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word()?,
            b'`' => self.quoted_word()?,
            _ => self.sign()?,
        }
        Ok(true)
    }

    fn push(&mut self, kind: TokenKind, length: usize) {
        self.tokens.push(Token {
            kind,
            start: self.at,
            end: self.at + length,
            partner: None,
        });
        self.at += length;
    }

    fn comment(&mut self) {
        let end = self.skip_while(0, |b| b != b'\n');
        if let Some(blank) = self.masked.get_mut(self.at..self.at + end) {
            blank.fill(b' ');
        }
        self.at += end;
    }

    fn word(&mut self) -> Result<(), Problem> {
        let end = self.skip_while(0, |b| b.is_ascii_alphanumeric() || b == b'_');
        let word = self.source.get(self.at..self.at + end).unwrap_or_default();
        let quoted = matches!(self.peek(end), Some(b'"' | b'\''));
        if quoted && matches!(word, "r" | "R" | "b" | "B" | "br" | "bR" | "Br" | "BR") {
            return self.text(end);
        }
        self.push(TokenKind::Word, end);
        Ok(())
    }

    fn quoted_word(&mut self) -> Result<(), Problem> {
        let end = self.skip_while(1, |b| !matches!(b, b'`' | b'\n'));
        if self.peek(end) != Some(b'`') {
            return Err(Problem::new(self.at, "this ` is never closed"));
        }
        self.push(TokenKind::Word, end + 1);
        Ok(())
    }

    /// A text literal whose prefix (`r`, `b`) is `prefix` bytes long.
    fn text(&mut self, prefix: usize) -> Result<(), Problem> {
        let raw = (0..prefix).any(|i| matches!(self.peek(i), Some(b'r' | b'R')));
        let quote = self.peek(prefix);
        let long = self.peek(prefix + 1) == quote && self.peek(prefix + 2) == quote;
        let mut at = prefix + if long { 3 } else { 1 };
        loop {
            match self.peek(at) {
                Some(b'\\') if !raw => at += 2,
                byte if byte == quote && byte.is_some() => {
                    if !long {
                        at += 1;
                        break;
                    }
                    if self.peek(at + 1) == quote && self.peek(at + 2) == quote {
                        at += 3;
                        break;
                    }
                    at += 1;
                }
                Some(b'\n' | b'\r') if !long => return Err(self.open_text()),
                Some(_) => at += 1,
                None => return Err(self.open_text()),
            }
        }
        self.push(TokenKind::Text, at);
        Ok(())
    }

    fn open_text(&self) -> Problem {
        Problem::new(
            self.at,
            "this text is never closed: its end quote is missing",
        )
    }

    fn number(&mut self) {
        let start = self.at;
        let hex = self.peek(0) == Some(b'0')
            && self.peek(1) == Some(b'x')
            && self.peek(2).is_some_and(|b| b.is_ascii_hexdigit());
        let mut end = if hex {
            self.skip_while(2, |b| b.is_ascii_hexdigit())
        } else {
            self.skip_while(0, |b| b.is_ascii_digit())
        };
        let mut whole = true;
        if !hex
            && self.peek(end) == Some(b'.')
            && self.peek(end + 1).is_some_and(|b| b.is_ascii_digit())
        {
            end = self.skip_while(end + 1, |b| b.is_ascii_digit());
            whole = false;
        }
        let mantissa = end;
        if !hex && matches!(self.peek(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.peek(end + 1), Some(b'+' | b'-')));
            if self
                .peek(end + 1 + sign)
                .is_some_and(|b| b.is_ascii_digit())
            {
                end = self.skip_while(end + 1 + sign, |b| b.is_ascii_digit());
                whole = false;
            }
        }
        if whole && matches!(self.peek(end), Some(b'u' | b'U')) {
            end += 1;
        }
        self.push(TokenKind::Number, end);
        self.mask(
            start + if hex { 2 } else { 0 },
            start + mantissa,
            start + end,
        );
    }

    /// Writes zeros over the digits of a number and a 1 over the last one of its mantissa, so
    /// that the parser can read it and its sign.
    fn mask(&mut self, start: usize, mantissa: usize, end: usize) {
        if let Some(digits) = self.masked.get_mut(start..mantissa) {
            for byte in digits.iter_mut().filter(|b| **b != b'.') {
                *byte = b'0';
            }
            if let Some(last) = digits.last_mut() {
                *last = b'1';
            }
        }
        if let Some(exponent) = self.masked.get_mut(mantissa..end) {
            for byte in exponent.iter_mut().filter(|b| b.is_ascii_digit()) {
                *byte = b'0';
            }
        }
    }

    fn sign(&mut self) -> Result<(), Problem> {
        let rest = self.source.get(self.at..).unwrap_or_default();
        let pair = ["==", "!=", "<=", ">=", "&&", "||"]
            .iter()
            .any(|p| rest.starts_with(p));
        let Some(first) = rest.chars().next() else {
            return Ok(());
        };
        let index = self.tokens.len();
        match first {
            _ if pair => self.push(TokenKind::Sign, 2),
            '(' | '[' | '{' => {
                if self.open.len() >= MAX_BRACKETS {
                    let message = format!("brackets are nested more than {MAX_BRACKETS} deep");
                    return Err(Problem::new(self.at, message));
                }
                self.open.push(index);
                self.push(TokenKind::Sign, 1);
            }
            ')' | ']' | '}' => {
                self.close(index, first)?;
                self.push(TokenKind::Sign, 1);
                if let (Some(token), Some(open)) = (self.tokens.get_mut(index), self.open.pop()) {
                    token.partner = Some(open);
                }
            }
            '+' | '-' | '*' | '/' | '%' | '<' | '>' | '!' | '?' | ':' | ',' | '.' => {
                self.push(TokenKind::Sign, 1);
            }
            other => return Err(Problem::new(self.at, unknown_sign(other))),
        }
        Ok(())
    }

    /// Marks the bracket that the closing one at token `index` belongs to.
    fn close(&mut self, index: usize, closing: char) -> Result<(), Problem> {
        let open = self.open.last().and_then(|i| self.tokens.get_mut(*i));
        let Some(open) = open else {
            return Err(Problem::new(
                self.at,
                format!("this `{closing}` closes nothing"),
            ));
        };
        let opening = self.source.get(open.start..open.end).unwrap_or_default();
        let expected = match opening {
            "(" => ')',
            "[" => ']',
            _ => '}',
        };
        if expected != closing {
            return Err(Problem::new(
                self.at,
                format!("expected `{expected}`, found `{closing}`"),
            ));
        }
        open.partner = Some(index);
        Ok(())
    }
}

fn unknown_sign(sign: char) -> String {
    match sign {
        '=' => "`=` is no operator here: compare with `==`".into(),
        '&' => "`&` is no operator: write `&&`".into(),
        '|' => "`|` is no operator: write `||`".into(),
        '$' | '@' | '#' => format!("`{sign}` is not part of a name: names like data.x need none"),
        letter if letter.is_alphabetic() => {
            format!("names have no `{letter}` in CEL: write data[\"…\"] for such a field")
        }
        other => format!("unexpected character `{}`", other.escape_debug()),
    }
}
