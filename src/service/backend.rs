//! The service, as the HTTP routes see it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::mpsc;

use super::facts::{Away, Facts};
use super::freshness::{LivePositions, Waiting, considered};
use super::parts::Connections;
use super::report::{self, Reporter, Tracks};
use crate::api::status::StatusReport;
use crate::api::{
    Answering, Backend, Check, ListAnswer, PointAnswer, Problem, RowJson, Skip, ViewInfo,
};
use crate::fault::{Fault, FaultKind};
use crate::generation::{Catalog, Entry, Starter};
use crate::position::RecordName;
use crate::projection::{Definition, RowKey, Schema, StoreKind};
use crate::query::{FeedEvent, FeedId, FeedSource, ListQuery, Token, Waited};
use crate::store::control::Decision;
use crate::store::{Cursor, Generation, PointRead};

/// Answers from the catalog, the board, the control tables and the stores.
pub(super) struct ServiceBackend {
    pub(super) connections: Connections,
    pub(super) facts: Arc<Facts>,
    pub(super) reporter: Reporter,
    pub(super) operator: Operator,
    pub(super) waiting: Waiting,
}

/// How long a read waits for this instance to learn of the generation that answers.
pub(super) const MEETING: Duration = Duration::from_secs(3);

/// What an instance answers that has only begun to start.
const NOT_YET: &str = "this instance has not read the control tables yet; try again";

/// What carries out what operators ask for.
pub(super) struct Operator {
    pub(super) starter: Starter,
    /// The definitions of this instance's files.
    pub(super) proposed: Arc<[Definition]>,
}

impl ServiceBackend {
    /// The catalog with the states of this moment, where the control tables answer: who has just changed something
    /// sees it.
    pub(super) async fn newest_catalog(&self) -> Arc<Catalog> {
        let known = self.facts.catalog();
        match self.connections.control.generations().await {
            Ok(records) => Arc::new(known.with_records(&records)),
            Err(_) => known,
        }
    }

    /// The generations of a view as its stores need to know them.
    pub(super) fn generations(&self, view: &str) -> Vec<Generation> {
        let catalog = self.facts.catalog();
        catalog.of(view).filter_map(Entry::generation).collect()
    }

    /// There is no such view; or this instance cannot know yet whether there is.
    pub(super) fn unknown_view(&self, view: &str) -> Problem {
        match self.facts.is_reconciled() {
            true => Problem::unknown_view(view),
            false => Problem::unavailable(NOT_YET),
        }
    }

    /// The generation that readers of `view` see in `store`, or in its first store.
    fn live<'c>(
        &self,
        catalog: &'c Catalog,
        view: &str,
        store: Option<StoreKind>,
    ) -> Result<(&'c Entry, StoreKind), Problem> {
        let unknown = || self.unknown_view(view);
        let foremost = catalog.foremost(view).ok_or_else(unknown)?;
        let first = foremost.record.stores.first().map(|(kind, _)| *kind);
        let kind = store.or(first).ok_or_else(unknown)?;
        match catalog.live(view, kind) {
            Some(entry) => Ok((entry, kind)),
            None if store.is_some() => Err(Problem::unknown_store(view, kind.as_str())),
            None => Err(unknown()),
        }
    }
}

#[async_trait]
impl Backend for ServiceBackend {
    async fn status(&self) -> StatusReport {
        let catalog = self.newest_catalog().await;
        let tracks = Tracks::gather(&self.connections, &self.facts, &self.reporter).await;
        let names: BTreeSet<&str> = catalog.relations.keys().map(|name| &**name).collect();
        let projections = join_all(
            names
                .into_iter()
                .map(|name| self.projection_status(name, &catalog, &tracks)),
        )
        .await;
        let control = self.facts.control_away().map(|away| {
            format!(
                "control tables away since {}: {}; this is what instance {} knows",
                report::when(away.since),
                away.what,
                self.facts.instance()
            )
        });
        StatusReport {
            projections,
            control,
        }
    }

    async fn views(&self) -> Result<Vec<ViewInfo>, Problem> {
        if !self.facts.is_reconciled() {
            return Err(Problem::unavailable(NOT_YET));
        }
        let catalog = self.facts.catalog();
        let projections = catalog.relations.keys();
        let live = projections.filter_map(|name| catalog.foremost(name));
        Ok(live.filter_map(view_info).collect())
    }

    async fn point_read(
        &self,
        view: &str,
        key: &str,
        store: Option<StoreKind>,
    ) -> Result<PointAnswer, Problem> {
        let catalog = self.facts.catalog();
        let (entry, kind) = self.live(&catalog, view, store)?;
        let schema = match &entry.definition {
            Ok(definition) => Arc::clone(definition.plan.schema()),
            Err(detail) => return Err(Problem::unavailable(format!("view {view}: {detail}"))),
        };
        let key = RowKey::parse(&schema, key).map_err(|reason| Problem::wrong_key(view, reason))?;
        let Some(store) = self.connections.stores.get(&kind) else {
            return Err(Problem::unknown_store(view, kind.as_str()));
        };
        let begun = Instant::now();
        loop {
            let generations = self.generations(view);
            let unmet = AtomicBool::new(false);
            let by_number = |number: u32| {
                let mut generations = generations.iter();
                let found = generations.find(|generation| generation.number == number);
                unmet.fetch_or(found.is_none(), Ordering::Relaxed);
                found.cloned()
            };
            match store.point_read(view, &key, &by_number).await {
                Ok(Some(read)) => {
                    let answered = by_number(read.generation);
                    let schema = answered.map_or(schema, |generation| generation.schema);
                    return Ok(point_answer(kind, &schema, read));
                }
                Ok(None) => {
                    let detail = format!("view {view} is not published in {kind} yet");
                    return Err(Problem::unavailable(detail));
                }
                // Readers were moved to a generation that this instance has not met: it will in a moment.
                Err(_) if unmet.load(Ordering::Relaxed) && begun.elapsed() < MEETING => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(fault) => return Err(store_problem(view, kind, &fault)),
            }
        }
    }

    async fn list(&self, view: &str, query: &ListQuery) -> Result<ListAnswer, Problem> {
        self.list_rows(view, query).await
    }

    async fn answering(
        &self,
        view: &str,
        store: Option<StoreKind>,
        token: Option<&Token>,
    ) -> Result<Answering, Problem> {
        let catalog = self.facts.catalog();
        let (entry, store) = self.live(&catalog, view, store)?;
        let first = catalog
            .foremost(view)
            .and_then(|entry| entry.record.stores.first());
        if let Some(token) = token {
            let source = &*self.connections.source;
            self.waiting.check(source, entry, token).await?;
        }
        Ok(Answering {
            store,
            is_first: first.is_some_and(|(kind, _)| *kind == store),
        })
    }

    async fn caught_up(
        &self,
        (view, kind): (&str, StoreKind),
        token: &Token,
        deadline: tokio::time::Instant,
    ) -> Waited {
        let Some(store) = self.connections.stores.get(&kind) else {
            return Waited::Late;
        };
        let positions = LivePositions {
            facts: Arc::clone(&self.facts),
            store: Arc::clone(store),
            view: view.to_owned(),
        };
        let watches = &self.waiting.watches;
        let positions = Arc::new(positions);
        watches
            .until((view, kind), positions, token, deadline)
            .await
    }

    async fn changes(
        &self,
        view: &str,
        from: Option<FeedId>,
        key: Option<&str>,
    ) -> Result<mpsc::Receiver<FeedEvent>, Problem> {
        let catalog = self.facts.catalog();
        let store = match self.live(&catalog, view, Some(StoreKind::Postgres)) {
            Ok(_) => self.connections.stores.get(&StoreKind::Postgres),
            Err(problem) if catalog.foremost(view).is_none() => return Err(problem),
            Err(_) => None,
        };
        let Some(store) = store else {
            let detail =
                format!("view {view} is not in postgres, from which alone changes are told");
            return Err(Problem::not_told(detail));
        };
        if store.change_log().is_none() {
            let detail = "changes are not noted: postgres.changes is false in the configuration";
            return Err(Problem::not_told(detail));
        }
        let (entry, _) = self.live(&catalog, view, Some(StoreKind::Postgres))?;
        let key = match (key, entry.generation()) {
            (Some(text), Some(live)) => {
                let key = RowKey::parse(&live.schema, text);
                let key = key.map_err(|reason| Problem::wrong_key(view, reason))?;
                Some(key.text().to_owned())
            }
            _ => None,
        };
        let (facts, name) = (Arc::clone(&self.facts), view.to_owned());
        let source = FeedSource {
            view: view.into(),
            store: Arc::clone(store),
            shapes: Arc::new(move |number| {
                let catalog = facts.catalog();
                let mut entries = catalog.of(&name);
                entries
                    .find(|entry| entry.record.number == number)?
                    .generation()
            }),
        };
        let followed = self.waiting.feeds.follow(source, from, key).await?;
        followed.ok_or_else(|| {
            let detail = "too many clients follow changes here already; try another instance";
            Problem::too_many("too-many-streams", detail)
        })
    }

    async fn skip(&self, skip: Skip) -> Result<bool, Problem> {
        let catalog = self.facts.catalog();
        let mut entries = catalog.of(&skip.projection).peekable();
        if entries.peek().is_none() {
            return Err(Problem::unknown_projection(&skip.projection));
        }
        let topic = &skip.record.partition.topic;
        let Some(read) = entries.find_map(|entry| entry.topics.get(topic)) else {
            return Err(Problem::refused(format!(
                "projection {} does not read topic {topic}",
                skip.projection
            )));
        };
        if skip.record.partition.partition >= read.partitions {
            return Err(Problem::refused(format!(
                "topic {topic} has {} partitions",
                read.partitions
            )));
        }
        let stopped_there = self.stopped_at(&skip.projection, &skip.record).await;
        if !stopped_there {
            return Err(Problem::refused(format!(
                "projection {} is not stopped at {}; `viewfold status` shows where it is stopped",
                skip.projection, skip.record
            )));
        }
        let decision = Decision {
            projection: skip.projection.as_str().into(),
            topic_id: read.id.clone(),
            record: skip.record.clone(),
        };
        let decided = self
            .connections
            .control
            .decide(&decision, &skip.reason, &skip.actor)
            .await;
        decided.map_err(|fault| {
            Problem::unavailable(format!("failed to record the decision: {fault}"))
        })
    }

    fn readiness(&self) -> Vec<Check> {
        let mut checks = vec![check(
            "control tables",
            self.facts.is_migrated() && self.facts.is_reconciled(),
            self.facts.control_away(),
        )];
        if !self.facts.only_reads() {
            checks.push(check("consumer group", self.facts.is_joined(), None));
            checks.push(check("kafka", true, self.facts.kafka_away()));
        }
        for (store, away) in self.facts.stores_away() {
            checks.push(check(store, true, away));
        }
        checks
    }

    fn startup(&self) -> Vec<Check> {
        let mut checks = vec![check(
            "control schema",
            self.facts.is_migrated(),
            self.facts.control_away(),
        )];
        if !self.facts.only_reads() {
            checks.push(check(
                "consumer group",
                self.facts.is_joined(),
                self.facts.kafka_away(),
            ));
        }
        checks
    }
}

impl ServiceBackend {
    /// Whether some instance reports a track of the projection as stopped at this record (or it was
    /// skipped before, which makes repeating harmless).
    async fn stopped_at(&self, projection: &str, record: &RecordName) -> bool {
        let decided = self
            .connections
            .control
            .decisions()
            .await
            .unwrap_or_default();
        if decided
            .iter()
            .any(|decision| &*decision.projection == projection && decision.record == *record)
        {
            return true;
        }
        let status = self.status().await;
        let partitions = status
            .projection(projection)
            .into_iter()
            .flat_map(|projection| &projection.generations)
            .flat_map(|generation| &generation.stores)
            .flat_map(|store| &store.partitions);
        let named = record.to_string();
        partitions
            .filter_map(|at| at.stalled.as_ref()?.record.as_ref())
            .any(|stopped| *stopped == named)
    }
}

fn check(name: &str, ok: bool, away: Option<Away>) -> Check {
    let detail = away.as_ref().map_or_else(String::new, |away| {
        format!(
            "unreachable since {}: {}",
            report::when(away.since),
            away.what
        )
    });
    Check {
        name: name.to_owned(),
        ok: ok && away.is_none(),
        detail,
    }
}

fn view_info(entry: &Entry) -> Option<ViewInfo> {
    let definition = entry.definition.as_ref().ok()?;
    let schema: &Schema = definition.plan.schema();
    Some(ViewInfo {
        name: Arc::clone(&schema.name),
        description: definition.description.clone(),
        key: schema
            .key
            .iter()
            .filter_map(|&index| schema.columns.get(index))
            .map(|c| Arc::clone(&c.name))
            .collect(),
        columns: schema
            .columns
            .iter()
            .map(|column| (Arc::clone(&column.name), column.ty))
            .collect(),
        stores: entry.record.stores.iter().map(|(kind, _)| *kind).collect(),
        generation: entry.record.number,
    })
}

pub(super) fn store_problem(view: &str, store: StoreKind, fault: &Fault) -> Problem {
    let detail = format!("view {view} in {store}: {fault}");
    match fault.kind {
        FaultKind::Transient => Problem::unavailable(detail),
        _ => Problem::unavailable(format!("{detail}; the operator has to look at it")),
    }
}

fn point_answer(store: StoreKind, schema: &Schema, read: PointRead) -> PointAnswer {
    let row = read.row.map(|row| {
        let columns = schema.columns.iter().map(|column| Arc::clone(&column.name));
        RowJson(
            columns
                .zip(row.values.iter().map(|value| value.to_json()))
                .collect(),
        )
    });
    PointAnswer {
        store,
        generation: read.generation,
        row,
        positions: considered(&read.cursors),
        as_of_micros: newest(&read.cursors),
    }
}

/// The time of the newest applied event, in microseconds since the epoch.
pub(super) fn newest(cursors: &[Cursor]) -> Option<i64> {
    cursors
        .iter()
        .filter_map(|cursor| cursor.newest_micros)
        .max()
}
