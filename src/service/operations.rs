//! What operators ask for, carried out on the control tables.

use async_trait::async_trait;

use super::backend::ServiceBackend;
use super::report::{self, Tracks};
use crate::api::{
    Asked, GenerationDetail, Operation, Operations, Problem, Rebuild, VerificationStatus,
    VerifyRequest,
};
use crate::fault::Fault;
use crate::generation::{
    Plan, PlanError, RebuildRequest, Requester, Started, VERIFY, VerifyJob, VerifyOutcome,
};
use crate::store::control::{Answered, GenerationRecord, Order, State};

#[async_trait]
impl Operations for ServiceBackend {
    async fn plan(&self, projection: Option<&str>) -> Result<Vec<Plan>, Problem> {
        let catalog = self.facts.catalog();
        let plans = self.operator.starter.overview(&catalog, projection);
        let plans = plans.await.map_err(plan_problem)?;
        match projection {
            Some(name) if plans.is_empty() => Err(Problem::unknown_projection(name)),
            _ => Ok(plans),
        }
    }

    async fn rebuild(
        &self,
        projection: &str,
        request: RebuildRequest,
        asked: Asked,
    ) -> Result<Rebuild, Problem> {
        let (catalog, starter) = (self.facts.catalog(), &self.operator.starter);
        if request.dry_run {
            let plan = starter.plan(&catalog, projection, &request).await;
            let plan = plan.map_err(plan_problem)?;
            return plan
                .map(Rebuild::Planned)
                .ok_or_else(|| Problem::unknown_projection(projection));
        }
        let requester = Requester {
            actor: asked.actor,
            idempotency_key: asked.idempotency_key,
        };
        let started = starter.start(&catalog, projection, &request, &requester);
        match started.await.map_err(plan_problem)? {
            Started::Recorded(record) => Ok(Rebuild::Started(self.detail(*record).await)),
            Started::Refused(why) => Err(Problem::refused(why)),
            Started::Unknown => Err(Problem::unknown_projection(projection)),
        }
    }

    async fn generation(&self, projection: &str, number: u32) -> Result<GenerationDetail, Problem> {
        let history = self.history(projection).await?;
        let record = history.into_iter().find(|record| record.number == number);
        match record {
            Some(record) => Ok(self.detail(record).await),
            None => Err(Problem::unknown_generation(projection, number)),
        }
    }

    async fn operate(
        &self,
        projection: &str,
        number: Option<u32>,
        operation: Operation,
        asked: Asked,
    ) -> Result<GenerationDetail, Problem> {
        let number = match number {
            Some(number) => number,
            None => meant(&self.history(projection).await?, projection, operation)?,
        };
        let control = &self.connections.control;
        let answered = match operation {
            Operation::Promote | Operation::Rollback => {
                let starter = &self.operator.starter;
                starter.promote(projection, number, &asked.actor).await
            }
            Operation::Cancel => {
                control
                    .order(projection, number, Order::Cancel, &asked.actor)
                    .await
            }
            Operation::Pause => {
                control
                    .order(projection, number, Order::Pause, &asked.actor)
                    .await
            }
            Operation::Resume => {
                control
                    .order(projection, number, Order::Resume, &asked.actor)
                    .await
            }
        };
        match answered? {
            Answered::Done(record) | Answered::Before(record) => Ok(self.detail(record).await),
            Answered::Refused(why) => Err(Problem::refused(why)),
            Answered::Unknown => Err(Problem::unknown_generation(projection, number)),
        }
    }

    async fn drop_projection(&self, projection: &str, asked: Asked) -> Result<(), Problem> {
        let proposed = self.operator.proposed.iter();
        let hashes: Vec<String> = proposed
            .filter(|definition| &*definition.name == projection)
            .map(|definition| definition.hash.to_string())
            .collect();
        let control = &self.connections.control;
        match control
            .drop_projection(projection, &hashes, &asked.actor)
            .await?
        {
            true => Ok(()),
            false => Err(Problem::unknown_projection(projection)),
        }
    }

    async fn verify(
        &self,
        projection: &str,
        request: VerifyRequest,
        asked: Asked,
    ) -> Result<i64, Problem> {
        let history = self.history(projection).await?;
        let job = verify_job(&history, projection, &request)?;
        let arguments = serde_json::to_value(job)
            .map_err(|error| Fault::bug(format!("job could not be rendered: {error}")))?;
        let control = &self.connections.control;
        Ok(control
            .add_job(projection, VERIFY, &arguments, &asked.actor)
            .await?)
    }

    async fn verification(&self, projection: &str, id: i64) -> Result<VerificationStatus, Problem> {
        let job = self.connections.control.job(id).await?;
        let job = job.filter(|job| &*job.projection == projection && job.kind == VERIFY);
        let Some(job) = job else {
            return Err(Problem::unknown_verification(projection, id));
        };
        let outcome: Option<VerifyOutcome> = job
            .outcome
            .clone()
            .and_then(|outcome| serde_json::from_value(outcome).ok());
        let state = match (&*job.state, &outcome) {
            ("done", Some(outcome)) if outcome.same => "same",
            ("done", Some(_)) => "differs",
            ("open", _) => "running",
            _ => "failed",
        };
        let trouble = job.outcome.as_ref().and_then(|outcome| outcome.as_str());
        Ok(VerificationStatus {
            id,
            projection: projection.to_owned(),
            state: state.to_owned(),
            trouble: trouble.map(str::to_owned),
            stores: outcome.map(|outcome| outcome.stores).unwrap_or_default(),
        })
    }
}

impl ServiceBackend {
    /// Every generation that there ever was, by number.
    async fn history(&self, projection: &str) -> Result<Vec<GenerationRecord>, Problem> {
        let history = self.connections.control.history(projection).await?;
        match history.is_empty() {
            true => Err(Problem::unknown_projection(projection)),
            false => Ok(history),
        }
    }

    async fn detail(&self, record: GenerationRecord) -> GenerationDetail {
        let catalog = self.facts.catalog();
        let of_build = |entry: &&crate::generation::Entry| entry.record.build == record.build;
        let tracks = Tracks::gather(&self.connections, &self.facts, &self.reporter).await;
        let status = match catalog.entries.iter().find(of_build) {
            Some(entry) => {
                let mut entry = entry.clone();
                entry.record = record.clone();
                self.generation_status(&entry, &tracks).await
            }
            None => super::status::bare(&record),
        };
        let mut status = status;
        status
            .build
            .get_or_insert_with(|| super::status::build_status(&record, &tracks, None));
        let age = std::time::Duration::try_from_secs_f64(record.age_seconds).unwrap_or_default();
        let created = std::time::SystemTime::now().checked_sub(age);
        GenerationDetail {
            projection: record.projection.to_string(),
            status,
            build: record.build,
            wanted: record.wanted,
            actor: record.actor,
            created_at: created.map(report::when).unwrap_or_default(),
            options: record.options,
        }
    }
}

/// Which generation is meant when none is named.
fn meant(
    history: &[GenerationRecord],
    projection: &str,
    operation: Operation,
) -> Result<u32, Problem> {
    let found = match operation {
        Operation::Rollback => {
            let standby = history
                .iter()
                .filter(|record| !record.wanted && record.is_anywhere(State::Standby));
            standby.max_by_key(|record| record.intent)
        }
        _ => history
            .iter()
            .rev()
            .find(|record| record.is_anywhere(State::Building)),
    };
    let none = match operation {
        Operation::Rollback => format!(
            "{projection} has no former generation that is still fed; `retain` says how long one is kept"
        ),
        _ => format!("no generation of {projection} is being built"),
    };
    found
        .map(|record| record.number)
        .ok_or_else(|| Problem::refused(none))
}

/// What a request to verify comes to.
fn verify_job(
    history: &[GenerationRecord],
    projection: &str,
    request: &VerifyRequest,
) -> Result<VerifyJob, Problem> {
    let runs = |record: &&GenerationRecord| record.stores.iter().any(|(_, state)| state.runs());
    let number = match request.generation {
        Some(number) => number,
        None => {
            let live = history
                .iter()
                .find(|record| record.is_anywhere(State::Live));
            let live = live.ok_or_else(|| {
                Problem::refused(format!("no generation of {projection} is live"))
            })?;
            live.number
        }
    };
    let sample = request.sample.unwrap_or(1.0);
    if !(sample > 0.0 && sample <= 1.0) {
        return Err(Problem::bad_request("sample must be above 0 and at most 1"));
    }
    let others = || {
        history
            .iter()
            .filter(runs)
            .filter(|record| record.number != number)
    };
    let against = match request.against.as_deref() {
        Some("log") => None,
        None => others().map(|record| record.number).max(),
        Some(text) => {
            let other: u32 = text.parse().map_err(|_| {
                Problem::bad_request("against must be `log` or the number of a generation")
            })?;
            Some(other)
        }
    };
    for wanted in [Some(number), against].into_iter().flatten() {
        let Some(record) = history.iter().find(|record| record.number == wanted) else {
            return Err(Problem::unknown_generation(projection, wanted));
        };
        if !runs(&record) {
            return Err(Problem::refused(format!(
                "generation {wanted} of {projection} is over: its rows are gone"
            )));
        }
    }
    if against == Some(number) {
        return Err(Problem::bad_request(
            "a generation cannot be compared with itself",
        ));
    }
    Ok(VerifyJob {
        generation: number,
        against,
        sample,
        strict: request.strict,
    })
}

fn plan_problem(error: PlanError) -> Problem {
    match error {
        PlanError::BadRequest(detail) => Problem::bad_request(detail),
        PlanError::Fault(fault) => fault.into(),
    }
}
