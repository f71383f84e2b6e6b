//! A feeder: one partition that this instance owns. It pulls chunks from the head reader into the
//! ring, hands them to the tracks inside it, and lets catch-up readers bring the others there.
//!
//! Pacing, never correctness, is decided here. The head reads on when the furthest track can take
//! more. A slower one is followed until it has held the others back for its patience within a
//! minute; then it falls out, and a catch-up reader brings it back.
//!
//! The order of the `select!`: messages first, because they free memory and end tracks; then the
//! head, then catch-up readers; then the clock.

mod delivery;
mod fed;
mod head;

pub(super) use fed::{Appetite, Fed, Outside};

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::budget::Reservation;
use super::pass::{Pass, Step};
use super::ring::Ring;
use super::spec::{End, FeederInput, LaneInput, Notice, PipelineKey, Role, Shares};
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
            self.judge();
            let paced = self.deliver();
            self.arrange().await;
            let want_head = self.wants_head();
            let [live_step, build_step] = self.steps();
            let (shares, reserved) = (self.shares, self.reserved.is_some());
            let most = Duration::from_millis(if want_head && !reserved { 10 } else { 100 });
            let nap = paced.map_or(most, |paced| paced.min(most));
            let nap = build_step.nap(live_step.nap(nap));
            let [live_pass, build_pass] = &mut self.passes;
            let (live_bytes, build_bytes) = (live_step.bytes(), build_step.bytes());
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
                read = live_pass.next(live_bytes.unwrap_or(0)), if live_bytes.is_some() => {
                    self.pass_read(0, read).await;
                }
                read = build_pass.next(build_bytes.unwrap_or(0)), if build_bytes.is_some() => {
                    self.pass_read(1, read).await;
                }
                () = tokio::time::sleep(nap) => {}
            }
        }
    }

    /// What the catch-up readers do next.
    fn steps(&mut self) -> [Step; 2] {
        let outside = Outside {
            ring: self.head.is_some().then_some(&self.ring),
            gathered: self.gathered.is_some_and(|at| at <= Instant::now()),
            tracks: &self.tracks,
        };
        let (shares, budget) = (&self.shares, &self.around.budget);
        let steps = self
            .passes
            .each_mut()
            .map(|pass| pass.step(&outside, shares, budget));
        if steps.contains(&Step::Short) {
            self.shed();
        }
        steps
    }

    /// Notes which building tracks have caught up, and which fell behind again.
    fn judge(&mut self) {
        let is_building = |fed: &&mut Fed| fed.track.spec.role == Role::Building;
        let mut building = self.tracks.values_mut().filter(is_building).peekable();
        if building.peek().is_none() {
            return;
        }
        let bounds = self.around.board.bounds(&self.partition);
        let end = bounds.map(|bounds| bounds.high);
        let ring = self.head.is_some().then_some(&self.ring);
        building.for_each(|fed| fed.judge(end, ring));
    }

    fn accept(&mut self, input: FeederInput) {
        match input {
            FeederInput::Start(track) => {
                self.gathered.get_or_insert_with(|| Instant::now() + GATHER);
                self.tracks.insert(track.spec.key, Fed::new(track));
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
                    fed.credit(bytes);
                }
            }
            FeederInput::Spec(spec) => {
                if let Some(fed) = self.tracks.get_mut(&spec.key) {
                    fed.track.spec = spec;
                }
            }
            FeederInput::Shares(shares) => {
                self.shares = shares;
                self.ring.set_limit(shares.ring);
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
        self.arrange_head(now).await;
        self.make_room(elapsed, now);
        self.arrange_passes(now).await;
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
        let hit = self.hit(pass);
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
