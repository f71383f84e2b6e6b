//! Lists of a generation in memory: the meaning of a [`ListRead`], in plain code.

use std::cmp::Ordering;

use serde_json::Value as Json;

use super::build::Build;
use crate::projection::{Decimal, Row, Value};
use crate::store::list::{Comparison, Condition, LARGEST_PAGE, ListPage, ListRead, OrderBy, Test};

/// A page of the generation's rows.
pub(super) fn page(build: &Build, read: &ListRead) -> ListPage {
    let fulfils = |row: &&Row| read.conditions.iter().all(|it| holds(it, row));
    let mut found: Vec<&Row> = build.rows.values().filter(fulfils).collect();
    let count = read.count.map(|_| found.len() as u64);
    let place = |row: &Row| -> Vec<Value> {
        let columns = read.order.iter();
        columns.map(|by| value(row, by.column).clone()).collect()
    };
    found.sort_by(|a, b| compare(&read.order, &place(a), &place(b)));
    if let Some(after) = &read.after {
        found.retain(|row| compare(&read.order, &place(row), after) == Ordering::Greater);
    }
    let mut rows = Vec::new();
    let mut bytes = 0;
    for row in found.iter().take(read.limit) {
        let columns = read.columns.iter();
        let given: Vec<Value> = columns.map(|&column| value(row, column).clone()).collect();
        let texts = given.iter().filter_map(Value::canonical);
        bytes += texts.map(|text| text.len()).sum::<usize>();
        rows.push(given);
        if bytes > LARGEST_PAGE {
            break;
        }
    }
    let last = rows.len().checked_sub(1).and_then(|last| found.get(last));
    let more = found.len() > rows.len();
    ListPage {
        next: last.filter(|_| more).map(|row| place(row)),
        rows,
        cursors: build.cursors.values().cloned().collect(),
        count,
    }
}

fn value(row: &Row, column: usize) -> &Value {
    row.values.get(column).unwrap_or(&Value::Null)
}

/// The order of two rows, of which these are the values. Nulls are last in both directions.
fn compare(order: &[OrderBy], a: &[Value], b: &[Value]) -> Ordering {
    let pairs = order.iter().zip(a.iter().zip(b));
    let mut each = pairs.map(|(by, (a, b))| match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        _ if by.descending => b.compare(a),
        _ => a.compare(b),
    });
    let differs = each.find(|order| order.is_ne());
    differs.unwrap_or(Ordering::Equal)
}

fn holds(condition: &Condition, row: &Row) -> bool {
    let value = value(row, condition.column);
    match &condition.test {
        Test::Null => value.is_null(),
        Test::NotNull => !value.is_null(),
        _ if value.is_null() => false,
        Test::In(values) => values.iter().any(|other| same(value, other)),
        Test::Like(pattern) => {
            matches!(value, Value::Text(text) if is_like(text, pattern))
        }
        Test::Compare(Comparison::Equal, other) => same(value, other),
        Test::Compare(Comparison::NotEqual, other) => !same(value, other),
        Test::Compare(Comparison::Greater, other) => value.compare(other).is_gt(),
        Test::Compare(Comparison::GreaterOrEqual, other) => value.compare(other).is_ge(),
        Test::Compare(Comparison::Less, other) => value.compare(other).is_lt(),
        Test::Compare(Comparison::LessOrEqual, other) => value.compare(other).is_le(),
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Json(a), Value::Json(b)) => same_json(a, b),
        _ => a.compare(b).is_eq(),
    }
}

/// Whether two JSON texts mean the same; numbers do when they are equal, however they are written.
fn same_json(a: &str, b: &str) -> bool {
    let read = |text| serde_json::from_str::<Json>(text).ok();
    a == b || matches!((read(a), read(b)), (Some(a), Some(b)) if same_tree(&a, &b))
}

fn same_tree(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => {
            let (a, b) = (
                Decimal::parse(&a.to_string()),
                Decimal::parse(&b.to_string()),
            );
            matches!((a, b), (Ok(a), Ok(b)) if a.cmp(&b).is_eq())
        }
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_tree(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            let same = |((k, a), (l, b))| k == l && same_tree(a, b);
            a.len() == b.len() && a.iter().zip(b).all(same)
        }
        _ => a == b,
    }
}

/// One element of a pattern.
#[derive(PartialEq)]
enum Element {
    Texts,
    Character,
    This(char),
}

fn is_like(text: &str, pattern: &str) -> bool {
    let mut characters = pattern.chars();
    let mut elements = Vec::new();
    while let Some(character) = characters.next() {
        elements.push(match character {
            '%' => Element::Texts,
            '_' => Element::Character,
            '\\' => Element::This(characters.next().unwrap_or('\\')),
            other => Element::This(other),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut element) = (0, 0);
    // The last `%`, and up to where it reaches: it takes one character more whenever the rest does not fit.
    let mut wide: Option<(usize, usize)> = None;
    while let Some(character) = text.get(at) {
        match elements.get(element) {
            Some(Element::Texts) => {
                wide = Some((element, at));
                element += 1;
                continue;
            }
            Some(Element::Character) => {}
            Some(Element::This(wanted)) if wanted == character => {}
            _ => match wide {
                None => return false,
                Some((percent, reach)) => {
                    wide = Some((percent, reach + 1));
                    (at, element) = (reach + 1, percent + 1);
                    continue;
                }
            },
        }
        (at, element) = (at + 1, element + 1);
    }
    elements
        .iter()
        .skip(element)
        .all(|it| *it == Element::Texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_sql() {
        for (text, pattern) in [
            ("", ""),
            ("", "%"),
            ("abc", "abc"),
            ("abc", "a%"),
            ("abc", "%c"),
            ("abc", "%b%"),
            ("abc", "a_c"),
            ("aXbXc", "a%b%c"),
            ("aab", "%ab"),
            ("über", "_ber"),
            ("50%", r"50\%"),
            ("a_b", r"a\_b"),
            (r"a\b", r"a\\b"),
        ] {
            assert!(is_like(text, pattern), "{text} {pattern}");
        }
        for (text, pattern) in [
            ("a", ""),
            ("abc", "b%"),
            ("abc", "ab"),
            ("ABC", "abc"),
            ("50x", r"50\%"),
            ("axb", r"a\_b"),
            ("abcd", "a%c"),
        ] {
            assert!(!is_like(text, pattern), "{text} {pattern}");
        }
    }

    #[test]
    fn json_is_the_same_by_its_meaning() {
        assert!(same_json(r#"{"a":[1.0,null]}"#, r#"{"a":[1,null]}"#));
        assert!(same_json("1e2", "100"));
        assert!(!same_json(r#"{"a":1}"#, r#"{"b":1}"#));
        assert!(!same_json("[1]", "[1,2]"));
        assert!(!same_json(r#""1""#, "1"));
    }
}
