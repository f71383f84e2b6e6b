//! The service that is made up.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::mpsc;
use viewfold::api::status::{
    DefinitionState, GenerationStatus, PartitionStatus, ProjectionStatus, StatusReport, StoreStatus,
};
use viewfold::api::{
    Answering, Asked, Backend, BuildStatus, Check, GenerationDetail, ListAnswer, Operation,
    Operations, PointAnswer, Problem, Rebuild, RowJson, Skip, VerificationStatus, VerifyRequest,
    ViewInfo,
};
use viewfold::fault::Fault;
use viewfold::generation::{
    BuildOptions, PartitionPlan, Plan, Progress, RebuildRequest, Relation, Verification,
};
use viewfold::position::{RecordName, TopicPartition};
use viewfold::projection::{ColumnType, StoreKind};
use viewfold::query::{FeedEvent, FeedId, ListQuery, Token, Waited};

use super::shelf::Shelf;

/// One view `totals` with the row `a%2Cb,1`, on a service that is not ready. Generation 1 is live, 2 is being
/// built, and what was asked of them is remembered.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) skips: Mutex<Vec<Skip>>,
    pub(crate) partitions: i32,
    /// How far the positions are beyond what they were at first.
    pub(crate) moved: AtomicI64,
    /// What a client of the change feed is told.
    pub(crate) told: Mutex<Vec<FeedEvent>>,
    /// The client that goes on listening.
    pub(crate) listener: Mutex<Option<mpsc::Sender<FeedEvent>>>,
    /// Whether the stores are away.
    pub(crate) away: AtomicBool,
    /// What was asked, as text, and by whom.
    pub(crate) asked: Mutex<Vec<(String, Asked)>>,
    /// What generation 2 answers, one after the other; the last one stays.
    pub(crate) building: Mutex<Vec<Result<GenerationDetail, Problem>>>,
    /// What lists of `totals` are read from.
    pub(crate) rows: Shelf,
}

pub(crate) fn report() -> StatusReport {
    let partition = PartitionStatus {
        topic: "orders".into(),
        partition: 0,
        position: Some(119),
        end: Some(119),
        lag_records: Some(0),
        lag_seconds: Some(0.0),
        rate: 0.0,
        owner: Some("host-1".into()),
        stalled: None,
    };
    let store = StoreStatus {
        store: StoreKind::Postgres,
        state: "live".into(),
        stalled: None,
        partitions: vec![partition],
    };
    let generation = GenerationStatus {
        generation: 1,
        state: "live".into(),
        stores: vec![store],
        build: None,
    };
    let projection = ProjectionStatus {
        name: "totals".into(),
        definition: DefinitionState::Unchanged,
        generations: vec![generation],
        unmatched_types: Vec::new(),
    };
    StatusReport {
        projections: vec![projection],
        control: None,
    }
}

/// A generation of `totals`, in this state everywhere.
pub(crate) fn detail(number: u32, state: &str, build: Option<BuildStatus>) -> GenerationDetail {
    let mut stores = report().projections.remove(0).generations.remove(0).stores;
    stores[0].partitions.clear();
    stores[0].state = state.into();
    GenerationDetail {
        projection: "totals".into(),
        status: GenerationStatus {
            generation: number,
            state: state.into(),
            stores,
            build,
        },
        build: uuid::Uuid::nil(),
        options: BuildOptions::default(),
        wanted: false,
        actor: "ops".into(),
        created_at: "2026-11-21T06:00:00Z".into(),
    }
}

/// A build that has read `done` of 100 records.
pub(crate) fn build(done: u64) -> BuildStatus {
    BuildStatus {
        progress: Some(Progress {
            done,
            target: 100,
            rate: 12.5,
            eta_seconds: Some(0.1),
            converging: true,
        }),
        rate_limit: Some(1000.5),
        limited_by: "live lag".into(),
        phase: "catching up".into(),
        ..BuildStatus::default()
    }
}

pub(crate) fn plan() -> Plan {
    Plan {
        projection: "totals".into(),
        definition: Relation::Changed,
        needs_rebuild: true,
        changes: vec!["column spent: numeric(18,2) → numeric".into()],
        generation: 3,
        stores: vec!["postgres".into()],
        partitions: vec![PartitionPlan {
            topic: "orders".into(),
            partition: 0,
            start: 10,
            end: 119,
            log_start: 10,
        }],
        records: 109,
        bytes: Some(5000),
        estimated_seconds: Some(1.5),
        rate: 1000.0,
        rate_source: "assumed".into(),
        disk_bytes: None,
        dependants: vec![],
        warnings: vec!["the log begins at orders/0@10".into()],
        refused: Some("generation 2 is being built".into()),
    }
}

impl Made {
    fn positions(&self) -> Vec<RecordName> {
        let moved = self.moved.load(Ordering::Relaxed);
        (0..self.partitions)
            .map(|p| TopicPartition::new("orders", p).record(118 + moved - i64::from(p)))
            .collect()
    }

    fn note(&self, what: String, asked: Asked) {
        self.asked.lock().unwrap().push((what, asked));
    }
}

fn known(projection: &str) -> Result<(), Problem> {
    match projection {
        "totals" | "busy" => Ok(()),
        "away" => Err(Problem::unavailable("postgres is unreachable")),
        _ => Err(Problem::unknown_projection(projection)),
    }
}

fn free(projection: &str) -> Result<(), Problem> {
    known(projection)?;
    match projection {
        "busy" => Err(Problem::refused(
            "generation 2 is being built: cancel it first",
        )),
        _ => Ok(()),
    }
}

#[async_trait]
impl Operations for Made {
    async fn plan(&self, projection: Option<&str>) -> Result<Vec<Plan>, Problem> {
        known(projection.unwrap_or("totals"))?;
        Ok(vec![plan()])
    }

    async fn rebuild(
        &self,
        projection: &str,
        request: RebuildRequest,
        asked: Asked,
    ) -> Result<Rebuild, Problem> {
        known(projection)?;
        let dry_run = request.dry_run;
        self.note(serde_json::to_string(&request).unwrap(), asked);
        if dry_run {
            return Ok(Rebuild::Planned(plan()));
        }
        free(projection)?;
        Ok(Rebuild::Started(detail(2, "building", Some(build(0)))))
    }

    async fn generation(&self, projection: &str, number: u32) -> Result<GenerationDetail, Problem> {
        known(projection)?;
        let mut building = self.building.lock().unwrap();
        match number {
            1 => Ok(detail(1, "live", None)),
            2 if building.len() > 1 => building.remove(0),
            2 if building.len() == 1 => building[0].clone(),
            2 => Ok(detail(2, "building", Some(build(50)))),
            3 => Ok(detail(3, "cancelled", None)),
            _ => Err(Problem::unknown_generation(projection, number)),
        }
    }

    async fn operate(
        &self,
        projection: &str,
        number: Option<u32>,
        operation: Operation,
        asked: Asked,
    ) -> Result<GenerationDetail, Problem> {
        free(projection)?;
        if number.is_some_and(|number| number > 3) {
            return Err(Problem::unknown_generation(projection, number.unwrap()));
        }
        self.note(format!("{operation:?} {number:?}"), asked);
        Ok(detail(number.unwrap_or(2), "building", Some(build(50))))
    }

    async fn drop_projection(&self, projection: &str, asked: Asked) -> Result<(), Problem> {
        free(projection)?;
        self.note("Drop".into(), asked);
        Ok(())
    }

    async fn verify(
        &self,
        projection: &str,
        request: VerifyRequest,
        asked: Asked,
    ) -> Result<i64, Problem> {
        free(projection)?;
        self.note(serde_json::to_string(&request).unwrap(), asked);
        Ok(7)
    }

    async fn verification(&self, projection: &str, id: i64) -> Result<VerificationStatus, Problem> {
        known(projection)?;
        if id != 7 {
            return Err(Problem::unknown_verification(projection, id));
        }
        Ok(VerificationStatus {
            id,
            projection: projection.into(),
            state: "same".into(),
            stores: vec![Verification::default()],
            trouble: None,
        })
    }
}

#[async_trait]
impl Backend for Made {
    async fn status(&self) -> StatusReport {
        report()
    }

    async fn views(&self) -> Result<Vec<ViewInfo>, Problem> {
        Ok(vec![ViewInfo {
            name: "totals".into(),
            description: String::new(),
            key: vec!["shop".into(), "day".into()],
            columns: vec![
                ("shop".into(), ColumnType::Text),
                ("day".into(), ColumnType::Integer),
                (
                    "amount".into(),
                    ColumnType::Decimal {
                        precision: 18,
                        scale: 2,
                    },
                ),
            ],
            stores: vec![StoreKind::Postgres],
            generation: 3,
        }])
    }

    async fn point_read(
        &self,
        view: &str,
        key: &str,
        store: Option<StoreKind>,
    ) -> Result<PointAnswer, Problem> {
        match view {
            "totals" | "both" if self.away.load(Ordering::Relaxed) => {
                return Err(Fault::transient("postgres is unreachable").into());
            }
            "totals" | "both" => {}
            "away" => return Err(Fault::transient("postgres is unreachable").into()),
            _ => return Err(Problem::unknown_view(view)),
        }
        if key.split(',').count() != 2 {
            return Err(Problem::wrong_key(view, "needs 2 parts: shop,day"));
        }
        if store == Some(StoreKind::Redis) && view != "both" {
            return Err(Problem::unknown_store(view, "redis"));
        }
        let row = (key == "a%2Cb,1").then(|| {
            RowJson(vec![
                ("shop".into(), json!("a,b")),
                ("day".into(), json!(1)),
                ("amount".into(), json!("12.50")),
            ])
        });
        let positions = self.positions();
        Ok(PointAnswer {
            store: store.unwrap_or(StoreKind::Postgres),
            generation: 3,
            row,
            positions,
            as_of_micros: Some(1_795_240_800_120_000),
        })
    }

    async fn list(&self, view: &str, query: &ListQuery) -> Result<ListAnswer, Problem> {
        match view {
            "totals" => {}
            "keyed" => return Err(Problem::not_listable(view)),
            "slow" => return Err(Problem::too_slow("list-too-slow", "narrow the conditions")),
            "away" => return Err(Fault::transient("postgres is unreachable").into()),
            _ => return Err(Problem::unknown_view(view)),
        }
        let mut answer = self.rows.list(query).await?;
        answer.positions = (0..self.partitions)
            .map(|p| TopicPartition::new("orders", p).record(118 - i64::from(p)))
            .collect();
        Ok(answer)
    }

    async fn answering(
        &self,
        view: &str,
        store: Option<StoreKind>,
        token: Option<&Token>,
    ) -> Result<Answering, Problem> {
        if !["totals", "both", "away"].contains(&view) {
            return Err(Problem::unknown_view(view));
        }
        if store == Some(StoreKind::Redis) && view != "both" {
            return Err(Problem::unknown_store(view, "redis"));
        }
        let partitions = token.into_iter().flat_map(Token::partitions);
        let mut unknown = partitions.filter(|at| *at.topic != *"orders" || at.partition > 3);
        if let Some(at) = unknown.next() {
            return Err(Problem::unknown_partition(view, at));
        }
        let store = store.unwrap_or(StoreKind::Postgres);
        Ok(Answering {
            store,
            is_first: store == StoreKind::Postgres,
        })
    }

    async fn caught_up(
        &self,
        (view, _): (&str, StoreKind),
        token: &Token,
        deadline: tokio::time::Instant,
    ) -> Waited {
        while tokio::time::Instant::now() < deadline {
            if token.is_reached(&self.positions()) && !self.away.load(Ordering::Relaxed) {
                return Waited::Reached;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        match self.away.load(Ordering::Relaxed) || view == "away" {
            true => Waited::Away("postgres is unreachable".into()),
            false => Waited::Late,
        }
    }

    async fn changes(
        &self,
        view: &str,
        from: Option<FeedId>,
        key: Option<&str>,
    ) -> Result<mpsc::Receiver<FeedEvent>, Problem> {
        match view {
            "totals" => {}
            "both" => return Err(Problem::too_many("too-many-streams", "no place")),
            "redis_only" => return Err(Problem::not_told("it is not in postgres")),
            _ => return Err(Problem::unknown_view(view)),
        }
        self.note(format!("changes {from:?} {key:?}"), Asked::default());
        let events = self.told.lock().unwrap().clone();
        let (sender, receiver) = mpsc::channel(events.len() + 1);
        for event in events {
            sender.send(event).await.unwrap();
        }
        // Where nothing is to be told, the stream goes on until somebody ends it.
        if receiver.is_empty() {
            *self.listener.lock().unwrap() = Some(sender);
        }
        Ok(receiver)
    }

    async fn skip(&self, skip: Skip) -> Result<bool, Problem> {
        if skip.projection != "totals" {
            return Err(Problem::unknown_projection(&skip.projection));
        }
        if skip.record.offset > 118 {
            return Err(Problem::refused("orders/0@119 does not exist yet"));
        }
        self.skips.lock().unwrap().push(skip);
        Ok(true)
    }

    fn readiness(&self) -> Vec<Check> {
        let check = |name: &str, ok, detail: &str| Check {
            name: name.into(),
            ok,
            detail: detail.into(),
        };
        vec![
            check("kafka", true, ""),
            check("postgres", false, "unreachable"),
        ]
    }

    fn startup(&self) -> Vec<Check> {
        Vec::new()
    }
}
