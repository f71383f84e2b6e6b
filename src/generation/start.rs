//! Starting a rebuild: the plan, then one transaction that records what should be. Nothing is created here;
//! the reconcilers of all instances do that.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalog::Catalog;
use super::plan::{Plan, PlanError, RebuildRequest, Relation};
use super::planner::Planner;
use crate::fault::{Fault, Result};
use crate::projection::{Definition, StoreKind};
use crate::store::ViewStore;
use crate::store::control::{
    Answered, BuildOptions, Control, GenerationRecord, NewGeneration, Order,
};

/// What came of the request.
#[derive(Debug)]
pub enum Started {
    /// The generation is recorded (or had been, under the same idempotency key).
    Recorded(Box<GenerationRecord>),
    /// Nothing was changed: why, and what to do.
    Refused(String),
    /// There is no such projection, neither running nor in a file.
    Unknown,
}

/// Who asks, and how the request is called.
#[derive(Clone, Debug)]
pub struct Requester {
    /// Who.
    pub actor: String,
    /// Repeating a request of the same name changes nothing.
    pub idempotency_key: Option<String>,
}

/// Starts rebuilds and moves readers, for operators and for `auto_rebuild`.
#[derive(Clone)]
pub struct Starter {
    control: Arc<dyn Control>,
    stores: BTreeMap<StoreKind, Arc<dyn ViewStore>>,
    planner: Arc<Planner>,
    proposed: Arc<[Definition]>,
}

impl Starter {
    /// `proposed` are the definitions of this instance's files.
    pub fn new(
        control: Arc<dyn Control>,
        stores: BTreeMap<StoreKind, Arc<dyn ViewStore>>,
        planner: Arc<Planner>,
        proposed: Arc<[Definition]>,
    ) -> Self {
        Self {
            control,
            stores,
            planner,
            proposed,
        }
    }

    fn proposed(&self, projection: &str) -> Option<&Definition> {
        let mut proposed = self.proposed.iter();
        proposed.find(|definition| &*definition.name == projection)
    }

    /// The plan of a rebuild; none when there is no such projection.
    pub async fn plan(
        &self,
        catalog: &Catalog,
        projection: &str,
        request: &RebuildRequest,
    ) -> Result<Option<Plan>, PlanError> {
        let (proposed, live) = (self.proposed(projection), catalog.foremost(projection));
        if proposed.is_none() && live.is_none() {
            return Ok(None);
        }
        let prepared = self
            .planner
            .prepare(projection, proposed, live, catalog, request);
        Ok(Some(prepared.await?.plan))
    }

    /// What every known or proposed projection, or one of them, would come to.
    pub async fn overview(
        &self,
        catalog: &Catalog,
        only: Option<&str>,
    ) -> Result<Vec<Plan>, PlanError> {
        let mut plans = self.planner.overview(&self.proposed, catalog).await?;
        plans.retain(|plan| only.is_none_or(|only| plan.projection == only));
        Ok(plans)
    }

    /// Records a rebuild.
    pub async fn start(
        &self,
        catalog: &Catalog,
        projection: &str,
        request: &RebuildRequest,
        requester: &Requester,
    ) -> Result<Started, PlanError> {
        let (proposed, live) = (self.proposed(projection), catalog.foremost(projection));
        let definition = match (proposed, live) {
            (None, None) => return Ok(Started::Unknown),
            (Some(proposed), None) => return self.start_first(catalog, proposed, requester).await,
            (Some(proposed), Some(_)) => proposed.clone(),
            (None, Some(live)) => match &live.definition {
                Ok(definition) => definition.clone(),
                Err(why) => return Ok(Started::Refused(why.clone())),
            },
        };
        let prepared = self
            .planner
            .prepare(projection, proposed, live, catalog, request)
            .await?;
        if let Some(why) = self.repeated(projection, requester).await? {
            return Ok(Started::Recorded(Box::new(why)));
        }
        if let Some(why) = prepared.plan.refused {
            return Ok(Started::Refused(why));
        }
        let new = NewGeneration {
            projection: Arc::clone(&definition.name),
            definition: Arc::clone(&definition.text),
            hash: Arc::clone(&definition.hash),
            stores: definition.plan.stores().to_vec(),
            topics: prepared.topics,
            options: BuildOptions {
                base: request.base,
                explicit_starts: request.from.is_some(),
                promote: request.promote,
                max_rate: request.max_rate,
                max_changed: request.max_changed,
            },
            above: self.above(projection).await?.0,
            idempotency_key: requester.idempotency_key.clone(),
            actor: requester.actor.clone(),
        };
        let begun = self.control.begin(&new).await?;
        failpoint!("rebuild::planned");
        Ok(match begun {
            Answered::Done(record) | Answered::Before(record) => {
                Started::Recorded(Box::new(record))
            }
            Answered::Refused(why) => Started::Refused(why),
            Answered::Unknown => Started::Unknown,
        })
    }

    /// The generation that a request of this name recorded before.
    async fn repeated(
        &self,
        projection: &str,
        requester: &Requester,
    ) -> Result<Option<GenerationRecord>> {
        let Some(key) = &requester.idempotency_key else {
            return Ok(None);
        };
        self.control.begun(projection, key).await
    }

    /// The first generation of a projection whose definition was dropped, or that no reconciler has met yet.
    async fn start_first(
        &self,
        catalog: &Catalog,
        definition: &Definition,
        requester: &Requester,
    ) -> Result<Started, PlanError> {
        let name = &definition.name;
        if catalog.relations.get(name) == Some(&Relation::Dropped) {
            self.control.undrop(name, &requester.actor).await?;
        }
        let stores = definition.plan.stores();
        let (text, hash) = (&definition.text, &definition.hash);
        let first = self.control.create_first(name, stores, text, hash).await?;
        Ok(match first {
            Some(record) => Started::Recorded(Box::new(record)),
            None => Started::Refused(format!(
                "the former generations of {name} are still being removed; try again in a moment"
            )),
        })
    }

    /// Lets readers see a generation, now or as soon as its cutover succeeds.
    pub async fn promote(&self, projection: &str, number: u32, actor: &str) -> Result<Answered> {
        let (_, above) = self.above(projection).await?;
        let order = Order::Promote { above };
        self.control.order(projection, number, order, actor).await
    }

    /// The greatest generation number and intent that any store names: the control tables may have been
    /// restored from a backup that knows less. A store that cannot be asked keeps this waiting,
    /// because guessing could publish the wrong thing.
    async fn above(&self, projection: &str) -> Result<(u32, i64)> {
        let mut above = (0, 0);
        let mut records = self.control.history(projection).await?.into_iter();
        let used: Vec<StoreKind> = records
            .by_ref()
            .flat_map(|record| record.stores)
            .map(|(store, _)| store)
            .collect();
        for (kind, store) in self.stores.iter().filter(|(kind, _)| used.contains(kind)) {
            let pointer = store.pointer(projection).await;
            let pointer = pointer.map_err(|fault| Fault::transient(format!("{kind}: {fault}")))?;
            if let Some(pointer) = pointer {
                above.0 = above.0.max(pointer.generation.unwrap_or(0));
                above.1 = above.1.max(pointer.intent);
            }
        }
        Ok(above)
    }
}
