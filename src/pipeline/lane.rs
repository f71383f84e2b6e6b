//! A lane: one writer of one pipeline. It folds what its tracks bring into the next batch while
//! the previous one commits, and commits one batch at a time.
//!
//! The order of its `select!` is argued: an answer of the store comes first, because it frees
//! memory and the connection; then input; then the clock, which only matters when both are quiet.
//!
//! Whatever goes wrong with a track ends the track, by name, with a notice to the engine. A track starts again only
//! through a claim, so a lane never repairs positions by itself (I5, I6).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::batch::{Culprit, Left, OpenBatch, Room, Rules, Segment};
use super::board::Board;
use super::commit::{self, Commit, Written};
use super::spec::{End, FeederInput, LaneInput, LaneTrack, Limits, Notice, PipelineSpec};
use super::stall::Reason;
use crate::fault::{Fault, FaultKind};
use crate::position::{RecordName, TopicPartition};
use crate::store::Verdict;
use crate::telemetry;

/// How long cursors may lag behind when nothing touches rows.
const HOLE_PERIOD: Duration = Duration::from_secs(1);

/// How many bytes of events that touch no row a lane may hold back meanwhile: less than the smallest window.
const HELD_BACK: usize = 32 << 10;

/// One writer of one pipeline.
pub(super) struct Lane {
    spec: Arc<PipelineSpec>,
    rules: Arc<Rules>,
    limits: Limits,
    tracks: HashMap<TopicPartition, LaneTrack>,
    /// Tracks that end as soon as what lies before the culprit is written.
    stopping: HashMap<TopicPartition, Culprit>,
    pending: VecDeque<Segment>,
    open: OpenBatch,
    opened: Instant,
    inflight: Option<InFlight>,
    /// The most events per batch while a rejected one is being searched.
    events_at_once: usize,
    finishing: bool,
    notices: UnboundedSender<Notice>,
    board: Board,
}

struct InFlight {
    commit: Arc<Commit>,
    answer: JoinHandle<Result<Written, Fault>>,
}

impl Lane {
    pub(super) fn new(
        spec: Arc<PipelineSpec>,
        limits: Limits,
        notices: UnboundedSender<Notice>,
        board: Board,
    ) -> Self {
        let rules = Rules::of(&spec);
        Self {
            open: OpenBatch::new(&spec.plan),
            rules: Arc::new(rules),
            spec,
            limits,
            tracks: HashMap::new(),
            stopping: HashMap::new(),
            pending: VecDeque::new(),
            opened: Instant::now(),
            inflight: None,
            events_at_once: usize::MAX,
            finishing: false,
            notices,
            board,
        }
    }

    /// Runs until it was told to finish and has.
    pub(super) async fn run(mut self, mut inputs: UnboundedReceiver<LaneInput>) {
        loop {
            self.fold_pending();
            self.end_stopped();
            self.start_commit();
            if self.finishing && self.inflight.is_none() {
                return;
            }
            let wake = self.next_wake();
            tokio::select! {
                biased;
                answer = answer_of(&mut self.inflight) => self.settle(answer),
                input = inputs.recv() => match input {
                    Some(input) => {
                        self.accept(input);
                        while let Ok(more) = inputs.try_recv() {
                            self.accept(more);
                        }
                    }
                    None => self.finishing = true,
                },
                () = tokio::time::sleep(wake) => {}
            }
        }
    }

    fn next_wake(&self) -> Duration {
        if self.open.is_empty() || self.inflight.is_some() {
            return HOLE_PERIOD;
        }
        HOLE_PERIOD.saturating_sub(self.opened.elapsed())
    }

    fn accept(&mut self, input: LaneInput) {
        match input {
            LaneInput::Open(track) => {
                self.drop_track(&track.partition);
                self.tracks.insert(track.partition.clone(), track);
            }
            LaneInput::Chunk {
                partition,
                claim,
                chunk,
                range,
            } => {
                if self.is_current(&partition, claim) && !self.stopping.contains_key(&partition) {
                    self.pending
                        .push_back(Segment::new(partition, claim, chunk, range));
                }
            }
            LaneInput::Close { partition, claim } => {
                if self.is_current(&partition, claim) {
                    self.drop_track(&partition);
                }
            }
            LaneInput::Spec(spec) => {
                self.change_rules(|rules| rules.follow(&spec));
                self.spec = spec;
            }
            LaneInput::Finish => {
                self.finishing = true;
                self.pending.clear();
            }
        }
    }

    fn is_current(&self, partition: &TopicPartition, claim: Uuid) -> bool {
        self.tracks
            .get(partition)
            .is_some_and(|track| track.claim == claim)
    }

    fn change_rules(&mut self, change: impl FnOnce(&mut Rules)) {
        let mut rules = (*self.rules).clone();
        change(&mut rules);
        self.rules = Arc::new(rules);
    }

    /// Forgets a track. What of it is folded already is folded again without it; what is
    /// being written may still be written: its claim decides.
    fn drop_track(&mut self, partition: &TopicPartition) {
        if self.tracks.remove(partition).is_none() {
            return;
        }
        self.stopping.remove(partition);
        self.pending
            .retain(|segment| segment.partition != *partition);
        if self
            .rules
            .rejected
            .keys()
            .any(|(rejected, _)| rejected == partition)
        {
            self.change_rules(|rules| {
                rules
                    .rejected
                    .retain(|(rejected, _), _| rejected != partition)
            });
        }
        if self.open.holds(partition) {
            self.unfold();
        }
    }

    /// Takes the open batch apart: its segments wait again, in order, before all others.
    fn unfold(&mut self) {
        let open = self.open.finish();
        self.requeue(open.segments);
    }

    fn requeue(&mut self, segments: Vec<Segment>) {
        for segment in segments.into_iter().rev() {
            if self.is_current(&segment.partition, segment.claim) {
                self.pending.push_front(segment);
            }
        }
    }

    fn room(&self) -> Room {
        Room {
            rows: self.limits.batch_rows.min(self.spec.most_rows()),
            bytes: self.limits.batch_bytes,
            events: self.events_at_once,
        }
    }

    fn fold_pending(&mut self) {
        let room = self.room();
        while !self.finishing && !self.open.is_full(&room) {
            let Some(segment) = self.pending.pop_front() else {
                return;
            };
            let behind_culprit = |culprit: &Culprit| segment.to.offset() > culprit.record.offset;
            if self
                .stopping
                .get(&segment.partition)
                .is_some_and(behind_culprit)
            {
                continue;
            }
            if self.open.is_empty() {
                self.opened = Instant::now();
            }
            failpoint!("lane::folding");
            let Left { rest, culprit } = self.open.take(segment, &self.rules, &room);
            match (rest, culprit) {
                (_, Some(culprit)) if self.is_rejected(&culprit.record) => {
                    self.stopping
                        .insert(culprit.record.partition.clone(), culprit);
                }
                (rest, Some(culprit)) => {
                    self.put_back(rest);
                    self.reject(culprit);
                }
                (rest, None) => self.put_back(rest),
            }
        }
    }

    fn put_back(&mut self, rest: Option<Segment>) {
        if let Some(segment) = rest {
            self.pending.push_front(segment);
        }
    }

    fn is_rejected(&self, record: &RecordName) -> bool {
        self.rules
            .rejected
            .contains_key(&(record.partition.clone(), record.offset))
    }

    /// Marks the event and folds again: what was folded may hold a part of it.
    fn reject(&mut self, culprit: Culprit) {
        let Culprit { record, fault } = culprit;
        self.change_rules(|rules| {
            rules
                .rejected
                .insert((record.partition, record.offset), fault);
        });
        self.unfold();
    }

    /// Ends the tracks before whose culprit nothing is left to write.
    fn end_stopped(&mut self) {
        let written: Vec<TopicPartition> = self
            .stopping
            .keys()
            .filter(|partition| {
                !self.open.holds(partition)
                    && !self.is_in_flight(partition)
                    && !self
                        .pending
                        .iter()
                        .any(|segment| segment.partition == **partition)
            })
            .cloned()
            .collect();
        for partition in written {
            if let Some(Culprit { record, fault }) = self.stopping.remove(&partition) {
                self.end(&partition, End::Poison { record, fault });
            }
        }
    }

    fn is_in_flight(&self, partition: &TopicPartition) -> bool {
        self.inflight
            .as_ref()
            .is_some_and(|inflight| inflight.commit.touches(partition))
    }

    fn end(&mut self, partition: &TopicPartition, end: End) {
        if let Some(track) = self.tracks.get(partition) {
            let (key, claim) = (self.spec.key, track.claim);
            let _ = track.feeder.send(FeederInput::Stop { key, claim });
            let _ = self.notices.send(Notice::Ended {
                key,
                partition: partition.clone(),
                claim,
                end,
            });
        }
        self.drop_track(partition);
    }

    fn start_commit(&mut self) {
        if self.inflight.is_some() || self.open.is_empty() {
            return;
        }
        // Whatever waited is folded by now: with the store idle, rows are never held back. Cursors
        // alone can wait, as long as they do not keep back much that was read.
        if !self.open.touches_rows()
            && self.open.bytes() < HELD_BACK
            && self.opened.elapsed() < HOLE_PERIOD
            && !self.open.is_sealed()
            && !self.finishing
        {
            return;
        }
        let commit = Arc::new(Commit::new(
            Arc::clone(&self.spec),
            Arc::clone(&self.rules),
            self.open.finish(),
        ));
        failpoint!("lane::cut");
        let answer = tokio::spawn(commit::write(Arc::clone(&commit), self.board.clone()));
        self.inflight = Some(InFlight { commit, answer });
    }

    fn settle(&mut self, answer: Result<Written, Fault>) {
        let Some(InFlight { commit, .. }) = self.inflight.take() else {
            return;
        };
        match answer {
            Ok(Written::Applied(counts)) => {
                self.events_at_once = self.events_at_once.saturating_mul(2);
                self.board.applied(&self.spec, &commit, &counts);
                self.release(&commit);
            }
            Ok(Written::Refused(verdicts)) => {
                self.fold_again(&commit);
                for (wanted, verdict) in commit.moves().iter().zip(verdicts) {
                    self.judge(&wanted.partition, wanted.claim, verdict);
                }
            }
            Ok(Written::Stopped(culprit)) => {
                self.fold_again(&commit);
                self.reject(culprit);
            }
            Err(fault) => self.fail(&commit, fault),
        }
    }

    fn fold_again(&mut self, commit: &Commit) {
        self.unfold();
        self.requeue(commit.segments().to_vec());
    }

    /// Gives the bytes of a written batch back to the feeders.
    fn release(&self, commit: &Commit) {
        let key = self.spec.key;
        for segment in commit.segments() {
            let done = segment.end == segment.chunk.chunk().len();
            if let Some(track) = self.tracks.get(&segment.partition)
                && track.claim == segment.claim
                && done
            {
                let bytes = segment.chunk.bytes();
                let _ = track.feeder.send(FeederInput::Credit {
                    key,
                    claim: segment.claim,
                    bytes,
                });
            }
        }
    }

    fn judge(&mut self, partition: &TopicPartition, claim: Uuid, verdict: Verdict) {
        if !self.is_current(partition, claim) {
            return;
        }
        let end = match verdict {
            Verdict::NotApplied => return,
            // All or nothing: a part that is applied beside one that is not was applied by an
            // attempt whose answer was lost. Claiming again finds where the store stands.
            Verdict::Applied => End::Moved("written by an earlier attempt".to_owned()),
            Verdict::Fenced => {
                telemetry::metrics()
                    .fenced_writes
                    .with_label_values(&[self.spec.key.store.as_str()])
                    .inc();
                End::Fenced
            }
            Verdict::Gone => End::Gone,
            Verdict::Behind(stored) => {
                End::Moved(format!("the store lost its tail and stands at {stored}"))
            }
            Verdict::Moved(stored) => End::Moved(format!("the store stands at {stored}")),
        };
        self.end(partition, end);
    }

    fn fail(&mut self, commit: &Commit, fault: Fault) {
        match fault.kind {
            FaultKind::Poison if commit.events() > 1 => {
                self.events_at_once = commit.events() / 2;
                self.fold_again(commit);
            }
            FaultKind::Poison if commit.last_event().is_some() => {
                self.fold_again(commit);
                if let Some(record) = commit.last_event().cloned() {
                    self.reject(Culprit { record, fault });
                }
            }
            _ => {
                let end = match fault.kind {
                    FaultKind::Transient => End::Away(Reason::StoreUnreachable, fault),
                    FaultKind::Fenced => End::Fenced,
                    FaultKind::Poison | FaultKind::Misconfigured | FaultKind::Bug => {
                        End::Broken(fault)
                    }
                };
                let partitions: Vec<TopicPartition> = self.tracks.keys().cloned().collect();
                for partition in partitions {
                    self.end(&partition, end.clone());
                }
            }
        }
    }
}

/// Waits for the store's answer; for ever when nothing is being written.
async fn answer_of(inflight: &mut Option<InFlight>) -> Result<Written, Fault> {
    match inflight {
        Some(inflight) => (&mut inflight.answer).await.unwrap_or_else(|error| {
            Err(Fault::bug(format!(
                "writing a batch ended abnormally: {error}"
            )))
        }),
        None => std::future::pending().await,
    }
}
