//! A trie of paths: which parts of a JSON text are wanted, and in which slot each is put.

use std::cmp::Ordering;

use super::path::Segment;

/// Many paths from one root. Equal paths share a slot.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    slots: u32,
}

/// One place in a JSON text.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Where the value at this place goes, if it is wanted itself.
    pub(super) slot: Option<u32>,
    /// Children that are members, by length and then bytes of their names.
    members: Vec<(Box<str>, usize)>,
    /// Children that are elements, by index.
    items: Vec<(u32, usize)>,
    /// The slots of this place and of all below it.
    below: Vec<u32>,
}

impl Default for Trie {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            slots: 0,
        }
    }
}

impl Trie {
    /// How many slots there are.
    pub(super) fn slots(&self) -> usize {
        self.slots as usize
    }

    /// The root.
    pub(super) fn root(&self) -> Option<&Node> {
        self.nodes.first()
    }

    /// The slot of the path that `segments` spell, which is added where it is new.
    pub(super) fn add<'s>(&mut self, segments: impl Iterator<Item = &'s Segment> + Clone) -> u32 {
        let mut last = 0;
        for segment in segments.clone() {
            last = self.child(last, segment);
        }
        if let Some(slot) = self.nodes[last].slot {
            return slot;
        }
        let slot = self.slots;
        self.slots += 1;
        self.nodes[last].slot = Some(slot);
        let mut node = 0;
        self.nodes[node].below.push(slot);
        for segment in segments {
            node = self.child(node, segment);
            self.nodes[node].below.push(slot);
        }
        slot
    }

    /// Makes the root's member `name` mean the root again, so that a wrapped text gives what an
    /// unwrapped one gives.
    pub(super) fn unwrap_member(&mut self, name: &str) {
        if let Err(place) = self.nodes[0].find(name.as_bytes()) {
            self.nodes[0].members.insert(place, (name.into(), 0));
        }
    }

    /// The child of `node` for `segment`, which is added where it is new.
    fn child(&mut self, node: usize, segment: &Segment) -> usize {
        let new = self.nodes.len();
        let at = &mut self.nodes[node];
        match segment {
            Segment::Key(key) => match at.find(key.as_bytes()) {
                Ok(place) => return at.members[place].1,
                Err(place) => at.members.insert(place, (key.clone(), new)),
            },
            Segment::Index(index) => match at.items.binary_search_by_key(index, |item| item.0) {
                Ok(place) => return at.items[place].1,
                Err(place) => at.items.insert(place, (*index, new)),
            },
        }
        self.nodes.push(Node::default());
        new
    }

    /// The child of `node` for the member `name`.
    pub(super) fn member(&self, node: &Node, name: &[u8]) -> Option<&Node> {
        let place = node.find(name).ok()?;
        self.nodes.get(node.members.get(place)?.1)
    }

    /// The child of `node` for element `index`.
    pub(super) fn item(&self, node: &Node, index: u32) -> Option<&Node> {
        let place = node
            .items
            .binary_search_by_key(&index, |item| item.0)
            .ok()?;
        self.nodes.get(node.items.get(place)?.1)
    }
}

impl Node {
    /// Whether any member is wanted.
    pub(super) fn wants_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// Whether any element is wanted.
    pub(super) fn wants_items(&self) -> bool {
        !self.items.is_empty()
    }

    /// The slots of this place and of all below it.
    pub(super) fn below(&self) -> &[u32] {
        &self.below
    }

    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        self.members
            .binary_search_by(|(key, _)| by_length(key.as_bytes(), name))
    }
}

/// Most names differ in length, which is compared without touching their bytes.
fn by_length(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}
