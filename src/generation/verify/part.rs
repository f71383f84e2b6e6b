//! Parts of all keys, by a hash that is the same everywhere.

use sha2::{Digest, Sha256};

use crate::fault::{Fault, Result};
use crate::projection::RowKey;

/// The keys whose hash lies in `low..=high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    low: u64,
    high: u64,
}

impl Part {
    /// All keys.
    pub(super) const ALL: Self = Self {
        low: 0,
        high: u64::MAX,
    };

    /// About this part of all keys, always the same ones.
    ///
    /// # Errors
    /// `Misconfigured` unless `0 < sample ≤ 1`.
    pub(super) fn sample(sample: f64) -> Result<Self> {
        if !(sample > 0.0 && sample <= 1.0) {
            let what = format!("a sample of {sample} is not above 0 and at most 1");
            return Err(Fault::misconfigured(what));
        }
        if sample == 1.0 {
            return Ok(Self::ALL);
        }
        // The cast rounds down and cannot reach the end.
        let high = (sample * u64::MAX as f64) as u64;
        Ok(Self { low: 0, high })
    }

    pub(super) fn contains(self, key: &RowKey) -> bool {
        self == Self::ALL || (self.low..=self.high).contains(&hash(key))
    }

    /// Its halves; none when it cannot be split.
    pub(super) fn halves(self) -> Option<(Self, Self)> {
        if self.low == self.high {
            return None;
        }
        let middle = self.low + (self.high - self.low) / 2;
        let lower = Self {
            high: middle,
            ..self
        };
        let upper = Self {
            low: middle + 1,
            ..self
        };
        Some((lower, upper))
    }
}

fn hash(key: &RowKey) -> u64 {
    let digest = Sha256::digest(key.text().as_bytes());
    let bytes = digest.iter().take(8);
    bytes.fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::{ColumnType, Schema, Value};

    #[test]
    fn parts_share_out_the_sampled_keys() {
        let schema = Schema::builder("v")
            .key("id", ColumnType::Bigint)
            .build()
            .unwrap();
        let key = |id| RowKey::new(&schema, vec![Value::Int(id)]).unwrap();
        let sample = Part::sample(0.5).unwrap();
        let (lower, upper) = sample.halves().unwrap();
        let (mut sampled, mut all) = (0, 0);
        for id in 0..1000 {
            let key = key(id);
            let inside = sample.contains(&key);
            assert_eq!(inside, lower.contains(&key) != upper.contains(&key));
            sampled += usize::from(inside);
            all += usize::from(Part::ALL.contains(&key));
        }
        assert!((400..600).contains(&sampled), "{sampled}");
        assert_eq!(all, 1000);
        for wrong in [0.0, -1.0, 1.1, f64::NAN] {
            assert!(Part::sample(wrong).is_err());
        }
        let one = Part { low: 3, high: 3 };
        assert_eq!(one.halves(), None);
    }
}
