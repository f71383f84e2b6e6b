//! Moving readers from one generation to another.

use uuid::Uuid;
use viewfold::position::{Position, TopicPartition};
use viewfold::projection::RowKey;
use viewfold::store::control::Lease;
use viewfold::store::{CutOver, CutOverOutcome, Generation, Outcome, Pointer};

use super::{START, Stage, Store, View, add, counters};

/// A published generation and the one that shall follow it, each with a row that tells them apart.
pub(super) struct Pair<'a> {
    stage: &'a dyn Stage,
    pub(super) old: View,
    pub(super) new: View,
    pub(super) key: RowKey,
}

const PUBLISHED_BY: i64 = 3;

impl<'a> Pair<'a> {
    async fn new(store: &Store, name: &str, stage: &'a dyn Stage) -> Self {
        let old = View::create(store, name, counters()).await;
        let new = old.sibling(2);
        let starts = [0, 1].map(|p| (new.partition(p), Position::at(START)));
        store.create(&new.generation, &starts).await.unwrap();
        store.publish(&old.generation, PUBLISHED_BY).await.unwrap();
        let key = old.key("a");
        old.write(vec![add(&key, 1)]).await;
        Self {
            stage,
            old,
            new,
            key,
        }
    }

    /// Both at the same positions.
    pub(super) async fn level(store: &Store, name: &str, stage: &'a dyn Stage) -> Self {
        let pair = Self::new(store, name, stage).await;
        pair.new.write(vec![add(&pair.key, 1)]).await;
        pair
    }

    fn cut(&self, from: &View, to: &View, intent: i64) -> CutOver {
        CutOver {
            from: from.generation.clone(),
            to: to.generation.clone(),
            intent,
            lease: Lease {
                name: format!("coordinator/{}", from.generation.projection).into(),
                epoch: 1,
            },
            targets: Vec::new(),
        }
    }

    pub(super) fn forward(&self, intent: i64) -> CutOver {
        self.cut(&self.old, &self.new, intent)
    }

    async fn attempt(&self, cut: &CutOver) -> CutOverOutcome {
        self.stage.allow(cut).await;
        self.old.store.cut_over(cut).await.unwrap()
    }

    /// The generation that readers see, and the intent that made it so.
    async fn seen(&self) -> (u32, i64) {
        let projection = &self.old.generation.projection;
        let known = [self.old.generation.clone(), self.new.generation.clone()];
        let schemas = |number: u32| -> Option<Generation> {
            known.iter().find(|g| g.number == number).cloned()
        };
        let read = self.old.store.point_read(projection, &self.key, &schemas);
        let read = read.await.unwrap().unwrap();
        let pointer = self.old.store.pointer(projection).await.unwrap().unwrap();
        assert_eq!(pointer.generation, Some(read.generation));
        let view = if read.generation == 1 {
            &self.old
        } else {
            &self.new
        };
        assert_eq!(read.cursors, view.cursors().await);
        (read.generation, pointer.intent)
    }

    /// The attempt changes nothing, and says why.
    async fn refused(&self, cut: &CutOver) -> CutOverOutcome {
        let before = (
            self.seen().await,
            self.old.cursors().await,
            self.new.cursors().await,
        );
        let outcome = self.attempt(cut).await;
        let after = (
            self.seen().await,
            self.old.cursors().await,
            self.new.cursors().await,
        );
        assert_eq!(before, after, "{outcome:?}");
        outcome
    }

    async fn not_yet(&self, cut: &CutOver, what: &str) {
        match self.refused(cut).await {
            CutOverOutcome::NotYet(why) => assert!(why.contains(what), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    async fn overtaken(&self, cut: &CutOver) {
        let outcome = self.refused(cut).await;
        assert!(
            matches!(outcome, CutOverOutcome::Overtaken(_)),
            "{outcome:?}"
        );
    }

    pub(super) async fn done(&self, cut: &CutOver) {
        assert_eq!(self.attempt(cut).await, CutOverOutcome::Done);
        assert_eq!(self.seen().await, (cut.to.number, cut.intent));
    }

    pub(super) async fn remove(&self) {
        self.old.remove().await;
        self.new.remove().await;
    }
}

/// I8, I7: the old generation goes on as if nothing had been tried.
pub(super) async fn one_record_behind_changes_nothing(
    store: &Store,
    name: &str,
    stage: &dyn Stage,
) {
    let pair = Pair::new(store, name, stage).await;
    let cut = pair.forward(4);
    pair.not_yet(&cut, "contract.events-1/0").await;
    pair.new.write(vec![add(&pair.key, 1)]).await;
    let claim = pair.old.claim(1).await;
    let moves = vec![pair.old.movement(1, claim, (START, START + 1))];
    let applied = pair.old.apply(moves, vec![add(&pair.key, 1)]).await;
    assert_eq!(applied.unwrap(), Outcome::Applied);
    pair.not_yet(&cut, "contract.events-1/1").await;

    pair.old.write(vec![add(&pair.key, 1)]).await;
    let claim = pair.new.claim(1).await;
    let moves = vec![pair.new.movement(1, claim, (START, START + 5))];
    let applied = pair.new.apply(moves, vec![]).await;
    assert_eq!(applied.unwrap(), Outcome::Applied);
    pair.not_yet(&cut, "contract.events-1/0").await;
    pair.new.write(vec![add(&pair.key, 1)]).await;
    pair.done(&cut).await;
    // The new tracks just go on, and so do the old ones.
    pair.new.write(vec![add(&pair.key, 1)]).await;
    pair.old.write(vec![add(&pair.key, 1)]).await;
    pair.remove().await;
}

pub(super) async fn every_shared_partition_must_be_in_both(
    store: &Store,
    name: &str,
    stage: &dyn Stage,
) {
    let pair = Pair::level(store, name, stage).await;
    let added = pair.old.partition(2);
    for (view, other) in [(&pair.old, &pair.new), (&pair.new, &pair.old)] {
        let cut = pair.forward(4);
        let at = TopicPartition::new(added.topic.clone(), 2 + view.generation.number as i32);
        assert!(
            store
                .add_cursor(&view.generation, &at, Position::ZERO)
                .await
                .unwrap()
        );
        pair.not_yet(&cut, &at.to_string()).await;
        assert!(
            store
                .add_cursor(&other.generation, &at, Position::ZERO)
                .await
                .unwrap()
        );
    }
    // A topic that only one of them reads has nothing to be compared with.
    let elsewhere = TopicPartition::new("contract.elsewhere", 0);
    let added = store.add_cursor(&pair.old.generation, &elsewhere, Position::at(99));
    assert!(added.await.unwrap());
    pair.done(&pair.forward(4)).await;
    pair.remove().await;
}

pub(super) async fn the_targets_of_new_topics_must_be_passed(
    store: &Store,
    name: &str,
    stage: &dyn Stage,
) {
    let pair = Pair::level(store, name, stage).await;
    let at = TopicPartition::new("contract.new", 0);
    let mut cut = pair.forward(4);
    cut.targets = vec![(at.clone(), Position::at(5))];
    pair.not_yet(&cut, "contract.new/0").await;
    let g = &pair.new.generation;
    assert!(store.add_cursor(g, &at, Position::at(4)).await.unwrap());
    pair.not_yet(&cut, "contract.new/0").await;
    cut.targets = vec![(at, Position::at(4))];
    pair.done(&cut).await;
    pair.remove().await;
}

/// I8: whoever wakes up late with an older intent changes nothing.
pub(super) async fn an_older_intent_changes_nothing(store: &Store, name: &str, stage: &dyn Stage) {
    let pair = Pair::level(store, name, stage).await;
    for intent in [1, 2, PUBLISHED_BY] {
        pair.overtaken(&pair.forward(intent)).await;
    }
    pair.done(&pair.forward(9)).await;
    for intent in [4, 8, 9] {
        pair.overtaken(&pair.cut(&pair.new, &pair.old, intent))
            .await;
    }
    pair.overtaken(&pair.forward(8)).await;
    store.publish(&pair.old.generation, 8).await.unwrap();
    assert_eq!(pair.seen().await, (2, 9));
    pair.remove().await;
}

/// An attempt whose answer was lost is made again, also when the new one fell behind meanwhile.
pub(super) async fn repeating_an_intent_confirms_it(store: &Store, name: &str, stage: &dyn Stage) {
    let pair = Pair::level(store, name, stage).await;
    pair.done(&pair.forward(4)).await;
    pair.done(&pair.forward(4)).await;
    pair.old.write(vec![add(&pair.key, 1)]).await;
    pair.done(&pair.forward(4)).await;
    // A later intent for what is seen already only counts.
    pair.done(&pair.forward(6)).await;
    pair.overtaken(&pair.forward(5)).await;
    pair.old.remove().await;
    pair.done(&pair.forward(6)).await;
    pair.new.remove().await;
}

/// I8 holds on the way back too.
pub(super) async fn a_rollback_is_a_cutover_with_a_later_intent(
    store: &Store,
    name: &str,
    stage: &dyn Stage,
) {
    let pair = Pair::level(store, name, stage).await;
    pair.done(&pair.forward(4)).await;
    pair.new.write(vec![add(&pair.key, 1)]).await;
    let back = pair.cut(&pair.new, &pair.old, 5);
    pair.not_yet(&back, "contract.events-1/0").await;
    pair.old.write(vec![add(&pair.key, 1)]).await;
    pair.done(&back).await;
    pair.overtaken(&pair.forward(4)).await;
    pair.done(&pair.forward(6)).await;
    pair.remove().await;
}

pub(super) async fn a_generation_that_is_gone_is_never_shown(
    store: &Store,
    name: &str,
    stage: &dyn Stage,
) {
    let pair = Pair::level(store, name, stage).await;
    let mut other = pair.forward(4);
    other.to.build = Uuid::new_v4();
    pair.overtaken(&other).await;
    let mut other = pair.forward(4);
    other.from.build = Uuid::new_v4();
    pair.overtaken(&other).await;
    // Readers see neither of these two.
    let third = pair.old.sibling(3);
    let starts = [0, 1].map(|p| (third.partition(p), Position::at(START + 9)));
    store.create(&third.generation, &starts).await.unwrap();
    pair.overtaken(&pair.cut(&pair.new, &third, 4)).await;
    third.remove().await;
    pair.overtaken(&pair.cut(&pair.old, &third, 4)).await;
    pair.remove().await;
}

pub(super) async fn a_pointer_is_forgotten(store: &Store, name: &str) {
    assert_eq!(store.pointer(name).await.unwrap(), None);
    let view = View::create(store, name, counters()).await;
    assert_eq!(store.pointer(name).await.unwrap(), None);
    store.publish(&view.generation, 7).await.unwrap();
    let pointer = Pointer {
        generation: Some(1),
        intent: 7,
    };
    assert_eq!(store.pointer(name).await.unwrap(), Some(pointer));
    view.remove().await;
    let pointer = store.pointer(name).await.unwrap();
    assert_eq!(pointer.and_then(|pointer| pointer.generation), None);
    for _ in 0..2 {
        store.forget(name).await.unwrap();
        assert_eq!(store.pointer(name).await.unwrap(), None);
    }
    // A projection that begins again begins with small numbers.
    let view = View::create(store, name, counters()).await;
    store.publish(&view.generation, 1).await.unwrap();
    let pointer = store.pointer(name).await.unwrap().unwrap();
    assert_eq!((pointer.generation, pointer.intent), (Some(1), 1));
    view.remove().await;
    store.forget(name).await.unwrap();
}
