//! Paths into an event's data, and the trie that finds many of them in one pass.

use std::fmt;

use super::chunk::SlotMap;
use super::json::Json;
use super::scan::{MISSING, scan};
use super::trie::Trie;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// The member of an object.
    Key(Box<str>),
    /// The element of an array, from 0.
    Index(u32),
}

/// A path under `data` (or under `item`, inside `each`). The empty path is the whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Path(pub Vec<Segment>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.0 {
            match segment {
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Path {
    /// Reads a dotted path such as `meta.items[0].id`: names between dots, each with any number of
    /// indexes behind it. The error is a fragment that names the text.
    pub fn dotted(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a path like `meta.id` or `items[0].id`");
        let mut path = Vec::new();
        for step in text.split('.') {
            let (name, mut indexes) = match step.find('[') {
                Some(at) => step.split_at(at),
                None => (step, ""),
            };
            if name.is_empty() {
                return Err(wrong());
            }
            path.push(Segment::Key(name.into()));
            while !indexes.is_empty() {
                let (index, rest) = indexes
                    .strip_prefix('[')
                    .and_then(|open| open.split_once(']'))
                    .ok_or_else(wrong)?;
                path.push(Segment::Index(index.parse().map_err(|_| wrong())?));
                indexes = rest;
            }
        }
        Ok(Self(path))
    }

    /// The path as [`Path::dotted`] reads it: without the dot that [`fmt::Display`] puts in front.
    pub fn to_dotted(&self) -> String {
        self.to_string().trim_start_matches('.').to_owned()
    }
}

/// A set of paths, each with a slot, compiled to a trie.
#[derive(Debug, Default)]
pub struct PathSet {
    paths: Vec<Path>,
    trie: Trie,
    /// The trie's slot of each path.
    slots: Vec<u32>,
}

impl PathSet {
    /// The union of `paths`, without duplicates.
    pub fn new(paths: impl IntoIterator<Item = Path>) -> Self {
        let mut paths: Vec<Path> = paths.into_iter().collect();
        paths.sort();
        paths.dedup();
        let mut trie = Trie::default();
        let slots = paths.iter().map(|path| trie.add(path.0.iter())).collect();
        Self { paths, trie, slots }
    }

    /// The paths, in slot order.
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// Where `paths` lie among the slots of this set; none when it lacks one of them.
    pub fn map(&self, paths: &[Path]) -> Option<SlotMap> {
        let place = |path: &Path| self.paths.binary_search(path).ok().map(|slot| slot as u32);
        paths.iter().map(place).collect::<Option<_>>().map(SlotMap)
    }

    /// Picks the paths out of one JSON text: one value per path of the set, in slot order. Invalid
    /// JSON and nesting beyond 128 levels are errors (a fragment without the text).
    pub fn extract<'a>(&self, json: &'a str) -> Result<Vec<Json<'a>>, String> {
        let mut spans = vec![MISSING; self.trie.slots()];
        scan(json, 0, &self.trie, &mut spans).map_err(|wrong| wrong.to_string())?;
        let value = |&slot: &u32| {
            let span = spans.get(slot as usize).copied().unwrap_or(MISSING);
            Json::of(
                json.get(span.start as usize..span.end as usize)
                    .unwrap_or_default(),
            )
        };
        Ok(self.slots.iter().map(value).collect())
    }
}
