//! Excerpts: parts of the log, read and decoded outside of the rings, for verification and plans.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::decoding::{Decoding, Envelopes};
use crate::event::Chunk;
use crate::fault::{Fault, Result};
use crate::position::{Position, Range, TopicPartition};
use crate::projection::Projection;
use crate::source::{Bounds, EventSource, PartitionStream, ReadFault, Reader, ReaderRole};

/// How much is read at once, in bytes.
const CHUNK_BYTES: usize = 1 << 20;
/// How long the log may give nothing of a range that was there already.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads parts of the log. Uses a client of its own, which is opened when it is first needed.
pub struct Excerpts {
    source: Arc<dyn EventSource>,
    envelopes: Arc<dyn Envelopes>,
    /// The client of the last read. Reads at the same time open further ones, which end with them: a client
    /// reads a partition for one of them only.
    idle: Mutex<Option<Client>>,
}

struct Client {
    reader: Arc<dyn Reader>,
    decoding: Decoding,
}

impl Excerpts {
    /// Reads nothing yet.
    pub fn new(source: Arc<dyn EventSource>, envelopes: Arc<dyn Envelopes>) -> Self {
        Self {
            source,
            envelopes,
            idle: Mutex::default(),
        }
    }

    /// The readable bounds of a partition now.
    ///
    /// # Errors
    /// `Transient` when the broker does not answer.
    pub async fn bounds(&self, partition: &TopicPartition) -> Result<Bounds> {
        self.source.bounds(partition).await
    }

    /// Reads the records of `range` in order, decoded for these projections (which may ask for the paths
    /// of their plans), and hands them to `each`, chunk by chunk: chunks may begin before and end behind the
    /// range, so `each` must look at offsets. Holds one chunk (≤ 1 MiB, or one larger record) at a time.
    ///
    /// # Errors
    /// `Misconfigured` when the log does not reach back to the range's begin any more; `Transient` when the broker
    /// does not answer or gives nothing for 10 s; whatever `each` answers.
    pub async fn read(
        &self,
        partition: &TopicPartition,
        range: Range,
        plans: &[Arc<dyn Projection>],
        each: &mut (dyn FnMut(&Chunk) -> Result<()> + Send),
    ) -> Result<()> {
        if range.to <= range.from {
            return Ok(());
        }
        self.reaches_back(partition, range.from).await?;
        let client = self.client().await?;
        client.decoding.need(&partition.topic, plans.iter());
        let stream = client.reader.open(partition, range.from).await?;
        // A client that failed is not kept.
        self.pump(&client.decoding, stream, (partition, range), each)
            .await?;
        *self.idle() = Some(client);
        Ok(())
    }

    async fn pump(
        &self,
        decoding: &Decoding,
        mut stream: Box<dyn PartitionStream>,
        (partition, range): (&TopicPartition, Range),
        each: &mut (dyn FnMut(&Chunk) -> Result<()> + Send),
    ) -> Result<()> {
        loop {
            let read = tokio::time::timeout(PATIENCE, stream.next(CHUNK_BYTES)).await;
            let raw = match read {
                Ok(Ok(raw)) => raw,
                Ok(Err(ReadFault::Fault(fault))) => return Err(fault),
                Ok(Err(ReadFault::OutOfRange(at))) => {
                    self.reaches_back(partition, at).await?;
                    let what = format!("{partition}: offset {at} is not in the log");
                    return Err(Fault::transient(what));
                }
                Err(_) => {
                    let seconds = PATIENCE.as_secs();
                    let what = format!("{partition}: the log gave nothing for {seconds} s");
                    return Err(Fault::transient(what));
                }
            };
            let chunk = decoding.decode(raw).await.map_err(|(_, fault)| fault)?;
            each(&chunk)?;
            if chunk.range().to >= range.to {
                return Ok(());
            }
        }
    }

    async fn reaches_back(&self, partition: &TopicPartition, from: Position) -> Result<()> {
        let low = self.bounds(partition).await?.low;
        if low <= from {
            return Ok(());
        }
        Err(Fault::misconfigured(format!(
            "retention lost: the log of {partition} begins at {low}, and the records from {from} on are needed"
        )))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Option<Client>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn client(&self) -> Result<Client> {
        let idle = self.idle().take();
        if let Some(client) = idle {
            return Ok(client);
        }
        Ok(Client {
            reader: self.source.reader(ReaderRole::Excerpt, 1).await?,
            decoding: Decoding::new(Arc::clone(&self.envelopes)),
        })
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::event::Envelope;
    use crate::fault::FaultKind;
    use crate::source::memory::{Call, MemoryRecord, MemorySource};

    struct Plain;

    #[async_trait]
    impl Envelopes for Plain {
        async fn known(&self, _topic: &str) -> Result<Option<Envelope>> {
            Ok(Some(Envelope::Plain))
        }

        async fn remember(&self, _topic: &str, detected: Envelope) -> Result<Envelope> {
            Ok(detected)
        }
    }

    fn partition() -> TopicPartition {
        TopicPartition::new("t", 0)
    }

    /// A log of `records` records, with two holes at its end.
    fn log(records: usize) -> (MemorySource, Excerpts) {
        let source = MemorySource::default();
        source.create_topic("t", 1);
        for _ in 0..records {
            let record = MemoryRecord::new("", "{}");
            source.append(&partition(), record).unwrap();
        }
        source.skip(&partition(), 2).unwrap();
        let excerpts = Excerpts::new(Arc::new(source.clone()), Arc::new(Plain));
        (source, excerpts)
    }

    /// The offsets of the range.
    async fn offsets(excerpts: &Excerpts, from: i64, to: i64) -> Result<Vec<i64>> {
        let range = Range {
            from: Position::at(from),
            to: Position::at(to),
        };
        let mut offsets = Vec::new();
        let mut each = |chunk: &Chunk| {
            let inside = chunk.first_at(range.from)..chunk.first_at(range.to);
            offsets.extend(inside.map(|index| chunk.offset(index)));
            Ok(())
        };
        let partition = partition();
        excerpts.read(&partition, range, &[], &mut each).await?;
        Ok(offsets)
    }

    #[tokio::test]
    async fn a_range_ends_in_the_midst_of_a_chunk_or_in_a_hole() {
        let (source, excerpts) = log(5);
        assert_eq!(offsets(&excerpts, 1, 3).await.unwrap(), [1, 2]);
        assert_eq!(offsets(&excerpts, 3, 7).await.unwrap(), [3, 4]);
        assert!(offsets(&excerpts, 5, 6).await.unwrap().is_empty());
        // Nothing is asked of the broker for nothing.
        source.fail(Call::Bounds, Fault::transient("away"));
        assert!(offsets(&excerpts, 3, 3).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn long_ranges_come_in_several_chunks() {
        let (_, excerpts) = log(12_000);
        let all: Vec<i64> = (10..11_990).collect();
        assert_eq!(offsets(&excerpts, 10, 11_990).await.unwrap(), all);
    }

    #[tokio::test]
    async fn what_retention_took_is_named_i14() {
        let (source, excerpts) = log(5);
        source
            .truncate_before(&partition(), Position::at(2))
            .unwrap();
        let fault = offsets(&excerpts, 1, 3).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Misconfigured);
        assert!(fault.message.contains("begins at 2"), "{fault}");
        assert_eq!(offsets(&excerpts, 2, 3).await.unwrap(), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_log_is_given_up_and_can_be_read_again() {
        let (source, excerpts) = log(5);
        source.stall(&partition());
        let fault = offsets(&excerpts, 0, 3).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Transient);
        source.resume(&partition());
        assert_eq!(offsets(&excerpts, 0, 3).await.unwrap(), [0, 1, 2]);
        // So is what lies behind the end of the log.
        let fault = offsets(&excerpts, 9, 10).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Transient);
    }

    #[tokio::test]
    async fn one_partition_is_read_by_several_at_a_time() {
        let (source, excerpts) = log(5);
        source.stall(&partition());
        let both = async { tokio::join!(offsets(&excerpts, 0, 2), offsets(&excerpts, 1, 3)) };
        let resume = async {
            tokio::task::yield_now().await;
            source.resume(&partition());
        };
        let ((first, second), ()) = tokio::join!(both, resume);
        assert_eq!((first.unwrap(), second.unwrap()), (vec![0, 1], vec![1, 2]));
    }
}
