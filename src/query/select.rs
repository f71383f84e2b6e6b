//! `select=a,b`: which columns an answer has.

use super::{listed, shown};

/// Which of a view's columns `text` names, as indexes in the columns' own order.
pub fn select(columns: &[&str], text: &str) -> Result<Vec<usize>, String> {
    let mut wanted = Vec::new();
    for name in text.split(',') {
        let Some(index) = columns.iter().position(|column| *column == name) else {
            return Err(format!(
                "select: {} is no column; possible: {}",
                shown(name),
                listed(columns.iter().copied())
            ));
        };
        if wanted.contains(&index) {
            return Err(format!("select: {} is named twice", shown(name)));
        }
        wanted.push(index);
    }
    wanted.sort_unstable();
    Ok(wanted)
}
