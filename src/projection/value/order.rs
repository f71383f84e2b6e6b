//! The order of values, and texts that sort like it.

use std::cmp::Ordering;

use super::super::decimal::Decimal;
use super::super::delta::Latest;
use super::Value;

impl Value {
    /// The total order within a type, null lowest: numbers by value, times and dates by time,
    /// texts and JSON bytewise, lists element by element. Values of different types are in a
    /// fixed order of types (integers and decimals are one type here).
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Text(a), Self::Text(b)) | (Self::Json(a), Self::Json(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Numeric(a), Self::Numeric(b)) => a.cmp(b),
            (Self::Int(a), Self::Numeric(b)) => Decimal::from(*a).cmp(b),
            (Self::Numeric(a), Self::Int(b)) => a.cmp(&Decimal::from(*b)),
            (Self::Double(a), Self::Double(b)) => a.total_cmp(b),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Date(a), Self::Date(b)) => a.cmp(b),
            (Self::Uuid(a), Self::Uuid(b)) => a.cmp(b),
            (Self::TextArray(a), Self::TextArray(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Int(_) | Self::Numeric(_) => 2,
            Self::Double(_) => 3,
            Self::Date(_) => 4,
            Self::Time(_) => 5,
            Self::Uuid(_) => 6,
            Self::Text(_) => 7,
            Self::TextArray(_) => 8,
            Self::Json(_) => 9,
        }
    }

    /// A text of the ASCII characters `!` to `~` that sorts bytewise as [`Value::compare`] sorts
    /// values of one type; also against the text with anything appended that begins with a space.
    pub fn order_text(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Text(text) | Self::Json(text) => escaped(text),
            Self::Int(number) => decimal_order(&Decimal::from(*number)),
            Self::Numeric(number) => decimal_order(number),
            Self::Double(number) => {
                let bits = (*number + 0.0).to_bits();
                let sign = 1 << 63;
                let ordered = if bits & sign == 0 { bits | sign } else { !bits };
                hex(ordered, 16)
            }
            Self::Bool(truth) => u8::from(*truth).to_string(),
            Self::Time(micros) => hex(micros.cast_unsigned() ^ (1 << 63), 16),
            Self::Date(days) => hex(u64::from(days.cast_unsigned() ^ (1 << 31)), 8),
            Self::Uuid(id) => id.simple().to_string(),
            // A terminator below every escaped character keeps a list before its continuations.
            Self::TextArray(texts) => texts.iter().map(|text| escaped(text) + "!").collect(),
        }
    }
}

impl Latest {
    /// The value, ordered by `by` and then by the event's id.
    pub fn new(by: &Value, event_id: &str, value: Value) -> Self {
        let mut order = by.order_text();
        order.push(' ');
        escape(&mut order, event_id);
        Self {
            order: order.into(),
            value,
        }
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    escape(&mut escaped, text);
    escaped
}

/// Bytes up to `"` begin with `"`, those from `~` with `~`; so everything stays in order, and
/// `!` and the space are free to end a text.
fn escape(out: &mut String, text: &str) {
    let is_plain = |byte: u8| (b'#'..=b'}').contains(&byte);
    if text.bytes().all(is_plain) {
        out.push_str(text);
        return;
    }
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push(if byte <= b'"' { '"' } else { '~' });
            push_hex(out, u64::from(byte), 2);
        }
    }
}

/// The last `width` hexadecimal digits of `number`, with room for an event id behind them.
fn hex(number: u64, width: u32) -> String {
    let mut text = String::with_capacity(64);
    push_hex(&mut text, number, width);
    text
}

fn push_hex(out: &mut String, number: u64, width: u32) {
    for place in (0..width).rev() {
        let digit = (number >> (4 * place)) as u8 & 15;
        out.push(char::from(match digit {
            0..=9 => b'0' + digit,
            _ => b'a' + (digit - 10),
        }));
    }
}

/// `0.d₁d₂… × 10^exponent` as sign, exponent and digits; of negative numbers, exponent and
/// digits are complemented, and a character above all digits ends them.
fn decimal_order(number: &Decimal) -> String {
    const BIAS: i64 = 50_000;
    let plain = number.normalized().plain();
    let unsigned = plain.trim_start_matches('-');
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let whole = whole.trim_start_matches('0');
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return "1".into();
    }
    let leading = if whole.is_empty() {
        -((digits.len() - digits.trim_start_matches('0').len()) as i64)
    } else {
        whole.len() as i64
    };
    if number.is_negative() {
        let complement: String = significant
            .bytes()
            .map(|digit| char::from(b'0' + (b'9' - digit)))
            .collect();
        format!("0{:05}{complement}~", BIAS - leading)
    } else {
        format!("2{:05}{significant}", BIAS + leading)
    }
}
