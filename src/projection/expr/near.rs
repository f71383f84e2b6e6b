//! Advice for names that do not exist.

/// `; did you mean …` when a candidate is near to `name`, else the list of all.
pub(super) fn advice<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> String {
    let mut all: Vec<&str> = candidates.into_iter().collect();
    let mut near: Vec<(usize, &str)> = all
        .iter()
        .map(|c| (distance(name, c), *c))
        .filter(|(d, c)| *d <= (c.len() / 3).max(1) || (name.len() > 2 && c.starts_with(name)))
        .collect();
    near.sort_unstable();
    match near.as_slice() {
        [] if all.is_empty() => String::new(),
        [] => {
            all.sort_unstable();
            format!("; known are {}", all.join(", "))
        }
        [(_, one)] => format!("; did you mean `{one}`?"),
        [(_, one), (_, two), ..] => format!("; did you mean `{one}` or `{two}`?"),
    }
}

/// How many single-character edits lie between two names, letter case aside.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().map(|c| c.to_ascii_lowercase()).enumerate() {
        let mut diagonal = i;
        let mut beside = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(&right) {
            let above = *cell;
            let changed = diagonal + usize::from(a != *b);
            diagonal = above;
            beside = changed.min(above + 1).min(beside + 1);
            *cell = beside;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
