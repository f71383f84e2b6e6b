//! Proofs of membership: a synchronous commit that the coordinator refuses from a stale member (I5).
//!
//! One commit answers everyone who waits for one, so an assignment of sixty partitions costs a few commits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};

use crate::fault::{Fault, Result};
use crate::position::{Position, TopicPartition};

use super::client::classify;
use super::member::{MemberConsumer, Shared, add};

/// How long a commit is repeated while the group rebalances.
const REBALANCE_PATIENCE: Duration = Duration::from_secs(2);

/// The pause between two tries.
const RETRY: Duration = Duration::from_millis(100);

/// How long a caller waits for its answer. librdkafka may hold a commit longer than that while
/// the coordinator is away; such a late answer proves nothing to anybody.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long the question for the committed offsets may take.
const COMMITTED_WITHIN: Duration = Duration::from_secs(3);

/// Collects requests for proofs and answers them.
pub(super) struct Prover {
    requests: mpsc::UnboundedSender<Request>,
}

struct Request {
    partition: TopicPartition,
    position: Position,
    answer: oneshot::Sender<Result<()>>,
}

impl Prover {
    /// Starts the task that answers. Ends with the prover.
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let (requests, waiting) = mpsc::unbounded_channel();
        tokio::spawn(answer_all(shared, waiting));
        Self { requests }
    }

    /// See [`crate::source::Member::prove`].
    pub(super) async fn prove(&self, partition: &TopicPartition, position: Position) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            partition: partition.clone(),
            position,
            answer,
        };
        let stopped = || Fault::transient(format!("prove to own {partition}: the member has left"));
        self.requests.send(request).map_err(|_| stopped())?;
        match tokio::time::timeout(ANSWER_WITHIN, answered).await {
            Ok(answer) => answer.map_err(|_| stopped())?,
            Err(_) => Err(Fault::transient(format!(
                "prove to own {partition}: the group's coordinator does not answer"
            ))),
        }
    }
}

async fn answer_all(shared: Arc<Shared>, mut waiting: mpsc::UnboundedReceiver<Request>) {
    while let Some(first) = waiting.recv().await {
        let mut batch = vec![first];
        while let Ok(next) = waiting.try_recv() {
            batch.push(next);
        }
        let shared = Arc::clone(&shared);
        // Panics inside drop the senders, which the callers notice.
        let _ = tokio::task::spawn_blocking(move || answer(&shared, batch)).await;
    }
}

/// Answers a batch with as few commits as possible. Blocks.
fn answer(shared: &Shared, batch: Vec<Request>) {
    // Who went away while waiting needs no proof.
    let wanted = batch
        .into_iter()
        .filter(|request| !request.answer.is_closed());
    let (owned, others): (Vec<_>, Vec<_>) =
        wanted.partition(|request| shared.owns(&request.partition));
    for request in others {
        let fault = not_owned(&request.partition);
        let _ = request.answer.send(Err(fault));
    }
    let together = commit_for(shared, &owned);
    // A partition of its own trouble (its topic was deleted, say) must not fail the others.
    let apart = owned.len() > 1 && matches!(together, Err(Refusal::Partition(_)));
    for request in owned {
        let outcome = if apart {
            commit_for(shared, std::slice::from_ref(&request))
        } else {
            together.clone()
        };
        let answer = match outcome {
            Ok(()) if shared.owns(&request.partition) => Ok(()),
            Ok(()) => Err(not_owned(&request.partition)),
            Err(refusal) => Err(refusal.fault(&request.partition)),
        };
        let _ = request.answer.send(answer);
    }
}

fn not_owned(partition: &TopicPartition) -> Fault {
    Fault::fenced(format!("{partition} is not assigned to this instance"))
}

/// Why a commit was refused.
#[derive(Clone, Debug, PartialEq)]
enum Refusal {
    /// It says something about the member.
    Member(RDKafkaErrorCode),
    /// It says something about a partition.
    Partition(RDKafkaErrorCode),
    /// There is no client to ask with right now.
    NoClient,
}

impl Refusal {
    fn of(code: RDKafkaErrorCode) -> Self {
        match code {
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::UnknownTopicId
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopic => Self::Partition(code),
            other => Self::Member(other),
        }
    }

    fn fault(self, partition: &TopicPartition) -> Fault {
        let what = format!("prove to own {partition}");
        match self {
            Self::Member(code) | Self::Partition(code) => classify(&what, code),
            Self::NoClient => Fault::transient(format!("{what}: the group client is rebuilt")),
        }
    }

    /// Whether asking again soon may help: the group is between two generations.
    fn passes_soon(&self) -> bool {
        matches!(
            self,
            Self::Member(
                RDKafkaErrorCode::IllegalGeneration
                    | RDKafkaErrorCode::RebalanceInProgress
                    | RDKafkaErrorCode::StaleMemberEpoch
                    | RDKafkaErrorCode::UnstableOffsetCommit
                    | RDKafkaErrorCode::CoordinatorLoadInProgress
            )
        )
    }
}

/// One commit for all `requests`, repeated while the group rebalances.
fn commit_for(shared: &Shared, requests: &[Request]) -> Result<(), Refusal> {
    if requests.is_empty() {
        // An empty commit proves nothing, and nobody asked.
        return Ok(());
    }
    let patience = Instant::now() + REBALANCE_PATIENCE;
    loop {
        let outcome = commit_once(shared, requests);
        match &outcome {
            Err(refusal) if refusal.passes_soon() && Instant::now() < patience => {
                std::thread::sleep(RETRY);
            }
            _ => return outcome,
        }
    }
}

fn commit_once(shared: &Shared, requests: &[Request]) -> Result<(), Refusal> {
    let consumer = shared.client().ok_or(Refusal::NoClient)?;
    let mut list = TopicPartitionList::with_capacity(requests.len());
    let repeated = to_commit(shared, &consumer, requests)?;
    for (partition, position) in &repeated {
        add(&mut list, partition, *position);
    }
    consumer
        .commit(&list, CommitMode::Sync)
        .map_err(|error| Refusal::of(code_of(&error)))?;
    shared.health().answered();
    if consumer.assignment_lost() {
        return Err(Refusal::Member(RDKafkaErrorCode::AssignmentLost));
    }
    for (partition, position) in repeated {
        shared.has_committed(&partition, Some(position));
    }
    Ok(())
}

/// What repeats the last committed offsets, or begins with the given ones.
fn to_commit(
    shared: &Shared,
    consumer: &MemberConsumer,
    requests: &[Request],
) -> Result<Vec<(TopicPartition, Position)>, Refusal> {
    let mut unknown = TopicPartitionList::new();
    for request in requests {
        if shared.committed(&request.partition).is_none() {
            unknown.add_partition(&request.partition.topic, request.partition.partition);
        }
    }
    if unknown.count() > 0 {
        unknown = consumer
            .committed_offsets(unknown, COMMITTED_WITHIN)
            .map_err(|error| Refusal::of(code_of(&error)))?;
    }
    let committed = |partition: &TopicPartition| {
        let element = unknown.find_partition(&partition.topic, partition.partition)?;
        match element.offset() {
            Offset::Offset(offset) => Some(Position::at(offset)),
            _ => None,
        }
    };
    Ok(requests
        .iter()
        .map(|request| {
            let partition = &request.partition;
            let position = shared
                .committed(partition)
                .or_else(|| committed(partition))
                .unwrap_or(request.position);
            (partition.clone(), position)
        })
        .collect())
}

fn code_of(error: &rdkafka::error::KafkaError) -> RDKafkaErrorCode {
    error
        .rdkafka_error_code()
        .unwrap_or(RDKafkaErrorCode::Unknown)
}

#[cfg(test)]
mod tests {
    use crate::fault::FaultKind;

    use super::*;

    fn kind(code: RDKafkaErrorCode) -> FaultKind {
        Refusal::of(code)
            .fault(&TopicPartition::new("orders", 1))
            .kind
    }

    #[test]
    fn a_stale_member_is_fenced_i5() {
        for code in [
            RDKafkaErrorCode::UnknownMemberId,
            RDKafkaErrorCode::FencedMemberEpoch,
            RDKafkaErrorCode::FencedInstanceId,
            RDKafkaErrorCode::AssignmentLost,
        ] {
            assert_eq!(kind(code), FaultKind::Fenced, "{code}");
            assert!(!Refusal::of(code).passes_soon());
        }
    }

    #[test]
    fn a_rebalance_is_waited_for_and_then_transient() {
        for code in [
            RDKafkaErrorCode::IllegalGeneration,
            RDKafkaErrorCode::RebalanceInProgress,
            RDKafkaErrorCode::StaleMemberEpoch,
        ] {
            assert!(Refusal::of(code).passes_soon());
            assert_eq!(kind(code), FaultKind::Transient, "{code}");
        }
    }

    #[test]
    fn a_coordinator_that_is_away_blames_nobody() {
        assert_eq!(
            kind(RDKafkaErrorCode::WaitingForCoordinator),
            FaultKind::Transient
        );
        assert_eq!(
            kind(RDKafkaErrorCode::BrokerTransportFailure),
            FaultKind::Transient
        );
    }
}
