//! The promises of the seam, on the log in memory.

use futures_util::FutureExt as _;

use super::*;
use crate::fault::FaultKind;
use crate::record::RawChunk;
use crate::source::{PartitionStream, ReadFault};

fn orders(partition: i32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

fn source(partitions: usize) -> MemorySource {
    let source = MemorySource::default();
    source.create_topic("orders", partitions);
    source
}

async fn open(source: &MemorySource, from: i64) -> Box<dyn PartitionStream> {
    let reader = source.reader(ReaderRole::Head, 1).await.unwrap();
    reader.open(&orders(0), Position::at(from)).await.unwrap()
}

fn append(source: &MemorySource, values: &[&str]) {
    for value in values {
        let record = MemoryRecord::new("k", *value);
        source.append(&orders(0), record).unwrap();
    }
}

fn shape(chunk: &RawChunk) -> (String, Vec<i64>, i64) {
    let offsets = chunk.records.iter().map(|record| record.offset).collect();
    (format!("{:?}", chunk.range), offsets, chunk.end.offset())
}

#[tokio::test]
async fn ranges_leave_no_gap_over_holes() {
    let source = source(1);
    append(&source, &["a", "b"]);
    source.skip(&orders(0), 3).unwrap();
    append(&source, &["c"]);
    source.skip(&orders(0), 1).unwrap();
    let mut stream = open(&source, 0).await;
    let first = stream.next(2).await.unwrap();
    assert_eq!(shape(&first), ("[0, 1)".to_owned(), vec![0], 7));
    let rest = stream.next(1000).await.unwrap();
    assert_eq!(shape(&rest), ("[1, 7)".to_owned(), vec![1, 5], 7));
    source.skip(&orders(0), 2).unwrap();
    let hole = stream.next(1000).await.unwrap();
    assert_eq!(shape(&hole), ("[7, 9)".to_owned(), vec![], 9));
}

#[tokio::test]
async fn an_oversized_record_comes_alone() {
    let source = source(1);
    append(&source, &["a", &"x".repeat(5000), "b"]);
    let mut stream = open(&source, 0).await;
    for expected in ["[0, 1)", "[1, 2)", "[2, 3)"] {
        let chunk = stream.next(100).await.unwrap();
        assert_eq!(shape(&chunk).0, expected);
    }
}

#[tokio::test]
async fn an_open_transaction_pins_the_end_until_it_is_closed() {
    let source = source(1);
    append(&source, &["a"]);
    source.open_transaction(&orders(0)).unwrap();
    append(&source, &["b"]);
    assert_eq!(
        source.bounds(&orders(0)).await.unwrap().high,
        Position::at(1)
    );
    let mut stream = open(&source, 0).await;
    assert_eq!(stream.next(1000).await.unwrap().records.len(), 1);
    assert!(stream.next(1000).now_or_never().is_none());
    source.close_transaction(&orders(0), false).unwrap();
    let aborted = stream.next(1000).await.unwrap();
    assert_eq!(shape(&aborted), ("[1, 3)".to_owned(), vec![], 3));
}

#[tokio::test]
async fn a_position_by_time_is_that_of_the_first_record_as_late() {
    let source = source(1);
    for time in [100, 300, 200, 400] {
        let record = MemoryRecord::new("k", "v").at(time);
        source.append(&orders(0), record).unwrap();
    }
    source.skip(&orders(0), 2).unwrap();
    let at = async |time| {
        let position = source.position_at(&orders(0), time).await.unwrap();
        position.offset()
    };
    assert_eq!((at(-1).await, at(0).await, at(100).await), (0, 0, 0));
    assert_eq!(
        (at(101).await, at(300).await),
        (1, 1),
        "times need not be in order"
    );
    assert_eq!((at(301).await, at(401).await), (3, 6), "else the end");
    source.truncate_before(&orders(0), Position::at(2)).unwrap();
    assert_eq!((at(-1).await, at(250).await), (2, 3));
    source.open_transaction(&orders(0)).unwrap();
    let record = MemoryRecord::new("k", "v").at(500);
    source.append(&orders(0), record).unwrap();
    assert_eq!(at(500).await, 6, "what cannot be read yet is not found");
}

#[tokio::test]
async fn a_dropped_wait_loses_no_record() {
    let source = source(1);
    let mut stream = open(&source, 0).await;
    assert!(stream.next(1000).now_or_never().is_none());
    append(&source, &["a"]);
    assert_eq!(stream.next(1000).await.unwrap().records.len(), 1);
}

#[tokio::test]
async fn a_position_outside_of_the_log_ends_only_its_stream() {
    let source = source(2);
    append(&source, &["a", "b", "c"]);
    source.truncate_before(&orders(0), Position::at(2)).unwrap();
    let mut below = open(&source, 1).await;
    let fault = below.next(1000).await.unwrap_err();
    assert_eq!(fault, ReadFault::OutOfRange(Position::at(1)));
    assert_eq!(below.next(1000).await.unwrap_err(), fault);
    let mut inside = open(&source, 3).await;
    source.truncate_from(&orders(0), Position::at(2)).unwrap();
    let fault = inside.next(1000).await.unwrap_err();
    assert_eq!(fault, ReadFault::OutOfRange(Position::at(3)));
}

#[tokio::test]
async fn a_recreated_topic_has_another_id_and_old_streams_see_nothing() {
    let source = source(1);
    let before = source.topics().await.unwrap();
    let mut stream = open(&source, 0).await;
    source.create_topic("orders", 1);
    append(&source, &["new"]);
    assert_ne!(before[0].id, source.topics().await.unwrap()[0].id);
    assert!(stream.next(1000).now_or_never().is_none());
}

#[tokio::test]
async fn a_partition_has_one_stream_per_reader() {
    let source = source(1);
    let reader = source.reader(ReaderRole::Head, 1).await.unwrap();
    let stream = reader.open(&orders(0), Position::ZERO).await.unwrap();
    assert!(reader.open(&orders(0), Position::ZERO).await.is_err());
    drop(stream);
    assert!(reader.open(&orders(0), Position::ZERO).await.is_ok());
}

#[tokio::test]
async fn members_share_the_partitions_and_give_up_before_others_get() {
    let source = source(4);
    let (first, mut events) = source.join().await.unwrap();
    first.subscribe(&["orders".into()]).unwrap();
    let all: Vec<_> = (0..4).map(orders).collect();
    assert_eq!(events.try_recv().unwrap(), MemberEvent::Assigned(all));
    let (second, mut others) = source.join().await.unwrap();
    second.subscribe(&["orders".into()]).unwrap();
    let moved = vec![orders(1), orders(3)];
    assert_eq!(
        events.try_recv().unwrap(),
        MemberEvent::Revoked(moved.clone())
    );
    assert_eq!(
        others.try_recv().unwrap(),
        MemberEvent::Assigned(moved.clone())
    );
    first.prove(&orders(0), Position::at(5)).await.unwrap();
    assert_eq!(source.committed(&orders(0)), Some(Position::at(5)));
    let fault = first.prove(&orders(1), Position::ZERO).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Fenced);
    second.leave(Duration::ZERO).await;
    assert_eq!(events.try_recv().unwrap(), MemberEvent::Assigned(moved));
}

#[tokio::test]
async fn a_zombie_is_not_told_but_cannot_prove_anything_i5() {
    let source = source(1);
    source.script_group();
    let (zombie, mut events) = source.join().await.unwrap();
    let (owner, _others) = source.join().await.unwrap();
    source.assign(0, &[orders(0)]);
    assert!(events.try_recv().is_ok());
    zombie.prove(&orders(0), Position::ZERO).await.unwrap();
    source.assign(1, &[orders(0)]);
    assert!(events.try_recv().is_err());
    assert!(zombie.prove(&orders(0), Position::ZERO).await.is_err());
    owner.prove(&orders(0), Position::ZERO).await.unwrap();
}

#[tokio::test]
async fn faults_come_in_the_order_given_and_a_stall_ends() {
    let source = source(1);
    append(&source, &["a"]);
    source.fail(Call::Topics, Fault::transient("first"));
    source.fail(Call::Topics, Fault::transient("second"));
    assert_eq!(source.topics().await.unwrap_err().message, "first");
    assert_eq!(source.topics().await.unwrap_err().message, "second");
    assert!(source.topics().await.is_ok());
    let mut stream = open(&source, 0).await;
    source.stall(&orders(0));
    assert!(stream.next(1000).now_or_never().is_none());
    source.resume(&orders(0));
    assert_eq!(stream.next(1000).await.unwrap().records.len(), 1);
}
