//! What the control tables must do, whatever they are kept in. `all` runs every check; each uses
//! a projection of its own under a fresh name.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;
use viewfold::position::Position;
use viewfold::projection::StoreKind;
use viewfold::store::control::{
    Answered, Base, BuildOptions, Control, GenerationRecord, Lease, NewGeneration, Order, Promote,
    State, TopicRecord,
};

use crate::store_contract::fresh_name;

type Tables = Arc<dyn Control>;

/// Runs every check. Panics with the sentence that does not hold.
pub(crate) async fn all(control: Tables) {
    macro_rules! run {
        ($($check:ident),* $(,)?) => {$(
            println!("  {}", stringify!($check));
            Box::pin($check(&Projection::new(&control))).await;
        )*};
    }
    run!(
        a_first_generation_is_live_and_wanted,
        a_build_begins_with_all_that_was_asked_for,
        a_build_of_an_unknown_projection_is_unknown,
        a_repeated_request_changes_nothing,
        one_of_many_rebuilds_begins,
        one_of_many_equal_requests_begins,
        numbers_and_intents_exceed_what_stores_know,
        only_what_is_ready_or_standby_is_promoted,
        a_cutover_goes_store_by_store_and_back,
        nothing_begins_or_is_promoted_during_a_cutover,
        one_of_many_promotions_wins,
        stores_that_only_one_definition_uses_follow_too,
        builds_are_paused_and_resumed,
        builds_are_cancelled,
        a_failed_build_says_why,
        a_build_that_fails_while_it_is_wanted_hands_back,
        a_withdrawn_cutover_waits_for_an_operator,
        only_idle_generations_are_retired,
        what_is_over_is_listed_until_it_is_removed,
        an_older_holder_changes_nothing,
        a_lease_has_one_holder,
        one_of_many_takes_a_lease,
        a_dropped_projection_stays_dropped,
        a_dropped_projection_begins_again_at_one,
        a_build_may_exist_while_it_runs,
        ages_begin_with_the_record_and_with_each_change,
        jobs_are_done_once,
    );
}

const BOTH: [StoreKind; 2] = [StoreKind::Redis, StoreKind::Postgres];
const TTL: Duration = Duration::from_secs(60);

/// A projection under test.
struct Projection {
    control: Tables,
    name: String,
}

impl Projection {
    fn new(control: &Tables) -> Self {
        Self {
            control: control.clone(),
            name: fresh_name(),
        }
    }

    /// Its first generation, and the coordinator's lease.
    async fn start(&self) -> (GenerationRecord, Lease) {
        let first = self.propose("hash 1").await.unwrap();
        (first, self.lead("host-1").await.unwrap())
    }

    async fn propose(&self, hash: &str) -> Option<GenerationRecord> {
        let first = self.control.create_first(&self.name, &BOTH, "text 1", hash);
        first.await.unwrap()
    }

    async fn lead(&self, holder: &str) -> Option<Lease> {
        let name = format!("coordinator/{}", self.name);
        self.control.lease(&name, holder, TTL).await.unwrap()
    }

    fn new_generation(&self) -> NewGeneration {
        NewGeneration {
            projection: self.name.as_str().into(),
            definition: "text 2".into(),
            hash: "hash 2".into(),
            stores: BOTH.to_vec(),
            topics: Vec::new(),
            options: BuildOptions::default(),
            above: 0,
            idempotency_key: None,
            actor: "ops".into(),
        }
    }

    async fn build(&self) -> GenerationRecord {
        done(self.control.begin(&self.new_generation()).await.unwrap())
    }

    /// A build that is ready.
    async fn ready(&self, lease: &Lease) -> GenerationRecord {
        let build = self.build().await.build;
        let found = json!({"compared": 3});
        assert!(self.control.set_ready(lease, build, &found).await.unwrap());
        self.of(build).await
    }

    async fn order(&self, number: u32, order: Order) -> Answered {
        let answered = self.control.order(&self.name, number, order, "ops");
        answered.await.unwrap()
    }

    async fn promote(&self, number: u32) -> Answered {
        self.order(number, Order::Promote { above: 0 }).await
    }

    async fn set_live(&self, lease: &Lease, build: Uuid, store: StoreKind) -> bool {
        self.control.set_live(lease, build, store).await.unwrap()
    }

    /// Readers see this generation everywhere.
    async fn cut_over(&self, lease: &Lease, number: u32) {
        let record = done(self.promote(number).await);
        for (store, _) in &record.stores {
            assert!(self.set_live(lease, record.build, *store).await);
        }
    }

    async fn history(&self) -> Vec<GenerationRecord> {
        self.control.history(&self.name).await.unwrap()
    }

    async fn of(&self, build: Uuid) -> GenerationRecord {
        let all = self.history().await;
        all.into_iter().find(|r| r.build == build).unwrap()
    }

    /// What is listed of it.
    async fn listed(&self) -> Vec<u32> {
        let listed = self.control.generations().await.unwrap();
        let own = listed.iter().filter(|r| *r.projection == self.name);
        own.map(|r| r.number).collect()
    }

    async fn clean(&self, lease: &Lease, build: Uuid, store: StoreKind) -> bool {
        self.control.set_cleaned(lease, build, store).await.unwrap()
    }

    async fn wanted(&self) -> Vec<u32> {
        let all = self.history().await;
        let wanted: Vec<&GenerationRecord> = all.iter().filter(|r| r.wanted).collect();
        // The wanted one has the greatest intent.
        for record in &wanted {
            let others = all.iter().filter(|r| r.number != record.number);
            assert!(others.clone().all(|other| other.intent < record.intent));
        }
        wanted.iter().map(|r| r.number).collect()
    }

    /// Runs `change`, which must be refused and change nothing.
    async fn refuses(&self, answer: impl Future<Output = Answered>) -> String {
        let before = ageless(self.history().await);
        let answered = answer.await;
        let Answered::Refused(why) = answered else {
            panic!("not refused: {answered:?}");
        };
        assert_eq!(ageless(self.history().await), before);
        why
    }
}

fn done(answered: Answered) -> GenerationRecord {
    match answered {
        Answered::Done(record) => record,
        other => panic!("not done: {other:?}"),
    }
}

fn before(answered: Answered) -> GenerationRecord {
    match answered {
        Answered::Before(record) => record,
        other => panic!("not done before: {other:?}"),
    }
}

/// The records without their ages, which differ with every look.
pub(crate) fn ageless(mut records: Vec<GenerationRecord>) -> Vec<GenerationRecord> {
    for record in &mut records {
        record.age_seconds = 0.0;
        record.state_age_seconds = 0.0;
    }
    records
}

fn everywhere(state: State) -> Vec<(StoreKind, State)> {
    BOTH.map(|store| (store, state)).to_vec()
}

async fn a_first_generation_is_live_and_wanted(p: &Projection) {
    let first = p.propose("hash 1").await.unwrap();
    assert_eq!((first.number, first.intent, first.wanted), (1, 1, true));
    assert_eq!(first.stores, everywhere(State::Live));
    assert_eq!((&*first.definition, &*first.hash), ("text 1", "hash 1"));
    assert_eq!((first.paused, first.ready), (false, false));
    assert_eq!((&first.published, &first.cleaned), (&vec![], &vec![]));
    // Who comes later with another definition gets what is there.
    let again = p.propose("hash 9").await.unwrap();
    assert_eq!((again.build, &*again.hash), (first.build, "hash 1"));
    assert_eq!(ageless(p.history().await), ageless(vec![first]));
    assert_eq!(p.listed().await, [1]);
    let unknown = p.control.history("nobody").await.unwrap();
    assert_eq!(unknown, []);
}

async fn a_build_begins_with_all_that_was_asked_for(p: &Projection) {
    let (first, _) = p.start().await;
    let topic = |name: &str| TopicRecord {
        topic: name.into(),
        id: format!("id of {name}"),
        starts: vec![(0, Position::at(7)), (1, Position::ZERO)],
    };
    let new = NewGeneration {
        topics: vec![topic("orders"), topic("visits")],
        options: BuildOptions {
            explicit_starts: false,
            base: Base::Live,
            promote: Promote::Manual,
            max_rate: Some(u64::MAX),
            max_changed: Some(0.1),
        },
        ..p.new_generation()
    };
    let record = done(p.control.begin(&new).await.unwrap());
    assert_eq!((record.number, record.intent, record.wanted), (2, 0, false));
    assert_eq!(record.stores, everywhere(State::Building));
    assert_eq!((&*record.definition, &*record.hash), ("text 2", "hash 2"));
    assert_eq!(record.options, new.options);
    assert_eq!(record.actor, "ops");
    assert_ne!(record.build, first.build);
    assert_eq!(p.control.topics(record.build).await.unwrap(), new.topics);
    assert_eq!(
        ageless(p.history().await),
        ageless(vec![first, record.clone()])
    );
    assert_eq!(p.listed().await, [1, 2]);

    let why = p
        .refuses(async { p.control.begin(&new).await.unwrap() })
        .await;
    let advice = format!("cancel it first: viewfold cancel {} 2", p.name);
    assert!(why.contains(&advice), "{why}");
}

async fn a_build_of_an_unknown_projection_is_unknown(p: &Projection) {
    let answered = p.control.begin(&p.new_generation()).await.unwrap();
    assert_eq!(answered, Answered::Unknown);
    assert_eq!(p.promote(1).await, Answered::Unknown);
    let dropped = p.control.drop_projection(&p.name, &[], "ops").await;
    assert!(!dropped.unwrap());
    p.start().await;
    assert_eq!(p.promote(2).await, Answered::Unknown);
    assert_eq!(p.order(0, Order::Cancel).await, Answered::Unknown);
}

async fn a_repeated_request_changes_nothing(p: &Projection) {
    let (_, lease) = p.start().await;
    let new = NewGeneration {
        idempotency_key: Some("key".into()),
        ..p.new_generation()
    };
    let record = done(p.control.begin(&new).await.unwrap());
    let again = before(p.control.begin(&new).await.unwrap());
    assert_eq!(again.build, record.build);
    // Also when the build is over, and when something else would refuse it.
    done(p.order(2, Order::Cancel).await);
    let again = before(p.control.begin(&new).await.unwrap());
    assert!(again.is_everywhere(State::Cancelled));
    for store in BOTH {
        assert!(p.clean(&lease, record.build, store).await);
    }
    let other = NewGeneration {
        idempotency_key: Some("another key".into()),
        ..p.new_generation()
    };
    assert_eq!(done(p.control.begin(&other).await.unwrap()).number, 3);
    assert_eq!(before(p.control.begin(&new).await.unwrap()).number, 2);
    // The key is the projection's own.
    let elsewhere = Projection::new(&p.control);
    elsewhere.start().await;
    let new = NewGeneration {
        projection: elsewhere.name.as_str().into(),
        ..new
    };
    assert_eq!(done(p.control.begin(&new).await.unwrap()).number, 2);
}

/// Twenty at once, each on a task of its own.
async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    work: impl Fn(usize) -> F,
) -> Vec<T> {
    let tasks: Vec<_> = (0..20).map(|n| tokio::spawn(work(n))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

async fn one_of_many_rebuilds_begins(p: &Projection) {
    p.start().await;
    let answers = at_once(|_| {
        let (control, new) = (p.control.clone(), p.new_generation());
        async move { control.begin(&new).await.unwrap() }
    });
    let answers = answers.await;
    let begun = answers.iter().filter(|a| matches!(a, Answered::Done(_)));
    assert_eq!(begun.count(), 1);
    let refused = |a: &&Answered| matches!(a, Answered::Refused(_));
    assert_eq!(answers.iter().filter(refused).count(), 19);
    assert_eq!(p.history().await.len(), 2);
}

async fn one_of_many_equal_requests_begins(p: &Projection) {
    p.start().await;
    let new = NewGeneration {
        idempotency_key: Some("key".into()),
        ..p.new_generation()
    };
    let answers = at_once(|_| {
        let (control, new) = (p.control.clone(), new.clone());
        async move { control.begin(&new).await.unwrap() }
    });
    let answers = answers.await;
    let begun = answers.iter().filter(|a| matches!(a, Answered::Done(_)));
    assert_eq!(begun.count(), 1);
    let repeated = |a: &&Answered| matches!(a, Answered::Before(_));
    assert_eq!(answers.iter().filter(repeated).count(), 19);
}

/// Control tables that were restored from a backup know less than the stores (I8).
async fn numbers_and_intents_exceed_what_stores_know(p: &Projection) {
    let (first, lease) = p.start().await;
    let new = NewGeneration {
        above: 7,
        ..p.new_generation()
    };
    let record = done(p.control.begin(&new).await.unwrap());
    assert_eq!(record.number, 8);
    let ready = p.control.set_ready(&lease, record.build, &json!(null));
    assert!(ready.await.unwrap());
    let promoted = done(p.order(8, Order::Promote { above: 40 }).await);
    assert_eq!(promoted.intent, 41);
    for store in BOTH {
        assert!(p.set_live(&lease, record.build, store).await);
    }
    // What the tables know counts where it is more.
    let back = done(p.order(1, Order::Promote { above: 3 }).await);
    assert_eq!((back.build, back.intent), (first.build, 42));
    for store in BOTH {
        assert!(p.set_live(&lease, first.build, store).await);
    }
    assert!(p.control.retire(&lease, record.build).await.unwrap());
    for store in BOTH {
        assert!(p.clean(&lease, record.build, store).await);
    }
    // The number and the intents of one that is gone are not given again.
    assert_eq!(p.build().await.number, 9);
    assert_eq!(p.wanted().await, [1]);
}

async fn only_what_is_ready_or_standby_is_promoted(p: &Projection) {
    let (first, lease) = p.start().await;
    assert_eq!(before(p.promote(1).await).build, first.build);
    let build = p.build().await.build;
    let why = p.refuses(p.promote(2)).await;
    assert!(why.contains("not ready"), "{why}");

    let found = json!([{"compared": 3, "differing": 0}]);
    assert!(p.control.set_ready(&lease, build, &found).await.unwrap());
    assert!(p.control.set_ready(&lease, build, &found).await.unwrap());
    let ready = p.of(build).await;
    assert_eq!((ready.ready, ready.verification), (true, Some(found)));
    assert_eq!(p.wanted().await, [1]);

    let promoted = done(p.promote(2).await);
    assert_eq!((promoted.wanted, promoted.intent), (true, 2));
    assert_eq!(promoted.stores, everywhere(State::Building));
    assert_eq!(p.wanted().await, [2]);
    assert_eq!(before(p.promote(2).await).intent, 2);

    for store in BOTH {
        assert!(p.set_live(&lease, build, store).await);
    }
    assert!(p.control.retire(&lease, first.build).await.unwrap());
    let why = p.refuses(p.promote(1)).await;
    assert!(why.contains("retired"), "{why}");
    let not_a_build = p.control.set_ready(&lease, build, &json!(null));
    assert!(!not_a_build.await.unwrap());
}

async fn a_cutover_goes_store_by_store_and_back(p: &Projection) {
    let (first, lease) = p.start().await;
    let build = p.ready(&lease).await.build;
    // Nobody wants it yet.
    assert!(!p.set_live(&lease, build, StoreKind::Redis).await);
    done(p.promote(2).await);
    assert!(!p.set_live(&lease, first.build, StoreKind::Redis).await);
    for _ in 0..2 {
        assert!(p.set_live(&lease, build, StoreKind::Redis).await);
        let (old, new) = (p.of(first.build).await, p.of(build).await);
        let redis_then_postgres = |of: &GenerationRecord| of.stores.clone();
        assert_eq!(
            redis_then_postgres(&old),
            [
                (StoreKind::Redis, State::Standby),
                (StoreKind::Postgres, State::Live)
            ]
        );
        assert_eq!(
            redis_then_postgres(&new),
            [
                (StoreKind::Redis, State::Live),
                (StoreKind::Postgres, State::Building)
            ]
        );
        assert_eq!(new.published, [StoreKind::Redis]);
    }
    assert!(p.set_live(&lease, build, StoreKind::Postgres).await);
    assert_eq!(p.of(build).await.stores, everywhere(State::Live));
    assert_eq!(p.of(build).await.published, BOTH);
    assert_eq!(p.of(first.build).await.stores, everywhere(State::Standby));

    // Back: the same with the roles exchanged.
    let back = done(p.promote(1).await);
    assert_eq!((back.wanted, back.intent), (true, 3));
    assert_eq!(p.wanted().await, [1]);
    assert!(!p.set_live(&lease, build, StoreKind::Redis).await);
    for store in BOTH {
        assert!(p.set_live(&lease, first.build, store).await);
    }
    assert_eq!(p.of(first.build).await.stores, everywhere(State::Live));
    assert_eq!(p.of(build).await.stores, everywhere(State::Standby));
    p.cut_over(&lease, 2).await;
    assert_eq!(p.wanted().await, [2]);
    assert_eq!(p.of(build).await.intent, 4);
}

async fn nothing_begins_or_is_promoted_during_a_cutover(p: &Projection) {
    let (first, lease) = p.start().await;
    let second = p.ready(&lease).await.build;
    p.cut_over(&lease, 2).await;
    let third = p.ready(&lease).await.build;
    done(p.promote(3).await);
    let begin = async || p.control.begin(&p.new_generation()).await.unwrap();
    let why = p.refuses(begin()).await;
    assert!(
        why.contains("generation 3") && why.contains("cut over"),
        "{why}"
    );
    for order in [Order::Cancel, Order::Pause] {
        let why = p.refuses(p.order(3, order)).await;
        assert!(why.contains("cut over"), "{why}");
    }

    assert!(p.set_live(&lease, third, StoreKind::Postgres).await);
    for number in [1, 2] {
        let why = p.refuses(p.promote(number)).await;
        assert!(why.contains("half way"), "{why}");
    }
    p.refuses(begin()).await;
    p.refuses(p.order(3, Order::Cancel)).await;
    assert!(before(p.promote(3).await).wanted);
    assert!(!p.control.retire(&lease, second).await.unwrap());
    let failed = p.control.set_failed(&lease, third, "too late", None).await;
    assert!(!failed.unwrap());
    let withdrawn = p.control.withdraw(&lease, third, "too late").await;
    assert!(!withdrawn.unwrap());

    assert!(p.set_live(&lease, third, StoreKind::Redis).await);
    // A cutover that has not begun anywhere is overruled by the next intent.
    done(p.promote(2).await);
    done(p.promote(1).await);
    assert_eq!(p.wanted().await, [1]);
    assert!(!p.set_live(&lease, second, StoreKind::Redis).await);
    assert!(p.set_live(&lease, first.build, StoreKind::Redis).await);
}

async fn one_of_many_promotions_wins(p: &Projection) {
    let (_, lease) = p.start().await;
    p.ready(&lease).await;
    let answers = at_once(|_| {
        let (control, name) = (p.control.clone(), p.name.clone());
        let order = Order::Promote { above: 0 };
        async move { control.order(&name, 2, order, "ops").await.unwrap() }
    });
    let answers = answers.await;
    let done = answers.iter().filter(|a| matches!(a, Answered::Done(_)));
    assert_eq!(done.count(), 1);
    let repeated = |a: &&Answered| matches!(a, Answered::Before(r) if r.intent == 2);
    assert_eq!(answers.iter().filter(repeated).count(), 19);
    assert_eq!(p.wanted().await, [2]);
}

async fn stores_that_only_one_definition_uses_follow_too(p: &Projection) {
    let (first, lease) = p.start().await;
    let new = NewGeneration {
        stores: vec![StoreKind::Postgres],
        ..p.new_generation()
    };
    let build = done(p.control.begin(&new).await.unwrap()).build;
    let ready = p.control.set_ready(&lease, build, &json!(null));
    assert!(ready.await.unwrap());
    done(p.promote(2).await);
    assert!(!p.set_live(&lease, build, StoreKind::Redis).await);
    assert!(p.set_live(&lease, build, StoreKind::Postgres).await);
    assert_eq!(p.of(first.build).await.stores, everywhere(State::Standby));
    // And back, into a store that nobody serves.
    p.cut_over(&lease, 1).await;
    assert_eq!(p.of(first.build).await.stores, everywhere(State::Live));
    assert!(p.of(build).await.is_everywhere(State::Standby));
}

async fn builds_are_paused_and_resumed(p: &Projection) {
    let (_, lease) = p.start().await;
    for order in [Order::Pause, Order::Resume] {
        let why = p.refuses(p.order(1, order)).await;
        assert!(why.contains("live"), "{why}");
    }
    p.build().await;
    assert!(!before(p.order(2, Order::Resume).await).paused);
    assert!(done(p.order(2, Order::Pause).await).paused);
    assert!(before(p.order(2, Order::Pause).await).paused);
    assert!(p.history().await[1].paused);
    assert!(!done(p.order(2, Order::Resume).await).paused);

    // Who lets readers see it wants it to go on.
    let build = p.history().await[1].build;
    let ready = p.control.set_ready(&lease, build, &json!(null));
    assert!(ready.await.unwrap());
    done(p.order(2, Order::Pause).await);
    assert!(!done(p.promote(2).await).paused);
}

async fn builds_are_cancelled(p: &Projection) {
    let (_, lease) = p.start().await;
    let why = p.refuses(p.order(1, Order::Cancel)).await;
    assert!(why.contains("roll back"), "{why}");
    p.build().await;
    done(p.order(2, Order::Pause).await);
    let cancelled = done(p.order(2, Order::Cancel).await);
    assert_eq!(cancelled.stores, everywhere(State::Cancelled));
    assert!(before(p.order(2, Order::Cancel).await).is_everywhere(State::Cancelled));
    for order in [Order::Pause, Order::Resume, Order::Promote { above: 0 }] {
        p.refuses(p.order(2, order)).await;
    }
    let build = cancelled.build;
    let ready = p.control.set_ready(&lease, build, &json!(null));
    assert!(!ready.await.unwrap());
    let failed = p.control.set_failed(&lease, build, "why", None).await;
    assert!(!failed.unwrap());

    // The way is free, also before it is removed; a ready one can be cancelled too.
    assert_eq!(p.ready(&lease).await.number, 3);
    done(p.order(3, Order::Cancel).await);
    p.ready(&lease).await;
    p.cut_over(&lease, 4).await;
    let why = p.refuses(p.order(1, Order::Cancel)).await;
    assert!(why.contains("standby"), "{why}");
}

async fn a_failed_build_says_why(p: &Projection) {
    let (first, lease) = p.start().await;
    let build = p.build().await.build;
    let found = json!({"differing": 1});
    for why in ["1 of 3 rows differs", "said later"] {
        let failed = p.control.set_failed(&lease, build, why, Some(&found));
        assert!(failed.await.unwrap());
    }
    let record = p.of(build).await;
    assert_eq!(record.stores, everywhere(State::Failed));
    assert_eq!(record.trouble.as_deref(), Some("1 of 3 rows differs"));
    assert_eq!(record.verification, Some(found));
    assert_eq!((record.wanted, record.ready), (false, false));
    let live = p.control.set_failed(&lease, first.build, "why", None).await;
    assert!(!live.unwrap());
    p.refuses(p.order(2, Order::Cancel)).await;
    assert_eq!(p.wanted().await, [1]);
    assert_eq!(p.build().await.number, 3);
}

async fn a_build_that_fails_while_it_is_wanted_hands_back(p: &Projection) {
    let (first, lease) = p.start().await;
    let build = p.ready(&lease).await.build;
    done(p.promote(2).await);
    let failed = p.control.set_failed(&lease, build, "gone", None).await;
    assert!(failed.unwrap());
    assert_eq!(p.wanted().await, [1]);
    assert_eq!(p.of(first.build).await.intent, 3);
    assert!(!p.set_live(&lease, build, StoreKind::Redis).await);
}

async fn a_withdrawn_cutover_waits_for_an_operator(p: &Projection) {
    let (first, lease) = p.start().await;
    let build = p.ready(&lease).await.build;
    let withdraw = async |why| p.control.withdraw(&lease, build, why).await.unwrap();
    assert!(!withdraw("nobody wants it").await);
    done(p.promote(2).await);
    assert!(withdraw("postgres: view shop.report depends on it").await);
    let record = p.of(build).await;
    assert!(record.ready && record.is_everywhere(State::Building));
    assert_eq!(record.options.promote, Promote::Manual);
    let trouble = record.trouble.as_deref();
    assert_eq!(trouble, Some("postgres: view shop.report depends on it"));
    assert_eq!(p.wanted().await, [1]);
    // Its intent is used up: what was under way with it comes too late.
    assert_eq!(p.of(first.build).await.intent, 3);
    assert!(!p.set_live(&lease, build, StoreKind::Redis).await);
    assert!(!withdraw("again").await);

    let again = done(p.promote(2).await);
    assert_eq!((again.intent, again.trouble), (4, None));
    // Wanting the live one again has the same effect, by an operator.
    assert_eq!(done(p.promote(1).await).intent, 5);
    assert_eq!(p.wanted().await, [1]);
}

async fn only_idle_generations_are_retired(p: &Projection) {
    let (first, lease) = p.start().await;
    let retire = async |build| p.control.retire(&lease, build).await.unwrap();
    assert!(!retire(first.build).await);
    let build = p.ready(&lease).await.build;
    assert!(!retire(build).await);
    p.cut_over(&lease, 2).await;
    done(p.promote(1).await);
    assert!(!retire(first.build).await);
    for store in BOTH {
        assert!(p.set_live(&lease, first.build, store).await);
    }
    assert!(retire(build).await);
    assert_eq!(p.of(build).await.stores, everywhere(State::Retired));
    assert!(!retire(build).await);
    assert!(!retire(Uuid::new_v4()).await);
    assert_eq!(p.wanted().await, [1]);
}

async fn what_is_over_is_listed_until_it_is_removed(p: &Projection) {
    let (first, lease) = p.start().await;
    let build = p.build().await.build;
    assert!(!p.clean(&lease, build, StoreKind::Redis).await);
    assert!(!p.clean(&lease, first.build, StoreKind::Redis).await);
    done(p.order(2, Order::Cancel).await);
    assert_eq!(p.listed().await, [1, 2]);
    for _ in 0..2 {
        assert!(p.clean(&lease, build, StoreKind::Postgres).await);
        assert_eq!(p.of(build).await.cleaned, [StoreKind::Postgres]);
        assert_eq!(p.listed().await, [1, 2]);
    }
    assert!(p.clean(&lease, build, StoreKind::Redis).await);
    assert_eq!(p.of(build).await.cleaned, BOTH);
    assert_eq!(p.listed().await, [1]);
    let numbers: Vec<u32> = p.history().await.iter().map(|r| r.number).collect();
    assert_eq!(numbers, [1, 2]);
}

/// I5, for work under a lease.
async fn an_older_holder_changes_nothing(p: &Projection) {
    let (first, old) = p.start().await;
    let build = p.build().await.build;
    p.control.release(&old, "host-1").await.unwrap();
    let new = p.lead("host-2").await.unwrap();
    assert!(new.epoch > old.epoch);
    let control = &p.control;
    let refused = async |what: &str, answer: viewfold::fault::Result<bool>| {
        assert!(!answer.unwrap(), "{what} under an older lease");
    };
    let found = json!(null);
    let history = ageless(p.history().await);
    refused("ready", control.set_ready(&old, build, &found).await).await;
    refused("failed", control.set_failed(&old, build, "", None).await).await;
    assert_eq!(ageless(p.history().await), history);

    assert!(control.set_ready(&new, build, &found).await.unwrap());
    done(p.promote(2).await);
    let history = ageless(p.history().await);
    refused("live", control.set_live(&old, build, BOTH[0]).await).await;
    refused("withdraw", control.withdraw(&old, build, "").await).await;
    assert_eq!(ageless(p.history().await), history);

    for store in BOTH {
        assert!(p.set_live(&new, build, store).await);
    }
    let history = ageless(p.history().await);
    refused("retire", control.retire(&old, first.build).await).await;
    assert_eq!(ageless(p.history().await), history);
    assert!(control.retire(&new, first.build).await.unwrap());
    assert!(!p.clean(&old, first.build, BOTH[0]).await);
    assert_eq!(p.of(first.build).await.cleaned, []);
    let unknown = Lease {
        name: "coordinator/nobody".into(),
        epoch: 1,
    };
    assert!(!p.clean(&unknown, first.build, BOTH[0]).await);
    assert!(p.clean(&new, first.build, BOTH[0]).await);
}

async fn a_lease_has_one_holder(p: &Projection) {
    let first = p.lead("host-1").await.unwrap();
    assert_eq!(p.lead("host-2").await, None);
    assert_eq!(p.lead("host-1").await, Some(first.clone()));
    // Only its holder gives it back, and only as he has it.
    p.control.release(&first, "host-2").await.unwrap();
    let newer = Lease {
        epoch: first.epoch + 1,
        ..first.clone()
    };
    p.control.release(&newer, "host-1").await.unwrap();
    assert_eq!(p.lead("host-2").await, None);
    p.control.release(&first, "host-1").await.unwrap();
    let second = p.lead("host-2").await.unwrap();
    assert!(second.epoch > first.epoch);
    p.control.release(&first, "host-1").await.unwrap();
    assert_eq!(p.lead("host-1").await, None);

    // One that expired is free, and counts as taken anew, whoever takes it.
    let name = format!("short/{}", p.name);
    let take = async |holder| {
        p.control
            .lease(&name, holder, Duration::ZERO)
            .await
            .unwrap()
    };
    let epochs = [
        take("host-1").await.unwrap().epoch,
        take("host-2").await.unwrap().epoch,
        take("host-2").await.unwrap().epoch,
    ];
    assert!(epochs[0] < epochs[1] && epochs[1] < epochs[2], "{epochs:?}");
}

async fn one_of_many_takes_a_lease(p: &Projection) {
    let name = format!("coordinator/{}", p.name);
    for round in 0..3 {
        let leases = at_once(|n| {
            let (control, name) = (p.control.clone(), name.clone());
            async move {
                (
                    n,
                    control
                        .lease(&name, &format!("host-{n}"), TTL)
                        .await
                        .unwrap(),
                )
            }
        });
        let leases = leases.await;
        let taken: Vec<_> = leases
            .into_iter()
            .filter_map(|(n, l)| Some((n, l?)))
            .collect();
        let [(holder, lease)] = &taken[..] else {
            panic!("round {round}: taken by {taken:?}");
        };
        let holder = format!("host-{holder}");
        p.control.release(lease, &holder).await.unwrap();
    }
}

async fn a_dropped_projection_stays_dropped(p: &Projection) {
    let (first, lease) = p.start().await;
    let second = p.ready(&lease).await.build;
    p.cut_over(&lease, 2).await;
    let third = NewGeneration {
        hash: "hash 3".into(),
        idempotency_key: Some("key".into()),
        ..p.new_generation()
    };
    let third = done(p.control.begin(&third).await.unwrap()).build;
    let topic = TopicRecord {
        topic: "orders".into(),
        id: "1".into(),
        starts: Vec::new(),
    };
    p.control.add_topic(third, &topic).await.unwrap();
    for _ in 0..2 {
        let also = ["hash of the file".to_owned(), "hash 1".to_owned()];
        let dropped = p.control.drop_projection(&p.name, &also, "ops").await;
        assert!(dropped.unwrap());
    }
    assert_eq!(p.wanted().await, [0; 0]);
    for record in p.history().await {
        assert_eq!(record.stores, everywhere(State::Retired));
    }
    assert_eq!(p.listed().await, [1, 2, 3]);
    for hash in ["hash 1", "hash 2", "hash 3", "hash of the file"] {
        assert_eq!(p.propose(hash).await, None, "{hash}");
    }
    // A new definition waits until the old ones are removed.
    assert_eq!(p.propose("hash 4").await, None);
    let begin = async || p.control.begin(&p.new_generation()).await.unwrap();
    let why = p.refuses(begin()).await;
    assert!(why.contains("dropped"), "{why}");
    for order in [Order::Promote { above: 0 }, Order::Cancel, Order::Pause] {
        p.refuses(p.order(2, order)).await;
    }
    assert!(!p.set_live(&lease, second, StoreKind::Redis).await);

    for build in [third, first.build, second] {
        assert_eq!(p.history().await.len(), 3);
        for store in BOTH {
            assert!(p.clean(&lease, build, store).await);
        }
    }
    assert_eq!((p.history().await, p.listed().await), (vec![], vec![]));
    assert_eq!(p.control.topics(third).await.unwrap(), []);
    assert_eq!(begin().await, Answered::Unknown);
    for hash in ["hash 1", "hash 2", "hash 3", "hash of the file"] {
        assert_eq!(p.propose(hash).await, None, "{hash}");
    }
    let dropped = p.control.drop_projection(&p.name, &[], "ops").await;
    assert!(!dropped.unwrap());
    // A definition that was not dropped is a new projection, with requests of its own.
    let again = p.propose("hash 4").await.unwrap();
    assert_eq!((again.number, again.intent), (1, 1));
    let third = NewGeneration {
        idempotency_key: Some("key".into()),
        ..p.new_generation()
    };
    assert_eq!(done(p.control.begin(&third).await.unwrap()).number, 2);
    assert_eq!(p.propose("hash 1").await, None);
}

async fn a_dropped_projection_begins_again_at_one(p: &Projection) {
    let (_, lease) = p.start().await;
    p.ready(&lease).await;
    p.cut_over(&lease, 2).await;
    let elsewhere = Projection::new(&p.control);
    elsewhere.start().await;
    for projection in [p, &elsewhere] {
        let dropped = p.control.drop_projection(&projection.name, &[], "ops");
        assert!(dropped.await.unwrap());
    }
    p.control.undrop(&p.name, "ops").await.unwrap();
    p.control.undrop(&p.name, "ops").await.unwrap();
    // Not before the old generations are removed.
    assert_eq!(p.propose("hash 1").await, None);
    for record in p.history().await {
        for store in BOTH {
            assert_eq!(p.propose("hash 1").await, None);
            assert!(p.clean(&lease, record.build, store).await);
        }
    }
    let first = p.propose("hash 1").await.unwrap();
    assert_eq!((first.number, first.intent), (1, 1));
    assert_eq!(first.stores, everywhere(State::Live));
    assert!(first.wanted);
    assert_eq!(elsewhere.propose("hash 1").await, None);
}

async fn a_build_may_exist_while_it_runs(p: &Projection) {
    let (first, lease) = p.start().await;
    let may = async |build, store| p.control.may_exist(build, store).await.unwrap();
    assert!(may(first.build, StoreKind::Redis).await);
    assert!(!may(Uuid::new_v4(), StoreKind::Redis).await);
    let new = NewGeneration {
        stores: vec![StoreKind::Postgres],
        ..p.new_generation()
    };
    let build = done(p.control.begin(&new).await.unwrap()).build;
    assert!(may(build, StoreKind::Postgres).await);
    assert!(!may(build, StoreKind::Redis).await);
    done(p.order(2, Order::Cancel).await);
    assert!(!may(build, StoreKind::Postgres).await);
    p.ready(&lease).await;
    p.cut_over(&lease, 3).await;
    assert!(may(first.build, StoreKind::Redis).await);
    assert!(p.control.retire(&lease, first.build).await.unwrap());
    assert!(!may(first.build, StoreKind::Redis).await);
}

async fn ages_begin_with_the_record_and_with_each_change(p: &Projection) {
    let (first, lease) = p.start().await;
    let build = p.ready(&lease).await.build;
    let aged = async |build: Uuid, least: f64| {
        while p.of(build).await.state_age_seconds < least {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        p.of(build).await
    };
    let record = aged(build, 0.05).await;
    assert!(record.age_seconds >= 0.05);
    done(p.promote(2).await);
    // To be wanted is no change of state; to be live in one store is.
    assert!(p.of(build).await.state_age_seconds >= 0.05);
    let age = p.of(build).await.age_seconds;
    assert!(p.set_live(&lease, build, StoreKind::Redis).await);
    for changed in [build, first.build] {
        let record = p.of(changed).await;
        assert!(record.state_age_seconds < record.age_seconds);
    }
    let before = aged(first.build, 0.05).await;
    assert!(before.age_seconds >= age);
    assert!(p.set_live(&lease, build, StoreKind::Redis).await);
    assert!(p.of(first.build).await.state_age_seconds >= 0.05);
}

async fn jobs_are_done_once(p: &Projection) {
    let control = &p.control;
    let arguments = json!({"against": "log", "sample": 0.5});
    let add = async |kind| {
        control
            .add_job(&p.name, kind, &arguments, "ops")
            .await
            .unwrap()
    };
    let ids = [add("verify").await, add("verify").await, add("other").await];
    assert!(ids[0] < ids[1] && ids[1] < ids[2]);
    let open = async || {
        let open = control.open_jobs().await.unwrap();
        let own = open.into_iter().filter(|job| *job.projection == p.name);
        own.map(|job| job.id).collect::<Vec<i64>>()
    };
    assert_eq!(open().await, ids);
    let job = control.job(ids[0]).await.unwrap().unwrap();
    assert_eq!(
        (&*job.kind, &*job.state, &*job.actor),
        ("verify", "open", "ops")
    );
    assert_eq!((job.arguments, job.outcome), (arguments.clone(), None));

    let found = json!([{"compared": 3}]);
    control.finish_job(ids[0], Ok(&found)).await.unwrap();
    control
        .finish_job(ids[1], Err("redis is away"))
        .await
        .unwrap();
    // What was recorded first stays.
    control.finish_job(ids[0], Err("later")).await.unwrap();
    control.finish_job(ids[1], Ok(&found)).await.unwrap();
    assert_eq!(open().await, ids[2..]);
    let job = control.job(ids[0]).await.unwrap().unwrap();
    assert_eq!((&*job.state, job.outcome), ("done", Some(found)));
    let job = control.job(ids[1]).await.unwrap().unwrap();
    assert_eq!(
        (&*job.state, job.outcome),
        ("failed", Some(json!("redis is away")))
    );
    assert_eq!(control.job(-1).await.unwrap(), None);
}
