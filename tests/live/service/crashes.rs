//! The process dies at named points; the next one goes on, and nothing is lost or doubled (I1, I2, I4).

use std::time::Duration;

use crate::harness::{COUNTER, Deployment, caught_up, publish};

const LIMIT: Duration = Duration::from_secs(60);
const EVENTS: u64 = 3_000;
const KEYS: u64 = 40;

async fn survives_its_end_at(point: &str, action: &str) {
    let deployment = Deployment::new(2, &[("counter", COUNTER)]).await;
    publish(&deployment, 0, EVENTS, KEYS);
    let points = format!("{point}={action}");
    let mut victim = deployment.launch().failing(&points).start();
    victim.dies(LIMIT).await;
    let all = publish(&deployment, EVENTS, EVENTS + 500, KEYS);
    let heir = deployment.start();
    caught_up(&heir, all.events as i64, LIMIT).await;
    all.assert_seen(&deployment, "counter", 1).await;
}

macro_rules! survives {
    ($($name:ident at $point:literal with $action:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            survives_its_end_at($point, $action).await;
        }
    )*};
}

survives! {
    an_end_before_the_claim_changes_nothing at "claim::proven" with "1*off->return";
    an_end_after_the_claim_leaves_a_claim_that_can_be_taken_over at "claim::taken" with "2*off->return";
    an_end_with_decoded_chunks_loses_none at "feeder::decoded" with "1*off->return";
    an_end_while_folding_loses_nothing at "lane::folding" with "2*off->return";
    an_end_between_the_cut_and_the_store_loses_nothing at "lane::cut" with "1*off->return";
    an_end_under_the_cursor_locks_changes_nothing at "postgres::locked" with "1*off->return";
    an_end_before_the_commit_changes_nothing at "postgres::written" with "return";
    an_end_after_the_commit_doubles_nothing at "postgres::committed" with "return";
    an_end_before_the_script_changes_nothing at "redis::sending" with "1*off->return";
    an_end_after_the_script_doubles_nothing at "redis::answered" with "return";
}
