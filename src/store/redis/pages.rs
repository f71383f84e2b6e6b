//! Pages of rows of two generations, for comparing them while both go on.

use super::pack::Pack;
use super::reply::{Text, plain, tagged, unexpected};
use super::row::{Columns, row_of};
use super::scan::Scan;
use super::script::{COMPARE_PAGE, Call};
use super::{RedisStore, Target, cursors_of};
use crate::fault::{Fault, Result};
use crate::projection::RowKey;
use crate::store::shapes::same_key;
use crate::store::{ComparePage, PageToken};

/// A row as the script gives it, from both sides; none when it was left out.
type Pair = Option<(Vec<Text>, Vec<Text>)>;

/// Where a page begins: in the keys of which generation, and where there.
struct Place {
    /// The keys of the first generation are gone through first, then those of the second that the first lacks.
    second: bool,
    at: String,
}

impl Place {
    fn read(token: Option<&PageToken>) -> Result<Self> {
        let text = token.map_or("1 0", |token| &*token.0);
        match text.split_once(' ') {
            Some((side @ ("1" | "2"), at)) if at.parse::<u64>().is_ok() => Ok(Self {
                second: side == "2",
                at: at.to_owned(),
            }),
            _ => Err(Fault::bug("a page token that this store did not give")),
        }
    }

    fn token(&self, next: Option<&str>) -> Option<PageToken> {
        match (self.second, next) {
            (true, None) => None,
            (true, Some(at)) => Some(PageToken(format!("2 {at}"))),
            (false, None) => Some(PageToken("2 0".to_owned())),
            (false, Some(at)) => Some(PageToken(format!("1 {at}"))),
        }
    }
}

impl RedisStore {
    pub(super) async fn read_pages(
        &self,
        first: &Target<'_>,
        second: &Target<'_>,
        after: Option<&PageToken>,
        rows: usize,
    ) -> Result<Option<ComparePage>> {
        same_key(&first.generation.schema, &second.generation.schema)?;
        let place = Place::read(after)?;
        let source = if place.second { second } else { first };
        let mut scan = Scan::at(&source.keys.rows, place.at.clone());
        let found = scan.page(self, rows).await?;
        let keys: Pack = found.iter().map(String::as_str).collect();
        let names = [first, second].map(|side| Columns::of(&side.generation.schema));
        let [of_first, of_second] = names.map(Columns::finish);
        let all = [first.row_keys(), second.row_keys()].concat();
        let reply = self
            .reads
            .call(Call {
                script: &COMPARE_PAGE,
                keys: &all,
                arguments: &[
                    first.build.as_bytes(),
                    &of_first.0,
                    &of_first.1,
                    second.build.as_bytes(),
                    &of_second.0,
                    &of_second.1,
                    &keys.finish(),
                    if place.second { b"1" } else { b"0" },
                ],
            })
            .await?;
        let (tag, mut rest) = tagged(reply)?;
        if tag == "gone" {
            return Ok(None);
        }
        if tag != "page" || rest.len() != found.len() + 4 {
            return Err(unexpected(&tag));
        }
        let pairs = rest.split_off(4);
        let Ok([cursors, meta, other_cursors, other_meta]) = <[redis::Value; 4]>::try_from(rest)
        else {
            return Err(unexpected("page"));
        };
        let of_first = cursors_of(&first.build, plain(cursors)?, &plain(meta)?)?;
        let of_second = cursors_of(&second.build, plain(other_cursors)?, &plain(other_meta)?)?;
        let (Some(of_first), Some(of_second)) = (of_first, of_second) else {
            return Ok(None);
        };
        let mut page = ComparePage {
            rows: Vec::with_capacity(pairs.len()),
            first: of_first,
            second: of_second,
            next: place.token(scan.next()),
        };
        for (text, pair) in found.iter().zip(pairs) {
            let Some((one, other)) = plain::<Pair>(pair)? else {
                continue;
            };
            let one = row_of(&first.generation.schema, &one)?;
            let other = row_of(&second.generation.schema, &other)?;
            // Whatever was deleted since the key was found is on neither side.
            if one.is_some() || other.is_some() {
                page.rows.push((key_of(source, text)?, one, other));
            }
        }
        page.rows.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Some(page))
    }
}

fn key_of(target: &Target<'_>, text: &str) -> Result<RowKey> {
    RowKey::parse(&target.generation.schema, text).map_err(|why| {
        Fault::misconfigured(format!(
            "{}: a key in redis is no row key ({why}); something else writes to the view's keys",
            target.generation
        ))
    })
}
