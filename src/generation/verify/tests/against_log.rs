//! A generation against the log.

use serde_json::json;

use super::super::Verifier;
use super::{COUNTER, LADDER, Side, World, key, keys, partition, set};
use crate::fault::FaultKind;
use crate::position::Position;
use crate::projection::RowDelta;

async fn filled(world: &World, text: &str) -> Side {
    for n in 0..300 {
        world.hit((n % 2) as i32, &format!("k{}", n % 100), n);
    }
    let side = world.generation(1, text).await;
    world.feed(&side, 0, Position::at(150)).await;
    world.feed(&side, 1, Position::at(101)).await;
    side
}

#[tokio::test]
async fn an_untouched_generation_equals_the_log_i4() {
    let world = World::new(2);
    let side = filled(&world, COUNTER).await;
    world.gone(0, "k0");
    world.feed_all(&side).await;
    let found = world.against_log(&side).await;
    assert_eq!((found.differing, found.unsettled), (0, 0), "{found:?}");
    assert_eq!(
        (found.compared, found.rows_first, found.rows_second),
        (99, 99, 99)
    );
    assert_eq!(found.against, "log");
    assert!(found.same_definition && found.passes(true, None));
}

#[tokio::test]
async fn drift_is_found_and_named_i4() {
    let world = World::new(2);
    let side = filled(&world, COUNTER).await;
    world.tamper(&side, set(&side, "k7", "events", 70)).await;
    world
        .tamper(&side, RowDelta::Delete(key(&side, "k8")))
        .await;
    world.tamper(&side, set(&side, "nobody", "last", 1)).await;
    let found = world.against_log(&side).await;
    assert_eq!(keys(&found), ["k7", "k8", "nobody"]);
    assert_eq!((found.differing, found.order_sensitive), (3, 0));
    assert_eq!(
        (found.by_column["(row)"], found.by_column["events"]),
        (2, 1)
    );
    let changed = found.examples.iter().find(|e| e.key == "k7").unwrap();
    assert_eq!(
        (&changed.first["events"], &changed.second["events"]),
        (&json!(70), &json!(3))
    );
    let missing = found.examples.iter().find(|e| e.key == "k8").unwrap();
    assert!(missing.first.is_null() && missing.second.is_object());
    let extra = found.examples.iter().find(|e| e.key == "nobody").unwrap();
    assert!(extra.first.is_object() && extra.second.is_null());
}

#[tokio::test]
async fn many_rows_take_several_passes_and_every_key_is_compared_once_i10() {
    let world = World::new(2);
    let side = filled(&world, COUNTER).await;
    world.tamper(&side, set(&side, "k7", "events", 70)).await;
    world
        .tamper(&side, RowDelta::Delete(key(&side, "k8")))
        .await;
    for most in [1, 9, 40, 99] {
        let verifier = Verifier {
            rows_at_once: most,
            ..world.verifier()
        };
        let starts = world.starts();
        let found = verifier.against_log(&side, &starts, 1.0, &|_| ()).await;
        let found = found.unwrap();
        assert_eq!(keys(&found), ["k7", "k8"], "{most}");
        assert_eq!(
            (found.compared, found.rows_first, found.rows_second),
            (100, 99, 100)
        );
    }
}

#[tokio::test]
async fn a_sample_takes_its_part_of_the_keys() {
    let world = World::new(2);
    let side = filled(&world, COUNTER).await;
    let (verifier, starts) = (world.verifier(), world.starts());
    let mut before = 0;
    for sample in [0.2, 0.5, 1.0] {
        let found = verifier.against_log(&side, &starts, sample, &|_| ()).await;
        let found = found.unwrap();
        assert_eq!(found.differing, 0);
        assert!(found.compared > before, "{sample}: {}", found.compared);
        before = found.compared;
    }
    assert_eq!(before, 100);
    let none = verifier.against_log(&side, &starts, 0.0, &|_| ()).await;
    assert_eq!(none.unwrap_err().kind, FaultKind::Misconfigured);
}

#[tokio::test]
async fn a_log_that_does_not_reach_back_is_refused() {
    let world = World::new(2);
    let side = filled(&world, COUNTER).await;
    let low = Position::at(1);
    world.source.truncate_before(&partition(1), low).unwrap();
    let (verifier, starts) = (world.verifier(), world.starts());
    let refused = verifier.against_log(&side, &starts, 1.0, &|_| ()).await;
    let fault = refused.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Misconfigured);
    assert!(fault.message.contains("retention lost"), "{fault}");
    // Read from later on, its counters cannot be what they are.
    let later = [(partition(0), Position::ZERO), (partition(1), low)];
    let found = verifier
        .against_log(&side, &later, 1.0, &|_| ())
        .await
        .unwrap();
    assert_eq!(keys(&found), ["k1"]);
}

#[tokio::test]
async fn a_record_that_cannot_be_applied_is_named() {
    let world = World::new(2);
    let mut side = filled(&world, COUNTER).await;
    let offset = world.append(0, r#"{"type":"hit","id":"a"}"#);
    let skips = [(partition(0), offset)].into_iter().collect();
    side.skips = std::sync::Arc::new(skips);
    world.feed_all(&side).await;
    assert_eq!(world.against_log(&side).await.differing, 0);
    side.skips = Default::default();
    let (verifier, starts) = (world.verifier(), world.starts());
    let refused = verifier.against_log(&side, &starts, 1.0, &|_| ()).await;
    let fault = refused.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Misconfigured);
    assert!(fault.message.contains("t/0@150"), "{fault}");
}

#[tokio::test]
async fn rows_that_depend_on_each_other_are_folded_together_or_not_at_all() {
    let world = World::new(1);
    for n in 0..20 {
        world.hit(0, &format!("k{n:02}"), n);
    }
    world.append(0, r#"{"type":"all","ids":["k00","k07","k19"]}"#);
    let side = world.generation(1, LADDER).await;
    world.feed_all(&side).await;
    assert_eq!(world.against_log(&side).await.differing, 0);
    let starts = world.starts();
    let small = Verifier {
        rows_at_once: 10,
        ..world.verifier()
    };
    let refused = small.against_log(&side, &starts, 1.0, &|_| ()).await;
    assert_eq!(refused.unwrap_err().kind, FaultKind::Misconfigured);
    let verifier = world.verifier();
    let sampled = verifier
        .against_log(&side, &starts, 0.3, &|_| ())
        .await
        .unwrap();
    assert!(sampled.differing == 0 && sampled.unsettled == 0 && sampled.compared < 20);
    world.tamper(&side, set(&side, "k07", "steps", 1)).await;
    assert_eq!(keys(&world.against_log(&side).await), ["k07"]);
}

#[tokio::test]
async fn what_the_order_between_partitions_explains_is_order_sensitive_here_too() {
    let world = World::new(2);
    world.hit(0, "both", 1);
    world.hit(1, "both", 2);
    let side = world.generation(1, COUNTER).await;
    world.feed(&side, 1, Position::at(1)).await;
    world.feed(&side, 0, Position::at(1)).await;
    let found = world.against_log(&side).await;
    assert_eq!(
        (found.differing, found.order_sensitive),
        (1, 1),
        "{found:?}"
    );
    assert!(found.passes(false, None) && !found.passes(true, None));
}
