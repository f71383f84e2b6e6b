//! The service, as the HTTP routes see it.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;

use super::facts::{Away, Facts};
use super::parts::Connections;
use super::report::{self, Tracks};
use crate::api::status::StatusReport;
use crate::api::{Backend, Check, PointAnswer, Problem, RowJson, Skip, ViewInfo};
use crate::fault::{Fault, FaultKind};
use crate::generation::{Catalog, Entry};
use crate::pipeline::Board;
use crate::position::RecordName;
use crate::projection::{RowKey, Schema, StoreKind};
use crate::store::control::Decision;
use crate::store::{Cursor, Generation, PointRead};

/// Answers from the catalog, the board, the control tables and the stores.
pub(super) struct ServiceBackend {
    pub(super) connections: Connections,
    pub(super) facts: Arc<Facts>,
    pub(super) board: Board,
}

impl ServiceBackend {
    pub(super) fn new(connections: Connections, facts: Arc<Facts>, board: Board) -> Self {
        Self {
            connections,
            facts,
            board,
        }
    }

    fn live<'c>(
        &self,
        catalog: &'c Catalog,
        view: &str,
        store: Option<StoreKind>,
    ) -> Result<(&'c Entry, StoreKind), Problem> {
        let entry = catalog
            .entries
            .iter()
            .filter(|entry| &*entry.record.projection == view)
            .find(|entry| {
                entry
                    .record
                    .stores
                    .iter()
                    .any(|(_, state)| *state == crate::store::control::State::Live)
            })
            .ok_or_else(|| Problem::unknown_view(view))?;
        let first = entry.record.stores.first().map(|(kind, _)| *kind);
        let store = store.or(first).ok_or_else(|| Problem::unknown_view(view))?;
        if entry.state(store).is_none() {
            return Err(Problem::unknown_store(view, store.as_str()));
        }
        Ok((entry, store))
    }
}

#[async_trait]
impl Backend for ServiceBackend {
    async fn status(&self) -> StatusReport {
        let catalog = self.facts.catalog();
        let tracks = Tracks::gather(&self.connections, &self.facts, &self.board).await;
        let names: BTreeSet<&str> = catalog
            .entries
            .iter()
            .map(|entry| &*entry.record.projection)
            .collect();
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
        let catalog = self.facts.catalog();
        let mut views: Vec<ViewInfo> = catalog.entries.iter().filter_map(view_info).collect();
        views.dedup_by(|later, earlier| later.name == earlier.name);
        Ok(views)
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
        let generations: Vec<Generation> = catalog.of(view).filter_map(Entry::generation).collect();
        let by_number = move |number: u32| {
            generations
                .iter()
                .find(|generation| generation.number == number)
                .cloned()
        };
        let Some(store) = self.connections.stores.get(&kind) else {
            return Err(Problem::unknown_store(view, kind.as_str()));
        };
        let read = store
            .point_read(view, &key, &by_number)
            .await
            .map_err(|fault| store_problem(view, kind, &fault))?;
        let read = read.ok_or_else(|| {
            Problem::unavailable(format!("view {view} is not published in {kind} yet"))
        })?;
        Ok(point_answer(kind, &schema, read))
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
        let mut checks = vec![
            check(
                "control tables",
                self.facts.is_migrated() && self.facts.is_reconciled(),
                self.facts.control_away(),
            ),
            check("consumer group", self.facts.is_joined(), None),
            check("kafka", true, self.facts.kafka_away()),
        ];
        for (store, away) in self.facts.stores_away() {
            checks.push(check(store, true, away));
        }
        checks
    }

    fn startup(&self) -> Vec<Check> {
        vec![
            check(
                "control schema",
                self.facts.is_migrated(),
                self.facts.control_away(),
            ),
            check(
                "consumer group",
                self.facts.is_joined(),
                self.facts.kafka_away(),
            ),
        ]
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

fn store_problem(view: &str, store: StoreKind, fault: &Fault) -> Problem {
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
    let last = |cursor: &Cursor| {
        cursor
            .position
            .last()
            .map(|offset| cursor.partition.record(offset))
    };
    PointAnswer {
        store,
        generation: read.generation,
        row,
        positions: read.cursors.iter().filter_map(last).collect(),
        as_of_micros: read
            .cursors
            .iter()
            .filter_map(|cursor| cursor.newest_micros)
            .max(),
    }
}
