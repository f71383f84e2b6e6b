//! A feeder: one partition that this instance owns. It pulls chunks from the head reader into the
//! ring, hands them to the tracks inside it, and lets catch-up readers bring the others there.
//!
//! Pacing, never correctness, is decided here. The head reads on when the furthest track can take
//! more. A slower one is followed until it has held the others back for its patience within a
//! minute; then it falls out, and a catch-up reader brings it back.
//!
//! The order of the `select!`: messages first, because they free memory and end tracks; then the
//! head, then catch-up readers; then the clock.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::budget::{HeldChunk, Reservation};
use super::decoding::Decoding;
use super::hold::Hold;
use super::pass::Pass;
use super::ring::Ring;
use super::spec::{End, FeedTrack, FeederInput, LaneInput, Notice, PipelineKey, Role, Shares};
use super::stall::{Reason, Stall};
use super::surroundings::{PAUSE, Surroundings};
use crate::fault::Fault;
use crate::position::{Position, TopicPartition};
use crate::record::RawChunk;
use crate::source::{PartitionStream, ReadFault, ReaderRole, same_topic};

/// How far below the furthest track the head still begins, in offsets.
const REACH: u64 = 10_000;
/// How long the head waits for the other claims of its partition before it begins.
const GATHER: Duration = Duration::from_millis(150);
/// After how long a silence a topic's identity is asked for before what comes next is taken. A topic
/// cannot be deleted, created anew and filled beyond our positions in less.
const SILENCE: Duration = Duration::from_millis(250);

/// A track, with where it stands.
pub(super) struct Fed {
    pub(super) track: FeedTrack,
    pub(super) position: Position,
    outstanding: usize,
    hold: Hold,
}

/// One owned partition.
pub(super) struct Feeder {
    partition: TopicPartition,
    around: Surroundings,
    shares: Shares,
    ring: Ring,
    head: Option<Box<dyn PartitionStream>>,
    reserved: Option<Reservation>,
    passes: [Pass; 2],
    tracks: HashMap<PipelineKey, Fed>,
    gathered: Option<Instant>,
    paused_until: Option<Instant>,
    last_tick: Instant,
    /// When the last chunk came that was known to be of the topic that positions belong to.
    confirmed: Option<Instant>,
}

impl Fed {
    pub(super) fn has_credit(&self, shares: &Shares) -> bool {
        self.outstanding < shares.window
    }

    /// Hands the part of `held` that the track has not seen to its lane.
    pub(super) fn give(
        &mut self,
        partition: &TopicPartition,
        held: &HeldChunk,
        decoding: &Decoding,
    ) {
        let decoded = held.chunk().map(self.track.plan.paths()).is_some();
        let chunk = if decoded {
            held.clone()
        } else {
            held.again(decoding)
        };
        self.outstanding += chunk.bytes();
        let from = self.position;
        self.position = chunk.chunk().range().to;
        let claim = self.track.claim;
        let _ = self.track.lane.send(LaneInput::Chunk {
            partition: partition.clone(),
            claim,
            chunk,
            from,
        });
    }
}

impl Feeder {
    pub(super) fn new(partition: TopicPartition, around: Surroundings, shares: Shares) -> Self {
        let now = Instant::now();
        Self {
            partition,
            around,
            shares,
            ring: Ring::new(Position::ZERO, shares.ring),
            head: None,
            reserved: None,
            passes: [Pass::new(ReaderRole::CatchUp), Pass::new(ReaderRole::Build)],
            tracks: HashMap::new(),
            gathered: None,
            paused_until: None,
            last_tick: now,
            confirmed: None,
        }
    }

    /// Runs until the engine lets go of it.
    pub(super) async fn run(mut self, mut inputs: UnboundedReceiver<FeederInput>) {
        loop {
            self.deliver();
            self.arrange().await;
            let want_head = self.wants_head();
            let (shares, reserved) = (self.shares, self.reserved.is_some());
            let [live_pass, build_pass] = &mut self.passes;
            let outside = Outside {
                ring: &self.ring,
                has_head: self.head.is_some(),
                tracks: &self.tracks,
            };
            let pull_live = live_pass.wants_next(&outside, &shares);
            let pull_build = build_pass.wants_next(&outside, &shares);
            tokio::select! {
                biased;
                input = inputs.recv() => match input {
                    Some(input) => {
                        self.accept(input);
                        while let Ok(more) = inputs.try_recv() {
                            self.accept(more);
                        }
                    }
                    None => return,
                },
                read = next_of(&mut self.head, shares.chunk), if want_head && reserved => {
                    self.head_read(read).await;
                }
                read = live_pass.next(shares.chunk), if pull_live => self.pass_read(0, read).await,
                read = build_pass.next(shares.chunk), if pull_build => self.pass_read(1, read).await,
                () = tokio::time::sleep(Duration::from_millis(if want_head && !reserved { 10 } else { 100 })) => {}
            }
        }
    }

    fn accept(&mut self, input: FeederInput) {
        match input {
            FeederInput::Start(track) => {
                self.gathered.get_or_insert_with(|| Instant::now() + GATHER);
                let position = track.position;
                let hold = Hold::new();
                self.tracks.insert(
                    track.key,
                    Fed {
                        track,
                        position,
                        outstanding: 0,
                        hold,
                    },
                );
            }
            FeederInput::Stop { key, claim } => {
                if self
                    .tracks
                    .get(&key)
                    .is_some_and(|fed| fed.track.claim == claim)
                {
                    self.tracks.remove(&key);
                }
            }
            FeederInput::Credit { key, claim, bytes } => {
                if let Some(fed) = self
                    .tracks
                    .get_mut(&key)
                    .filter(|fed| fed.track.claim == claim)
                {
                    fed.outstanding = fed.outstanding.saturating_sub(bytes);
                }
            }
            FeederInput::Shares(shares) => {
                self.shares = shares;
                self.ring.set_limit(shares.ring);
            }
        }
    }

    /// Hands what the ring holds to the tracks inside it.
    fn deliver(&mut self) {
        if self.head.is_none() {
            return;
        }
        for fed in self.tracks.values_mut() {
            while fed.has_credit(&self.shares) {
                let Some(held) = self.ring.chunk_at(fed.position).cloned() else {
                    break;
                };
                fed.give(&self.partition, &held, &self.around.decoding);
            }
        }
    }

    /// Opens, moves on or closes readers, and judges who holds back whom.
    async fn arrange(&mut self) {
        let now = Instant::now();
        let elapsed = now - self.last_tick;
        self.last_tick = now;
        if self.tracks.is_empty() {
            self.close_head();
            self.passes.iter_mut().for_each(Pass::close);
            self.gathered = None;
            return;
        }
        if self.paused_until.is_some_and(|until| now < until) {
            return;
        }
        let nobody_inside = !self
            .tracks
            .values()
            .any(|fed| self.ring.contains(fed.position));
        // The head never rewinds, but it jumps forward to a track that came back far ahead of it;
        // the ones it leaves behind are the catch-up reader's business.
        let far_ahead = self.head_start().is_some_and(|start| {
            self.ring.is_beyond(start) && self.ring.head().distance_to(start) > REACH
        });
        if self.head.is_some() && (nobody_inside || far_ahead) {
            self.close_head();
        }
        if self.head.is_none() && self.gathered.is_some_and(|at| at <= now) {
            self.open_head().await;
        }
        self.make_room(elapsed, now);
        let outside = Outside {
            ring: &self.ring,
            has_head: self.head.is_some(),
            tracks: &self.tracks,
        };
        for pass in &mut self.passes {
            if let Err(fault) = pass
                .arrange(&outside, &self.partition, &self.around.readers)
                .await
            {
                tracing::warn!(partition = %self.partition, %fault, "catch-up reader could not be opened");
                self.paused_until = Some(now + PAUSE);
                return;
            }
        }
    }

    /// Where a run of the head would begin now: at the lowest position that is within reach of the
    /// furthest, live tracks before others.
    fn head_start(&self) -> Option<Position> {
        let live: Vec<Position> = self.positions(|fed| fed.track.role == Role::Live);
        let positions = if live.is_empty() {
            self.positions(|_| true)
        } else {
            live
        };
        let furthest = positions.iter().copied().max()?;
        positions
            .into_iter()
            .filter(|at| at.distance_to(furthest) <= REACH)
            .min()
    }

    async fn open_head(&mut self) {
        let Some(start) = self.head_start() else {
            return;
        };
        match self
            .around
            .readers
            .open(ReaderRole::Head, &self.partition, start)
            .await
        {
            Ok(stream) => {
                self.head = Some(stream);
                self.ring = Ring::new(start, self.shares.ring);
            }
            Err(fault) => {
                tracing::warn!(partition = %self.partition, %fault, "head reader could not be opened");
                self.paused_until = Some(Instant::now() + PAUSE);
            }
        }
    }

    fn positions(&self, which: impl Fn(&Fed) -> bool) -> Vec<Position> {
        self.tracks
            .values()
            .filter(|fed| which(fed))
            .map(|fed| fed.position)
            .collect()
    }

    fn close_head(&mut self) {
        self.head = None;
        self.reserved = None;
        self.ring = Ring::new(self.ring.head(), self.shares.ring);
    }

    /// Whether a track inside the ring waits for what comes behind the head, and could take it.
    fn wants_head(&mut self) -> bool {
        let head = self.ring.head();
        let waiting = |fed: &Fed| fed.position == head && fed.has_credit(&self.shares);
        if self.head.is_none() || !self.ring.has_room() || !self.tracks.values().any(waiting) {
            self.reserved = None;
            return false;
        }
        if self.reserved.is_none() {
            self.reserved = self.around.budget.try_reserve(self.shares.chunk);
        }
        if self.reserved.is_none() {
            let needed = self.needed();
            self.ring.evict(needed, true);
        }
        true
    }

    /// The lowest position of the tracks inside the ring.
    fn needed(&self) -> Position {
        let inside = self
            .tracks
            .values()
            .map(|fed| fed.position)
            .filter(|at| self.ring.contains(*at));
        inside.min().unwrap_or_else(|| self.ring.head())
    }

    /// Drops chunks that all tracks have taken; a track that keeps the others waiting for too long falls out.
    fn make_room(&mut self, elapsed: Duration, now: Instant) {
        if self.head.is_none() || self.ring.has_room() {
            return;
        }
        let head = self.ring.head();
        let waits = |fed: &Fed| fed.position == head && fed.has_credit(&self.shares);
        let someone_waits = self.tracks.values().any(waits);
        let mut needed = head;
        for fed in self
            .tracks
            .values_mut()
            .filter(|fed| self.ring.contains(fed.position))
        {
            if fed.position == head
                || !someone_waits
                || fed.hold.may_hold(fed.track.role, elapsed, now)
            {
                needed = needed.min(fed.position);
            }
        }
        self.ring.evict(needed, false);
    }

    async fn head_read(&mut self, read: Result<RawChunk, ReadFault>) {
        let raw = match read {
            Ok(raw) => raw,
            Err(fault) => return self.reader_failed(fault, None),
        };
        if let Err(fault) = self.confirm_topic().await {
            return self.reader_failed(fault, None);
        }
        let Some(reservation) = self.reserved.take() else {
            return;
        };
        let held = self.around.decode(raw, reservation).await;
        failpoint!("feeder::decoded");
        if self.ring.push(held).is_err() {
            let fault = Fault::bug("head reader skipped offsets");
            self.reader_failed(ReadFault::Fault(fault), None);
        }
    }

    /// A recreated topic gives its reader records as if nothing had happened. So after a silence nothing is
    /// taken before the topic is known to be the same; a claim then finds out what it is instead.
    async fn confirm_topic(&mut self) -> Result<(), ReadFault> {
        if self.confirmed.is_some_and(|at| at.elapsed() <= SILENCE) {
            self.confirmed = Some(Instant::now());
            return Ok(());
        }
        let topic = &self.partition.topic;
        let id = self.around.source.topic_id(topic).await?;
        let same = |known: &str| id.as_deref().is_some_and(|id| same_topic(known, id));
        if self.tracks.values().all(|fed| same(&fed.track.topic_id)) {
            self.confirmed = Some(Instant::now());
            return Ok(());
        }
        self.confirmed = None;
        Err(ReadFault::Fault(Fault::transient(format!(
            "topic {topic} is another one now"
        ))))
    }

    async fn pass_read(&mut self, index: usize, read: Result<RawChunk, ReadFault>) {
        let raw = match read {
            Ok(raw) => raw,
            Err(fault) => return self.reader_failed(fault, Some(index)),
        };
        if let Err(fault) = self.confirm_topic().await {
            return self.reader_failed(fault, Some(index));
        }
        let reservation = self.around.reserve(self.shares.chunk).await;
        let held = self.around.decode(raw, reservation).await;
        failpoint!("feeder::decoded");
        let outside = |fed: &Fed| self.head.is_none() || !self.ring.contains(fed.position);
        let role = self.passes[index].role();
        for fed in self.tracks.values_mut() {
            if Pass::serves(role, fed) && outside(fed) && held.chunk().range().serves(fed.position)
            {
                fed.give(&self.partition, &held, &self.around.decoding);
            }
        }
        self.passes[index].advanced(held.chunk().range().to);
    }

    /// A reader cannot go on: its tracks end, and find out why when they are claimed again.
    fn reader_failed(&mut self, fault: ReadFault, pass: Option<usize>) {
        let end = match &fault {
            ReadFault::OutOfRange(position) => End::Log(Stall::now(
                Reason::RetentionLost,
                format!("{}: offset {position} is not in the log", self.partition),
            )),
            ReadFault::Fault(fault) => End::Away(Reason::KafkaUnreachable, fault.clone()),
        };
        tracing::warn!(partition = %self.partition, %fault, "reader ended");
        let inside = |fed: &Fed| self.head.is_some() && self.ring.contains(fed.position);
        let hit: Vec<PipelineKey> = self
            .tracks
            .iter()
            .filter(|(_, fed)| match pass {
                None => inside(fed),
                Some(index) => !inside(fed) && Pass::serves(self.passes[index].role(), fed),
            })
            .map(|(key, _)| *key)
            .collect();
        match pass {
            None => self.close_head(),
            Some(index) => self.passes[index].close(),
        }
        self.paused_until = Some(Instant::now() + PAUSE);
        for key in hit {
            let Some(fed) = self.tracks.remove(&key) else {
                continue;
            };
            let (partition, claim) = (self.partition.clone(), fed.track.claim);
            let _ = fed.track.lane.send(LaneInput::Close {
                partition: partition.clone(),
                claim,
            });
            let _ = self.around.notices.send(Notice::Ended {
                key,
                partition,
                claim,
                end: end.clone(),
            });
        }
    }
}

/// The tracks of a partition and whether they are outside of its ring.
pub(super) struct Outside<'f> {
    ring: &'f Ring,
    has_head: bool,
    tracks: &'f HashMap<PipelineKey, Fed>,
}

impl<'f> Outside<'f> {
    /// The tracks that `role`'s reader has to bring into the ring.
    pub(super) fn waiting(&self, role: ReaderRole) -> impl Iterator<Item = &'f Fed> {
        let (ring, has_head) = (self.ring, self.has_head);
        self.tracks.values().filter(move |fed| {
            has_head
                && Pass::serves(role, fed)
                && !ring.contains(fed.position)
                && !ring.is_beyond(fed.position)
        })
    }
}

/// The next chunk of the head; for ever when there is none.
async fn next_of(
    head: &mut Option<Box<dyn PartitionStream>>,
    max_bytes: usize,
) -> Result<RawChunk, ReadFault> {
    match head {
        Some(stream) => stream.next(max_bytes).await,
        None => std::future::pending().await,
    }
}
