//! Copied rows and the log behind them make what the log alone makes, however the work is cut.

use std::collections::{BTreeMap, HashSet, VecDeque};

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::event::{Chunk, Decoder, Envelope, PathSet};
use crate::pipeline::batch::{OpenBatch, Room, Rules, Segment};
use crate::pipeline::commit::{self, Commit, Written};
use crate::pipeline::{Board, Budget, Pace, PipelineKey, PipelineSpec, Role};
use crate::position::Range;
use crate::projection::{Definition, Fold, Ops, Projection, RowKey, Rows, StoreKind, apply};
use crate::record::{RawChunk, RawRecord};
use crate::store::memory::MemoryStore;
use crate::store::{Claimed, Generation, ViewStore};

const PARTITIONS: i32 = 3;

const BLIND: &str = r#"
topics = ["t"]
key = { id = "data.id" }
[columns]
id = "text"
n = { type = "bigint", default = 0 }
last = "bigint"
first = "bigint"
list = "jsonb"
[on.set]
set = { last = "data.by" }
set_once = { first = "data.by" }
append = { list = "data.by" }
add = { n = "data.by" }
[on.bump]
each = "data.items"
key = { id = "item" }
add = { n = "data.by" }
[on.gone]
delete = true
"#;

const READING: &str = r#"
topics = ["t"]
key = { id = "data.id" }
[columns]
id = "text"
n = { type = "bigint", default = 0 }
last = "bigint"
first = "bigint"
[on.set]
set = { last = "row.n + data.by" }
add = { n = "row.n > 6 ? 1 : 2" }
[on.bump]
each = "data.items"
key = { id = "item" }
add = { n = "data.by" }
[on.gone]
when = "row.n > 4 && row.n < 9"
set = { first = "row.n" }
"#;

/// What one record does.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// On a row that only this partition feeds.
    Set(u8),
    /// On two rows that all partitions feed.
    Bump(u8, u8),
    Gone(u8),
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("t", number)
}

fn json(number: i32, does: Does, by: usize) -> String {
    let (kind, data) = match does {
        Does::Set(id) => ("set", format!(r#"{{"id":"p{number}k{id}","by":{by}}}"#)),
        Does::Gone(id) => ("gone", format!(r#"{{"id":"p{number}k{id}","by":{by}}}"#)),
        Does::Bump(a, b) => (
            "bump",
            format!(r#"{{"id":"-","by":{by},"items":["s{a}","s{b}"]}}"#),
        ),
    };
    format!(r#"{{"specversion":"1.0","id":"e","source":"s","type":"{kind}","data":{data}}}"#)
}

/// Records `from..to` of a partition, decoded. Offsets are twice the index, so that they are not dense.
fn chunk(plan: &dyn Projection, number: i32, log: &[Does], from: usize, to: usize) -> Chunk {
    let mut raw = RawChunk::empty(partition(number), at(from));
    for (index, does) in log.iter().enumerate().take(to).skip(from) {
        let text = json(number, *does, index);
        let value = raw.store(text.as_bytes());
        raw.records.push(RawRecord {
            offset: 2 * index as i64,
            timestamp_ms: 0,
            key: None,
            value: Some(value),
            headers: Box::default(),
        });
    }
    raw.range.to = at(to);
    raw.end = at(log.len());
    let paths = PathSet::new(plan.paths().iter().cloned());
    Decoder::new(Envelope::CloudEvents, Arc::new(paths)).decode(raw)
}

fn at(index: usize) -> Position {
    Position::at(2 * index as i64)
}

struct Current<'m>(&'m BTreeMap<RowKey, Row>);

impl Rows for Current<'_> {
    fn get(&self, key: &RowKey) -> Option<&Row> {
        self.0.get(key)
    }
}

/// The log up to these indices, event by event.
fn fold(plan: &Arc<dyn Projection>, logs: &[Vec<Does>], upto: &[usize]) -> BTreeMap<RowKey, Row> {
    let mut rows = BTreeMap::new();
    for (number, log) in logs.iter().enumerate() {
        let chunk = chunk(&**plan, number as i32, log, 0, upto[number]);
        let map = chunk.map(plan.paths()).unwrap();
        for index in 0..chunk.len() {
            let mut ops = Ops::new();
            let event = chunk.event(index, &map);
            assert_eq!(event.fault(), None);
            plan.handle(&event, &Current(&rows), &mut ops).unwrap();
            let mut one = Fold::new(Arc::clone(plan.schema()));
            one.absorb(&mut ops).unwrap();
            for delta in one.finish() {
                let before = rows.remove(delta.key());
                if let Some(after) = apply(plan.schema(), before, &delta).unwrap() {
                    rows.insert(delta.key().clone(), after);
                }
            }
        }
    }
    rows
}

#[derive(Clone, Debug)]
struct Case {
    logs: Vec<Vec<Does>>,
    /// Where each partition stood when each page was read.
    pages: Vec<Vec<usize>>,
    /// How the rows are spread over the pages.
    spread: usize,
    /// How many records the next chunk holds, of which partition, and how much room the next batch has: taken in turn.
    chunks: Vec<usize>,
    turns: Vec<usize>,
    rooms: Vec<(usize, usize)>,
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        4 => (0..4u8).prop_map(Does::Set),
        2 => (0..3u8, 0..3u8).prop_map(|(a, b)| Does::Bump(a, b)),
        2 => (0..4u8).prop_map(Does::Gone),
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    let log = prop::collection::vec(does(), 0..40);
    let logs = prop::collection::vec(log, PARTITIONS as usize);
    let fractions = prop::collection::vec(prop::collection::vec(0.0..=1.0f64, 3), 1..5);
    (
        logs,
        fractions,
        0..7usize,
        prop::collection::vec(1..9usize, 8),
        prop::collection::vec(0..PARTITIONS as usize, 8),
        prop::collection::vec((1..6usize, 1..12usize), 8),
    )
        .prop_map(|(logs, fractions, spread, chunks, turns, rooms)| {
            let mut by_partition: Vec<Vec<usize>> = logs
                .iter()
                .enumerate()
                .map(|(number, log)| {
                    let of = |page: &Vec<f64>| (page[number] * log.len() as f64) as usize;
                    let mut cursors: Vec<usize> = fractions.iter().map(of).collect();
                    cursors.sort_unstable();
                    cursors
                })
                .collect();
            let pages = (0..fractions.len())
                .map(|page| by_partition.iter_mut().map(|of| of[page]).collect())
                .collect();
            Case {
                logs,
                pages,
                spread,
                chunks,
                turns,
                rooms,
            }
        })
}

/// The copy, as a store makes it: each row as it was when its page was read.
fn copied(plan: &Arc<dyn Projection>, case: &Case) -> Vec<(RowKey, Row)> {
    let pages = case.pages.iter().zip(1..).flat_map(|(upto, page)| {
        let rows = fold(plan, &case.logs, upto).into_iter();
        let of_page = move |key: &RowKey| {
            let sum: usize = key.text().bytes().map(usize::from).sum();
            (sum + case.spread) % case.pages.len() + 1 == page
        };
        rows.filter(move |(key, _)| of_page(key))
            .map(move |(key, row)| {
                let page = u32::try_from(page).unwrap();
                (key, Row { page, ..row })
            })
    });
    pages.collect()
}

async fn spec_of(text: &str, case: &Case) -> (PipelineSpec, Arc<MemoryStore>, Uuid) {
    let definition = Definition::parse("copied", "copied.toml", text).unwrap();
    let generation = Generation {
        projection: "copied".into(),
        number: 2,
        build: Uuid::new_v4(),
        schema: Arc::clone(definition.plan.schema()),
    };
    let store = Arc::new(MemoryStore::new(StoreKind::Postgres));
    let cursors = |page: &Vec<usize>| -> Vec<(TopicPartition, Position)> {
        let numbered = (0..).map(partition).zip(page);
        numbered.map(|(of, index)| (of, at(*index))).collect()
    };
    let starts = cursors(&case.pages[0]);
    store.create(&generation, &starts).await.unwrap();
    let rows = copied(&definition.plan, case);
    assert!(store.put_rows(&generation, rows).await);
    let claim = Uuid::new_v4();
    for cursor in store.cursors(&generation).await.unwrap().unwrap() {
        let claimed = store.claim(&generation, &cursor, claim).await.unwrap();
        assert!(matches!(claimed, Claimed::Ours(_)));
    }
    let spec = PipelineSpec {
        key: PipelineKey {
            build: generation.build,
            store: StoreKind::Postgres,
        },
        generation,
        plan: definition.plan,
        store: Arc::clone(&store) as Arc<dyn ViewStore>,
        role: Role::Building,
        topics: BTreeMap::new(),
        skips: Arc::new(HashSet::new()),
        created: true,
        waiting: None,
        pace: Pace::default(),
        paused: false,
        base: Some(Arc::new(BasePages(
            case.pages.iter().map(cursors).collect(),
        ))),
    };
    (spec, store, claim)
}

/// The chunks of all partitions from the copy's start on, in the order in which a lane gets them.
fn segments(plan: &dyn Projection, case: &Case, claim: Uuid) -> VecDeque<Segment> {
    let budget = Budget::new(1 << 20);
    let mut positions = case.pages[0].clone();
    let mut segments = VecDeque::new();
    let (mut chunks, mut turns) = (case.chunks.iter().cycle(), case.turns.iter().cycle());
    let mut idle = 0;
    while positions.iter().zip(&case.logs).any(|(p, l)| *p < l.len()) {
        // Every so often the next one that has something left, so that each gets its turn.
        let number = if idle > 8 {
            (0..positions.len())
                .find(|n| positions[*n] < case.logs[*n].len())
                .unwrap()
        } else {
            *turns.next().unwrap()
        };
        let (from, log) = (positions[number], &case.logs[number]);
        let to = (from + chunks.next().unwrap()).min(log.len());
        if from == to {
            idle += 1;
            continue;
        }
        idle = 0;
        let held = budget
            .try_reserve(1)
            .unwrap()
            .bind(chunk(plan, number as i32, log, from, to));
        let range = Range {
            from: at(from),
            to: at(to),
        };
        segments.push_back(Segment::new(partition(number as i32), claim, held, range));
        positions[number] = to;
    }
    segments
}

async fn rows_of(text: &str, case: &Case) -> (BTreeMap<RowKey, Row>, BTreeMap<RowKey, Row>) {
    let (spec, store, claim) = spec_of(text, case).await;
    let spec = Arc::new(spec);
    let rules = Arc::new(Rules::of(&spec));
    let mut pending = segments(&*spec.plan, case, claim);
    let mut open = OpenBatch::new(&spec.plan);
    let mut rooms = case.rooms.iter().cycle();
    while !pending.is_empty() {
        let (rows, events) = *rooms.next().unwrap();
        let room = Room {
            rows,
            bytes: usize::MAX,
            events,
        };
        while !open.is_full(&room)
            && let Some(segment) = pending.pop_front()
        {
            let left = open.take(segment, &rules, &room);
            assert!(left.culprit.is_none(), "{:?}", left.culprit);
            left.rest
                .into_iter()
                .for_each(|rest| pending.push_front(rest));
        }
        let cut = open.finish();
        let commit = Arc::new(Commit::new(Arc::clone(&spec), Arc::clone(&rules), cut));
        let written = commit::write(commit, Board::new()).await.unwrap();
        assert!(matches!(written, Written::Applied(_)));
    }
    let ends: Vec<usize> = case.logs.iter().map(Vec::len).collect();
    let expected = fold(&spec.plan, &case.logs, &ends);
    let plain = |(key, row): (RowKey, Row)| (key, Row { page: 0, ..row });
    let rows = store.all_rows(&spec.generation).await.unwrap();
    (rows.into_iter().map(plain).collect(), expected)
}

fn check(text: &str, case: &Case) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (rows, expected) = runtime.block_on(rows_of(text, case));
    prop_assert_eq!(rows, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_copy_and_the_log_behind_it_make_the_same_rows_as_the_log_i9(case in cases()) {
        check(BLIND, &case)?;
    }

    #[test]
    fn a_copy_is_read_by_handlers_as_the_log_made_it_i9(case in cases()) {
        check(READING, &case)?;
    }
}
