//! Names, and what was probably meant by a wrong one.

/// The most characters of a name.
const MAX_NAME: usize = 48;

/// Postgres has these columns in every table.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// Why `name` is not a name of a projection or column: `[a-z][a-z0-9_]{0,47}`.
pub(super) fn name_problem(name: &str) -> Option<String> {
    let mut characters = name.chars();
    let valid = characters.next().is_some_and(|c| c.is_ascii_lowercase())
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.len() <= MAX_NAME;
    (!valid).then(|| {
        format!(
            "`{name}` is not a valid name: a lower-case letter, then at most 47 lower-case letters, digits or `_`"
        )
    })
}

/// Why `name` cannot be a column's.
pub(super) fn column_name_problem(name: &str) -> Option<String> {
    if SYSTEM_COLUMNS.contains(&name) {
        return Some(format!(
            "column `{name}`: Postgres keeps this name for itself; choose another one"
        ));
    }
    name_problem(name)
}

/// `; did you mean …?` when one of `known` is close to `name`, else nothing.
pub(super) fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let lower = name.to_ascii_lowercase();
    let limit = match name.chars().count() {
        0 | 1 => 0,
        2 | 3 => 1,
        _ => 2,
    };
    known
        .into_iter()
        .map(|candidate| (distance(&lower, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| format!("; did you mean `{candidate}`?"))
        .unwrap_or_default()
}

/// How many characters must be inserted, removed or replaced.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (to, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            let replaced = diagonal + usize::from(from != *to);
            left = replaced.min(above + 1).min(left + 1);
            *cell = left;
            diagonal = above;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, wanted) in [
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("topics", "topics", 0),
            ("topcis", "topics", 2),
        ] {
            assert_eq!(distance(a, b), wanted, "{a} {b}");
        }
    }

    #[test]
    fn names_are_lower_case_and_short() {
        for name in ["a", "a_1", &"a".repeat(48)] {
            assert_eq!(name_problem(name), None, "{name}");
        }
        for name in ["", "A", "1a", "_a", "a-b", "ä", &"a".repeat(49)] {
            assert!(name_problem(name).is_some(), "{name}");
        }
        assert!(column_name_problem("ctid").is_some());
    }
}
