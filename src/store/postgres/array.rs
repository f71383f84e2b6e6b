//! Columns of a batch as array parameters, written straight into the wire format.
//!
//! `text[]` with an explicit cast in the statement serves every column type, and a batch
//! costs one buffer per column instead of one allocation per value.

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, Postgres};
use sqlx::types::Type;

const TEXT_OID: u32 = 25;
const BYTEA_OID: u32 = 17;
/// Where the flag stands that says whether there are nulls, and where the length.
const NULLS_AT: std::ops::Range<usize> = 4..8;
const LENGTH_AT: std::ops::Range<usize> = 12..16;

/// A one-dimensional array under construction.
#[derive(Debug)]
pub(super) struct Array {
    ty: PgTypeInfo,
    wire: Vec<u8>,
    length: i32,
    nulls: bool,
}

impl Array {
    /// An empty `text[]`.
    pub(super) fn texts() -> Self {
        Self::of(<Vec<String> as Type<Postgres>>::type_info(), TEXT_OID)
    }

    /// An empty `bytea[]`.
    pub(super) fn bytes() -> Self {
        Self::of(<Vec<Vec<u8>> as Type<Postgres>>::type_info(), BYTEA_OID)
    }

    fn of(ty: PgTypeInfo, element: u32) -> Self {
        let mut wire = Vec::with_capacity(1024);
        wire.extend_from_slice(&1_i32.to_be_bytes());
        wire.extend_from_slice(&0_i32.to_be_bytes());
        wire.extend_from_slice(&element.to_be_bytes());
        wire.extend_from_slice(&0_i32.to_be_bytes());
        wire.extend_from_slice(&1_i32.to_be_bytes());
        Self {
            ty,
            wire,
            length: 0,
            nulls: false,
        }
    }

    /// Appends a null.
    pub(super) fn push_null(&mut self) {
        self.wire.extend_from_slice(&(-1_i32).to_be_bytes());
        self.length += 1;
        self.nulls = true;
    }

    /// Appends the bytes that `write` writes.
    pub(super) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let size_at = self.wire.len();
        self.wire.extend_from_slice(&[0; 4]);
        write(&mut self.wire);
        let size = i32::try_from(self.wire.len() - size_at - 4).unwrap_or(i32::MAX);
        if let Some(place) = self.wire.get_mut(size_at..size_at + 4) {
            place.copy_from_slice(&size.to_be_bytes());
        }
        self.length += 1;
    }

    /// Appends `bytes`.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.push_with(|wire| wire.extend_from_slice(bytes));
    }
}

impl Type<Postgres> for Array {
    fn type_info() -> PgTypeInfo {
        <Vec<String> as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Array {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let start = buffer.len();
        buffer.extend_from_slice(&self.wire);
        for (place, number) in [(NULLS_AT, i32::from(self.nulls)), (LENGTH_AT, self.length)] {
            if let Some(field) = buffer.get_mut(start + place.start..start + place.end) {
                field.copy_from_slice(&number.to_be_bytes());
            }
        }
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.ty.clone())
    }
}
