//! Several generations of a view in Redis: pointers, cutovers, copies and comparisons.

use std::collections::{BTreeMap, BTreeSet};

use viewfold::projection::StoreKind;
use viewfold::store::control::Lease;
use viewfold::store::{BasePages, ComparePage, CutOver, CutOverOutcome, PageToken, Pointer};

use super::*;

/// A generation with one claimed partition of a view that has others.
struct Side {
    generation: Generation,
    owner: Owner,
}

impl Bench {
    /// Another generation of the view, not created.
    fn sibling(&self, number: u32) -> Generation {
        Generation {
            number,
            build: Uuid::new_v4(),
            ..self.generation.clone()
        }
    }

    async fn claimed(&self, generation: &Generation, partition: &TopicPartition) -> Owner {
        let cursors = self.store.cursors(generation).await.unwrap().unwrap();
        let cursor = cursors.iter().find(|c| c.partition == *partition).unwrap();
        let claim = Uuid::new_v4();
        let claimed = self.store.claim(generation, cursor, claim).await.unwrap();
        assert_eq!(claimed, Claimed::Ours(cursor.position));
        Owner {
            partition: partition.clone(),
            claim,
            at: cursor.position.offset(),
        }
    }

    /// Two generations that read `orders/0` from its beginning; readers see the first, by intent 1.
    async fn two(&self) -> (Side, Side) {
        let partition = TopicPartition::new("orders", 0);
        let mut sides = Vec::new();
        for generation in [self.generation.clone(), self.sibling(2)] {
            let starts = [(partition.clone(), Position::ZERO)];
            self.store.create(&generation, &starts).await.unwrap();
            let owner = self.claimed(&generation, &partition).await;
            sides.push(Side { generation, owner });
        }
        self.store.publish(&self.generation, 1).await.unwrap();
        let second = sides.pop().unwrap();
        (sides.pop().unwrap(), second)
    }

    async fn cut(&self, from: &Generation, to: &Generation, intent: i64) -> CutOverOutcome {
        self.cut_beyond(from, to, intent, Vec::new()).await
    }

    async fn cut_beyond(
        &self,
        from: &Generation,
        to: &Generation,
        intent: i64,
        targets: Vec<(TopicPartition, Position)>,
    ) -> CutOverOutcome {
        let cut = CutOver {
            from: from.clone(),
            to: to.clone(),
            intent,
            lease: Lease {
                name: "coordinator/view".into(),
                epoch: 1,
            },
            targets,
        };
        self.store.cut_over(&cut).await.unwrap()
    }

    async fn pointer(&self) -> Option<(Option<u32>, i64)> {
        let pointer = self.store.pointer("view").await.unwrap();
        pointer.map(|Pointer { generation, intent }| (generation, intent))
    }

    async fn hold(&self, number: u32) -> Option<String> {
        self.raw(&["HGET", &format!("$:{number}:meta"), "hold"])
            .await
    }

    /// Removes every key of the generation, as a server does that lost them.
    async fn lose(&self, number: u32) {
        for key in self.keys().await {
            if key.starts_with(&format!("{number}:")) {
                let _: i64 = self.raw(&["DEL", &format!("$:{key}")]).await;
            }
        }
    }

    /// All pages of a comparison.
    async fn compared(&self, first: &Generation, second: &Generation) -> Vec<ComparePage> {
        let mut pages: Vec<ComparePage> = Vec::new();
        let mut after: Option<PageToken> = None;
        loop {
            let page = self
                .store
                .compare_page(first, second, after.as_ref(), 200)
                .await;
            let page = page.unwrap().expect("both generations are there");
            after = page.next.clone();
            pages.push(page);
            if after.is_none() {
                return pages;
            }
        }
    }
}

impl Side {
    /// Applies one record that changes nothing but the cursor and, perhaps, rows.
    async fn step(&mut self, bench: &Bench, rows: Vec<RowDelta>) -> Result<Outcome, Fault> {
        let batch = Batch {
            moves: vec![self.owner.step()],
            rows,
        };
        let outcome = bench.store.apply(&self.generation, &batch).await?;
        if outcome == Outcome::Applied {
            self.owner.at += 1;
        }
        Ok(outcome)
    }

    /// The same, as a lane does it: while a cutover holds batches it is asked again; how often.
    async fn stepped(&mut self, bench: &Bench, rows: Vec<RowDelta>) -> usize {
        let mut refused = 0;
        loop {
            match self.step(bench, rows.clone()).await {
                Ok(Outcome::Held) => refused += 1,
                outcome => {
                    assert_eq!(outcome.unwrap(), Outcome::Applied);
                    return refused;
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn not_yet(outcome: CutOverOutcome) -> String {
    match outcome {
        CutOverOutcome::NotYet(why) => why,
        other => panic!("{other:?}"),
    }
}

fn overtaken(outcome: CutOverOutcome) -> String {
    match outcome {
        CutOverOutcome::Overtaken(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_cutover_to_a_generation_that_is_one_record_behind_changes_nothing() {
    // I8
    let bench = Bench::new(vec![]).await;
    let (mut first, mut second) = bench.two().await;
    for _ in 0..3 {
        first.stepped(&bench, vec![]).await;
    }
    for _ in 0..2 {
        second.stepped(&bench, vec![]).await;
    }
    let before = bench.keys().await;
    let why = not_yet(bench.cut(&first.generation, &second.generation, 2).await);
    assert_eq!(why, "orders/0: generation 2 is 1 behind generation 1");
    assert_eq!(bench.pointer().await, Some((Some(1), 1)));
    assert_eq!(bench.hold(1).await, None);
    assert_eq!(bench.keys().await, before);
    first.step(&bench, vec![]).await.unwrap();

    second.stepped(&bench, vec![]).await;
    second.stepped(&bench, vec![]).await;
    let done = bench.cut(&first.generation, &second.generation, 2).await;
    assert_eq!(done, CutOverOutcome::Done);
    assert_eq!(bench.pointer().await, Some((Some(2), 2)));
    // The old one goes on being fed; the way back is the same.
    second.stepped(&bench, vec![]).await;
    let why = not_yet(bench.cut(&second.generation, &first.generation, 3).await);
    assert_eq!(why, "orders/0: generation 1 is 1 behind generation 2");
    first.stepped(&bench, vec![]).await;
    let done = bench.cut(&second.generation, &first.generation, 3).await;
    assert_eq!(done, CutOverOutcome::Done);
    assert_eq!(bench.pointer().await, Some((Some(1), 3)));
    bench.done().await;
}

#[tokio::test]
async fn a_partition_that_one_side_lacks_and_a_target_not_passed_are_in_the_way() {
    // I8
    let bench = Bench::new(vec![]).await;
    let (first, second) = bench.two().await;
    let (first, second) = (&first.generation, &second.generation);
    for (has, lacks) in [(first, 2), (second, 1)] {
        let third = TopicPartition::new("orders", 1 + lacks);
        bench
            .store
            .add_cursor(has, &third, Position::ZERO)
            .await
            .unwrap();
        let began = Instant::now();
        let why = not_yet(bench.cut(first, second, 2).await);
        assert!(
            why.contains(&format!("generation {lacks} does not read it yet")),
            "{why}"
        );
        assert!(
            began.elapsed() < Duration::from_millis(150),
            "nothing to wait for"
        );
        assert_eq!(bench.hold(1).await, None);
        let other = if lacks == 2 { second } else { first };
        bench
            .store
            .add_cursor(other, &third, Position::ZERO)
            .await
            .unwrap();
    }
    // Topics that only one side reads.
    let (mine, theirs) = (
        TopicPartition::new("carts", 0),
        TopicPartition::new("gone", 0),
    );
    bench
        .store
        .add_cursor(second, &mine, Position::at(4))
        .await
        .unwrap();
    bench
        .store
        .add_cursor(first, &theirs, Position::at(9))
        .await
        .unwrap();
    let targets = |at: i64| vec![(mine.clone(), Position::at(at))];
    let why = not_yet(bench.cut_beyond(first, second, 2, targets(5)).await);
    assert_eq!(why, "carts/0: generation 2 has 1 left to read");
    let unknown = vec![(TopicPartition::new("carts", 1), Position::ZERO)];
    let why = not_yet(bench.cut_beyond(first, second, 2, unknown).await);
    assert_eq!(why, "carts/1: generation 2 does not read it yet");
    let done = bench.cut_beyond(first, second, 2, targets(4)).await;
    assert_eq!(done, CutOverOutcome::Done);
    bench.done().await;
}

#[tokio::test]
async fn live_batches_wait_for_a_cutover_and_change_nothing_meanwhile() {
    let bench = Bench::new(vec![column("n", ColumnType::Bigint, SUM, None)]).await;
    let (mut first, mut second) = bench.two().await;
    let other = RedisStore::connect(&settings(&bench.prefix)).unwrap();
    first.stepped(&bench, vec![]).await;
    let mut intent = 1;
    // A machine that stands still for 200 ms lets the hold pass by; then it is tried again.
    let waited = 'again: loop {
        intent += 1;
        let cut = CutOver {
            from: first.generation.clone(),
            to: second.generation.clone(),
            intent,
            lease: Lease {
                name: "coordinator/view".into(),
                epoch: 1,
            },
            targets: Vec::new(),
        };
        let attempt = other.cut_over(&cut);
        let lanes = async {
            while bench.hold(1).await.is_none() {
                tokio::task::yield_now().await;
            }
            let rows = vec![bench.delta("a", vec![(1, add("1"))])];
            let refused = first.step(&bench, rows).await;
            let skipped = bench
                .store
                .advance(&first.generation, &[first.owner.step()])
                .await
                .unwrap();
            let row = bench.row("a").await;
            second.stepped(&bench, vec![]).await;
            (refused, skipped, row)
        };
        let (outcome, (refused, skipped, row)) = tokio::join!(attempt, lanes);
        if let (Ok(Outcome::Held), [Verdict::NotApplied]) = (refused, &*skipped) {
            assert_eq!(row, None);
            if outcome.unwrap() == CutOverOutcome::Done {
                break 'again true;
            }
        }
        first.owner = bench
            .claimed(&first.generation, &first.owner.partition)
            .await;
        while first.owner.at <= second.owner.at {
            first.stepped(&bench, vec![]).await;
        }
    };
    assert!(waited);
    assert_eq!(bench.pointer().await, Some((Some(2), intent)));
    assert_eq!(bench.hold(1).await, None);
    let applied = first.step(&bench, vec![]).await;
    assert_eq!(applied.unwrap(), Outcome::Applied);
    bench.done().await;
}

#[tokio::test]
async fn a_live_generation_that_keeps_ahead_is_cut_over_and_readers_never_go_back() {
    // I8
    let bench = Bench::new(vec![column("n", ColumnType::Bigint, SUM, None)]).await;
    let (mut first, mut second) = bench.two().await;
    let (one, two) = (first.generation.clone(), second.generation.clone());
    let known = [one.clone(), two.clone()];
    let schemas = |number: u32| known.iter().find(|g| g.number == number).cloned();
    let rows = || vec![bench.delta("a", vec![(1, add("1"))])];
    let over = std::sync::atomic::AtomicBool::new(false);
    let ahead = std::sync::atomic::AtomicI64::new(0);
    let live = async {
        while !over.load(Ordering::SeqCst) {
            first.stepped(&bench, rows()).await;
            ahead.store(first.owner.at, Ordering::SeqCst);
        }
    };
    // Always a few records later than the live one.
    let follower = async {
        while !over.load(Ordering::SeqCst) || second.owner.at < ahead.load(Ordering::SeqCst) {
            if second.owner.at < ahead.load(Ordering::SeqCst) {
                second.stepped(&bench, rows()).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
    };
    let reader = async {
        let key = bench.key("a");
        let store = RedisStore::connect(&settings(&bench.prefix)).unwrap();
        let (mut last, mut seen) = (0, BTreeSet::new());
        while !over.load(Ordering::SeqCst) {
            let point = store.point_read("view", &key, &schemas).await;
            let point = point.unwrap().unwrap();
            let at = point.cursors[0].position.offset();
            assert!(at >= last, "readers saw {last}, then {at}");
            let n = point.row.map_or(Value::Int(0), |row| row.values[1].clone());
            assert_eq!(n, Value::Int(at), "I4");
            last = at;
            seen.insert(point.generation);
        }
        seen
    };
    let coordinator = async {
        let store = RedisStore::connect(&settings(&bench.prefix)).unwrap();
        for intent in 2..8 {
            let (from, to) = if intent % 2 == 0 {
                (&one, &two)
            } else {
                (&two, &one)
            };
            let cut = CutOver {
                from: from.clone(),
                to: to.clone(),
                intent,
                lease: Lease {
                    name: "coordinator/view".into(),
                    epoch: 1,
                },
                targets: Vec::new(),
            };
            let target = ahead.load(Ordering::SeqCst) + 20;
            while ahead.load(Ordering::SeqCst) < target {
                tokio::task::yield_now().await;
            }
            while store.cut_over(&cut).await.unwrap() != CutOverOutcome::Done {}
        }
        over.store(true, Ordering::SeqCst);
    };
    let ((), (), seen, ()) = tokio::join!(live, follower, reader, coordinator);
    assert_eq!(seen, BTreeSet::from([1, 2]));
    assert_eq!(bench.pointer().await, Some((Some(1), 7)));
    assert_eq!((bench.hold(1).await, bench.hold(2).await), (None, None));
    bench.done().await;
}

#[tokio::test]
async fn a_hold_ends_by_itself_and_none_outlasts_a_clock_that_went_back() {
    let bench = Bench::new(vec![]).await;
    let (mut first, _) = bench.two().await;
    let time: Vec<i64> = bench.raw(&["TIME"]).await;
    for seconds in [-1, 10] {
        let hold = (time[0] + seconds) * 1_000_000;
        let _: i64 = bench
            .raw(&["HSET", "$:1:meta", "hold", &hold.to_string()])
            .await;
        let applied = first.step(&bench, vec![]).await;
        assert_eq!(applied.unwrap(), Outcome::Applied, "{seconds}");
    }
    bench.done().await;
}

#[tokio::test]
async fn an_older_intent_never_moves_the_pointer_and_the_same_one_confirms() {
    // I8
    let bench = Bench::new(vec![]).await;
    let (first, second) = bench.two().await;
    let (first, second) = (&first.generation, &second.generation);
    assert_eq!(bench.cut(first, second, 5).await, CutOverOutcome::Done);
    assert_eq!(bench.cut(first, second, 5).await, CutOverOutcome::Done);
    for intent in [4, 5] {
        let why = overtaken(bench.cut(second, first, intent).await);
        assert!(why.contains(&format!("intent {intent}")), "{why}");
        assert_eq!(bench.pointer().await, Some((Some(2), 5)));
    }
    // An intent is kept although the pointer need not move.
    assert_eq!(bench.cut(first, second, 7).await, CutOverOutcome::Done);
    assert_eq!(bench.pointer().await, Some((Some(2), 7)));
    overtaken(bench.cut(second, first, 6).await);
    bench.store.publish(first, 6).await.unwrap();
    assert_eq!(bench.pointer().await, Some((Some(2), 7)));
    // Readers see neither of these two.
    let third = bench.sibling(3);
    bench.store.create(&third, &[]).await.unwrap();
    let why = overtaken(bench.cut(first, &third, 8).await);
    assert!(why.contains("readers see generation 2"), "{why}");
    assert_eq!(bench.pointer().await, Some((Some(2), 7)));
    // A removed generation takes its pointer along, and not what refuses older intents.
    bench.store.remove(second).await.unwrap();
    assert_eq!(bench.pointer().await, Some((None, 7)));
    bench.store.publish(first, 6).await.unwrap();
    assert_eq!(bench.pointer().await, Some((None, 7)));
    bench.store.publish(first, 8).await.unwrap();
    assert_eq!(bench.pointer().await, Some((Some(1), 8)));
    bench.done().await;
}

#[tokio::test]
async fn a_generation_that_was_lost_is_never_shown() {
    for lost in [1, 2] {
        let bench = Bench::new(vec![]).await;
        let (first, second) = bench.two().await;
        bench.lose(lost).await;
        let before = bench.keys().await;
        let why = overtaken(bench.cut(&first.generation, &second.generation, 2).await);
        assert_eq!(why, format!("view generation {lost} is gone"));
        assert_eq!(bench.pointer().await, Some((Some(1), 1)));
        assert_eq!(bench.keys().await, before);
        // Another build under the same number is another generation.
        let other = bench.sibling(lost);
        bench.store.create(&other, &[]).await.unwrap();
        overtaken(bench.cut(&first.generation, &second.generation, 2).await);
        bench.done().await;
    }
}

#[tokio::test]
async fn nothing_is_published_that_is_behind_what_readers_see() {
    // I8
    let bench = Bench::new(vec![]).await;
    let (mut first, mut second) = bench.two().await;
    first.stepped(&bench, vec![]).await;
    let refused = bench
        .store
        .publish(&second.generation, 2)
        .await
        .unwrap_err();
    assert_eq!(refused.kind, FaultKind::Transient);
    assert!(refused.message.contains("behind"), "{refused}");
    assert_eq!(bench.pointer().await, Some((Some(1), 1)));
    second.stepped(&bench, vec![]).await;
    bench.store.publish(&second.generation, 2).await.unwrap();
    assert_eq!(bench.pointer().await, Some((Some(2), 2)));
    // What readers saw is gone: anything is better than nothing.
    first.stepped(&bench, vec![]).await;
    second.stepped(&bench, vec![]).await;
    second.stepped(&bench, vec![]).await;
    bench.lose(2).await;
    bench.store.publish(&first.generation, 3).await.unwrap();
    assert_eq!(bench.pointer().await, Some((Some(1), 3)));
    bench.done().await;
}

#[tokio::test]
async fn a_pointer_is_forgotten_only_after_the_last_generation() {
    let (bench, mut owner) = Bench::owned(vec![]).await;
    assert_eq!(bench.pointer().await, None);
    // Its row's key looks like the key of cursors.
    let rows = vec![bench.delta("cursors", vec![]), bench.delta("7", vec![])];
    bench.applied(&mut owner, rows).await;
    bench.store.publish(&bench.generation, 3).await.unwrap();
    let refused = bench.store.forget("view").await.unwrap_err();
    assert_eq!(refused.kind, FaultKind::Misconfigured);
    assert_eq!(bench.pointer().await, Some((Some(1), 3)));
    bench.store.remove(&bench.generation).await.unwrap();
    assert_eq!(bench.pointer().await, Some((None, 3)));
    for _ in 0..2 {
        bench.store.forget("view").await.unwrap();
        assert_eq!(bench.pointer().await, None);
    }
    assert_eq!(bench.keys().await, Vec::<String>::new());
}

/// A log of two partitions, each with rows of its own: the record at an offset is what it does to a row.
const ROWS: i64 = 3000;

fn record(bench: &Bench, partition: i32, offset: i64) -> RowDelta {
    let key = bench.key(&format!("{partition}-{}", offset * 7 % ROWS));
    if offset >= ROWS && offset % 9 == 0 {
        return RowDelta::Delete(key);
    }
    let order = format!("{offset:08}");
    let newest = Cell::Op(Delta::Latest(latest(&order, &order)));
    RowDelta::Upsert(key, vec![(1, add(&offset.to_string())), (2, newest)])
}

/// The columns of a view that is fed by [`record`].
fn recorded() -> Vec<Column> {
    vec![
        column("n", ColumnType::Bigint, SUM, Some("0")),
        column("s", ColumnType::Text, Family::Latest, None),
    ]
}

/// A move over `count` records. Fewer than [`ROWS`] in a row never touch a row twice.
fn over(owner: &Owner, count: i64) -> Move {
    Move {
        to: Position::at(owner.at + count),
        newest_micros: Some(owner.at + count - 1),
        ..owner.step()
    }
}

async fn feed(bench: &Bench, generation: &Generation, owner: &mut Owner, count: i64) {
    let offsets = owner.at..owner.at + count;
    let batch = Batch {
        moves: vec![over(owner, count)],
        rows: offsets
            .map(|offset| record(bench, owner.partition.partition, offset))
            .collect(),
    };
    let outcome = bench.store.apply(generation, &batch).await;
    assert_eq!(outcome.unwrap(), Outcome::Applied);
    owner.at += count;
}

/// Catches up as a pipeline does: records below the position of a row's own page are in it already.
async fn catch_up(bench: &Bench, to: &Generation, pages: &BasePages, owner: &mut Owner, end: i64) {
    while owner.at < end {
        let count = (end - owner.at).min(500);
        let offsets = owner.at..owner.at + count;
        let deltas: BTreeMap<RowKey, (i64, RowDelta)> = offsets
            .map(|offset| (offset, record(bench, owner.partition.partition, offset)))
            .map(|(offset, delta)| (delta.key().clone(), (offset, delta)))
            .collect();
        let keys: Vec<RowKey> = deltas.keys().cloned().collect();
        let fold = |rows: &[(RowKey, Option<Row>)]| {
            let missing = rows.iter().filter_map(|(key, row)| {
                let (offset, delta) = &deltas[key];
                let page = row.as_ref().map_or(0, |row| row.page);
                let from = pages.position(page, &owner.partition);
                from.is_none_or(|from| from <= Position::at(*offset))
                    .then(|| delta.clone())
            });
            Ok(missing.collect())
        };
        let moves = [over(owner, count)];
        let outcome = bench.store.apply_reading(to, &moves, &keys, &fold).await;
        assert_eq!(outcome.unwrap(), Outcome::Applied);
        owner.at += count;
    }
}

/// The live generation, with all rows of the log's beginning, and who feeds it.
async fn grown(bench: &Bench) -> Vec<Owner> {
    let mut owners = vec![bench.start(0).await, bench.start(1).await];
    for owner in &mut owners {
        for _ in 0..3 {
            feed(bench, &bench.generation, owner, ROWS / 3).await;
        }
    }
    owners
}

fn same(one: Option<&Row>, other: Option<&Row>) -> bool {
    let content = |row: &Row| (row.values.clone(), row.orders.clone());
    one.map(content) == other.map(content)
}

#[tokio::test]
async fn a_copy_under_batches_is_exact_by_the_pages_of_its_rows() {
    // I4, I7
    let bench = Bench::new(recorded()).await;
    let mut owners = grown(&bench).await;
    let copy = bench.sibling(2);
    let over = std::sync::atomic::AtomicBool::new(false);
    let writer = async {
        while !over.load(Ordering::SeqCst) {
            for owner in &mut owners {
                feed(&bench, &bench.generation, owner, 40).await;
            }
        }
    };
    let other = RedisStore::connect(&settings(&bench.prefix)).unwrap();
    let heard = AtomicUsize::new(0);
    let copying = async {
        let progress = |rows: u64| heard.store(rows as usize, Ordering::SeqCst);
        let copied = other
            .create_from(&bench.generation, &copy, &[], &progress)
            .await;
        over.store(true, Ordering::SeqCst);
        copied.unwrap();
    };
    tokio::join!(writer, copying);
    // So much that rows go and come back.
    for owner in &mut owners {
        for _ in 0..6 {
            feed(&bench, &bench.generation, owner, ROWS / 3).await;
        }
    }
    assert!(heard.load(Ordering::SeqCst) > 3000);

    let pages = bench.store.base_pages(&copy).await.unwrap().unwrap();
    assert!(pages.0.len() > 4, "{} pages", pages.0.len());
    assert_eq!(
        bench.store.base_pages(&bench.generation).await.unwrap(),
        None
    );
    let cursors = bench.store.cursors(&copy).await.unwrap().unwrap();
    let starts: Vec<_> = cursors
        .iter()
        .map(|c| (c.partition.clone(), c.position))
        .collect();
    let mut begun = pages.0[0].clone();
    begun.sort();
    assert_eq!(starts, begun);
    assert!(
        cursors
            .iter()
            .all(|cursor| cursor.newest_micros >= Some(ROWS - 1))
    );
    assert!(cursors.iter().all(|cursor| cursor.claim.is_none()));

    for owner in &owners {
        let end = pages.end(&owner.partition).unwrap();
        assert!(
            end > pages.position(1, &owner.partition).unwrap(),
            "nothing happened meanwhile"
        );
        let mut fed = bench.claimed(&copy, &owner.partition).await;
        catch_up(&bench, &copy, &pages, &mut fed, owner.at).await;
    }
    let (mut compared, mut kept, mut fresh) = (0, 0, 0);
    for page in bench.compared(&bench.generation, &copy).await {
        for (key, one, other) in &page.rows {
            assert!(
                same(one.as_ref(), other.as_ref()),
                "{key:?}: {one:?} {other:?}"
            );
            compared += 1;
            match other.as_ref().map(|row| row.page) {
                Some(0) => fresh += 1,
                Some(_) => kept += 1,
                None => {}
            }
        }
    }
    assert!(
        compared > 3000 && kept > 0 && fresh > 0,
        "{compared} {kept} {fresh}"
    );
    // Users see columns and nothing else.
    let keys = bench.keys().await;
    let row = keys.iter().find(|key| key.starts_with("2:r:")).unwrap();
    let fields: BTreeMap<String, String> = bench.raw(&["HGETALL", &format!("$:{row}")]).await;
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["id", "n", "s"]);
    bench.store.remove(&copy).await.unwrap();
    assert!(!bench.keys().await.iter().any(|key| key.starts_with("2:")));
    bench.done().await;
}

#[tokio::test]
async fn rewriting_a_copied_row_keeps_its_page_and_deleting_it_forgets_it() {
    // A view without orders: what a page needs is not there for other reasons.
    let (bench, mut owner) =
        Bench::owned(vec![column("n", ColumnType::Bigint, SUM, Some("0"))]).await;
    bench
        .applied(&mut owner, vec![bench.delta("a", vec![(1, add("1"))])])
        .await;
    let copy = bench.sibling(2);
    bench
        .store
        .create_from(&bench.generation, &copy, &[], &|_| {})
        .await
        .unwrap();
    let mut side = Side {
        owner: bench.claimed(&copy, &owner.partition).await,
        generation: copy.clone(),
    };
    let row = async || {
        let rows = bench.store.rows(&copy, &[bench.key("a")]).await.unwrap();
        rows.into_iter().next().unwrap()
    };
    let page = row().await.unwrap().page;
    assert!(page > 1);
    side.stepped(&bench, vec![bench.delta("a", vec![(1, add("1"))])])
        .await;
    let written = row().await.unwrap();
    assert_eq!((written.page, &written.values[1]), (page, &Value::Int(2)));
    let delta = bench.delta("a", vec![(1, add("1"))]);
    let fold = |_: &[(RowKey, Option<Row>)]| Ok(vec![delta.clone()]);
    let moves = [side.owner.step()];
    let keys = [bench.key("a")];
    let outcome = bench.store.apply_reading(&copy, &moves, &keys, &fold).await;
    assert_eq!(outcome.unwrap(), Outcome::Applied);
    side.owner.at += 1;
    let written = row().await.unwrap();
    assert_eq!((written.page, &written.values[1]), (page, &Value::Int(3)));

    side.stepped(&bench, vec![RowDelta::Delete(bench.key("a"))])
        .await;
    assert_eq!(row().await, None);
    assert!(!bench.keys().await.contains(&"2:o:a".to_owned()));
    side.stepped(&bench, vec![bench.delta("a", vec![(1, add("1"))])])
        .await;
    assert_eq!(row().await.unwrap().page, 0);
    // As deep as a delete that was computed from the row.
    let gone = |_: &[(RowKey, Option<Row>)]| Ok(vec![RowDelta::Delete(bench.key("a"))]);
    let moves = [side.owner.step()];
    let outcome = bench.store.apply_reading(&copy, &moves, &keys, &gone).await;
    assert_eq!(outcome.unwrap(), Outcome::Applied);
    assert_eq!(row().await, None);
    bench.done().await;
}

#[tokio::test]
async fn a_copy_has_the_columns_of_its_own_definition() {
    let bench = Bench::new(vec![
        column("old", ColumnType::Text, Family::Assign, Some("x")),
        column("n", ColumnType::Bigint, SUM, Some("5")),
    ])
    .await;
    let mut owner = bench.start(0).await;
    bench
        .applied(&mut owner, vec![bench.delta("a", vec![(2, add("1"))])])
        .await;
    let of = |columns: Vec<Column>| Generation {
        schema: schema(columns),
        ..bench.sibling(2)
    };
    let refused = async |to: &Generation| {
        let copied = bench
            .store
            .create_from(&bench.generation, to, &[], &|_| {})
            .await;
        let fault = copied.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Misconfigured, "{fault}");
        assert!(fault.message.contains("rebuild from the log"), "{fault}");
    };
    refused(&of(vec![column("n", ColumnType::Integer, SUM, None)])).await;
    let mut other_key = of(vec![column("b", ColumnType::Text, Family::Assign, None)]);
    other_key.schema = Arc::new(Schema {
        key: vec![0, 1],
        ..(*other_key.schema).clone()
    });
    refused(&other_key).await;

    let copy = of(vec![
        column("n", ColumnType::Bigint, SUM, Some("7")),
        column("new", ColumnType::Text, Family::Assign, Some("y")),
        column("none", ColumnType::Text, Family::Latest, None),
    ]);
    let absent = bench.sibling(9);
    let gone = bench.store.create_from(&absent, &copy, &[], &|_| {}).await;
    assert_eq!(gone.unwrap_err().kind, FaultKind::Transient);
    for _ in 0..2 {
        let copied = bench
            .store
            .create_from(&bench.generation, &copy, &[], &|_| {})
            .await;
        copied.unwrap();
    }
    let fields: BTreeMap<String, String> = bench.raw(&["HGETALL", "$:2:r:a"]).await;
    let expected = [("id", "a"), ("n", "6"), ("new", "y")];
    assert_eq!(
        fields,
        expected.map(|(f, v)| (f.to_owned(), v.to_owned())).into()
    );
    let mut other = copy.clone();
    other.build = Uuid::new_v4();
    let refused = bench
        .store
        .create_from(&bench.generation, &other, &[], &|_| {})
        .await;
    assert_eq!(refused.unwrap_err().kind, FaultKind::Misconfigured);

    // A copy that has not caught up with its own rows is no original.
    let _: i64 = bench.raw(&["HSET", "$:2:pages", "2", "orders/0:9"]).await;
    let third = bench.sibling(3);
    let early = bench.store.create_from(&copy, &third, &[], &|_| {});
    assert_eq!(early.await.unwrap_err().kind, FaultKind::Transient);
    bench.done().await;
}

#[tokio::test]
async fn an_unfinished_copy_is_nothing_and_is_begun_anew() {
    let bench = Bench::new(recorded()).await;
    let mut owners = grown(&bench).await;
    let copy = bench.sibling(2);
    let store = Arc::new(RedisStore::connect(&settings(&bench.prefix)).unwrap());
    let interrupted = async || {
        let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let (store, from, to) = (store.clone(), bench.generation.clone(), copy.clone());
        let task = tokio::spawn(async move {
            let progress = move |rows| said.send(rows).unwrap_or_default();
            store.create_from(&from, &to, &[], &progress).await
        });
        assert!(heard.recv().await.unwrap() > 0);
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    };
    interrupted().await;
    assert_eq!(bench.store.cursors(&copy).await.unwrap(), None);
    assert_eq!(bench.store.base_pages(&copy).await.unwrap(), None);
    assert_eq!(
        bench.store.publish(&copy, 1).await.unwrap_err().kind,
        FaultKind::Transient
    );
    let keys = bench.keys().await;
    let copied = keys
        .iter()
        .find_map(|key| key.strip_prefix("2:r:"))
        .unwrap();
    // A row that goes before the second attempt must not stay from the first one.
    let batch = Batch {
        moves: vec![owners[0].step()],
        rows: vec![RowDelta::Delete(bench.key(copied))],
    };
    bench.store.apply(&bench.generation, &batch).await.unwrap();
    owners[0].at += 1;
    bench
        .store
        .create_from(&bench.generation, &copy, &[], &|_| {})
        .await
        .unwrap();
    for page in bench.compared(&bench.generation, &copy).await {
        for (key, one, other) in &page.rows {
            assert!(same(one.as_ref(), other.as_ref()), "{key:?}");
        }
    }
    bench.store.remove(&copy).await.unwrap();

    interrupted().await;
    bench.store.remove(&copy).await.unwrap();
    assert!(!bench.keys().await.iter().any(|key| key.starts_with("2:")));
    bench.done().await;
}

#[tokio::test]
async fn of_two_attempts_to_copy_the_later_one_wins_and_a_removal_ends_both() {
    let bench = Bench::new(recorded()).await;
    grown(&bench).await;
    let copy = bench.sibling(2);
    let stores = [(); 3].map(|()| RedisStore::connect(&settings(&bench.prefix)).unwrap());
    let attempt = async |store: &RedisStore| {
        store
            .create_from(&bench.generation, &copy, &[], &|_| {})
            .await
    };
    let outcomes = tokio::join!(
        attempt(&stores[0]),
        attempt(&stores[1]),
        attempt(&stores[2])
    );
    let outcomes = [outcomes.0, outcomes.1, outcomes.2];
    assert!(outcomes.iter().any(Result::is_ok), "{outcomes:?}");
    for fault in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(fault.kind, FaultKind::Transient, "{fault}");
    }
    let mut rows = 0;
    for page in bench.compared(&bench.generation, &copy).await {
        for (key, one, other) in &page.rows {
            assert!(same(one.as_ref(), other.as_ref()), "{key:?}");
            rows += 1;
        }
    }
    assert!(rows >= 2 * ROWS, "{rows}");
    bench.store.remove(&copy).await.unwrap();

    let [store, ..] = stores;
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let (from, to) = (bench.generation.clone(), copy.clone());
    let task = tokio::spawn(async move {
        let progress = move |rows| said.send(rows).unwrap_or_default();
        store.create_from(&from, &to, &[], &progress).await
    });
    heard.recv().await.unwrap();
    bench.store.remove(&copy).await.unwrap();
    let ended = task.await.unwrap().unwrap_err();
    assert_eq!(ended.kind, FaultKind::Transient, "{ended}");
    assert!(!bench.keys().await.iter().any(|key| key.starts_with("2:")));
    bench.done().await;
}

#[tokio::test]
async fn every_page_of_a_comparison_is_one_instant_and_no_key_is_missed() {
    let bench = Bench::new(vec![column("n", ColumnType::Bigint, SUM, Some("0"))]).await;
    let (mut first, mut second) = bench.two().await;
    let name = |kind: &str, i: usize| format!("{kind}%{i}");
    let grow = |kinds: &[&str]| {
        let names = kinds
            .iter()
            .flat_map(|kind| (0..700).map(|i| name(kind, i)));
        names
            .map(|key| bench.delta(&key, vec![]))
            .collect::<Vec<_>>()
    };
    first.stepped(&bench, grow(&["both", "left"])).await;
    second.stepped(&bench, grow(&["both", "right"])).await;
    let (one, two) = (first.generation.clone(), second.generation.clone());
    let over = std::sync::atomic::AtomicBool::new(false);
    let writer = async |side: &mut Side| {
        let mut round = 0;
        while !over.load(Ordering::SeqCst) {
            // Every `hot` row counts every batch; others come and go.
            let mut rows: Vec<RowDelta> = (0..60)
                .map(|i| bench.delta(&name("hot", i), vec![(1, add("1"))]))
                .collect();
            for i in 0..40 {
                let key = name("some", (round * 40 + i) % 900);
                rows.push(if round % 3 == 0 {
                    RowDelta::Delete(bench.key(&key))
                } else {
                    bench.delta(&key, vec![(1, add("1"))])
                });
            }
            side.stepped(&bench, rows).await;
            round += 1;
        }
    };
    let store = RedisStore::connect(&settings(&bench.prefix)).unwrap();
    let mut seen = BTreeMap::new();
    let reader = async {
        let mut after = None;
        loop {
            let page = store.compare_page(&one, &two, after.as_ref(), 100).await;
            let page = page.unwrap().unwrap();
            // Each side's rows began to count with its second record.
            let at = [&page.first, &page.second].map(|c| c[0].position.offset() - 1);
            let mut last = None;
            for (key, left, right) in page.rows {
                assert!(last.as_ref() < Some(&key), "a page is sorted by key");
                let text = key.text().to_owned();
                if text.starts_with("hot") {
                    for (row, at) in [(&left, at[0]), (&right, at[1])] {
                        let n = row.as_ref().map_or(&Value::Int(0), |row| &row.values[1]);
                        assert_eq!(n, &Value::Int(at), "{text}");
                    }
                }
                seen.insert(text, (left.is_some(), right.is_some()));
                last = Some(key);
            }
            after = page.next;
            if after.is_none() {
                break over.store(true, Ordering::SeqCst);
            }
        }
    };
    tokio::join!(writer(&mut first), writer(&mut second), reader);
    for (kind, sides) in [
        ("both", (true, true)),
        ("left", (true, false)),
        ("right", (false, true)),
    ] {
        for i in 0..700 {
            let key = bench.key(&name(kind, i));
            assert_eq!(seen.get(key.text()), Some(&sides), "{kind} {i}");
        }
    }
    bench.lose(2).await;
    assert_eq!(
        bench
            .store
            .compare_page(&one, &two, None, 100)
            .await
            .unwrap(),
        None
    );
    bench.done().await;
}

#[tokio::test]
async fn a_key_is_on_one_page_of_a_quiet_comparison() {
    let bench = Bench::new(vec![]).await;
    let (mut first, mut second) = bench.two().await;
    let rows: Vec<RowDelta> = (0..1500)
        .map(|i| bench.delta(&format!("{i}"), vec![]))
        .collect();
    first.stepped(&bench, rows[..1000].to_vec()).await;
    second.stepped(&bench, rows[500..].to_vec()).await;
    let pages = bench.compared(&first.generation, &second.generation).await;
    assert!(pages.len() > 5);
    let keys: Vec<_> = pages
        .iter()
        .flat_map(|page| &page.rows)
        .map(|row| row.0.text())
        .collect();
    // A server that grows its table meanwhile may repeat some.
    assert!(keys.len() < 1800, "{}", keys.len());
    let distinct: BTreeSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), 1500);
    let empty = bench.sibling(3);
    bench.store.create(&empty, &[]).await.unwrap();
    let pages = bench.compared(&empty, &empty).await;
    assert!(pages.iter().all(|page| page.rows.is_empty()));
    bench.done().await;
}

#[tokio::test]
async fn copies_and_cutovers_of_thousands_of_partitions_fit_the_stack_of_a_script() {
    let bench = Bench::new(vec![]).await;
    let partitions = (0..5000).map(|n| TopicPartition::new("orders", n));
    let starts: Vec<_> = partitions.map(|p| (p, Position::at(7))).collect();
    bench
        .store
        .create(&bench.generation, &starts)
        .await
        .unwrap();
    let copy = bench.sibling(2);
    bench
        .store
        .create_from(&bench.generation, &copy, &[], &|_| {})
        .await
        .unwrap();
    let cursors = bench.store.cursors(&copy).await.unwrap().unwrap();
    let stored: Vec<_> = cursors
        .into_iter()
        .map(|c| (c.partition, c.position))
        .collect();
    assert_eq!(stored, starts);
    let more: Vec<_> = (0..5000)
        .map(|n| (TopicPartition::new("carts", n), Position::ZERO))
        .collect();
    let why = not_yet(bench.cut_beyond(&bench.generation, &copy, 1, more).await);
    assert!(why.contains("and 4999 more"), "{why}");
    assert_eq!(
        bench.cut(&bench.generation, &copy, 1).await,
        CutOverOutcome::Done
    );
    bench.done().await;
}

#[tokio::test]
async fn the_size_is_counted_in_a_small_database_and_estimated_in_a_large_one() {
    let server = Server::start().await;
    let columns = vec![column("s", ColumnType::Text, Family::Assign, None)];
    let bench = Bench::at(server.url(""), schema(columns)).await;
    assert_eq!(bench.store.kind(), StoreKind::Redis);
    let mut owner = bench.start(0).await;
    assert_eq!(
        bench.store.size(&bench.generation).await.unwrap(),
        Some((0, 0))
    );
    let text = "x".repeat(500);
    for batch in 0..5 {
        let row = |i: i32| {
            let cells = vec![(1, Cell::Replace(Value::Text(text.as_str().into())))];
            bench.delta(&format!("{batch}-{i}"), cells)
        };
        bench
            .applied(&mut owner, (0..2000).map(row).collect())
            .await;
    }
    let (rows, bytes) = bench.store.size(&bench.generation).await.unwrap().unwrap();
    assert_eq!(rows, 10_000);
    assert!((5_000_000..12_000_000).contains(&bytes), "{bytes}");
    let script = "for i = 1, 90000 do redis.call('SET', 'other:' .. i, i) end";
    let _: () = redis::cmd("EVAL")
        .arg(script)
        .arg(0)
        .query_async(&mut bench.raw.clone())
        .await
        .unwrap();
    let (rows, bytes) = bench.store.size(&bench.generation).await.unwrap().unwrap();
    assert!((7_000..13_000).contains(&rows), "{rows}");
    assert!((3_500_000..15_000_000).contains(&bytes), "{bytes}");
}
