//! Delivery: from the ring, and from catch-up readers, to the tracks.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::Feeder;
use super::fed::{Appetite, Outside};
use crate::pipeline::budget::HeldChunk;
use crate::pipeline::pass::Pass;
use crate::pipeline::spec::PipelineKey;
use crate::pipeline::surroundings::PAUSE;
use crate::position::Position;
use crate::record::RawChunk;
use crate::source::ReadFault;

impl Feeder {
    pub(super) fn outside(&self) -> Outside<'_> {
        Outside {
            ring: self.head.is_some().then_some(&self.ring),
            gathered: self
                .gathered
                .is_some_and(|at| at <= tokio::time::Instant::now()),
            tracks: &self.tracks,
        }
    }

    /// Hands what the ring holds to the tracks inside it. Answers how long until a pace allows more of it.
    pub(super) fn deliver(&mut self) -> Option<Duration> {
        self.head.as_ref()?;
        for fed in self.tracks.values_mut().filter(|fed| fed.follows()) {
            while fed.has_credit(&self.shares) {
                let Some(held) = self.ring.chunk_at(fed.position).cloned() else {
                    break;
                };
                fed.give(&self.partition, &held, &self.around.decoding, usize::MAX);
            }
        }
        self.deliver_metered()
    }

    /// The same for tracks that catch up at a pace: the tracks of one build that stand at one position go on
    /// together, and their pace is charged once.
    fn deliver_metered(&mut self) -> Option<Duration> {
        let metered = self
            .tracks
            .values()
            .filter(|fed| fed.is_fed() && fed.is_metered() && self.ring.contains(fed.position));
        let groups: HashSet<(Uuid, Position)> =
            metered.map(|fed| (fed.key().build, fed.position)).collect();
        let waits = groups
            .into_iter()
            .filter_map(|(build, at)| self.deliver_build(build, at));
        waits.collect::<Vec<_>>().into_iter().min()
    }

    fn deliver_build(&mut self, build: Uuid, mut at: Position) -> Option<Duration> {
        loop {
            let held = self.ring.chunk_at(at).cloned()?;
            let now = Instant::now();
            let mut most = usize::MAX;
            let riders = self.tracks.values().filter(|fed| {
                fed.is_fed() && fed.is_metered() && fed.key().build == build && fed.position == at
            });
            let mut keys: Vec<PipelineKey> = Vec::new();
            for fed in riders {
                match fed.appetite(&self.shares, now) {
                    Appetite::Ready(quantum) => most = most.min(quantum),
                    Appetite::Later(wait) => return Some(wait),
                    Appetite::Busy | Appetite::Stopped => return None,
                }
                keys.push(fed.key());
            }
            at = self.give_to(&keys, &held, most)?;
        }
    }

    /// Gives at most `most` records of `held` to these tracks and charges each pace once. Answers where the
    /// furthest stands then.
    fn give_to(&mut self, keys: &[PipelineKey], held: &HeldChunk, most: usize) -> Option<Position> {
        let now = Instant::now();
        let mut charges: Vec<(crate::pipeline::Pace, usize)> = Vec::new();
        let mut furthest = None;
        for key in keys {
            let Some(fed) = self.tracks.get_mut(key) else {
                continue;
            };
            let metered = fed.is_metered();
            let records = fed.give(&self.partition, held, &self.around.decoding, most);
            furthest = furthest.max(Some(fed.position));
            let pace = &fed.track.spec.pace;
            match charges.iter_mut().find(|(of, _)| of.is_shared_with(pace)) {
                _ if !metered => {}
                Some((_, charged)) => *charged = records.max(*charged),
                None => charges.push((pace.clone(), records)),
            }
        }
        for (pace, records) in charges {
            pace.charge(records, now);
        }
        furthest
    }

    pub(super) async fn pass_read(&mut self, index: usize, read: Result<RawChunk, ReadFault>) {
        let raw = match read {
            Ok(raw) => raw,
            Err(fault) => return self.reader_failed(fault, Some(index)),
        };
        if let Err(fault) = self.confirm_topic().await {
            return self.reader_failed(fault, Some(index));
        }
        let Some(reservation) = self.passes[index].take_reservation() else {
            return;
        };
        let held = self.around.decode(raw, reservation).await;
        failpoint!("feeder::decoded");
        let role = self.passes[index].role();
        let range = held.chunk().range();
        let now = Instant::now();
        // Not only those that the reader stood at: it takes up others as it passes them.
        let takes = |appetite| !matches!(appetite, Appetite::Busy | Appetite::Stopped);
        let keys: Vec<PipelineKey> = self
            .outside()
            .waiting(role)
            .filter(|fed| range.serves(fed.position) && takes(fed.appetite(&self.shares, now)))
            .map(|fed| fed.key())
            .collect();
        self.give_to(&keys, &held, usize::MAX);
        self.passes[index].advanced(held.chunk());
    }

    /// Opens catch-up readers where they are needed and ends them where they are not any more.
    pub(super) async fn arrange_passes(&mut self, now: tokio::time::Instant) {
        let outside = Outside {
            ring: self.head.is_some().then_some(&self.ring),
            gathered: self.gathered.is_some_and(|at| at <= now),
            tracks: &self.tracks,
        };
        for pass in &mut self.passes {
            if let Err(fault) = pass
                .arrange(
                    &outside,
                    &self.partition,
                    (&self.around.readers, &self.shares),
                )
                .await
            {
                tracing::warn!(partition = %self.partition, %fault, "catch-up reader could not be opened");
                self.paused_until = Some(now + PAUSE);
                return;
            }
        }
    }

    /// Which tracks read through this reader: a pass's, or the head's.
    pub(super) fn hit(&self, pass: Option<usize>) -> Vec<PipelineKey> {
        match pass {
            None => {
                let inside = |at| self.head.is_some() && self.ring.contains(at);
                let tracks = self.tracks.values();
                let hit = tracks.filter(|fed| fed.follows() && inside(fed.position));
                hit.map(|fed| fed.key()).collect()
            }
            Some(index) => {
                let role = Pass::role(&self.passes[index]);
                let hit = self.outside();
                hit.waiting(role).map(|fed| fed.key()).collect()
            }
        }
    }
}
