//! Plans of rebuilds, over a log in memory and over control tables and stores that refuse every change: what is
//! refused, in which words, and what a plan says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;
use viewfold::fault::{Fault, Result};
use viewfold::generation::{
    Catalog, Entry, From, Pacing, Plan, PlanError, Planner, Prepared, RebuildRequest, Relation,
};
use viewfold::pipeline::Board;
use viewfold::position::{Position, TopicPartition};
use viewfold::projection::{Definition, Row, RowKey, StoreKind};
use viewfold::source::EventSource;
use viewfold::source::memory::{Call, MemoryRecord, MemorySource};
use viewfold::store::control::{
    Answered, Base, BuildOptions, Control, Decision, GenerationRecord, InstanceReport, Job, Lease,
    NewGeneration, Order, State, TopicRecord,
};
use viewfold::store::{
    BasePages, Batch, Claimed, ComparePage, Cursor, CutOver, CutOverOutcome, FoldRows, Generation,
    Move, Outcome, PageToken, PointRead, Pointer, Verdict, ViewStore,
};

const ORDERS: &str = r#"
topics = ["orders"]
stores = ["postgres", "redis"]
key = { id = "data.id" }
[columns]
id = "text"
status = "text"
count = { type = "bigint", default = 0 }
last = { type = "jsonb" }
[on."*"]
set = { status = "data.status" }
add = { count = "1" }
append = { last = { value = "data.status", keep = 3 } }
"#;

/// A definition without ops that count records twice.
const STATUS: &str = r#"
topics = ["orders"]
key = { id = "data.id" }
[columns]
id = "text"
status = "text"
[on."*"]
set = { status = "data.status" }
"#;

const WRITES: &str = "a plan changes nothing";

/// Control tables that can only be read.
#[derive(Default)]
struct Tables {
    history: Vec<GenerationRecord>,
    topics: BTreeMap<Uuid, Vec<TopicRecord>>,
}

#[async_trait]
impl Control for Tables {
    async fn history(&self, projection: &str) -> Result<Vec<GenerationRecord>> {
        let of_projection = |record: &&GenerationRecord| &*record.projection == projection;
        Ok(self.history.iter().filter(of_projection).cloned().collect())
    }

    async fn generations(&self) -> Result<Vec<GenerationRecord>> {
        Ok(self.history.clone())
    }

    async fn topics(&self, build: Uuid) -> Result<Vec<TopicRecord>> {
        Ok(self.topics.get(&build).cloned().unwrap_or_default())
    }

    async fn migrate(&self) -> Result<()> {
        panic!("{WRITES}")
    }

    async fn create_first(
        &self,
        _: &str,
        _: &[StoreKind],
        _: &str,
        _: &str,
    ) -> Result<Option<GenerationRecord>> {
        panic!("{WRITES}")
    }

    async fn set_published(&self, _: Uuid, _: StoreKind) -> Result<()> {
        panic!("{WRITES}")
    }

    async fn add_topic(&self, _: Uuid, _: &TopicRecord) -> Result<TopicRecord> {
        panic!("{WRITES}")
    }

    async fn envelope(&self, _: &str, _: &str) -> Result<Option<String>> {
        Ok(None)
    }

    async fn remember_envelope(&self, _: &str, _: &str, _: &str) -> Result<String> {
        panic!("{WRITES}")
    }

    async fn decisions(&self) -> Result<Vec<Decision>> {
        Ok(Vec::new())
    }

    async fn decide(&self, _: &Decision, _: &str, _: &str) -> Result<bool> {
        panic!("{WRITES}")
    }

    async fn report(&self, _: &str, _: &serde_json::Value) -> Result<()> {
        panic!("{WRITES}")
    }

    async fn reports(&self, _: f64) -> Result<Vec<InstanceReport>> {
        Ok(Vec::new())
    }

    async fn forget(&self, _: &str) -> Result<()> {
        panic!("{WRITES}")
    }

    async fn begin(&self, _: &NewGeneration) -> Result<Answered> {
        panic!("{WRITES}")
    }

    async fn begun(&self, _: &str, _: &str) -> Result<Option<GenerationRecord>> {
        panic!("{WRITES}")
    }

    async fn order(&self, _: &str, _: u32, _: Order, _: &str) -> Result<Answered> {
        panic!("{WRITES}")
    }

    async fn drop_projection(&self, _: &str, _: &[String], _: &str) -> Result<bool> {
        panic!("{WRITES}")
    }

    async fn undrop(&self, _: &str, _: &str) -> Result<()> {
        panic!("{WRITES}")
    }

    async fn set_ready(&self, _: &Lease, _: Uuid, _: &serde_json::Value) -> Result<bool> {
        panic!("{WRITES}")
    }

    async fn set_failed(
        &self,
        _: &Lease,
        _: Uuid,
        _: &str,
        _: Option<&serde_json::Value>,
    ) -> Result<bool> {
        panic!("{WRITES}")
    }

    async fn withdraw(&self, _: &Lease, _: Uuid, _: &str) -> Result<bool> {
        panic!("{WRITES}")
    }

    async fn set_live(&self, _: &Lease, _: Uuid, _: StoreKind) -> Result<bool> {
        panic!("{WRITES}")
    }

    async fn retire(&self, _: &Lease, _: Uuid) -> Result<bool> {
        panic!("{WRITES}")
    }

    async fn set_cleaned(&self, _: &Lease, _: Uuid, _: StoreKind) -> Result<bool> {
        panic!("{WRITES}")
    }

    async fn may_exist(&self, _: Uuid, _: StoreKind) -> Result<bool> {
        panic!("{WRITES}")
    }

    async fn lease(&self, _: &str, _: &str, _: Duration) -> Result<Option<Lease>> {
        panic!("{WRITES}")
    }

    async fn release(&self, _: &Lease, _: &str) -> Result<()> {
        panic!("{WRITES}")
    }

    async fn add_job(&self, _: &str, _: &str, _: &serde_json::Value, _: &str) -> Result<i64> {
        panic!("{WRITES}")
    }

    async fn open_jobs(&self) -> Result<Vec<Job>> {
        Ok(Vec::new())
    }

    async fn job(&self, _: i64) -> Result<Option<Job>> {
        Ok(None)
    }

    async fn finish_job(
        &self,
        _: i64,
        _: std::result::Result<&serde_json::Value, &str>,
    ) -> Result<()> {
        panic!("{WRITES}")
    }
}

/// A store that can only be read. It holds one generation at most.
#[derive(Clone, Debug, Default)]
struct Shelf {
    redis: bool,
    cursors: Option<Vec<(TopicPartition, i64)>>,
    size: Option<(u64, u64)>,
    dependants: Vec<String>,
    pointer: Option<u32>,
}

#[async_trait]
impl ViewStore for Shelf {
    fn kind(&self) -> StoreKind {
        if self.redis {
            StoreKind::Redis
        } else {
            StoreKind::Postgres
        }
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn cursors(&self, _: &Generation) -> Result<Option<Vec<Cursor>>> {
        let cursor = |(partition, position): &(TopicPartition, i64)| Cursor {
            partition: partition.clone(),
            position: Position::at(*position),
            claim: None,
            epoch: 0,
            newest_micros: None,
        };
        let all = self.cursors.as_ref();
        Ok(all.map(|cursors| cursors.iter().map(cursor).collect()))
    }

    async fn pointer(&self, _: &str) -> Result<Option<Pointer>> {
        Ok(self.pointer.map(|number| Pointer {
            generation: Some(number),
            intent: 1,
        }))
    }

    async fn size(&self, _: &Generation) -> Result<Option<(u64, u64)>> {
        Ok(self.size)
    }

    async fn dependants(&self, _: &str) -> Result<Vec<String>> {
        Ok(self.dependants.clone())
    }

    async fn create(&self, _: &Generation, _: &[(TopicPartition, Position)]) -> Result<()> {
        panic!("{WRITES}")
    }

    async fn add_cursor(&self, _: &Generation, _: &TopicPartition, _: Position) -> Result<bool> {
        panic!("{WRITES}")
    }

    async fn publish(&self, _: &Generation, _: i64) -> Result<()> {
        panic!("{WRITES}")
    }

    async fn claim(&self, _: &Generation, _: &Cursor, _: Uuid) -> Result<Claimed> {
        panic!("{WRITES}")
    }

    async fn apply(&self, _: &Generation, _: &Batch) -> Result<Outcome> {
        panic!("{WRITES}")
    }

    async fn apply_reading(
        &self,
        _: &Generation,
        _: &[Move],
        _: &[RowKey],
        _: &FoldRows<'_>,
    ) -> Result<Outcome> {
        panic!("{WRITES}")
    }

    async fn advance(&self, _: &Generation, _: &[Move]) -> Result<Vec<Verdict>> {
        panic!("{WRITES}")
    }

    async fn rows(&self, _: &Generation, _: &[RowKey]) -> Result<Vec<Option<Row>>> {
        panic!("a plan reads no rows")
    }

    async fn point_read(
        &self,
        _: &str,
        _: &RowKey,
        _: &(dyn Fn(u32) -> Option<Generation> + Send + Sync),
    ) -> Result<Option<PointRead>> {
        panic!("a plan reads no rows")
    }

    async fn forget(&self, _: &str) -> Result<()> {
        panic!("{WRITES}")
    }

    async fn cut_over(&self, _: &CutOver) -> Result<CutOverOutcome> {
        panic!("{WRITES}")
    }

    async fn compare_page(
        &self,
        _: &Generation,
        _: &Generation,
        _: Option<&PageToken>,
        _: usize,
    ) -> Result<Option<ComparePage>> {
        panic!("a plan reads no rows")
    }

    async fn create_from(
        &self,
        _: &Generation,
        _: &Generation,
        _: &[(TopicPartition, Position)],
        _: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        panic!("{WRITES}")
    }

    async fn base_pages(&self, _: &Generation) -> Result<Option<BasePages>> {
        Ok(None)
    }

    async fn remove(&self, _: &Generation) -> Result<()> {
        panic!("{WRITES}")
    }
}

fn parse(text: &str) -> Definition {
    let parsed = Definition::parse("orders", "orders.toml", text);
    parsed.unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn part(partition: i32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

/// A deployment with one projection, whose generation 1 is live.
struct World {
    source: MemorySource,
    tables: Tables,
    postgres: Shelf,
    redis: Shelf,
    live: Entry,
    measured_rate: Option<f64>,
}

impl World {
    /// Two partitions with 100 and 50 records of 20 bytes; generation 1 of `text` has read all of them from
    /// the beginning.
    async fn new(text: &str) -> Self {
        let source = MemorySource::default();
        source.create_topic("orders", 2);
        for (partition, count) in [(0, 100), (1, 50)] {
            for n in 0..count {
                let record = MemoryRecord::new("key4", "sixteen bytes...").at(1000 * n);
                source.append(&part(partition), record).unwrap();
            }
        }
        let definition = parse(text);
        let record = record(&definition, 1, State::Live);
        let shelf = Shelf {
            cursors: Some(vec![(part(0), 90), (part(1), 50)]),
            size: Some((10, 4096)),
            pointer: Some(1),
            ..Shelf::default()
        };
        let mut world = Self {
            source,
            tables: Tables::default(),
            redis: Shelf {
                redis: true,
                cursors: Some(vec![(part(0), 95), (part(1), 40)]),
                ..shelf.clone()
            },
            postgres: shelf,
            live: Entry {
                record: record.clone(),
                definition: Ok(definition),
                topics: BTreeMap::new(),
                starts: Vec::new(),
            },
            measured_rate: None,
        };
        world.live_began_at(&[0, 0]).await;
        world.tables.history.push(record);
        world
    }

    async fn topic_id(&self) -> String {
        self.source.topic_id("orders").await.unwrap().unwrap()
    }

    async fn live_began_at(&mut self, starts: &[i64]) {
        let id = self.topic_id().await;
        let record = began_at(&id, starts);
        self.tables
            .topics
            .insert(self.live.record.build, vec![record]);
    }

    fn truncate(&self, partition: i32, low: i64) {
        let low = Position::at(low);
        self.source.truncate_before(&part(partition), low).unwrap();
    }

    fn planner(self) -> Planner {
        let pacing = Pacing::new(Board::new(), Duration::from_secs(1), None);
        self.measured_rate
            .iter()
            .for_each(|rate| pacing.note_rate(*rate));
        let stores: [(StoreKind, Arc<dyn ViewStore>); 2] = [
            (StoreKind::Postgres, Arc::new(self.postgres)),
            (StoreKind::Redis, Arc::new(self.redis)),
        ];
        Planner {
            control: Arc::new(self.tables),
            source: Arc::new(self.source),
            stores: BTreeMap::from(stores),
            pacing,
        }
    }

    /// Plans a rebuild with this file.
    async fn prepare(
        self,
        file: Option<&str>,
        request: RebuildRequest,
    ) -> Result<Prepared, PlanError> {
        let live = self.live.clone();
        let catalog = Catalog {
            entries: vec![live.clone()],
            relations: BTreeMap::new(),
        };
        let file = file.map(parse);
        self.planner()
            .prepare("orders", file.as_ref(), Some(&live), &catalog, &request)
            .await
    }

    async fn plan(self, file: &str, request: RebuildRequest) -> Plan {
        self.prepare(Some(file), request).await.unwrap().plan
    }

    async fn refused(self, file: &str, request: RebuildRequest) -> String {
        let plan = self.plan(file, request).await;
        plan.refused.expect("a refusal")
    }
}

fn record(definition: &Definition, number: u32, state: State) -> GenerationRecord {
    let stores = definition.plan.stores().iter();
    GenerationRecord {
        projection: definition.name.clone(),
        number,
        build: Uuid::new_v4(),
        stores: stores.map(|store| (*store, state)).collect(),
        definition: definition.text.clone(),
        hash: definition.hash.clone(),
        intent: 1,
        wanted: state == State::Live,
        published: Vec::new(),
        cleaned: Vec::new(),
        options: BuildOptions::default(),
        paused: false,
        ready: false,
        verification: None,
        trouble: None,
        actor: "test".to_owned(),
        age_seconds: 60.0,
        state_age_seconds: 60.0,
    }
}

fn began_at(id: &str, starts: &[i64]) -> TopicRecord {
    let starts = (0..).zip(starts);
    TopicRecord {
        topic: "orders".into(),
        id: id.to_owned(),
        starts: starts.map(|(p, at)| (p, Position::at(*at))).collect(),
    }
}

fn plain() -> RebuildRequest {
    RebuildRequest::default()
}

fn copy() -> RebuildRequest {
    RebuildRequest {
        base: Base::Live,
        ..plain()
    }
}

fn from(from: From) -> RebuildRequest {
    RebuildRequest {
        from: Some(from),
        ..plain()
    }
}

fn offsets(offsets: &[(&str, i64)]) -> From {
    let offsets = offsets.iter().map(|(name, at)| ((*name).to_owned(), *at));
    From::Offsets(offsets.collect())
}

fn starts(plan: &Plan) -> Vec<i64> {
    plan.partitions.iter().map(|part| part.start).collect()
}

#[tokio::test]
async fn a_plan_says_what_would_be_read_and_what_it_costs() {
    let world = World::new(ORDERS).await;
    let id = world.topic_id().await;
    let file = ORDERS.replace("keep = 3", "keep = 5");
    let prepared = world.prepare(Some(&file), plain()).await.unwrap();
    let plan = prepared.plan;
    assert_eq!(plan.refused, None);
    assert_eq!(
        (plan.definition, plan.needs_rebuild),
        (Relation::Changed, true)
    );
    assert_eq!(plan.changes, ["handler * changed: append last"]);
    assert_eq!((plan.generation, plan.records), (2, 150));
    assert_eq!(plan.stores, ["postgres", "redis"]);
    assert_eq!(
        (plan.bytes, plan.disk_bytes),
        (Some(150 * 20), Some(2 * 4096))
    );
    assert_eq!(
        (plan.rate, plan.rate_source.as_str()),
        (20_000.0, "assumed")
    );
    assert_eq!(plan.estimated_seconds, Some(150.0 / 20_000.0));
    let first = plan.partitions.first().unwrap();
    assert_eq!((first.start, first.end, first.log_start), (0, 100, 0));
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    assert_eq!(prepared.topics, [began_at(&id, &[0, 0])]);
    assert_eq!(
        prepared.starts,
        [(part(0), Position::ZERO), (part(1), Position::ZERO)]
    );
}

#[tokio::test]
async fn a_limit_below_the_measured_rate_decides_how_long_it_takes() {
    let mut world = World::new(STATUS).await;
    world.measured_rate = Some(1000.0);
    let limited = RebuildRequest {
        max_rate: Some(10),
        ..plain()
    };
    let plan = world.plan(STATUS, limited).await;
    assert_eq!((plan.rate, plan.rate_source.as_str()), (10.0, "limit"));
    assert_eq!(plan.estimated_seconds, Some(15.0));
    let mut world = World::new(STATUS).await;
    world.measured_rate = Some(1000.0);
    let plan = world.plan(STATUS, plain()).await;
    assert_eq!((plan.rate, plan.rate_source.as_str()), (1000.0, "measured"));
}

#[tokio::test]
async fn the_number_is_above_all_that_any_store_or_table_names() {
    let mut world = World::new(STATUS).await;
    let failed = record(&parse(STATUS), 4, State::Failed);
    world.tables.history.push(failed);
    assert_eq!(world.plan(STATUS, plain()).await.generation, 5);
    let mut world = World::new(STATUS).await;
    world.postgres.pointer = Some(7);
    assert_eq!(world.plan(STATUS, plain()).await.generation, 8);
}

#[tokio::test]
async fn requests_that_make_no_sense_are_no_refusals() {
    let wrong = [
        (
            RebuildRequest {
                max_rate: Some(0),
                ..plain()
            },
            "max_rate is 0: give at least 1 record per second, or pause the generation",
        ),
        (
            RebuildRequest {
                max_changed: Some(1.5),
                ..plain()
            },
            "max_changed is 1.5: give the part of all rows, from 0 to 1",
        ),
        (
            RebuildRequest {
                max_changed: Some(f64::NAN),
                ..plain()
            },
            "max_changed is NaN: give the part of all rows, from 0 to 1",
        ),
        (
            from(From::Timestamp("yesterday".to_owned())),
            "`yesterday` is not a time: write it as in RFC 3339, such as 2026-11-21T06:00:00Z",
        ),
        (
            from(offsets(&[("orders", 3)])),
            "from: `orders` is not topic/partition",
        ),
        (
            from(offsets(&[("orders/0", -1)])),
            "from: orders/0@-1: offsets begin at 0",
        ),
        (
            from(offsets(&[("orders/2", 0)])),
            "from: orders/2: topic orders has partitions 0 to 1",
        ),
        (
            from(offsets(&[("payments/0", 0)])),
            "from: payments/0: orders reads no topic payments; it reads orders",
        ),
    ];
    for (request, expected) in wrong {
        let world = World::new(ORDERS).await;
        let answer = world.prepare(Some(ORDERS), request).await;
        assert_eq!(
            answer.unwrap_err(),
            PlanError::BadRequest(expected.to_owned())
        );
    }
}

#[tokio::test]
async fn starts_are_records_times_or_the_beginning() {
    let named = from(offsets(&[("orders/0", 100)]));
    let plan = World::new(ORDERS).await.plan(ORDERS, named).await;
    assert_eq!(
        (starts(&plan), plan.records, plan.refused),
        (vec![100, 0], 50, None)
    );
    let time = |text: &str| from(From::Timestamp(text.to_owned()));
    let world = World::new(ORDERS).await;
    let plan = world.plan(ORDERS, time("1970-01-01T00:00:59.5Z")).await;
    assert_eq!((starts(&plan), plan.refused), (vec![60, 50], None));
    assert_eq!(
        plan.warnings,
        [
            "the live view also reflects records before the start, which the rebuilt one will lack: \
          orders/0 from 0 on, and this begins at 60, orders/1 from 0 on, and this begins at 50"
        ]
    );
    let world = World::new(ORDERS).await;
    let plan = world.plan(ORDERS, time("2026-11-21T06:00:00Z")).await;
    assert_eq!(
        (starts(&plan), plan.records, plan.bytes),
        (vec![100, 50], 0, Some(0))
    );
    assert_eq!(
        plan.warnings.last().unwrap(),
        "every start is at the end of the log: the view begins without rows"
    );
}

#[tokio::test]
async fn a_start_outside_the_log_is_refused_by_name() {
    let world = World::new(ORDERS).await;
    world.truncate(0, 30);
    let request = from(offsets(&[("orders/0", 29), ("orders/1", 51)]));
    assert_eq!(
        world.refused(ORDERS, request).await,
        "orders/0@29 is not in the log any more, which begins at 30, orders/1@51 lies behind the end of the log, \
         which is 50: begin inside the log, or leave `--from` out"
    );
    let world = World::new(ORDERS).await;
    world.truncate(0, 91);
    assert_eq!(
        world.refused(ORDERS, copy()).await,
        "orders/0@90 is not in the log any more, which begins at 91: the live rows cannot be continued from where \
         they stand: rebuild with `--base empty`, and accept what is missing with an explicit `--from`"
    );
}

#[tokio::test]
async fn a_view_that_would_silently_lack_records_is_refused_until_the_loss_is_accepted_i1() {
    let world = World::new(ORDERS).await;
    world.truncate(0, 30);
    world.truncate(1, 20);
    assert_eq!(
        world.refused(ORDERS, plain()).await,
        "retention took records that the live view reflects: orders/0 from 0 on, and its log now begins at 30, \
         orders/1 from 0 on, and its log now begins at 20; a view rebuilt from the beginning would silently lack \
         them: copy the live rows with `--base live`, or accept the loss with `--from orders/0@30,orders/1@20`"
    );
    // Each way out that the refusal names is one. What is not named still begins at the beginning.
    let world = World::new(ORDERS).await;
    world.truncate(0, 30);
    world.truncate(1, 20);
    let advised = from(offsets(&[("orders/0", 30), ("orders/1", 20)]));
    assert_eq!(world.plan(ORDERS, advised).await.refused, None);
    for (request, refused) in [
        (copy(), false),
        (
            from(From::Timestamp("1970-01-01T00:00:00Z".to_owned())),
            false,
        ),
        (from(From::Earliest), true),
        (from(offsets(&[("orders/0", 30)])), true),
    ] {
        let world = World::new(ORDERS).await;
        world.truncate(0, 30);
        world.truncate(1, 20);
        let plan = world.plan(ORDERS, request.clone()).await;
        assert_eq!(
            plan.refused.is_some(),
            refused,
            "{request:?}: {:?}",
            plan.refused
        );
    }
}

#[tokio::test]
async fn records_that_the_live_view_never_had_are_only_told_of() {
    let mut world = World::new(ORDERS).await;
    world.truncate(0, 30);
    world.live_began_at(&[30, 0]).await;
    let plan = world.plan(ORDERS, plain()).await;
    assert_eq!(plan.refused, None);
    assert_eq!(
        plan.warnings,
        ["the log does not hold its first records any more: it is read from orders/0@30 on"]
    );
}

#[tokio::test]
async fn copied_rows_reflect_what_the_generation_before_them_read_i1() {
    let mut world = World::new(ORDERS).await;
    let id = world.topic_id().await;
    let first = record(&parse(ORDERS), 1, State::Retired);
    world
        .tables
        .topics
        .insert(first.build, vec![began_at(&id, &[0, 0])]);
    world.live.record.number = 2;
    world.live.record.options.base = Base::Live;
    world.live_began_at(&[80, 40]).await;
    world.tables.history = vec![first, world.live.record.clone()];
    world.truncate(0, 10);
    let refused = world.refused(ORDERS, plain()).await;
    assert!(
        refused.contains("orders/0 from 0 on, and its log now begins at 10"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_topic_that_is_gone_is_missed() {
    let mut world = World::new(ORDERS).await;
    let refunds = TopicRecord {
        topic: "refunds".into(),
        id: "gone".to_owned(),
        starts: vec![(0, Position::ZERO)],
    };
    let topics = world
        .tables
        .topics
        .get_mut(&world.live.record.build)
        .unwrap();
    topics.push(refunds);
    let both = ORDERS.replace("[\"orders\"]", "[\"orders\", \"refunds\"]");
    assert_eq!(
        world.refused(&both, plain()).await,
        "the live view reflects records of refunds, which does not exist any more; a rebuilt view would lack them: \
         copy the live rows with `--base live`, or take the topic out of the definition"
    );
    let world = World::new(ORDERS).await;
    let plan = world.plan(&both, plain()).await;
    assert_eq!(plan.refused, None, "a topic that nobody read yet");
    assert_eq!(
        plan.warnings,
        ["no topic matches refunds yet: it is read from its beginning once there is one"]
    );
}

#[tokio::test]
async fn a_recreated_topic_has_other_records_at_its_positions() {
    let world = World::new(ORDERS).await;
    world.source.create_topic("orders", 2);
    for n in 0..95 {
        let record = MemoryRecord::new("key4", "x").at(n);
        world.source.append(&part(0), record).unwrap();
        world
            .source
            .append(&part(1), MemoryRecord::new("key4", "x"))
            .unwrap();
    }
    world.truncate(0, 5);
    assert_eq!(
        world.refused(ORDERS, copy()).await,
        "topic orders was deleted and created anew: the positions of the live rows mean other records now; \
         rebuild with `--base empty`"
    );
    let world = World::new(ORDERS).await;
    world.source.create_topic("orders", 2);
    let plan = world.plan(ORDERS, plain()).await;
    assert_eq!(plan.refused, None);
    assert_eq!(
        plan.warnings,
        [
            "topic orders was deleted and created anew since generation 1 began to read it: only the new records are \
          read"
        ]
    );
}

#[tokio::test]
async fn a_compacted_topic_is_refused_where_every_record_counts() {
    let compacted = || async {
        let mut world = World::new(ORDERS).await;
        world.source.create_compacted_topic("orders", 2);
        world.live_began_at(&[0, 0]).await;
        world
    };
    assert_eq!(
        compacted().await.refused(ORDERS, plain()).await,
        "topic orders is compacted (cleanup.policy): columns count, last depend on records that compaction \
         removes; read an uncompacted topic, or accept it with `accept_compacted = true`"
    );
    let accepted = format!("accept_compacted = true\n{ORDERS}");
    let plan = compacted().await.plan(&accepted, plain()).await;
    assert_eq!(plan.refused, None);
    assert_eq!(
        plan.warnings,
        [
            "topic orders is compacted, which is accepted: columns count, last reflect only what compaction left"
        ]
    );
    assert_eq!(
        (plan.definition, plan.needs_rebuild),
        (Relation::Unchanged, true)
    );
    assert_eq!(plan.changes, ["accept_compacted: false → true"]);
    assert_eq!(compacted().await.plan(STATUS, plain()).await.refused, None);
}

#[tokio::test]
async fn a_copy_begins_where_the_live_rows_stand() {
    let plan = World::new(ORDERS).await.plan(ORDERS, copy()).await;
    assert_eq!(plan.refused, None);
    assert_eq!(starts(&plan), [90, 40], "the lowest of both stores");
    assert_eq!(plan.records, 20);

    let mut world = World::new(ORDERS).await;
    world.postgres.cursors = None;
    world.redis.cursors = None;
    world.live_began_at(&[3, 0]).await;
    let plan = world.plan(ORDERS, copy()).await;
    assert_eq!(
        (starts(&plan), plan.refused),
        (vec![3, 0], None),
        "not created yet"
    );

    let world = World::new(ORDERS).await;
    world.source.create_topic("refunds", 1);
    let refunds = TopicPartition::new("refunds", 0);
    world
        .source
        .append(&refunds, MemoryRecord::new("key4", "x"))
        .unwrap();
    world.source.add_partitions("orders", 1);
    let both = ORDERS.replace("[\"orders\"]", "[\"orders\", \"refunds\"]");
    let plan = world.plan(&both, copy()).await;
    assert_eq!(plan.refused, None);
    assert_eq!(
        starts(&plan),
        [90, 40, 0, 0],
        "what is new begins at its beginning"
    );
}

#[tokio::test]
async fn records_are_never_counted_twice_onto_copied_rows_i2() {
    let again = |origin: From| RebuildRequest {
        base: Base::Live,
        ..from(origin)
    };
    for origin in [From::Earliest, offsets(&[("orders/0", 95)])] {
        assert_eq!(
            World::new(ORDERS)
                .await
                .refused(ORDERS, again(origin))
                .await,
            "columns count, last would count records twice that are read again onto the copied live rows: leave `--from` \
             out, then the copy goes on where it stands, or rebuild with `--base empty`"
        );
    }
    let plan = World::new(STATUS)
        .await
        .plan(STATUS, again(offsets(&[("orders/0", 7)])))
        .await;
    assert_eq!((starts(&plan), plan.refused), (vec![7, 0], None));
    let reading = STATUS.replace("\"data.status\"", "\"row.status + 'x'\"");
    let refused = World::new(STATUS)
        .await
        .refused(&reading, again(From::Earliest))
        .await;
    assert!(
        refused.starts_with("handlers that read `row.` would count"),
        "{refused}"
    );
}

#[tokio::test]
async fn rows_are_copied_only_where_they_still_fit() {
    let with = |from: &str, to: &str| {
        assert!(ORDERS.contains(from), "{from}");
        ORDERS.replace(from, to)
    };
    let keyed = "the key has changed, so the rows of generation 1 would stand under other keys: rebuild with \
                 `--base empty`";
    let unfit = |columns: &str| {
        format!(
            "the values of generation 1 do not fit columns {columns} any more: rebuild with `--base empty`"
        )
    };
    let cases = [
        (with("\"data.id\"", "\"data.other\""), keyed.to_owned()),
        (
            with("id = \"text\"", "id = \"bigint\""),
            format!("{keyed}; {}", unfit("id")),
        ),
        (with("\"bigint\"", "\"numeric\""), unfit("count")),
        (
            with(
                "set = { status = \"data.status\" }",
                "latest = { status = { value = \"data.status\", by = \"event.time\" } }",
            ),
            unfit("status"),
        ),
    ];
    for (file, expected) in cases {
        let world = World::new(ORDERS).await;
        assert_eq!(world.refused(&file, copy()).await, expected, "{file}");
    }
    let both = format!("stores = [\"postgres\", \"redis\"]\n{STATUS}");
    assert_eq!(
        World::new(STATUS).await.refused(&both, copy()).await,
        "redis has no live rows that could be copied: rebuild with `--base empty`"
    );
    for fitting in [
        with("id = \"text\"\n", "id = \"text\"\nnote = \"text\"\n"),
        with("add = { count", "max = { count"),
        with("keep = 3", "keep = 5"),
    ] {
        let plan = World::new(ORDERS).await.plan(&fitting, copy()).await;
        assert_eq!(plan.refused, None, "{fitting}");
    }
}

#[tokio::test]
async fn one_generation_is_built_at_a_time() {
    let mut world = World::new(ORDERS).await;
    let building = record(&parse(ORDERS), 2, State::Building);
    world.tables.history.push(building.clone());
    assert_eq!(
        world.refused(ORDERS, plain()).await,
        "generation 2 of orders is building: wait for it, or stop it with `viewfold cancel orders 2`"
    );
    let mut world = World::new(ORDERS).await;
    let mut cutting = building;
    cutting.wanted = true;
    cutting.stores = vec![
        (StoreKind::Postgres, State::Live),
        (StoreKind::Redis, State::Building),
    ];
    world.tables.history.push(cutting);
    assert_eq!(
        world.refused(ORDERS, plain()).await,
        "generation 2 of orders is being cut over: wait until every store shows it (`viewfold status`)"
    );
    let mut world = World::new(ORDERS).await;
    world
        .tables
        .history
        .push(record(&parse(ORDERS), 2, State::Standby));
    world
        .tables
        .history
        .push(record(&parse(ORDERS), 3, State::Cancelled));
    assert_eq!(world.plan(ORDERS, plain()).await.refused, None);
}

#[tokio::test]
async fn a_view_without_any_topic_is_refused() {
    let file = ORDERS.replace("[\"orders\"]", "[\"payments\", \"^refunds\\\\..*\"]");
    let world = World::new(ORDERS).await;
    assert_eq!(
        world.refused(&file, plain()).await,
        "there is nothing to read: no topic matches payments, ^refunds\\..*; create the topic, or correct `topics`"
    );
}

#[tokio::test]
async fn what_depends_on_the_view_must_not_lose_its_columns() {
    let watched = || async {
        let mut world = World::new(ORDERS).await;
        world.postgres.dependants = vec!["public.report".to_owned()];
        world
    };
    let longer = ORDERS.replace(
        "last = { type = \"jsonb\" }",
        "last = \"jsonb\"\nnote = \"text\"",
    );
    let plan = watched().await.plan(&longer, plain()).await;
    assert_eq!(
        (plan.refused, plan.dependants),
        (None, vec!["public.report".to_owned()])
    );
    for file in [
        ORDERS.replace(
            "status = \"text\"\n",
            "note = \"text\"\nstatus = \"text\"\n",
        ),
        ORDERS.replace("\"bigint\"", "\"numeric\""),
    ] {
        assert_eq!(
            watched().await.refused(&file, plain()).await,
            "the columns of view orders are not only added to at the end, and others depend on it: public.report; \
             drop them first, or keep its columns as they are and put new ones behind them"
        );
        assert_eq!(
            World::new(ORDERS).await.plan(&file, plain()).await.refused,
            None
        );
    }
}

#[tokio::test]
async fn all_that_speaks_against_it_is_said_at_once() {
    let mut world = World::new(ORDERS).await;
    world.truncate(0, 30);
    world
        .tables
        .history
        .push(record(&parse(ORDERS), 2, State::Building));
    world.postgres.dependants = vec!["public.report".to_owned()];
    let file = ORDERS.replace("\"bigint\"", "\"numeric\"");
    let refused = world.refused(&file, plain()).await;
    for part in ["is building", "retention took", "public.report"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
}

#[tokio::test]
async fn without_a_file_the_live_definition_is_rebuilt() {
    let world = World::new(ORDERS).await;
    let plan = world.prepare(None, plain()).await.unwrap().plan;
    assert_eq!(
        (plan.definition, plan.needs_rebuild),
        (Relation::Orphaned, false)
    );
    assert_eq!((plan.records, plan.refused), (150, None));
    let mut world = World::new(ORDERS).await;
    world.live.definition = Err("a Rust projection of another version".to_owned());
    let plan = world.prepare(None, plain()).await.unwrap().plan;
    assert_eq!(
        plan.refused.unwrap(),
        "the definition of orders is not known here: a Rust projection of another version; put its file back"
    );
    let mut world = World::new(ORDERS).await;
    world.live.definition = Err("a Rust projection of another version".to_owned());
    let plan = world.plan(STATUS, plain()).await;
    assert_eq!(
        plan.refused, None,
        "a file replaces what nobody knows any more"
    );
    assert_eq!(
        plan.changes,
        ["what is live cannot be compared: a Rust projection of another version"]
    );
}

#[tokio::test]
async fn a_log_that_is_away_is_a_fault_and_no_refusal() {
    for call in [Call::Topics, Call::Bounds] {
        let world = World::new(ORDERS).await;
        let away = Fault::transient("the broker is away");
        world.source.fail(call, away.clone());
        let answer = world.prepare(Some(ORDERS), plain()).await;
        assert_eq!(answer.unwrap_err(), PlanError::Fault(away));
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_does_not_wait_for_samples() {
    let world = World::new(ORDERS).await;
    world.source.stall(&part(0));
    let begun = tokio::time::Instant::now();
    let plan = world.plan(ORDERS, plain()).await;
    assert_eq!((plan.bytes, plan.records), (None, 150));
    assert_eq!(begun.elapsed().as_secs(), 2);
    let world = World::new(ORDERS).await;
    world
        .source
        .fail(Call::Open, Fault::transient("the broker is away"));
    assert_eq!(world.plan(ORDERS, plain()).await.bytes, None);
}

#[tokio::test]
async fn the_overview_names_every_projection_once() {
    let named = |name: &str, text: &str| Definition::parse(name, "test.toml", text).unwrap();
    let world = World::new(ORDERS).await;
    let orphan = named("alone", STATUS);
    let mut alone = world.live.clone();
    alone.record = record(&orphan, 3, State::Live);
    alone.definition = Ok(orphan);
    let catalog = Catalog {
        entries: vec![alone, world.live.clone()],
        relations: BTreeMap::from([("removed".into(), Relation::Dropped)]),
    };
    let described = format!("description = \"All orders.\"\n{ORDERS}");
    let proposed = [
        named("orders", &described),
        named("removed", STATUS),
        named("fresh", STATUS),
    ];
    let plans = world.planner().overview(&proposed, &catalog).await.unwrap();
    let shown: Vec<(&str, Relation, u32, u64)> = plans
        .iter()
        .map(|plan| {
            (
                &*plan.projection,
                plan.definition,
                plan.generation,
                plan.records,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("alone", Relation::Orphaned, 4, 150),
            ("fresh", Relation::New, 2, 150),
            ("orders", Relation::Unchanged, 2, 150),
            ("removed", Relation::Dropped, 2, 150),
        ]
    );
    let needing: Vec<bool> = plans.iter().map(|plan| plan.needs_rebuild).collect();
    assert_eq!(needing, [false, false, false, true]);
    assert_eq!(
        plans[2].changes,
        ["description changed (no rebuild needed)"]
    );
    for plan in &plans {
        assert_eq!(plan.refused, None, "{}", plan.projection);
        assert_eq!(plan.bytes, Some(3000), "{}", plan.projection);
    }
}

#[tokio::test]
async fn there_is_nothing_to_copy_before_the_first_generation() {
    let world = World::new(ORDERS).await;
    let file = parse(ORDERS);
    let planner = world.planner();
    let catalog = Catalog::default();
    let prepared = planner
        .prepare("orders", Some(&file), None, &catalog, &copy())
        .await;
    let refused = prepared.unwrap().plan.refused.unwrap();
    assert!(
        refused.starts_with("there is no live generation whose rows could be copied"),
        "{refused}"
    );
}
