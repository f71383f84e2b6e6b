//! Writing one batch: one atomic step in the store, asked again while its outcome is unknown.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::batch::{Counts, Culprit, CutBatch, Rules, Segment};
use super::board::Board;
use super::onto::{Halt, fold_onto};
use super::spec::PipelineSpec;
use crate::fault::{Fault, FaultKind, Result};
use crate::position::{RecordName, TopicPartition};
use crate::projection::{Row, RowKey};
use crate::store::{Batch, Move, Outcome, Verdict};
use crate::telemetry;

/// How long a store may fail before its lane gives up, drops what it holds and claims again later.
const PATIENCE: Duration = Duration::from_secs(2);

/// How attempts that a cutover put off are counted.
const HELD: &str = "held";

/// A batch on its way.
pub(super) struct Commit {
    spec: Arc<PipelineSpec>,
    rules: Arc<Rules>,
    segments: Vec<Segment>,
    batch: Batch,
    /// The rows to fold onto; none when the rows' deltas are folded already.
    keys: Option<Vec<RowKey>>,
    events: usize,
    last_event: Option<RecordName>,
    counts: Counts,
}

/// What became of it.
pub(super) enum Written {
    Applied(Counts),
    Refused(Vec<Verdict>),
    /// A handler that reads rows failed at this event; nothing was written.
    Stopped(Culprit),
}

impl Commit {
    pub(super) fn new(spec: Arc<PipelineSpec>, rules: Arc<Rules>, cut: CutBatch) -> Self {
        Self {
            spec,
            rules,
            segments: cut.segments,
            batch: Batch {
                moves: cut.moves,
                rows: cut.rows,
            },
            keys: cut.keys,
            events: cut.events,
            last_event: cut.last_event,
            counts: cut.counts,
        }
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(super) fn moves(&self) -> &[Move] {
        &self.batch.moves
    }

    pub(super) fn events(&self) -> usize {
        self.events
    }

    pub(super) fn last_event(&self) -> Option<&RecordName> {
        self.last_event.as_ref()
    }

    pub(super) fn touches(&self, partition: &TopicPartition) -> bool {
        self.batch
            .moves
            .iter()
            .any(|wanted| wanted.partition == *partition)
    }
}

/// Writes the batch. Transient failures are repeated for [`PATIENCE`] with the same batch: a
/// store that applied it although its answer was lost says so then.
pub(super) async fn write(commit: Arc<Commit>, board: Board) -> Result<Written> {
    let metrics = telemetry::metrics();
    let store = commit.spec.key.store.as_str();
    let started = Instant::now();
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(500));
    loop {
        let asked = Instant::now();
        let written = attempt(&commit).await;
        let result = match &written {
            Ok(Some(_)) => "ok",
            Ok(None) => HELD,
            Err(fault) => fault.kind.as_str(),
        };
        metrics
            .store_operations
            .with_label_values(&[store, "apply", result])
            .inc();
        metrics
            .store_operation_duration
            .with_label_values(&[store, "apply"])
            .observe(asked.elapsed().as_secs_f64());
        if result == FaultKind::Transient.as_str() && commit.events > 0 {
            board.store_failed(commit.spec.key.store);
        }
        let written = match written {
            Ok(Some(written)) => Ok(written),
            Ok(None) => Err(Fault::transient("held for a cutover")),
            Err(fault) => Err(fault),
        };
        match written {
            Err(fault) if fault.kind == FaultKind::Transient && started.elapsed() < PATIENCE => {
                metrics
                    .retries
                    .with_label_values(&[&*commit.spec.generation.projection, store, result])
                    .inc();
                tokio::time::sleep(backoff.next()).await;
            }
            other => {
                metrics
                    .batch_apply_duration
                    .with_label_values(&[
                        &*commit.spec.generation.projection,
                        store,
                        commit.spec.role.as_str(),
                    ])
                    .observe(started.elapsed().as_secs_f64());
                return other;
            }
        }
    }
}

/// One attempt; none while a cutover holds the generation's batches.
async fn attempt(commit: &Commit) -> Result<Option<Written>> {
    let (store, generation) = (&commit.spec.store, &commit.spec.generation);
    if commit.events == 0 {
        let verdicts = store.advance(generation, &commit.batch.moves).await?;
        if verdicts.contains(&Verdict::NotApplied) {
            return Err(Fault::transient("cursors are locked by another session"));
        }
        let all = verdicts.iter().all(|verdict| *verdict == Verdict::Applied);
        return Ok(Some(if all {
            Written::Applied(commit.counts.clone())
        } else {
            Written::Refused(verdicts)
        }));
    }
    if let Some(keys) = &commit.keys {
        return attempt_reading(commit, keys.clone()).await;
    }
    Ok(match store.apply(generation, &commit.batch).await? {
        Outcome::Applied => Some(Written::Applied(commit.counts.clone())),
        Outcome::Refused(verdicts) => Some(Written::Refused(verdicts)),
        Outcome::Held => None,
    })
}

/// What came of folding onto loaded rows.
type Folded = Option<std::result::Result<Counts, Halt>>;

async fn attempt_reading(commit: &Commit, mut keys: Vec<RowKey>) -> Result<Option<Written>> {
    let (store, generation) = (&commit.spec.store, &commit.spec.generation);
    loop {
        let folded: Mutex<Folded> = Mutex::new(None);
        let fold = |rows: &[(RowKey, Option<Row>)]| {
            let (deltas, came) = match fold_onto(&commit.segments, &commit.rules, rows) {
                Ok((deltas, counts)) => (Ok(deltas), Ok(counts)),
                Err(Halt::At(culprit)) => (Err(culprit.fault.clone()), Err(Halt::At(culprit))),
                Err(unloaded) => (Err(Fault::transient("more rows are needed")), Err(unloaded)),
            };
            *folded.lock().unwrap_or_else(PoisonError::into_inner) = Some(came);
            deltas
        };
        let outcome = store
            .apply_reading(generation, &commit.batch.moves, &keys, &fold)
            .await;
        let folded = folded.into_inner().unwrap_or_else(PoisonError::into_inner);
        return Ok(Some(match (outcome, folded) {
            (Err(_), Some(Err(Halt::At(culprit)))) => Written::Stopped(culprit),
            (Err(_), Some(Err(Halt::Unloaded(more)))) => {
                keys.extend(more);
                keys.sort_unstable();
                keys.dedup();
                continue;
            }
            (Err(fault), _) => return Err(fault),
            (Ok(Outcome::Refused(verdicts)), _) => Written::Refused(verdicts),
            (Ok(Outcome::Held), _) => return Ok(None),
            (Ok(Outcome::Applied), Some(Ok(counts))) => Written::Applied(counts),
            // An earlier attempt, whose answer was lost, wrote it.
            (Ok(Outcome::Applied), _) => Written::Applied(commit.counts.clone()),
        }));
    }
}
