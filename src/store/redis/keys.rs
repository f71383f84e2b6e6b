//! The names of keys. All keys of a projection carry its name as their hash tag, so that they
//! share one slot and one script may touch them.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `<prefix>:{p}:live` | string | the number of the generation that readers see |
//! | `<prefix>:{p}:intent` | string | the number of the last pointer intent |
//! | `<prefix>:{p}:<N>:cursors` | hash | `topic/partition` → `position:claim`, `build` → uuid |
//! | `<prefix>:{p}:<N>:meta` | hash | `epoch topic/partition`, `newest topic/partition`, `build`; `hold`: until when batches wait for a cutover; `copying`: who fills a copy that is not complete; `copied`: of how many pages a copy was made |
//! | `<prefix>:{p}:<N>:pages` | hash | a copy's page → the positions that its rows reflect |
//! | `<prefix>:{p}:<N>:r:<key>` | hash | a row: column → canonical text; null is no field |
//! | `<prefix>:{p}:<N>:o:<key>` | hash | a row's `latest` columns → the order of the stored value; `#page`: with which page a row was copied |

use crate::position::TopicPartition;

/// The keys of one projection.
#[derive(Clone, Debug)]
pub(super) struct ProjectionKeys {
    /// What the keys of its generations begin with; a number follows.
    pub(super) stem: String,
    /// The pointer that readers follow.
    pub(super) live: String,
    /// The last pointer intent.
    pub(super) intent: String,
}

impl ProjectionKeys {
    pub(super) fn new(prefix: &str, projection: &str) -> Self {
        let stem = format!("{prefix}:{{{projection}}}:");
        Self {
            live: format!("{stem}live"),
            intent: format!("{stem}intent"),
            stem,
        }
    }

    /// The keys of its generation `number`.
    pub(super) fn generation(&self, number: u32) -> GenerationKeys {
        let all = format!("{}{number}:", self.stem);
        GenerationKeys {
            cursors: format!("{all}cursors"),
            meta: format!("{all}meta"),
            pages: format!("{all}pages"),
            rows: format!("{all}r:"),
            orders: format!("{all}o:"),
            all,
        }
    }
}

/// The keys of one generation.
#[derive(Clone, Debug)]
pub(super) struct GenerationKeys {
    /// What all of them begin with.
    pub(super) all: String,
    /// Build id, positions and claims.
    pub(super) cursors: String,
    /// What is known beside the cursors.
    pub(super) meta: String,
    /// The positions with which the pages of a copy were read.
    pub(super) pages: String,
    /// What row keys begin with; the row's key text follows.
    pub(super) rows: String,
    /// The same for the orders of `latest` columns.
    pub(super) orders: String,
}

/// The pattern that matches all keys which begin with `stem`, and nothing else.
pub(super) fn pattern(stem: &str) -> String {
    let mut pattern = String::with_capacity(stem.len() + 1);
    for c in stem.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('*');
    pattern
}

/// The field of a partition's cursor.
pub(super) fn cursor_field(partition: &TopicPartition) -> String {
    partition.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_as_the_contract_says() {
        let projection = ProjectionKeys::new("viewfold", "orders");
        assert_eq!(projection.live, "viewfold:{orders}:live");
        let keys = projection.generation(3);
        assert_eq!(keys.cursors, "viewfold:{orders}:3:cursors");
        assert_eq!(keys.rows, "viewfold:{orders}:3:r:");
    }

    #[test]
    fn a_pattern_matches_only_its_own_generation() {
        let keys = ProjectionKeys::new("a*[b]", "p").generation(1);
        assert_eq!(pattern(&keys.all), r"a\*\[b\]:{p}:1:*");
    }
}
