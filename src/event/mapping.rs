//! Where the envelope's fields lie in a JSON record.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::field::Field;
use super::path::Path;

/// Which fields of a JSON record are the envelope, as dotted paths from the record's root.
///
/// A field, and the data, may have several places: the first that holds something counts. A field
/// without a place is absent; without a place for the type the topic is the type; without a place
/// for `data` the whole record is the data. Read and written as a table of names (those of
/// [`Field::name`], and `data`) to a path or a list of paths.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<String, Places>",
    into = "BTreeMap<String, Places>"
)]
pub struct Mapping {
    fields: BTreeMap<Field, Vec<Path>>,
    data: Vec<Path>,
}

/// The name of the data in a table.
const DATA: &str = "data";

/// One path or several, as users write them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Places {
    One(String),
    Many(Vec<String>),
}

impl Mapping {
    /// The places of `field`, the first to look at first.
    pub fn places(&self, field: Field) -> &[Path] {
        self.fields
            .get(&field)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// The places of the data; the whole record when there are none.
    pub fn data(&self) -> &[Path] {
        &self.data
    }

    /// Adds a place of `field` behind those that it has.
    pub fn add(&mut self, field: Field, place: Path) {
        self.fields.entry(field).or_default().push(place);
    }

    /// Adds a place of the data behind those that it has.
    pub fn add_data(&mut self, place: Path) {
        self.data.push(place);
    }
}

impl TryFrom<BTreeMap<String, Places>> for Mapping {
    type Error = String;

    fn try_from(table: BTreeMap<String, Places>) -> Result<Self, String> {
        let mut mapping = Self::default();
        for (name, places) in table {
            let places = match places {
                Places::One(place) => vec![place],
                Places::Many(places) => places,
            };
            for place in places {
                let place = Path::dotted(&place)?;
                if name == DATA {
                    mapping.add_data(place);
                } else {
                    let field = Field::from_name(&name).ok_or_else(|| unknown(&name))?;
                    mapping.add(field, place);
                }
            }
        }
        Ok(mapping)
    }
}

fn unknown(name: &str) -> String {
    let names: Vec<&str> = Field::ALL.iter().map(|field| field.name()).collect();
    format!(
        "`{name}` is no envelope field (there are {}, data)",
        names.join(", ")
    )
}

impl From<Mapping> for BTreeMap<String, Places> {
    fn from(mapping: Mapping) -> Self {
        let mut table = Self::new();
        let mut insert = |name: &str, places: &[Path]| {
            let mut places: Vec<String> = places.iter().map(Path::to_dotted).collect();
            if places.len() > 1 {
                table.insert(name.to_owned(), Places::Many(places));
            } else if let Some(place) = places.pop() {
                table.insert(name.to_owned(), Places::One(place));
            }
        };
        for (field, places) in &mapping.fields {
            insert(field.name(), places);
        }
        insert(DATA, &mapping.data);
        table
    }
}
