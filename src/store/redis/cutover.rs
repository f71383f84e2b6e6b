//! Moving readers from one generation to another. One script compares and moves (I8); where the new
//! one is a little behind, live batches wait for it, for a moment that ends by itself.

use super::keys::cursor_field;
use super::pack::Pack;
use super::reply::{Text, plain, tagged, unexpected};
use super::script::{CUT_OVER, Call};
use super::settings::CUT_OVER_PAUSE;
use super::{RedisStore, Target};
use crate::fault::{Fault, Result};
use crate::store::{CutOver, CutOverOutcome};

/// What an attempt came to.
enum Attempt {
    Settled(CutOverOutcome),
    /// Not yet; batches wait meanwhile.
    Held,
}

/// One partition that stands in the way: its field, where the new generation stands and where it should stand.
struct Lack {
    field: String,
    at: Option<i64>,
    wanted: Option<i64>,
    /// Whether only the new generation has to come so far.
    is_target: bool,
}

impl RedisStore {
    pub(super) async fn move_readers(&self, cut: &CutOver) -> Result<CutOverOutcome> {
        let mut word = "hold";
        loop {
            match self.attempt(cut, word).await? {
                Attempt::Settled(outcome) => return Ok(outcome),
                Attempt::Held => tokio::time::sleep(CUT_OVER_PAUSE).await,
            }
            word = "wait";
        }
    }

    async fn attempt(&self, cut: &CutOver, word: &str) -> Result<Attempt> {
        let (from, to) = (self.target(&cut.from), self.target(&cut.to));
        let numbers = [&from, &to].map(|side| side.generation.number.to_string());
        let mut targets = Pack::new();
        for (partition, position) in &cut.targets {
            targets.text(&cursor_field(partition));
            targets.text(&position.to_string());
        }
        let reply = self
            .writes
            .call(Call {
                script: &CUT_OVER,
                keys: &[
                    &from.projection.live,
                    &from.projection.intent,
                    &from.keys.cursors,
                    &from.keys.meta,
                    &to.keys.cursors,
                ],
                arguments: &[
                    numbers[0].as_bytes(),
                    from.build.as_bytes(),
                    numbers[1].as_bytes(),
                    to.build.as_bytes(),
                    cut.intent.to_string().as_bytes(),
                    &targets.finish(),
                    word.as_bytes(),
                ],
            })
            .await?;
        let (tag, mut rest) = tagged(reply)?;
        if tag == "done" {
            return Ok(Attempt::Settled(CutOverOutcome::Done));
        }
        if rest.is_empty() {
            return Err(unexpected(&tag));
        }
        let first: String = plain(rest.remove(0))?;
        let overtaken = match tag.as_str() {
            "later" => format!("intent {first} came after intent {}", cut.intent),
            "used" => format!("intent {} was for generation {first}", cut.intent),
            "names" => format!(
                "readers see generation {first}, not generation {}",
                cut.from.number
            ),
            "gone" => format!("{} generation {first} is gone", cut.to.projection),
            "lacking" if first == "1" => return Ok(Attempt::Held),
            "lacking" => {
                let lacks: Vec<Vec<Text>> = rest.into_iter().map(plain).collect::<Result<_>>()?;
                let why = in_the_way(&from, &to, lacks)?;
                return Ok(Attempt::Settled(CutOverOutcome::NotYet(why)));
            }
            other => return Err(unexpected(other)),
        };
        Ok(Attempt::Settled(CutOverOutcome::Overtaken(overtaken)))
    }
}

/// Names the partition that is furthest from being ready, and how many others there are.
fn in_the_way(from: &Target<'_>, to: &Target<'_>, lacks: Vec<Vec<Text>>) -> Result<String> {
    let lacks: Vec<Lack> = lacks.into_iter().map(lack).collect::<Result<_>>()?;
    let worst = lacks.iter().max_by_key(|lack| lack.distance());
    let worst = worst.ok_or_else(|| unexpected("lacking"))?;
    let (field, to, from) = (&worst.field, to.generation.number, from.generation.number);
    let mut why = match (worst.at, worst.wanted) {
        (None, _) => format!("{field}: generation {to} does not read it yet"),
        (_, None) => format!("{field}: generation {from} does not read it yet"),
        _ if worst.is_target => {
            format!(
                "{field}: generation {to} has {} left to read",
                worst.distance()
            )
        }
        _ => format!(
            "{field}: generation {to} is {} behind generation {from}",
            worst.distance()
        ),
    };
    if lacks.len() > 1 {
        why.push_str(&format!(", and {} more", lacks.len() - 1));
    }
    Ok(why)
}

fn lack(parts: Vec<Text>) -> Result<Lack> {
    let wrong = || Fault::bug("redis answered a cutover with a partition in an unexpected form");
    let [Some(field), at, wanted, target] = <[Text; 4]>::try_from(parts).map_err(|_| wrong())?
    else {
        return Err(wrong());
    };
    let number = |text: Text| {
        text.map(|text| text.parse().map_err(|_| wrong()))
            .transpose()
    };
    Ok(Lack {
        field,
        at: number(at)?,
        wanted: number(wanted)?,
        is_target: target.is_some(),
    })
}

impl Lack {
    /// How many offsets are missing; without a cursor on either side, more than any.
    fn distance(&self) -> u64 {
        match (self.at, self.wanted) {
            (Some(at), Some(wanted)) => wanted.saturating_sub(at).max(0).unsigned_abs(),
            _ => u64::MAX,
        }
    }
}
