//! What every view store must do, whatever it is made of. `all` runs every check against a
//! store; each check makes views of its own under a fresh name and removes them when it passes.
//!
//! What a delta does to a row is judged by `viewfold::projection::apply`, the executable contract.
#![cfg(test)]

#[path = "store_contract/base.rs"]
mod base;
#[path = "store_contract/changes.rs"]
mod changes;
#[path = "store_contract/cutover.rs"]
mod cutover;
#[path = "store_contract/lists.rs"]
mod lists;
#[path = "store_contract/pages.rs"]
mod pages;

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;
use viewfold::fault::{Fault, FaultKind};
use viewfold::position::{Position, TopicPartition};
use viewfold::projection::{
    Cell, ColumnType, Decimal, Delta, Latest, LoadedFold, Op, Ops, Row, RowDelta, RowKey, Rows,
    Schema, StoreKind, Value, apply,
};
use viewfold::store::{
    Batch, Claimed, Cursor, CutOver, Generation, Move, Outcome, PointRead, Verdict, ViewStore,
};

type Store = Arc<dyn ViewStore>;

/// What surrounds a store: where it holds the control tables, they have to allow a cutover.
#[async_trait]
pub(crate) trait Stage: Sync {
    /// Records both generations and the lease of `cut`, so that nothing but the store's own rules is in its way.
    async fn allow(&self, cut: &CutOver);
}

/// A store without control tables.
pub(crate) struct Bare;

#[async_trait]
impl Stage for Bare {
    async fn allow(&self, _cut: &CutOver) {}
}

/// Runs every check. Panics with the sentence that does not hold.
pub(crate) async fn all(store: Store) {
    all_on(store, &Bare).await;
}

/// Runs every check on a store that has control tables.
pub(crate) async fn all_on(store: Store, stage: &dyn Stage) {
    rebuilding(&store, stage).await;
    if store.kind() == StoreKind::Postgres {
        listing(&store).await;
    }
    macro_rules! run {
        ($($check:ident),* $(,)?) => {$(
            println!("  {}", stringify!($check));
            Box::pin($check(&store, &fresh_name())).await;
        )*};
    }
    run!(
        a_batch_is_judged_by_claim_and_position,
        one_refused_partition_refuses_the_batch,
        a_batch_applied_twice_counts_once,
        a_batch_without_rows_moves_its_cursors,
        poison_changes_nothing,
        sums_at_the_edges_of_their_types,
        a_claim_is_taken_once,
        a_stale_owner_writes_nothing,
        another_build_is_another_generation,
        creating_again_changes_nothing,
        a_cursor_is_added_once,
        readers_follow_the_greatest_intent,
        a_point_read_shows_row_and_cursors,
        reading_writers_of_one_row_lose_nothing,
        a_reading_batch_is_judged_like_any_other,
        a_reading_batch_writes_what_its_fold_gives,
        blind_writers_of_the_same_rows_lose_nothing,
        cursors_advance_each_for_itself,
        the_newest_time_never_goes_back,
        every_value_reads_back_as_it_was_written,
        every_key_finds_its_row,
        every_cell_does_what_the_contract_says,
        a_deleted_row_starts_again_from_defaults,
        many_rows_go_in_one_batch,
        removing_leaves_nothing,
    );
}

/// The checks of what rebuilding asks of a store.
async fn rebuilding(store: &Store, stage: &dyn Stage) {
    macro_rules! run {
        ($($module:ident::$check:ident($($stage:ident)?)),* $(,)?) => {$(
            println!("  {}", stringify!($check));
            Box::pin($module::$check(store, &fresh_name() $(, $stage)?)).await;
        )*};
    }
    run!(
        cutover::one_record_behind_changes_nothing(stage),
        cutover::every_shared_partition_must_be_in_both(stage),
        cutover::the_targets_of_new_topics_must_be_passed(stage),
        cutover::an_older_intent_changes_nothing(stage),
        cutover::repeating_an_intent_confirms_it(stage),
        cutover::a_rollback_is_a_cutover_with_a_later_intent(stage),
        cutover::a_generation_that_is_gone_is_never_shown(stage),
        cutover::a_pointer_is_forgotten(),
        changes::what_readers_see_is_noted_with_its_positions(),
        changes::only_the_generation_that_readers_see_is_noted(stage),
        changes::nothing_is_missed_or_seen_twice_while_others_write(),
        pages::every_key_is_on_one_page_while_others_are_written(),
        pages::a_page_shows_both_sides_and_their_cursors(),
        pages::rows_with_different_keys_are_not_compared(),
        base::a_copy_has_the_rows_cursors_and_defaults(),
        base::a_copy_of_nothing_is_empty_and_has_cursors(),
        base::a_copy_is_made_once_and_removed_whole(),
        base::what_cannot_be_copied_is_refused(),
        base::copied_rows_reflect_the_records_below_their_pages_cursors(),
        base::a_size_is_known_while_the_generation_is_there(),
    );
}

/// The checks of lists, for stores that list.
async fn listing(store: &Store) {
    macro_rules! run {
        ($($check:ident),* $(,)?) => {$(
            println!("  {}", stringify!($check));
            Box::pin(lists::$check(store, &fresh_name())).await;
        )*};
    }
    run!(
        every_order_pages_through_every_row_once,
        every_condition_finds_what_it_says,
        an_answer_has_the_columns_and_cursors_of_one_instant,
        a_list_says_which_generation_readers_see,
        a_page_of_large_rows_ends_early,
        rows_that_stay_are_seen_once_while_others_come_and_go,
    );
}

/// A projection name that nobody used before.
pub(crate) fn fresh_name() -> String {
    format!("contract_{}", Uuid::new_v4().simple())
}

const START: i64 = 10;

/// One generation in the store under test, with two partitions that begin at [`START`].
struct View {
    store: Store,
    generation: Generation,
}

impl View {
    async fn create(store: &Store, name: &str, schema: Arc<Schema>) -> Self {
        let view = Self::unborn(store, name, schema);
        let starts = [0, 1].map(|p| (view.partition(p), Position::at(START)));
        view.store.create(&view.generation, &starts).await.unwrap();
        view
    }

    /// A generation that was not created.
    fn unborn(store: &Store, name: &str, schema: Arc<Schema>) -> Self {
        let generation = Generation {
            projection: name.into(),
            number: 1,
            build: Uuid::new_v4(),
            schema,
        };
        Self {
            store: store.clone(),
            generation,
        }
    }

    /// The same projection under another number or build.
    fn sibling(&self, number: u32) -> Self {
        let mut sibling = Self::unborn(
            &self.store,
            &self.generation.projection,
            self.generation.schema.clone(),
        );
        sibling.generation.number = number;
        sibling
    }

    fn partition(&self, number: i32) -> TopicPartition {
        TopicPartition::new("contract.events-1", number)
    }

    fn key(&self, text: &str) -> RowKey {
        RowKey::parse(&self.generation.schema, text).unwrap()
    }

    async fn cursors(&self) -> Vec<Cursor> {
        self.store.cursors(&self.generation).await.unwrap().unwrap()
    }

    async fn cursor(&self, number: i32) -> Cursor {
        let wanted = self.partition(number);
        let cursors = self.cursors().await;
        cursors.into_iter().find(|c| c.partition == wanted).unwrap()
    }

    async fn position(&self, number: i32) -> i64 {
        self.cursor(number).await.position.offset()
    }

    async fn claim(&self, number: i32) -> Uuid {
        let claim = Uuid::new_v4();
        let read = self.cursor(number).await;
        let claimed = self.store.claim(&self.generation, &read, claim).await;
        assert_eq!(claimed.unwrap(), Claimed::Ours(read.position));
        claim
    }

    fn movement(&self, number: i32, claim: Uuid, range: (i64, i64)) -> Move {
        Move {
            partition: self.partition(number),
            claim,
            from: Position::at(range.0),
            to: Position::at(range.1),
            newest_micros: None,
        }
    }

    async fn apply(&self, moves: Vec<Move>, rows: Vec<RowDelta>) -> Result<Outcome, Fault> {
        let batch = Batch { moves, rows };
        self.store.apply(&self.generation, &batch).await
    }

    /// Writes `rows` as the next offset of partition 0, under a claim of its own.
    async fn try_write(&self, mut rows: Vec<RowDelta>) -> Result<(), Fault> {
        rows.sort_by(|a, b| a.key().cmp(b.key()));
        let claim = self.claim(0).await;
        let at = self.position(0).await;
        let movement = self.movement(0, claim, (at, at + 1));
        let outcome = self.apply(vec![movement], rows).await?;
        assert_eq!(outcome, Outcome::Applied);
        assert_eq!(self.position(0).await, at + 1);
        Ok(())
    }

    async fn write(&self, rows: Vec<RowDelta>) {
        self.try_write(rows).await.unwrap();
    }

    async fn row(&self, key: &RowKey) -> Option<Row> {
        let keys = std::slice::from_ref(key);
        let mut rows = self.store.rows(&self.generation, keys).await.unwrap();
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    }

    /// The canonical text of one column of a row that must be there.
    async fn text(&self, key: &RowKey, column: &str) -> Option<String> {
        let row = self.row(key).await.unwrap();
        let index = self.generation.schema.column(column).unwrap();
        row.values[index].canonical().map(|text| text.into_owned())
    }

    async fn point_read(&self, key: &RowKey) -> Option<PointRead> {
        let known = self.generation.clone();
        let projection = known.projection.clone();
        let schemas = move |number| (number == known.number).then(|| known.clone());
        let read = self.store.point_read(&projection, key, &schemas).await;
        read.unwrap()
    }

    async fn remove(&self) {
        self.store.remove(&self.generation).await.unwrap();
    }
}

/// A counter per key, beside a note.
fn counters() -> Arc<Schema> {
    Schema::builder("counters")
        .key("id", ColumnType::Text)
        .column("count", ColumnType::Bigint)
        .sum()
        .default_value(0)
        .column("note", ColumnType::Text)
        .build()
        .unwrap()
}

const COUNT: usize = 1;
const NOTE: usize = 2;

fn number(text: &str) -> Decimal {
    Decimal::parse(text).unwrap()
}

fn add(key: &RowKey, amount: i64) -> RowDelta {
    let cell = Cell::Op(Delta::Add(Decimal::from(amount)));
    RowDelta::Upsert(key.clone(), vec![(COUNT, cell)])
}

/// Rows are equal, and so are their canonical texts (1.5 and 1.50 are equal numbers).
#[track_caller]
fn assert_same(stored: Option<&Row>, expected: Option<&Row>, what: &str) {
    fn texts(row: &Row) -> Vec<Option<String>> {
        let text = |value: &Value| value.canonical().map(|t| t.into_owned());
        row.values.iter().map(text).collect()
    }
    assert_eq!(stored.map(texts), expected.map(texts), "{what}");
    assert_eq!(stored, expected, "{what}");
}

/// The truth table of `viewfold::store`, row by row (I2, I5).
async fn a_batch_is_judged_by_claim_and_position(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let key = view.key("a");
    let claim = view.claim(0).await;
    let other = Uuid::new_v4();
    let refused = |verdict| Outcome::Refused(vec![verdict]);
    let at = Position::at(START);
    let unclaimed = view.movement(1, claim, (START, START + 1));
    let mut unknown = view.movement(7, claim, (START, START + 1));
    for (movement, outcome) in [
        (view.movement(0, other, (10, 12)), refused(Verdict::Fenced)),
        (view.movement(0, other, (5, 10)), refused(Verdict::Fenced)),
        (view.movement(0, other, (20, 25)), refused(Verdict::Fenced)),
        (unclaimed, refused(Verdict::Fenced)),
        (view.movement(0, claim, (5, 10)), Outcome::Applied),
        (
            view.movement(0, claim, (11, 12)),
            refused(Verdict::Behind(at)),
        ),
        (view.movement(0, claim, (3, 7)), refused(Verdict::Moved(at))),
        (
            view.movement(0, claim, (9, 12)),
            refused(Verdict::Moved(at)),
        ),
        (unknown.clone(), refused(Verdict::Gone)),
    ] {
        let judged = view.apply(vec![movement.clone()], vec![add(&key, 1)]).await;
        assert_eq!(judged.unwrap(), outcome, "{movement:?}");
        assert_eq!(view.row(&key).await, None, "{movement:?} wrote a row");
        assert_eq!(view.position(0).await, START, "{movement:?} moved a cursor");
    }
    unknown.partition = TopicPartition::new("contract.elsewhere", 0);
    let judged = view.apply(vec![unknown], vec![]).await.unwrap();
    assert_eq!(judged, refused(Verdict::Gone));

    let absent = view.sibling(2);
    let movement = view.movement(0, claim, (10, 12));
    let judged = absent
        .apply(vec![movement.clone()], vec![add(&key, 1)])
        .await;
    assert_eq!(judged.unwrap(), refused(Verdict::Gone));

    let judged = view.apply(vec![movement], vec![add(&key, 1)]).await;
    assert_eq!(judged.unwrap(), Outcome::Applied);
    assert_eq!(view.position(0).await, 12);
    assert_eq!(view.text(&key, "count").await.unwrap(), "1");
    view.remove().await;
}

/// All or nothing over several partitions (I4, I5).
async fn one_refused_partition_refuses_the_batch(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let key = view.key("a");
    let mine = view.claim(0).await;
    let theirs = view.claim(1).await;
    let at = Position::at(START);
    let good = || view.movement(0, mine, (10, 12));
    for (bad, verdict) in [
        (view.movement(1, mine, (10, 12)), Verdict::Fenced),
        (view.movement(1, theirs, (8, 10)), Verdict::Applied),
        (view.movement(1, theirs, (15, 20)), Verdict::Behind(at)),
        (view.movement(1, theirs, (7, 9)), Verdict::Moved(at)),
        (view.movement(2, theirs, (10, 12)), Verdict::Gone),
    ] {
        let judged = view.apply(vec![good(), bad], vec![add(&key, 1)]).await;
        let expected = Outcome::Refused(vec![Verdict::NotApplied, verdict]);
        assert_eq!(judged.unwrap(), expected);
        assert_eq!(view.row(&key).await, None, "a refused batch wrote a row");
        assert_eq!(
            view.position(0).await,
            START,
            "a refused batch moved a cursor"
        );
        assert_eq!(
            view.position(1).await,
            START,
            "a refused batch moved a cursor"
        );
    }
    let both = vec![good(), view.movement(1, theirs, (10, 15))];
    let judged = view.apply(both, vec![add(&key, 1)]).await.unwrap();
    assert_eq!(judged, Outcome::Applied);
    assert_eq!((view.position(0).await, view.position(1).await), (12, 15));
    view.remove().await;
}

/// I2: a batch whose answer was lost is sent again.
async fn a_batch_applied_twice_counts_once(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let key = view.key("a");
    let claims = (view.claim(0).await, view.claim(1).await);
    let moves = || {
        vec![
            view.movement(0, claims.0, (10, 12)),
            view.movement(1, claims.1, (10, 11)),
        ]
    };
    for _ in 0..3 {
        let judged = view.apply(moves(), vec![add(&key, 5)]).await.unwrap();
        assert_eq!(judged, Outcome::Applied);
        assert_eq!(view.text(&key, "count").await.unwrap(), "5");
    }
    view.remove().await;
}

async fn a_batch_without_rows_moves_its_cursors(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let claim = view.claim(1).await;
    let judged = view
        .apply(vec![view.movement(1, claim, (10, 400))], vec![])
        .await;
    assert_eq!(judged.unwrap(), Outcome::Applied);
    assert_eq!((view.position(0).await, view.position(1).await), (10, 400));
    view.remove().await;
}

/// I4: a batch with one row that cannot be stored leaves no trace.
async fn poison_changes_nothing(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let (first, second, third) = (view.key("a"), view.key("b"), view.key("c"));
    let most = Cell::Replace(Value::Int(i64::MAX));
    view.write(vec![RowDelta::Upsert(second.clone(), vec![(COUNT, most)])])
        .await;
    let before = view.cursor(0).await;
    for _ in 0..2 {
        let rows = vec![add(&first, 1), add(&second, 1), add(&third, 1)];
        let fault = view.try_write(rows).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Poison, "{fault}");
        assert_eq!(view.position(0).await, before.position.offset());
        assert_eq!(view.row(&first).await, None);
        assert_eq!(view.row(&third).await, None);
        let count = view.text(&second, "count").await.unwrap();
        assert_eq!(count, i64::MAX.to_string());
    }
    view.write(vec![add(&first, 1), add(&second, -1)]).await;
    view.remove().await;
}

/// Every sum reaches the last value of its type, and is refused behind it.
async fn sums_at_the_edges_of_their_types(store: &Store, name: &str) {
    let cents = ColumnType::Decimal {
        precision: 18,
        scale: 2,
    };
    let whole = ColumnType::Decimal {
        precision: 3,
        scale: 0,
    };
    let edges = [
        (ColumnType::Smallint, "-32768", "32767", "1"),
        (ColumnType::Integer, "-2147483648", "2147483647", "1"),
        (
            ColumnType::Bigint,
            "-9223372036854775808",
            "9223372036854775807",
            "1",
        ),
        (cents, "-9999999999999999.99", "9999999999999999.99", "0.01"),
        (whole, "-999", "999", "1"),
    ];
    for (at, (ty, least, most, step)) in edges.into_iter().enumerate() {
        let schema = Schema::builder("edges")
            .key("id", ColumnType::Integer)
            .column("total", ty)
            .sum()
            .build()
            .unwrap();
        let view = View::create(store, &format!("{name}_{at}"), schema).await;
        let (low, high) = (view.key("-1"), view.key("1"));
        let sum = |key: &RowKey, amount: Decimal| {
            RowDelta::Upsert(key.clone(), vec![(1, Cell::Op(Delta::Add(amount)))])
        };
        let to_edge = [
            sum(&low, number(least).plus(&number(step))),
            sum(&high, number(most).plus(&number(step).neg())),
        ];
        view.write(to_edge.into()).await;
        view.write(vec![
            sum(&low, number(step).neg()),
            sum(&high, number(step)),
        ])
        .await;
        assert_eq!(view.text(&low, "total").await.unwrap(), least, "{ty}");
        assert_eq!(view.text(&high, "total").await.unwrap(), most, "{ty}");
        for beyond in [
            sum(&low, number(step).neg()),
            sum(&high, number(step)),
            // Many folded amounts, together far beyond the type.
            sum(&high, number("99999999999999999999999999")),
            sum(&view.key("7"), number("-99999999999999999999999999")),
        ] {
            let fault = view.try_write(vec![beyond]).await.unwrap_err();
            assert_eq!(fault.kind, FaultKind::Poison, "{ty}: {fault}");
        }
        assert_eq!(view.text(&low, "total").await.unwrap(), least, "{ty}");
        assert_eq!(view.text(&high, "total").await.unwrap(), most, "{ty}");
        assert_eq!(view.row(&view.key("7")).await, None, "{ty}");
        view.remove().await;
    }
}

/// I5: of two that read the same claim, one gets the cursor.
async fn a_claim_is_taken_once(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let read = view.cursor(0).await;
    assert_eq!(read.claim, None);
    assert_eq!(read.position, Position::at(START));
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    let g = &view.generation;
    let ours = Claimed::Ours(Position::at(START));
    assert_eq!(store.claim(g, &read, first).await.unwrap(), ours);
    assert_eq!(store.claim(g, &read, second).await.unwrap(), Claimed::Lost);
    let after = view.cursor(0).await;
    assert_eq!(after.claim, Some(first));
    assert_eq!(after.epoch, read.epoch + 1);
    assert_eq!(
        view.cursor(1).await.claim,
        None,
        "the other cursor was claimed too"
    );

    let movement = view.movement(0, first, (10, 33));
    assert_eq!(
        view.apply(vec![movement], vec![]).await.unwrap(),
        Outcome::Applied
    );
    // What was read may be old in its position: only its claim counts, and the answer is final.
    let ours = Claimed::Ours(Position::at(33));
    assert_eq!(store.claim(g, &after, second).await.unwrap(), ours);
    assert_eq!(view.cursor(0).await.epoch, read.epoch + 2);

    let mut elsewhere = after.clone();
    elsewhere.partition = view.partition(9);
    assert_eq!(
        store.claim(g, &elsewhere, first).await.unwrap(),
        Claimed::Gone
    );
    let absent = view.sibling(3).generation;
    assert_eq!(
        store.claim(&absent, &after, first).await.unwrap(),
        Claimed::Gone
    );
    view.remove().await;

    // Many at once: exactly one.
    let view = View::create(store, &format!("{name}_b"), counters()).await;
    let read = view.cursor(0).await;
    let claims = (0..6).map(|_| store.claim(&view.generation, &read, Uuid::new_v4()));
    let claimed = futures_util::future::join_all(claims).await;
    let ours = claimed
        .iter()
        .filter(|c| matches!(c, Ok(Claimed::Ours(_))))
        .count();
    assert_eq!(ours, 1, "{claimed:?}");
    view.remove().await;
}

/// I5, the zombie: its claim was taken, whatever it sends changes nothing.
async fn a_stale_owner_writes_nothing(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let key = view.key("a");
    let stale = view.claim(0).await;
    view.claim(0).await;
    let movement = || vec![view.movement(0, stale, (10, 11))];
    let fenced = vec![Verdict::Fenced];
    let judged = view.apply(movement(), vec![add(&key, 1)]).await.unwrap();
    assert_eq!(judged, Outcome::Refused(fenced.clone()));
    let advanced = store.advance(&view.generation, &movement()).await.unwrap();
    assert_eq!(advanced, fenced);
    let fold = |_: &[(RowKey, Option<Row>)]| Ok(vec![add(&key, 1)]);
    let keys = [key.clone()];
    let judged = store
        .apply_reading(&view.generation, &movement(), &keys, &fold)
        .await
        .unwrap();
    assert_eq!(judged, Outcome::Refused(fenced));
    assert_eq!(view.row(&key).await, None);
    assert_eq!(view.position(0).await, START);
    view.remove().await;
}

async fn another_build_is_another_generation(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let key = view.key("a");
    let claim = view.claim(0).await;
    let other = view.sibling(1);
    assert_ne!(other.generation.build, view.generation.build);
    let g = &other.generation;
    let starts = [(view.partition(0), Position::at(99))];
    let fault = store.create(g, &starts).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Misconfigured, "{fault}");
    assert_eq!(store.cursors(g).await.unwrap(), None);
    let added = store
        .add_cursor(g, &view.partition(5), Position::ZERO)
        .await;
    assert!(!added.unwrap());
    let read = view.cursor(0).await;
    let claimed = store.claim(g, &read, Uuid::new_v4()).await.unwrap();
    assert_eq!(claimed, Claimed::Gone);
    let movement = vec![view.movement(0, claim, (10, 11))];
    let gone = vec![Verdict::Gone];
    let judged = other.apply(movement.clone(), vec![add(&key, 1)]).await;
    assert_eq!(judged.unwrap(), Outcome::Refused(gone.clone()));
    assert_eq!(store.advance(g, &movement).await.unwrap(), gone);
    store.remove(g).await.unwrap();
    assert_eq!(
        view.cursor(0).await,
        read,
        "another build removed or changed it"
    );
    assert_eq!(view.cursors().await.len(), 2);
    assert_eq!(view.row(&key).await, None);
    view.remove().await;
}

async fn creating_again_changes_nothing(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let key = view.key("a");
    view.write(vec![add(&key, 3)]).await;
    let before = view.cursors().await;
    let starts = [0, 1].map(|p| (view.partition(p), Position::ZERO));
    store.create(&view.generation, &starts).await.unwrap();
    assert_eq!(view.cursors().await, before);
    assert_eq!(view.text(&key, "count").await.unwrap(), "3");
    view.remove().await;
}

async fn a_cursor_is_added_once(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let g = &view.generation;
    let (known, new) = (view.partition(0), view.partition(2));
    let topic = TopicPartition::new("contract.another", 0);
    for _ in 0..2 {
        for (partition, start) in [(&known, 77), (&new, 5), (&topic, 0)] {
            let added = store.add_cursor(g, partition, Position::at(start)).await;
            assert!(added.unwrap());
        }
    }
    let positions: Vec<(String, i64)> = view
        .cursors()
        .await
        .iter()
        .map(|c| (c.partition.to_string(), c.position.offset()))
        .collect();
    let expected = [
        ("contract.another/0", 0),
        ("contract.events-1/0", START),
        ("contract.events-1/1", START),
        ("contract.events-1/2", 5),
    ];
    assert_eq!(positions, expected.map(|(p, at)| (p.to_owned(), at)));
    let absent = view.sibling(2).generation;
    let added = store.add_cursor(&absent, &new, Position::ZERO).await;
    assert!(!added.unwrap());
    assert_eq!(store.cursors(&absent).await.unwrap(), None);
    view.remove().await;
}

async fn readers_follow_the_greatest_intent(store: &Store, name: &str) {
    let first = View::create(store, name, counters()).await;
    let second = first.sibling(2);
    let starts = [(first.partition(0), Position::at(START))];
    store.create(&second.generation, &starts).await.unwrap();
    let key = first.key("a");
    let known = [first.generation.clone(), second.generation.clone()];
    let schemas = |number: u32| known.iter().find(|g| g.number == number).cloned();
    let live = async || {
        let read = store.point_read(name, &key, &schemas).await.unwrap();
        read.map(|read| read.generation)
    };
    assert_eq!(live().await, None);
    for (view, intent, seen) in [
        (&first, 1, 1),
        (&first, 1, 1),
        (&second, 1, 1),
        (&second, 0, 1),
        (&second, 5, 2),
        (&first, 4, 2),
        (&first, 5, 2),
        (&second, 5, 2),
        (&first, 6, 1),
        (&first, 7, 1),
        (&second, 7, 1),
    ] {
        store.publish(&view.generation, intent).await.unwrap();
        let what = format!("generation {} by intent {intent}", view.generation.number);
        assert_eq!(live().await, Some(seen), "{what}");
    }
    second.remove().await;
    first.remove().await;
}

async fn a_point_read_shows_row_and_cursors(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let (key, absent) = (view.key("a%20b"), view.key("nobody"));
    view.write(vec![add(&key, 3)]).await;
    assert_eq!(view.point_read(&key).await, None, "it is not published");
    let nobody = store.publish(&view.sibling(4).generation, 9).await;
    assert!(nobody.is_err() || view.point_read(&key).await.is_none());

    store.publish(&view.generation, 10).await.unwrap();
    let read = view.point_read(&key).await.unwrap();
    assert_eq!(read.generation, 1);
    assert_same(
        read.row.as_ref(),
        view.row(&key).await.as_ref(),
        "point read",
    );
    assert!(read.row.is_some());
    assert_eq!(read.cursors, view.cursors().await);
    let read = view.point_read(&absent).await.unwrap();
    assert_eq!(read.row, None);
    assert_eq!(read.cursors.len(), 2);
    view.remove().await;
}

/// Sends a reading batch until it has an outcome; a busy store may be asked again.
async fn read_and_count(view: &View, movement: Move, key: &RowKey) -> Outcome {
    let schema = &view.generation.schema;
    let fold = |rows: &[(RowKey, Option<Row>)]| {
        let mut fold = LoadedFold::new(schema.clone(), rows);
        let seen = match fold.get(key).map(|row| &row.values[COUNT]) {
            Some(Value::Int(count)) => *count,
            _ => 0,
        };
        let mut ops = Ops::new();
        ops.upsert(key.clone(), vec![(COUNT, Op::Set(Value::Int(seen + 1)))]);
        fold.absorb(&mut ops)?;
        Ok(fold.finish())
    };
    let keys = [key.clone()];
    for _ in 0..200 {
        let moves = [movement.clone()];
        match view
            .store
            .apply_reading(&view.generation, &moves, &keys, &fold)
            .await
        {
            Ok(outcome) => return outcome,
            Err(fault) => assert_eq!(fault.kind, FaultKind::Transient, "{fault}"),
        }
    }
    panic!("the store was busy 200 times in a row");
}

/// I2: two writers that read the same row and write what they saw, plus one.
async fn reading_writers_of_one_row_lose_nothing(store: &Store, name: &str) {
    const BATCHES: i64 = 25;
    let view = View::create(store, name, counters()).await;
    let key = view.key("shared");
    let claims = [view.claim(0).await, view.claim(1).await];
    let writer = async |number: usize| {
        for at in START..START + BATCHES {
            let movement = view.movement(number as i32, claims[number], (at, at + 1));
            let outcome = read_and_count(&view, movement, &key).await;
            assert_eq!(outcome, Outcome::Applied);
        }
    };
    futures_util::future::join(writer(0), writer(1)).await;
    let count = view.text(&key, "count").await.unwrap();
    assert_eq!(count, (2 * BATCHES).to_string());
    view.remove().await;
}

async fn a_reading_batch_is_judged_like_any_other(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let key = view.key("a");
    let claim = view.claim(0).await;
    let movement = view.movement(0, claim, (10, 12));
    // A fault of the fold changes nothing.
    let broken = |_: &[(RowKey, Option<Row>)]| Err(Fault::poison("no such thing"));
    let keys = [key.clone()];
    let moves = [movement.clone()];
    let fault = store
        .apply_reading(&view.generation, &moves, &keys, &broken)
        .await
        .unwrap_err();
    assert_eq!(fault, Fault::poison("no such thing"));
    assert_eq!(view.position(0).await, START);
    assert_eq!(view.row(&key).await, None);
    // The same batch twice counts once.
    for _ in 0..2 {
        let outcome = read_and_count(&view, movement.clone(), &key).await;
        assert_eq!(outcome, Outcome::Applied);
        assert_eq!(view.text(&key, "count").await.unwrap(), "1");
    }
    let ahead = view.movement(0, claim, (20, 21));
    let outcome = read_and_count(&view, ahead, &key).await;
    let behind = Verdict::Behind(Position::at(12));
    assert_eq!(outcome, Outcome::Refused(vec![behind]));
    let absent = view.sibling(2);
    let outcome = read_and_count(&absent, movement, &key).await;
    assert_eq!(outcome, Outcome::Refused(vec![Verdict::Gone]));
    assert_eq!(view.text(&key, "count").await.unwrap(), "1");
    view.remove().await;
}

/// Rows that are there, that are missing, that go, and one that was not asked for.
async fn a_reading_batch_writes_what_its_fold_gives(store: &Store, name: &str) {
    let view = View::create(store, name, kinds(false)).await;
    let schema = &view.generation.schema;
    let keys = ["a", "b", "c", "d"].map(|key| view.key(key));
    let (mut ops, mut fold) = (Ops::new(), viewfold::projection::Fold::new(schema.clone()));
    for key in [&keys[0], &keys[2]] {
        ops.upsert(key.clone(), some_ops(schema));
        fold.absorb(&mut ops).unwrap();
    }
    view.write(fold.finish()).await;
    let before = view.store.rows(&view.generation, &keys).await.unwrap();
    let unasked = view.key("e");
    let fold = |rows: &[(RowKey, Option<Row>)]| {
        let seen: Vec<Option<Row>> = rows.iter().map(|(_, row)| row.clone()).collect();
        assert_eq!(seen, before);
        assert!(rows.iter().map(|(key, _)| key).eq(&keys));
        let mut fold = LoadedFold::new(schema.clone(), rows);
        let mut ops = Ops::new();
        ops.upsert(keys[0].clone(), some_ops(schema));
        ops.upsert(keys[1].clone(), some_ops(schema));
        ops.delete(keys[2].clone());
        ops.delete(keys[3].clone());
        ops.upsert(unasked.clone(), some_ops(schema));
        fold.absorb(&mut ops)?;
        Ok(fold.finish())
    };
    let claim = view.claim(0).await;
    let at = view.position(0).await;
    let moves = [view.movement(0, claim, (at, at + 1))];
    let outcome = store
        .apply_reading(&view.generation, &moves, &keys, &fold)
        .await;
    assert_eq!(outcome.unwrap(), Outcome::Applied);
    let pairs: Vec<(RowKey, Option<Row>)> = keys.iter().cloned().zip(before.clone()).collect();
    for delta in fold(&pairs).unwrap() {
        let old = pairs.iter().find(|(key, _)| key == delta.key());
        let old = old.and_then(|(_, row)| row.clone());
        let expected = apply(schema, old, &delta).unwrap();
        let stored = view.row(delta.key()).await;
        assert_same(stored.as_ref(), expected.as_ref(), delta.key().text());
    }
    view.remove().await;
}

/// Two lanes with a partition each write the same rows at once (I2).
async fn blind_writers_of_the_same_rows_lose_nothing(store: &Store, name: &str) {
    const BATCHES: i64 = 20;
    let view = View::create(store, name, counters()).await;
    let mut keys: Vec<RowKey> = (0..40).map(|n| view.key(&format!("k{n}"))).collect();
    keys.sort();
    let claims = [view.claim(0).await, view.claim(1).await];
    let writer = async |number: usize| {
        for at in START..START + BATCHES {
            let movement = view.movement(number as i32, claims[number], (at, at + 1));
            let rows: Vec<RowDelta> = keys.iter().map(|key| add(key, 1)).collect();
            let mut outcome = view.apply(vec![movement.clone()], rows.clone()).await;
            while let Err(fault) = &outcome {
                assert_eq!(fault.kind, FaultKind::Transient, "{fault}");
                outcome = view.apply(vec![movement.clone()], rows.clone()).await;
            }
            assert_eq!(outcome.unwrap(), Outcome::Applied);
        }
    };
    futures_util::future::join(writer(0), writer(1)).await;
    for row in view.store.rows(&view.generation, &keys).await.unwrap() {
        assert_eq!(row.unwrap().values[COUNT], Value::Int(2 * BATCHES));
    }
    view.remove().await;
}

async fn cursors_advance_each_for_itself(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let claim = view.claim(0).await;
    let moves = [
        view.movement(0, claim, (10, 50)),
        view.movement(1, claim, (10, 50)),
        view.movement(2, claim, (10, 50)),
    ];
    let expected = [Verdict::Applied, Verdict::Fenced, Verdict::Gone];
    for _ in 0..2 {
        let verdicts = store.advance(&view.generation, &moves).await.unwrap();
        assert_eq!(verdicts, expected);
        assert_eq!((view.position(0).await, view.position(1).await), (50, 10));
    }
    let moves = [
        view.movement(0, claim, (60, 70)),
        view.movement(1, view.claim(1).await, (10, 11)),
    ];
    let verdicts = store.advance(&view.generation, &moves).await.unwrap();
    assert_eq!(
        verdicts,
        [Verdict::Behind(Position::at(50)), Verdict::Applied]
    );
    let moved = store
        .advance(&view.generation, &[view.movement(0, claim, (20, 30))])
        .await;
    assert_eq!(moved.unwrap(), [Verdict::Moved(Position::at(50))]);
    assert_eq!((view.position(0).await, view.position(1).await), (50, 11));
    let none = store
        .advance(&view.sibling(2).generation, &moves)
        .await
        .unwrap();
    assert_eq!(none, [Verdict::Gone, Verdict::Gone]);
    view.remove().await;
}

async fn the_newest_time_never_goes_back(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let claim = view.claim(0).await;
    let mut at = START;
    for (given, newest) in [
        (None, None),
        (Some(1_700_000_000_000_001), Some(1_700_000_000_000_001)),
        (Some(5), Some(1_700_000_000_000_001)),
        (None, Some(1_700_000_000_000_001)),
        (Some(1_800_000_000_000_000), Some(1_800_000_000_000_000)),
    ] {
        let mut movement = view.movement(0, claim, (at, at + 1));
        movement.newest_micros = given;
        if at % 2 == 0 {
            view.apply(vec![movement], vec![]).await.unwrap();
        } else {
            store.advance(&view.generation, &[movement]).await.unwrap();
        }
        at += 1;
        let cursor = view.cursor(0).await;
        assert_eq!(
            (cursor.position.offset(), cursor.newest_micros),
            (at, newest)
        );
    }
    view.remove().await;
}

/// Texts of every type, in canonical form, its extremes among them.
fn values() -> Vec<(ColumnType, Vec<String>)> {
    let decimal = |precision, scale| ColumnType::Decimal { precision, scale };
    let own = |texts: &[&str]| -> Vec<String> { texts.iter().map(|t| t.to_string()).collect() };
    let digits = "123456789012345678901234567890";
    let mut numerics = own(&["0", "1", "-1", "0.1", "-0.001", "9007199254740993"]);
    numerics.push(format!("{digits}{digits}"));
    numerics.push(format!("-{digits}.{digits}1"));
    numerics.push(format!("0.{digits}{digits}1"));
    let texts = [
        "",
        " ",
        "plain",
        "NULL",
        "null",
        "Grüße, 世界 🦀",
        "it's",
        "\"quoted\"",
        "back\\slash",
        "a,b",
        "{a}",
        "[1]",
        "tab\tline\nreturn\r",
        "%41",
        "\u{1}\u{7f}",
        "e\u{301}",
        "\\x41",
        "$1",
        ":",
        "::text",
        "--",
        "\u{feff}bom",
        "a\\",
        "true",
        "0012",
    ];
    let lists = [
        "[]",
        r#"[""]"#,
        r#"["a","b"]"#,
        r#"["a,b","{c}","d\"e","f\\g","NULL","null"," x ",""]"#,
        r#"["Grüße 世界 🦀","line\nbreak"]"#,
        r#"["a","a"]"#,
    ];
    let json = [
        "null",
        "true",
        "0",
        "-1",
        "1.10",
        "12345678901234567890123456789",
        "0.1000",
        "\"\"",
        "\"a\\\"b\\\\c\"",
        "[]",
        "{}",
        "[[],{}]",
        r#"{"":1,"a":[],"aa":{},"b":null}"#,
        r#"{"big":9007199254740993,"list":[1,2,3],"text":"Grüße 🦀"}"#,
        r#"["line\nbreak",{"a,b":"{c}"}]"#,
    ];
    vec![
        (ColumnType::Text, own(&texts)),
        (
            ColumnType::Bigint,
            own(&[
                "0",
                "-1",
                "9223372036854775807",
                "-9223372036854775808",
                "9007199254740993",
            ]),
        ),
        (
            ColumnType::Integer,
            own(&["0", "2147483647", "-2147483648"]),
        ),
        (ColumnType::Smallint, own(&["0", "32767", "-32768"])),
        (ColumnType::Numeric, numerics),
        (
            decimal(18, 2),
            own(&[
                "0.00",
                "-0.01",
                "9999999999999999.99",
                "-9999999999999999.99",
                "1.50",
            ]),
        ),
        (decimal(5, 0), own(&["0", "99999", "-99999"])),
        (
            decimal(60, 30),
            own(&[
                "0.000000000000000000000000000001",
                "-123456789012345678901234567890.123456789012345678901234567890",
            ]),
        ),
        (
            ColumnType::Double,
            own(&[
                "0",
                "1",
                "-1.5",
                "0.1",
                "1e300",
                "-5e-324",
                "1.7976931348623157e308",
                "123456789012345680000",
                "0.000001",
                "1e-7",
            ]),
        ),
        (ColumnType::Boolean, own(&["true", "false"])),
        (
            ColumnType::Timestamptz,
            own(&[
                "1970-01-01T00:00:00Z",
                "2026-11-21T06:00:00Z",
                "2026-11-21T06:00:00.5Z",
                "2026-11-21T06:00:00.000001Z",
                "2026-11-21T06:00:00.123456Z",
                "1969-12-31T23:59:59.999999Z",
                "0001-01-01T00:00:00Z",
                "0001-01-01T00:00:00.000001Z",
                "9999-12-31T23:59:59.999999Z",
            ]),
        ),
        (
            ColumnType::Date,
            own(&[
                "1970-01-01",
                "2024-02-29",
                "0001-01-01",
                "9999-12-31",
                "1969-12-31",
            ]),
        ),
        (
            ColumnType::Uuid,
            own(&[
                "00000000-0000-0000-0000-000000000000",
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
                "0190a8e2-7c51-7d5b-9d0a-1f2e3d4c5b6a",
            ]),
        ),
        (ColumnType::Jsonb, own(&json)),
        (ColumnType::TextArray, own(&lists)),
    ]
}

/// CONTRACT §6, through every kind of cell that carries a value.
async fn every_value_reads_back_as_it_was_written(store: &Store, name: &str) {
    for (at, (ty, texts)) in values().into_iter().enumerate() {
        let schema = Schema::builder("values")
            .key("id", ColumnType::Integer)
            .column("replaced", ty)
            .column("once", ty)
            .column("newest", ty)
            .latest()
            .build()
            .unwrap();
        let view = View::create(store, &format!("{name}_{at}"), schema).await;
        let by = Value::Int(1);
        let deltas: Vec<RowDelta> = texts
            .iter()
            .enumerate()
            .map(|(id, text)| {
                let value = Value::parse(ty, text).unwrap();
                let canonical = value.canonical().unwrap();
                assert_eq!(canonical, *text, "{ty}: the fixture is not canonical");
                let latest = Latest::new(&by, "e-1", value.clone());
                let cells = vec![
                    (1, Cell::Replace(value.clone())),
                    (2, Cell::Op(Delta::SetOnce(value.clone()))),
                    (3, Cell::Op(Delta::Latest(latest))),
                ];
                RowDelta::Upsert(view.key(&id.to_string()), cells)
            })
            .collect();
        view.write(deltas.clone()).await;
        for (delta, text) in deltas.iter().zip(&texts) {
            let expected = apply(&view.generation.schema, None, delta).unwrap();
            let stored = view.row(delta.key()).await;
            let what = format!("{ty}: {text}");
            assert_same(stored.as_ref(), expected.as_ref(), &what);
        }
        // And back to null, in the same row.
        let nulls = deltas.iter().map(|delta| {
            let cells = (1..4).map(|column| (column, Cell::Replace(Value::Null)));
            RowDelta::Upsert(delta.key().clone(), cells.collect())
        });
        view.write(nulls.collect()).await;
        for delta in &deltas {
            let row = view.row(delta.key()).await.unwrap();
            assert!(row.values[1..].iter().all(Value::is_null), "{ty}: {row:?}");
            assert_eq!(row.orders, [None, None, None, None], "{ty}");
        }
        view.remove().await;
    }
}

async fn every_key_finds_its_row(store: &Store, name: &str) {
    for (at, (ty, texts)) in values().into_iter().enumerate() {
        if !ty.may_be_key() {
            continue;
        }
        let schema = Schema::builder("keys")
            .column("note", ColumnType::Text)
            .key("second", ty)
            .key("first", ColumnType::Text)
            .build()
            .unwrap();
        let view = View::create(store, &format!("{name}_{at}"), schema.clone()).await;
        let keys: Vec<RowKey> = texts
            .iter()
            .flat_map(|text| [(text, ""), (text, "a,b%/{}")])
            .map(|(text, beside)| {
                let value = Value::parse(ty, text).unwrap();
                RowKey::new(&schema, vec![value, beside.into()]).unwrap()
            })
            .collect();
        let note = |key: &RowKey| Value::Text(key.text().into());
        let rows = keys.iter().map(|key| {
            let cells = vec![(0, Cell::Replace(note(key)))];
            RowDelta::Upsert(key.clone(), cells)
        });
        view.write(rows.collect()).await;
        let rows = store.rows(&view.generation, &keys).await.unwrap();
        for (key, row) in keys.iter().zip(rows) {
            let mut expected = Row::new(&schema, key);
            expected.values[0] = note(key);
            assert_same(row.as_ref(), Some(&expected), &format!("{ty}: {key:?}"));
        }
        store.publish(&view.generation, 1).await.unwrap();
        for key in &keys {
            let read = view.point_read(key).await.unwrap().row.unwrap();
            assert_eq!(read.values[0], note(key), "{ty}");
        }
        let deletes = keys.iter().cloned().map(RowDelta::Delete).collect();
        view.write(deletes).await;
        let rows = store.rows(&view.generation, &keys).await.unwrap();
        assert!(rows.iter().all(Option::is_none), "{ty}");
        view.remove().await;
    }
}

/// A column of every family and type that ops treat differently, with or without defaults.
fn kinds(defaults: bool) -> Arc<Schema> {
    let cents = ColumnType::Decimal {
        precision: 18,
        scale: 2,
    };
    let mut schema = Schema::builder("kinds").key("id", ColumnType::Text);
    let mut column = |name: &str, ty, family: fn(_) -> _, default: Value| {
        let builder = std::mem::replace(&mut schema, Schema::builder("kinds"));
        let builder: viewfold::projection::SchemaBuilder = family(builder.column(name, ty));
        let default = if defaults { default } else { Value::Null };
        schema = builder.default_value(default);
    };
    let json = |text: &str| Value::Json(text.into());
    column("assigned", ColumnType::Text, |s| s, "default".into());
    column("latest", ColumnType::Text, |s| s.latest(), "default".into());
    column("latest_json", ColumnType::Jsonb, |s| s.latest(), json("{}"));
    column("small", ColumnType::Smallint, |s| s.sum(), 7.into());
    column("total", ColumnType::Bigint, |s| s.sum(), 7.into());
    column("cents", cents, |s| s.sum(), "1.50".into());
    column("exact", ColumnType::Numeric, |s| s.sum(), "1.5".into());
    column("max_int", ColumnType::Bigint, |s| s.greatest(), 7.into());
    column("max_cents", cents, |s| s.greatest(), "7.00".into());
    column("max_text", ColumnType::Text, |s| s.greatest(), "m".into());
    column("max_double", ColumnType::Double, |s| s.greatest(), 7.into());
    column(
        "max_bool",
        ColumnType::Boolean,
        |s| s.greatest(),
        false.into(),
    );
    let noon: Value = "2026-11-21T12:00:00Z".into();
    column("max_time", ColumnType::Timestamptz, |s| s.greatest(), noon);
    column("max_exact", ColumnType::Numeric, |s| s.greatest(), 7.into());
    column("min_exact", ColumnType::Numeric, |s| s.least(), 7.into());
    column(
        "min_date",
        ColumnType::Date,
        |s| s.least(),
        "2026-11-21".into(),
    );
    column("min_text", ColumnType::Text, |s| s.least(), "m".into());
    let nil: Value = "77777777-7777-7777-7777-777777777777".into();
    column("min_uuid", ColumnType::Uuid, |s| s.least(), nil);
    column("list", ColumnType::Jsonb, |s| s.list(), json("[0]"));
    column(
        "object",
        ColumnType::Jsonb,
        |s| s.object(),
        json(r#"{"d":0}"#),
    );
    schema.build().unwrap()
}

/// Cells to try on a column, by its name.
fn cells(schema: &Schema, name: &str) -> Vec<Cell> {
    let ty = schema.columns[schema.column(name).unwrap()].ty;
    let value = |text: &str| Value::parse(ty, text).unwrap();
    let both = |make: fn(Value) -> Delta, texts: &[&str]| {
        let ops = texts.iter().map(|text| Cell::Op(make(value(text))));
        ops.chain([Cell::Replace(value(texts[0])), Cell::Replace(Value::Null)])
            .collect::<Vec<_>>()
    };
    let latest = |by: i64, id: &str, text: &str| Latest::new(&by.into(), id, value(text));
    let sums = |amounts: &[&str]| {
        let ops = amounts.iter().map(|a| Cell::Op(Delta::Add(number(a))));
        ops.chain([Cell::Replace(value("12")), Cell::Replace(Value::Null)])
            .collect::<Vec<_>>()
    };
    let append = |items: &[&str], keep| {
        let items = items.iter().map(|item| (*item).into()).collect();
        Cell::Op(Delta::Append { items, keep })
    };
    let object = |entries: &[(&str, Option<&str>)]| {
        let entry = |(key, json): &(&str, Option<&str>)| ((*key).into(), json.map(Into::into));
        Cell::Op(Delta::Object(entries.iter().map(entry).collect()))
    };
    match name {
        "assigned" => both(Delta::SetOnce, &["", "new", "it's"]),
        "latest" => vec![
            Cell::Op(Delta::Latest(latest(5, "e", "five"))),
            Cell::Op(Delta::Latest(latest(5, "d", "five, lower id"))),
            Cell::Op(Delta::Latest(latest(5, "e~é", "five, higher id"))),
            Cell::Op(Delta::Latest(latest(-3, "z", "minus three"))),
            Cell::Op(Delta::Latest(latest(40, "", "forty"))),
            Cell::ReplaceLatest(latest(6, "r", "replaced")),
            Cell::Replace(value("forgotten")),
            Cell::Replace(Value::Null),
        ],
        "latest_json" => vec![
            Cell::Op(Delta::Latest(latest(5, "e", "[]"))),
            Cell::Op(Delta::Latest(latest(4, "e", r#"{"a":1.10}"#))),
            Cell::ReplaceLatest(latest(6, "r", "{}")),
            Cell::Replace(value("[]")),
        ],
        "small" | "total" => sums(&["0", "1", "-20"]),
        "cents" => sums(&["0.00", "1.00", "-0.01", "12345678901.23"]),
        "exact" => sums(&[
            "0",
            "0.1",
            "-1.5",
            "0.000000000000000000000000000000000001",
            "123456789012345678901234567890123456789012345678901234567890",
        ]),
        "max_int" => both(Delta::Max, &["8", "-8", "7", "10", "9223372036854775807"]),
        "max_cents" => both(Delta::Max, &["7.01", "-8.00", "10.00", "9.99"]),
        "max_text" => both(Delta::Max, &["n", "", "Z", "é", "mm", "🦀"]),
        "max_double" => both(Delta::Max, &["7.5", "-8", "1e-9", "1e300", "10"]),
        "max_bool" => both(Delta::Max, &["true", "false"]),
        "max_time" => both(
            Delta::Max,
            &[
                "2026-11-21T12:00:00.5Z",
                "2026-11-21T12:00:00.123456Z",
                "0001-01-01T00:00:00Z",
                "9999-12-31T23:59:59.999999Z",
            ],
        ),
        "max_exact" => both(
            Delta::Max,
            &[
                "7.5",
                "-100",
                "10",
                "9",
                "123456789012345678901234567890123456789012345678901234567890",
                "7.000000000000000000000000000000000000000001",
            ],
        ),
        "min_exact" => both(
            Delta::Min,
            &[
                "7.5",
                "-100",
                "10",
                "-9",
                "-123456789012345678901234567890123456789012345678901234567890",
                "-100.5",
            ],
        ),
        "min_date" => both(Delta::Min, &["2026-11-20", "2027-01-01", "0001-01-01"]),
        "min_text" => both(Delta::Min, &["l", "", "Z", "é", "mm"]),
        "min_uuid" => both(
            Delta::Min,
            &[
                "77777777-7777-7777-7777-777777777776",
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
                "00000000-0000-0000-0000-000000000000",
            ],
        ),
        "list" => vec![
            append(&["1"], None),
            append(&["1", r#"{"a":[]}"#, "\"x,y\"", "null", "[]"], None),
            append(&["1.10", "12345678901234567890123"], Some(1)),
            append(&["1"], Some(2)),
            append(&["1", "2", "3"], Some(20)),
            Cell::Replace(value("[5,{}]")),
            Cell::Replace(value("[]")),
            Cell::Replace(Value::Null),
        ],
        "object" => vec![
            object(&[("a", Some("1"))]),
            object(&[
                ("b", Some("{}")),
                ("a\"\\,é", Some("[]")),
                ("", Some("null")),
            ]),
            object(&[("a", None), ("n", Some("1.10"))]),
            object(&[
                ("a", None),
                ("b", None),
                ("d", None),
                ("nobody", None),
                ("a\"\\,é", None),
                ("", None),
                ("n", None),
            ]),
            Cell::Replace(value(r#"{"a":5,"b":[]}"#)),
            Cell::Replace(value("{}")),
            Cell::Replace(Value::Null),
        ],
        other => panic!("{other} has no cells"),
    }
}

/// Every cell, then every cell onto its result, on missing rows and on new ones; two cells of
/// other columns beside it. Compared with the executable contract.
async fn every_cell_does_what_the_contract_says(store: &Store, name: &str) {
    for defaults in [false, true] {
        let schema = kinds(defaults);
        let view = View::create(store, &format!("{name}_{defaults}"), schema.clone()).await;
        let mut expected: Vec<(RowKey, Option<Row>)> = Vec::new();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for index in 1..schema.columns.len() {
            let column = schema.columns[index].name.clone();
            let cells = cells(&schema, &column);
            for (x, before) in cells.iter().map(Some).chain([None]).enumerate() {
                for (y, after) in cells.iter().enumerate() {
                    let key = view.key(&format!("{column}.{x}.{y}"));
                    let upsert = |cell: Option<&Cell>| {
                        let cells = cell.map(|cell| (index, cell.clone())).into_iter();
                        RowDelta::Upsert(key.clone(), cells.collect())
                    };
                    // Of the rows that begin with no cell, every other one is missing.
                    let mut row = None;
                    if before.is_some() || y % 2 == 0 {
                        row = apply(&schema, None, &upsert(before)).unwrap();
                        first.push(upsert(before));
                    }
                    row = apply(&schema, row, &upsert(Some(after))).unwrap();
                    second.push(upsert(Some(after)));
                    expected.push((key, row));
                }
            }
        }
        for deltas in [first, second] {
            for batch in deltas.chunks(500) {
                view.write(batch.to_vec()).await;
            }
        }
        let keys: Vec<RowKey> = expected.iter().map(|(key, _)| key.clone()).collect();
        let mut stored = Vec::new();
        for some in keys.chunks(500) {
            stored.extend(store.rows(&view.generation, some).await.unwrap());
        }
        for ((key, row), stored) in expected.iter().zip(&stored) {
            assert_same(stored.as_ref(), row.as_ref(), key.text());
        }
        view.remove().await;
    }
}

/// Ops on all columns of [`kinds`] at once.
fn some_ops(schema: &Schema) -> Vec<(usize, Op)> {
    let column = |name| schema.column(name).unwrap();
    let order = Value::Int(3);
    let item = "{\"a\":[]}".into();
    vec![
        (column("assigned"), Op::Set("set".into())),
        (
            column("latest"),
            Op::Latest(Latest::new(&order, "e", "x".into())),
        ),
        (column("total"), Op::Add(5.into())),
        (column("cents"), Op::Add(number("0.25"))),
        (column("max_int"), Op::Max(9.into())),
        (
            column("list"),
            Op::Append {
                item,
                keep: Some(2),
            },
        ),
        (
            column("object"),
            Op::Put {
                key: "k".into(),
                value: "1".into(),
            },
        ),
    ]
}

async fn a_deleted_row_starts_again_from_defaults(store: &Store, name: &str) {
    for defaults in [false, true] {
        let schema = kinds(defaults);
        let view = View::create(store, &format!("{name}_{defaults}"), schema.clone()).await;
        let key = view.key("a");
        let fold = |rows: &[bool]| {
            let mut fold = viewfold::projection::Fold::new(schema.clone());
            let mut ops = Ops::new();
            for &keep in rows {
                match keep {
                    true => ops.upsert(key.clone(), some_ops(&schema)),
                    false => ops.delete(key.clone()),
                }
            }
            fold.absorb(&mut ops).unwrap();
            fold.finish()
        };
        // A missing row goes without a fuss.
        view.write(fold(&[false])).await;
        assert_eq!(view.row(&key).await, None);
        // In one batch, over several, and with nothing in between.
        let mut expected = None;
        for step in [
            &[true][..],
            &[true],
            &[false, true],
            &[true, false],
            &[true, true, false, true],
            &[false],
            &[true],
        ] {
            for delta in fold(step) {
                expected = apply(&schema, expected, &delta).unwrap();
                view.write(vec![delta]).await;
            }
            let stored = view.row(&key).await;
            assert_same(stored.as_ref(), expected.as_ref(), &format!("{step:?}"));
        }
        // An upsert without ops creates the row.
        let empty = view.key("empty");
        view.write(vec![RowDelta::Upsert(empty.clone(), vec![])])
            .await;
        let created = Row::new(&schema, &empty);
        assert_same(
            view.row(&empty).await.as_ref(),
            Some(&created),
            "empty upsert",
        );
        view.remove().await;
    }
}

async fn many_rows_go_in_one_batch(store: &Store, name: &str) {
    const ROWS: i64 = 3000;
    let view = View::create(store, name, counters()).await;
    let keys: Vec<RowKey> = (0..ROWS)
        .map(|n| view.key(&format!("row-{n:06}")))
        .collect();
    for round in 1..=2 {
        let rows = keys.iter().zip(1..).map(|(key, n)| {
            let note = Value::Text(format!("round {round} of {n}").into());
            let cells = vec![
                (COUNT, Cell::Op(Delta::Add(n.into()))),
                (NOTE, Cell::Replace(note)),
            ];
            RowDelta::Upsert(key.clone(), cells)
        });
        view.write(rows.collect()).await;
        let rows = store.rows(&view.generation, &keys).await.unwrap();
        for (row, n) in rows.into_iter().zip(1..) {
            let row = row.unwrap();
            assert_eq!(row.values[COUNT], Value::Int(n * round));
            assert_eq!(
                row.values[NOTE],
                format!("round {round} of {n}").as_str().into()
            );
        }
    }
    // Upserts and deletes in one batch, in key order.
    let mixed = keys.iter().enumerate().map(|(at, key)| match at % 3 {
        0 => RowDelta::Delete(key.clone()),
        _ => add(key, 1),
    });
    view.write(mixed.collect()).await;
    let rows = store.rows(&view.generation, &keys).await.unwrap();
    for (at, row) in rows.iter().enumerate() {
        assert_eq!(row.is_none(), at % 3 == 0, "row {at}");
    }
    view.remove().await;
}

async fn removing_leaves_nothing(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let key = view.key("a");
    view.write(vec![add(&key, 1)]).await;
    let claim = view.claim(0).await;
    view.remove().await;
    view.remove().await;
    assert_eq!(store.cursors(&view.generation).await.unwrap(), None);
    let movement = view.movement(0, claim, (11, 12));
    let judged = view
        .apply(vec![movement], vec![add(&key, 1)])
        .await
        .unwrap();
    assert_eq!(judged, Outcome::Refused(vec![Verdict::Gone]));
    assert_eq!(store.cursors(&view.generation).await.unwrap(), None);

    let again = view.sibling(1);
    let starts = [(view.partition(0), Position::at(3))];
    store.create(&again.generation, &starts).await.unwrap();
    assert_eq!(
        again.row(&key).await,
        None,
        "a row of the removed build came back"
    );
    assert_eq!(again.cursors().await.len(), 1);
    assert_eq!(
        again.cursor(0).await,
        Cursor {
            partition: view.partition(0),
            position: Position::at(3),
            claim: None,
            epoch: 0,
            newest_micros: None,
        }
    );
    again.remove().await;
}
