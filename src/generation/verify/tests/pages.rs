//! Two generations against each other.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::json;

use super::super::EXAMPLES;
use super::{COUNTER, DOUBLE, LADDER, World, key, keys, partition, set};
use crate::fault::{Fault, FaultKind};
use crate::position::Position;
use crate::projection::RowDelta;
use crate::source::memory::Call;
use crate::store::ViewStore;

#[tokio::test]
async fn equal_generations_at_different_positions_pass_i9() {
    let world = World::new(2);
    for n in 0..200 {
        world.hit((n % 2) as i32, &format!("k{}", n % 30), n);
    }
    let (first, second) = (
        world.generation(1, COUNTER).await,
        world.generation(2, COUNTER).await,
    );
    world.feed(&first, 0, Position::at(100)).await;
    world.feed(&first, 1, Position::at(61)).await;
    world.feed(&second, 0, Position::at(73)).await;
    world.feed(&second, 1, Position::at(100)).await;
    let found = world.compare(&first, &second).await;
    assert_eq!((found.differing, found.unsettled), (0, 0), "{found:?}");
    assert_eq!(
        (found.compared, found.rows_first, found.rows_second),
        (30, 30, 30)
    );
    assert!(found.same_definition && found.passes(true, None));
    assert_eq!(
        (&*found.store, &*found.against),
        ("postgres", "generation 2")
    );
}

#[tokio::test]
async fn one_changed_row_is_named_with_its_columns() {
    let world = World::new(1);
    (0..50).for_each(|n| world.hit(0, &format!("k{n}"), n));
    let (first, second) = (
        world.generation(1, COUNTER).await,
        world.generation(2, COUNTER).await,
    );
    world
        .tamper(&second, set(&second, "k17", "events", 5))
        .await;
    world.feed_all(&first).await;
    let found = world.compare(&first, &second).await;
    assert_eq!((found.differing, found.order_sensitive), (1, 0));
    assert_eq!(
        found.by_column.iter().collect::<Vec<_>>(),
        [(&"events".to_owned(), &1)]
    );
    let example = &found.examples[0];
    assert_eq!(
        (&*example.key, &example.columns[..]),
        ("k17", &["events".to_owned()][..])
    );
    assert_eq!(example.first, json!({"id": "k17", "events": 1, "last": 17}));
    assert_eq!(
        example.second,
        json!({"id": "k17", "events": 5, "last": 17})
    );
    assert!(!found.passes(false, None));
}

#[tokio::test]
async fn a_row_that_is_missing_on_either_side_is_named() {
    let world = World::new(1);
    (0..20).for_each(|n| world.hit(0, &format!("k{n}"), n));
    let (first, second) = (
        world.generation(1, COUNTER).await,
        world.generation(2, COUNTER).await,
    );
    world
        .tamper(&second, RowDelta::Delete(key(&second, "k3")))
        .await;
    world.tamper(&second, set(&second, "new", "last", 1)).await;
    world.feed_all(&first).await;
    let found = world.compare(&first, &second).await;
    assert_eq!(keys(&found), ["k3", "new"]);
    assert_eq!(
        found.by_column.iter().collect::<Vec<_>>(),
        [(&"(row)".to_owned(), &2)]
    );
    let missing = found.examples.iter().find(|e| e.key == "k3").unwrap();
    assert!(missing.columns.is_empty() && missing.second.is_null() && missing.first.is_object());
    assert_eq!(
        (found.rows_first, found.rows_second, found.compared),
        (20, 20, 21)
    );
}

#[tokio::test]
async fn rows_that_come_and_go_in_the_gap_are_brought_level() {
    let world = World::new(1);
    for id in ["a", "b", "c"] {
        world.hit(0, id, 1);
    }
    let common = world.end(0).await;
    world.gone(0, "a");
    world.hit(0, "new", 2);
    world.gone(0, "b");
    world.hit(0, "b", 3);
    world.source.skip(&partition(0), 3).unwrap();
    world.hit(0, "c", 4);
    for behind in [1, 2] {
        let sides = (
            world.generation(2 * behind + 1, COUNTER).await,
            world.generation(2 * behind + 2, COUNTER).await,
        );
        let (late, early) = if behind == 1 {
            (&sides.0, &sides.1)
        } else {
            (&sides.1, &sides.0)
        };
        world.feed(late, 0, common).await;
        world.feed_all(early).await;
        let found = world.compare(&sides.0, &sides.1).await;
        assert_eq!(found.differing, 0, "{found:?}");
        assert_eq!((found.rows_first, found.rows_second), (3, 3));
    }
}

#[tokio::test]
async fn a_difference_in_a_row_that_the_gap_touches_is_still_found() {
    let world = World::new(1);
    world.hit(0, "a", 1);
    let (first, second) = (
        world.generation(1, COUNTER).await,
        world.generation(2, COUNTER).await,
    );
    world.tamper(&first, set(&first, "a", "events", 10)).await;
    world.hit(0, "a", 2);
    world.feed_all(&second).await;
    let found = world.compare(&first, &second).await;
    assert_eq!(keys(&found), ["a"]);
    assert_eq!(found.examples[0].first["events"], json!(11));
    assert_eq!(found.examples[0].second["events"], json!(2));
}

#[tokio::test]
async fn a_changed_definition_is_counted_by_column_and_may_change_so_much() {
    let world = World::new(1);
    (0..40).for_each(|n| world.hit(0, &format!("k{n}"), n));
    let (first, second) = (
        world.generation(1, COUNTER).await,
        world.generation(2, DOUBLE).await,
    );
    world.feed(&first, 0, Position::at(20)).await;
    world.feed_all(&second).await;
    let found = world.compare(&first, &second).await;
    assert!(!found.same_definition);
    assert_eq!(
        (found.differing, found.compared, found.order_sensitive),
        (40, 40, 0)
    );
    assert_eq!(
        found.by_column.iter().collect::<Vec<_>>(),
        [(&"events".to_owned(), &40)]
    );
    assert_eq!(found.examples.len(), EXAMPLES);
    assert!(found.passes(false, Some(1.0)) && !found.passes(false, Some(0.9)));
}

#[tokio::test]
async fn generations_with_other_keys_cannot_be_compared() {
    let world = World::new(1);
    let first = world.generation(1, COUNTER).await;
    let other = COUNTER.replace("id = \"text\"", "id = \"bigint\"");
    let second = world.generation(2, &other).await;
    let verifier = world.verifier();
    let fault = verifier
        .compare(&first, &second, &|_| ())
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Misconfigured, "{fault}");
}

#[tokio::test]
async fn what_the_order_between_partitions_explains_is_order_sensitive() {
    let world = World::new(2);
    world.hit(0, "both", 1);
    world.hit(1, "both", 2);
    world.hit(0, "one", 3);
    let (first, second) = (
        world.generation(1, COUNTER).await,
        world.generation(2, COUNTER).await,
    );
    for number in [0, 1] {
        world.feed(&first, number, world.end(number).await).await;
        world
            .feed(&second, 1 - number, world.end(1 - number).await)
            .await;
    }
    let found = world.compare(&first, &second).await;
    assert_eq!(
        (found.differing, found.order_sensitive),
        (1, 1),
        "{found:?}"
    );
    assert_eq!(keys(&found), ["both"]);
    assert!(found.examples[0].order_sensitive && found.examples[0].note.is_none());
    assert!(found.passes(false, None) && !found.passes(true, None));
    // The same column of a row that one partition feeds must not differ, nor may a sum of any row.
    world.tamper(&second, set(&second, "one", "last", 9)).await;
    world.feed_all(&first).await;
    let found = world.compare(&first, &second).await;
    assert_eq!(
        (found.differing, found.order_sensitive),
        (2, 1),
        "{found:?}"
    );
    assert_eq!(found.examples[0].key, "one");
    assert!(!found.passes(false, None));
    world
        .tamper(&second, set(&second, "both", "events", 9))
        .await;
    world.feed_all(&first).await;
    let found = world.compare(&first, &second).await;
    assert_eq!(
        (found.differing, found.order_sensitive),
        (2, 0),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_single_partition_is_never_order_sensitive() {
    let world = World::new(1);
    world.hit(0, "a", 1);
    let (first, second) = (
        world.generation(1, COUNTER).await,
        world.generation(2, COUNTER).await,
    );
    world.tamper(&second, set(&second, "a", "last", 9)).await;
    world.feed_all(&first).await;
    let found = world.compare(&first, &second).await;
    assert_eq!((found.differing, found.order_sensitive), (1, 0));
}

#[tokio::test]
async fn where_the_log_does_not_reach_back_the_doubt_is_noted_i14() {
    let world = World::new(2);
    world.hit(0, "a", 1);
    world.hit(1, "b", 1);
    let (first, second) = (
        world.generation(1, COUNTER).await,
        world.generation(2, COUNTER).await,
    );
    world.tamper(&second, set(&second, "a", "last", 9)).await;
    world.tamper(&second, set(&second, "b", "events", 9)).await;
    world.feed_all(&first).await;
    let low = Position::at(1);
    world.source.truncate_before(&partition(1), low).unwrap();
    let found = world.compare(&first, &second).await;
    assert_eq!(
        (found.differing, found.order_sensitive),
        (2, 1),
        "{found:?}"
    );
    let doubtful = found.examples.iter().find(|e| e.key == "a").unwrap();
    assert!(doubtful.order_sensitive && doubtful.note.is_some());
}

#[tokio::test]
async fn rows_that_look_at_themselves_are_brought_level() {
    let world = World::new(1);
    (0..40).for_each(|n| world.hit(0, &format!("k{}", n % 9), n));
    let (first, second) = (
        world.generation(1, LADDER).await,
        world.generation(2, LADDER).await,
    );
    world.feed(&first, 0, Position::at(21)).await;
    world.feed_all(&second).await;
    let found = world.compare(&first, &second).await;
    assert_eq!(
        (found.differing, found.unsettled, found.compared),
        (0, 0, 9),
        "{found:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn keys_whose_events_look_at_rows_of_other_pages_are_not_guessed_i14() {
    let world = World::new(1);
    (0..20).for_each(|n| world.hit(0, &format!("k{n:02}"), n));
    let (first, second) = (
        world.generation(1, LADDER).await,
        world.generation(2, LADDER).await,
    );
    world.feed_all(&first).await;
    // The pages have seven rows: k00 and k19 are never on one.
    world.append(0, r#"{"type":"all","ids":["k00","k19"]}"#);
    world.feed_all(&second).await;
    let found = world.compare(&first, &second).await;
    assert_eq!(
        (found.differing, found.unsettled, found.compared),
        (0, 2, 18),
        "{found:?}"
    );
    world.feed_all(&first).await;
    let found = world.compare(&first, &second).await;
    assert_eq!(
        (found.differing, found.unsettled, found.compared),
        (0, 0, 20),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_record_that_was_skipped_by_decision_is_stepped_over() {
    let world = World::new(1);
    world.hit(0, "a", 1);
    let offset = world.append(0, "no json");
    world.hit(0, "a", 2);
    let mut first = world.generation(1, COUNTER).await;
    let mut second = world.generation(2, COUNTER).await;
    world.feed(&first, 0, Position::at(offset)).await;
    second.skips = Arc::new(HashSet::from([(partition(0), offset)]));
    world.feed_all(&second).await;
    let verifier = world.verifier();
    let fault = verifier
        .compare(&first, &second, &|_| ())
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Misconfigured);
    assert!(fault.message.contains("t/0@1"), "{fault}");
    first.skips = Arc::clone(&second.skips);
    assert_eq!(world.compare(&first, &second).await.differing, 0);
}

#[tokio::test]
async fn what_is_away_is_transient_and_the_next_comparison_passes() {
    let world = World::new(1);
    world.hit(0, "a", 1);
    let (first, second) = (
        world.generation(1, COUNTER).await,
        world.generation(2, COUNTER).await,
    );
    world.feed_all(&second).await;
    let verifier = world.verifier();
    for call in [Call::Bounds, Call::Open, Call::Next] {
        world.source.fail(call, Fault::transient("away"));
        let fault = verifier
            .compare(&first, &second, &|_| ())
            .await
            .unwrap_err();
        assert_eq!(fault.kind, FaultKind::Transient);
    }
    let found = verifier.compare(&first, &second, &|_| ()).await.unwrap();
    assert_eq!(found.differing, 0);
    world.store.remove(&second.generation).await.unwrap();
    let fault = verifier
        .compare(&first, &second, &|_| ())
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
}

#[tokio::test]
async fn a_partition_that_one_side_has_not_begun_is_not_taken_for_equal() {
    let world = World::new(1);
    let (first, second) = (
        world.generation(1, COUNTER).await,
        world.generation(2, COUNTER).await,
    );
    world.source.add_partitions("t", 1);
    let add = |side: &super::Side| {
        let generation = side.generation.clone();
        let store = Arc::clone(&world.store);
        async move {
            let new = partition(1);
            let added = store.add_cursor(&generation, &new, Position::ZERO);
            assert!(added.await.unwrap());
        }
    };
    add(&first).await;
    let verifier = world.verifier();
    let fault = verifier
        .compare(&first, &second, &|_| ())
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
    assert!(fault.message.contains("t/1"), "{fault}");
    add(&second).await;
    assert!(world.compare(&first, &second).await.passes(true, None));
}
