//! The change log: what readers can see is noted, once.

use std::collections::BTreeSet;

use viewfold::position::Position;
use viewfold::store::Outcome;
use viewfold::store::changes::{ChangeLog, ChangeMark, Changes, Reached};

use super::cutover::Pair;
use super::{START, Stage, Store, View, add, counters};

/// Follows one view.
struct Follow<'a> {
    log: &'a dyn ChangeLog,
    projection: &'a str,
    mark: ChangeMark,
}

impl<'a> Follow<'a> {
    async fn start(store: &'a Store, projection: &'a str) -> Option<Self> {
        let log = store.change_log()?;
        let first = log.look(projection, None).await.unwrap().unwrap();
        assert_eq!(first.noted, []);
        Some(Self {
            log,
            projection,
            mark: first.mark,
        })
    }

    async fn look(&mut self) -> Changes {
        let looked = self.log.look(self.projection, Some(&self.mark)).await;
        let changes = looked.unwrap().unwrap();
        assert!(!changes.lost);
        self.mark = changes.mark.clone();
        changes
    }

    async fn beyond(&self, floor: &Reached, most: usize) -> Changes {
        let beyond = self.log.beyond(self.projection, floor, most).await;
        beyond.unwrap().unwrap()
    }

    async fn keys(&self, changes: &Changes) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        for batch in &changes.noted {
            all.push(self.log.changed_keys(batch.id).await.unwrap().unwrap());
        }
        all
    }
}

pub(super) async fn what_readers_see_is_noted_with_its_positions(store: &Store, name: &str) {
    let view = View::create(store, name, counters()).await;
    let (a, b) = (view.key("a"), view.key("b%2Cb"));
    view.write(vec![add(&a, 1)]).await;
    store.publish(&view.generation, 1).await.unwrap();
    let Some(mut follow) = Follow::start(store, name).await else {
        return view.remove().await;
    };
    assert_eq!(follow.mark.generation, 1);
    assert_eq!(
        follow.mark.reached[&view.partition(0)],
        Position::at(START + 1)
    );
    assert_eq!(follow.mark.reached[&view.partition(1)], Position::at(START));

    let before = follow.mark.clone();
    view.write(vec![add(&b, 1), add(&a, 1)]).await;
    // A batch without rows changes nothing.
    view.write(Vec::new()).await;
    let changes = follow.look().await;
    assert_eq!(follow.keys(&changes).await, [["a", "b%2Cb"]]);
    let reached = Reached::from([(view.partition(0), Position::at(START + 2))]);
    assert_eq!(changes.noted[0].reached, reached);
    assert_eq!(
        changes.mark.reached[&view.partition(0)],
        Position::at(START + 3)
    );
    assert_eq!(follow.look().await.noted, []);

    // The same, asked for by position.
    let beyond = follow.beyond(&before.reached, 10).await;
    assert_eq!(
        (beyond.noted, beyond.more, beyond.lost),
        (changes.noted, false, false)
    );
    assert_eq!(follow.beyond(&changes.mark.reached, 10).await.noted, []);
    view.write(vec![add(&a, 1)]).await;
    let some = follow.beyond(&before.reached, 1).await;
    assert_eq!((some.noted.len(), some.more), (1, true));
    assert_eq!(follow.beyond(&reached, 10).await.noted.len(), 1);
    // What was written before readers saw it is not known to the log.
    assert!(follow.beyond(&Reached::new(), 10).await.lost);
    view.remove().await;
    assert_eq!(follow.log.look(name, Some(&before)).await.unwrap(), None);
}

pub(super) async fn only_the_generation_that_readers_see_is_noted(
    store: &Store,
    name: &str,
    stage: &dyn Stage,
) {
    let pair = Pair::level(store, name, stage).await;
    let Some(mut follow) = Follow::start(store, name).await else {
        return pair.remove().await;
    };
    pair.new.write(vec![add(&pair.key, 1)]).await;
    assert_eq!(
        follow.look().await.noted,
        [],
        "a generation that nobody sees"
    );
    pair.old.write(vec![add(&pair.key, 1)]).await;
    pair.done(&pair.forward(4)).await;
    let changes = follow.look().await;
    assert_eq!(changes.noted.len(), 1, "what came before the cutover");
    assert_eq!(changes.mark.generation, 2);

    pair.old.write(vec![add(&pair.key, 1)]).await;
    assert_eq!(follow.look().await.noted, [], "the former generation");
    let seen = follow.mark.reached.clone();
    pair.new.write(vec![add(&pair.key, 1)]).await;
    assert_eq!(follow.look().await.noted.len(), 1);
    assert_eq!(follow.beyond(&seen, 10).await.noted.len(), 1);
    let mut earlier = seen;
    let at = earlier.get_mut(&pair.new.partition(0)).unwrap();
    *at = Position::at(at.offset() - 1);
    assert!(follow.beyond(&earlier, 10).await.lost, "before it was seen");
    pair.remove().await;
}

/// Batches of different partitions commit in any order.
pub(super) async fn nothing_is_missed_or_seen_twice_while_others_write(store: &Store, name: &str) {
    const EACH: i64 = 60;
    let view = View::create(store, name, counters()).await;
    store.publish(&view.generation, 1).await.unwrap();
    let Some(mut follow) = Follow::start(store, name).await else {
        return view.remove().await;
    };
    let begin = follow.mark.reached.clone();
    let write = async |partition: i32| {
        let claim = view.claim(partition).await;
        for number in START..START + EACH {
            let movement = view.movement(partition, claim, (number, number + 1));
            let key = view.key(&format!("p{partition}-{number}"));
            let rows = vec![add(&key, 1), add(&view.key("shared"), 1)];
            assert_eq!(
                view.apply(vec![movement], rows).await.unwrap(),
                Outcome::Applied
            );
        }
    };
    let watch = async {
        let mut seen = Vec::new();
        while seen.len() < 2 * EACH as usize {
            let before = follow.mark.reached.clone();
            let changes = follow.look().await;
            for batch in &changes.noted {
                assert!(!batch.is_below(&before));
                assert!(batch.is_below(&changes.mark.reached));
            }
            seen.extend(changes.noted);
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        seen
    };
    let (seen, (), ()) = tokio::join!(watch, write(0), write(1));
    let ids: BTreeSet<i64> = seen.iter().map(|batch| batch.id).collect();
    assert_eq!(
        (seen.len(), ids.len()),
        (2 * EACH as usize, 2 * EACH as usize)
    );
    for partition in [0, 1].map(|number| view.partition(number)) {
        let of_partition = seen
            .iter()
            .filter_map(|batch| batch.reached.get(&partition));
        let positions: Vec<i64> = of_partition.map(|at| at.offset()).collect();
        assert_eq!(positions, (START + 1..=START + EACH).collect::<Vec<_>>());
    }
    let changes = follow.beyond(&begin, 1000).await;
    assert_eq!(changes.noted.len(), 2 * EACH as usize);
    view.remove().await;
}
