//! What this instance knows about itself and its surroundings, for probes and status.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use crate::config::Role;
use crate::fault::{Fault, Result};
use crate::generation::Catalog;
use crate::projection::StoreKind;

/// Something that is away, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Away {
    pub(super) what: String,
    pub(super) since: SystemTime,
}

#[derive(Default)]
struct Known {
    catalog: Arc<Catalog>,
    migrated: bool,
    joined: bool,
    reconciled: bool,
    control: Option<Away>,
    kafka: Option<Away>,
    stores: Vec<(&'static str, Option<Away>)>,
}

/// Plain facts behind one lock that is never held across an await.
pub(super) struct Facts {
    instance: String,
    role: Role,
    expected: BTreeSet<StoreKind>,
    known: RwLock<Known>,
}

impl Facts {
    /// `expected` are the stores that the proposed definitions ask for.
    pub(super) fn new(instance: String, role: Role, expected: BTreeSet<StoreKind>) -> Self {
        Self {
            instance,
            role,
            expected,
            known: RwLock::default(),
        }
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// Whether it only answers reads, without Kafka and without a group.
    pub(super) fn only_reads(&self) -> bool {
        self.role == Role::Query
    }

    /// The stores that hold a view here, and Postgres, which holds the control tables.
    pub(super) fn used_stores(&self) -> BTreeSet<StoreKind> {
        let catalog = self.catalog();
        let states = catalog
            .entries
            .iter()
            .flat_map(|entry| &entry.record.stores);
        let live = states.map(|(store, _)| *store);
        live.chain(self.expected.iter().copied())
            .chain([StoreKind::Postgres])
            .collect()
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn look<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_catalog(&self, catalog: Catalog) {
        self.change(|known| known.catalog = Arc::new(catalog));
    }

    pub(super) fn catalog(&self) -> Arc<Catalog> {
        self.look(|known| Arc::clone(&known.catalog))
    }

    pub(super) fn migrated(&self) {
        self.change(|known| known.migrated = true);
    }

    pub(super) fn is_migrated(&self) -> bool {
        self.look(|known| known.migrated)
    }

    pub(super) fn joined(&self) {
        self.change(|known| known.joined = true);
    }

    pub(super) fn is_joined(&self) -> bool {
        self.look(|known| known.joined)
    }

    pub(super) fn is_reconciled(&self) -> bool {
        self.look(|known| known.reconciled)
    }

    /// The result of one look at the control tables.
    pub(super) fn stepped(&self, result: Result<()>) {
        self.change(|known| match result {
            Ok(()) => {
                known.reconciled = true;
                known.control = None;
            }
            Err(fault) => {
                let first = known.control.is_none();
                if first {
                    tracing::warn!(%fault, "desired state could not be read; what runs goes on, trying again");
                }
                known.control = Some(still(known.control.take(), fault.message));
            }
        });
    }

    pub(super) fn set_sources(
        &self,
        kafka: Option<(String, SystemTime)>,
        log: Option<&Fault>,
        stores: Vec<(&'static str, Result<()>)>,
    ) {
        self.change(|known| {
            let before = known.kafka.take();
            known.kafka = match (kafka, log) {
                (Some((what, since)), _) => Some(Away { what, since }),
                (None, Some(fault)) => Some(still(before, fault.message.clone())),
                (None, None) => None,
            };
            let before = std::mem::take(&mut known.stores);
            known.stores = stores
                .into_iter()
                .map(|(name, result)| {
                    let was = before
                        .iter()
                        .find(|(of, _)| *of == name)
                        .and_then(|(_, away)| away.clone());
                    let away = result
                        .err()
                        .map(|fault: Fault| still(was.clone(), fault.message));
                    match (&was, &away) {
                        (None, Some(away)) => {
                            tracing::warn!(store = name, detail = %away.what, "store is away")
                        }
                        (Some(_), None) => tracing::info!(store = name, "store is back"),
                        _ => {}
                    }
                    (name, away)
                })
                .collect();
        });
    }

    pub(super) fn control_away(&self) -> Option<Away> {
        self.look(|known| known.control.clone())
    }

    pub(super) fn kafka_away(&self) -> Option<Away> {
        self.look(|known| known.kafka.clone())
    }

    pub(super) fn stores_away(&self) -> Vec<(&'static str, Option<Away>)> {
        self.look(|known| known.stores.clone())
    }
}

/// The same absence goes on, with its newest description.
fn still(before: Option<Away>, what: String) -> Away {
    Away {
        what,
        since: before.map_or_else(SystemTime::now, |away| away.since),
    }
}
