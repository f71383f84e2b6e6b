//! An envelope and the paths that are needed, compiled to what one pass over a record looks for.

use std::sync::Arc;

use super::envelope::Envelope;
use super::field::Field;
use super::mapping::Mapping;
use super::path::{Path, PathSet, Segment};
use super::trie::Trie;
use super::{cloudevents, debezium};

/// Everything that decoding the records of one topic needs.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) envelope: Envelope,
    pub(super) paths: Arc<PathSet>,
    /// Where things lie in the value.
    pub(super) shape: Shape,
    /// The same for a value that is the data alone, as in binary CloudEvents.
    pub(super) bare: Option<Shape>,
}

/// Where envelope fields and data lie in one form of JSON text.
#[derive(Debug, Default)]
pub(super) struct Shape {
    pub(super) trie: Trie,
    /// The fields that this form has, each with the trie's slots to look at in turn.
    pub(super) fields: Vec<(Field, Vec<u32>)>,
    /// Members that decide whether a record fits, in the order that the envelope's module knows.
    pub(super) marks: Vec<u32>,
    /// The places where the data may lie; the envelope's module says which one counts.
    pub(super) bodies: Vec<Body>,
}

/// One place of the data.
#[derive(Debug)]
pub(super) struct Body {
    /// The trie's slot of the whole data.
    pub(super) data: u32,
    /// The trie's slot of each path of the set.
    pub(super) paths: Box<[u32]>,
}

impl Plan {
    pub(super) fn new(envelope: Envelope, paths: Arc<PathSet>) -> Self {
        let bare = || {
            let mut shape = Shape::default();
            shape.add_body(&Path::default(), &paths);
            shape
        };
        let (shape, bare) = match &envelope {
            Envelope::Plain => (bare(), None),
            Envelope::Fields(mapping) => (mapped(mapping, &paths), None),
            Envelope::CloudEvents => (cloudevents::shape(&paths), Some(bare())),
            Envelope::Debezium => (debezium::shape(&paths), None),
        };
        Self {
            envelope,
            paths,
            shape,
            bare,
        }
    }

    /// How many slots each record has for envelope fields.
    pub(super) fn field_slots(&self) -> usize {
        match self.envelope {
            Envelope::Plain => 0,
            _ => Field::COUNT,
        }
    }

    /// How many slots each record has in all.
    pub(super) fn stride(&self) -> usize {
        self.field_slots() + self.paths.paths().len()
    }
}

impl Shape {
    /// Adds the places of `field`, behind those that it has.
    pub(super) fn add_field(&mut self, field: Field, places: &[Path]) {
        if places.is_empty() {
            return;
        }
        let slots = places
            .iter()
            .map(|place| self.trie.add(place.0.iter()))
            .collect();
        self.fields.push((field, slots));
    }

    /// Adds a member of the root that decides whether a record fits.
    pub(super) fn add_mark(&mut self, name: &str) {
        let slot = self.trie.add([Segment::Key(name.into())].iter());
        self.marks.push(slot);
    }

    /// Adds a place where the data may lie.
    pub(super) fn add_body(&mut self, root: &Path, paths: &PathSet) {
        let data = self.trie.add(root.0.iter());
        let below = |path: &Path| self.trie.add(root.0.iter().chain(&path.0));
        let paths = paths.paths().iter().map(below).collect();
        self.bodies.push(Body { data, paths });
    }

    /// The slots of `field`.
    pub(super) fn places(&self, field: Field) -> &[u32] {
        let found = self.fields.iter().find(|(at, _)| *at == field);
        found.map(|(_, slots)| &slots[..]).unwrap_or_default()
    }
}

fn mapped(mapping: &Mapping, paths: &PathSet) -> Shape {
    let mut shape = Shape::default();
    for field in Field::ALL {
        shape.add_field(field, mapping.places(field));
    }
    if mapping.data().is_empty() {
        shape.add_body(&Path::default(), paths);
    }
    for place in mapping.data() {
        shape.add_body(place, paths);
    }
    shape
}
