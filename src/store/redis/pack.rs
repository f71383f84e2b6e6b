//! Packs lists for scripts: MessagePack, which `cmsgpack.unpack` reads in one call. One large
//! argument costs the server much less than thousands of small ones.

/// A flat list of texts, small numbers and absent values.
#[derive(Debug)]
pub(super) struct Pack {
    bytes: Vec<u8>,
    count: u32,
}

/// The header of a list is five bytes: its tag, and the count that is filled in at the end.
const HEADER: [u8; 5] = [0xdd, 0, 0, 0, 0];

impl Pack {
    pub(super) fn new() -> Self {
        Self::with_capacity(256)
    }

    /// An empty list with room for `bytes`.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        let mut all = Vec::with_capacity(bytes);
        all.extend_from_slice(&HEADER);
        Self {
            bytes: all,
            count: 0,
        }
    }

    /// Adds a text.
    pub(super) fn text(&mut self, text: &str) {
        self.texts(text, "");
    }

    /// Adds two texts, joined to one.
    pub(super) fn texts(&mut self, first: &str, second: &str) {
        let length = (first.len() + second.len()) as u32;
        match length {
            0..=31 => self.bytes.push(0xa0 | length as u8),
            32..=0xff => self.bytes.extend_from_slice(&[0xd9, length as u8]),
            _ => {
                self.bytes.push(0xdb);
                self.bytes.extend_from_slice(&length.to_be_bytes());
            }
        }
        self.bytes.extend_from_slice(first.as_bytes());
        self.bytes.extend_from_slice(second.as_bytes());
        self.count += 1;
    }

    /// Adds a text, or `false` for none.
    pub(super) fn maybe(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.flag(false),
        }
    }

    /// Adds a number.
    pub(super) fn number(&mut self, number: i32) {
        match number {
            -32..=127 => self.bytes.push(number as u8),
            _ => {
                self.bytes.push(0xd2);
                self.bytes.extend_from_slice(&number.to_be_bytes());
            }
        }
        self.count += 1;
    }

    /// Adds true or false.
    pub(super) fn flag(&mut self, flag: bool) {
        self.bytes.push(if flag { 0xc3 } else { 0xc2 });
        self.count += 1;
    }

    /// Adds a list as one entry.
    pub(super) fn list(&mut self, list: Pack) {
        self.bytes.extend_from_slice(&list.finish());
        self.count += 1;
    }

    /// The packed list.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let count = self.count.to_be_bytes();
        for (byte, value) in self.bytes.iter_mut().skip(1).zip(count) {
            *byte = value;
        }
        self.bytes
    }
}

impl Default for Pack {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> FromIterator<&'a str> for Pack {
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Self {
        let mut pack = Self::new();
        for text in texts {
            pack.text(text);
        }
        pack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_packed_as_messagepack() {
        let mut pack = Pack::new();
        pack.text("ab");
        pack.maybe(None);
        pack.number(-2);
        pack.number(200);
        pack.list(["x"].into_iter().collect());
        let expected = [
            &[0xdd, 0, 0, 0, 5][..],
            &[0xa2, b'a', b'b', 0xc2, 0xfe, 0xd2, 0, 0, 0, 200],
            &[0xdd, 0, 0, 0, 1, 0xa1, b'x'],
        ];
        assert_eq!(pack.finish(), expected.concat());
    }

    #[test]
    fn the_length_of_a_text_takes_as_many_bytes_as_it_needs() {
        for (length, header) in [(31, 1), (32, 2), (255, 2), (256, 5), (70_000, 5)] {
            let mut pack = Pack::new();
            pack.text(&"x".repeat(length));
            assert_eq!(pack.finish().len(), HEADER.len() + header + length);
        }
    }
}
