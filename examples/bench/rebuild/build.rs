//! The build, followed over the admin listener.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::account::{Account, Phase};
use super::{PATIENCE, VIEW};

/// How often the build is looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// The admin listener.
pub(crate) struct Admin {
    url: String,
    agent: ureq::Agent,
}

impl Admin {
    pub(crate) fn new(url: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .build();
        Self {
            url: url.trim_end_matches('/').to_owned(),
            agent: agent.into(),
        }
    }

    fn get(&self, path: &str) -> Option<Value> {
        let url = format!("{}{path}", self.url);
        let mut answer = self.agent.get(url).call().ok()?;
        let body = answer.body_mut().read_to_string().ok()?;
        serde_json::from_str(&body).ok()
    }

    pub(crate) fn post(&self, path: &str) -> anyhow::Result<Value> {
        self.post_json(path, &json!({}))
    }

    fn post_json(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let mut answer = request
            .header("content-type", "application/json")
            .send(body.to_string())?;
        let text = answer.body_mut().read_to_string()?;
        ensure!(answer.status().is_success(), "{path} was refused: {text}");
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Waits until `done`.
    pub(crate) fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        done: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        while !done() {
            ensure!(Instant::now() < deadline, "not within {limit:?}: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn generation(&self, number: u64) -> Option<Value> {
        self.get(&format!("/v1/projections/{VIEW}/generations/{number}"))
    }

    /// Whether readers of all stores see the generation.
    pub(crate) fn is_live(&self, number: u64) -> bool {
        let found = self.generation(number).unwrap_or_default();
        let stores = found.get("stores").and_then(Value::as_array);
        let live = |of: &Value| of.get("state").and_then(Value::as_str) == Some("live");
        stores.is_some_and(|stores| !stores.is_empty() && stores.iter().all(live))
    }

    /// Whether every generation that is fed holds `events` events in every store.
    pub(crate) fn is_caught_up(&self, events: u64) -> bool {
        let status = self
            .get(&format!("/v1/projections/{VIEW}"))
            .unwrap_or_default();
        let list = |of: &Value, name: &str| of.get(name).and_then(Value::as_array).cloned();
        let Some(generations) = list(&status, "generations") else {
            return false;
        };
        let holds = |store: &Value| {
            let positions = list(store, "partitions").unwrap_or_default();
            let position = |at: &Value| at.get("position").and_then(Value::as_u64);
            positions.iter().filter_map(position).sum::<u64>() >= events
        };
        !generations.is_empty()
            && generations.iter().all(|generation| {
                let stores = list(generation, "stores").unwrap_or_default();
                !stores.is_empty() && stores.iter().all(holds)
            })
    }
}

/// What was forecast at some point, and what it took from there.
pub(crate) struct Forecast {
    pub(crate) percent: u64,
    pub(crate) eta: Option<f64>,
    pub(crate) took: f64,
}

/// A build from the request until it was ready.
pub(crate) struct Build {
    pub(crate) generation: u64,
    /// Seconds until it had caught up.
    pub(crate) catching_up: f64,
    /// Seconds from there until it was verified.
    pub(crate) verifying: f64,
    /// Records per second while it caught up.
    pub(crate) rate: f64,
    pub(crate) forecasts: Vec<Forecast>,
    /// Why it went no faster, with how often that was seen.
    pub(crate) limits: std::collections::BTreeMap<String, u64>,
}

impl Build {
    /// Asks for a build, and follows it until it is ready.
    pub(crate) fn follow(
        admin: &Admin,
        account: &Account,
        max_rate: Option<u64>,
    ) -> anyhow::Result<Self> {
        let mut request = json!({"promote": "manual"});
        if let (Some(rate), Some(object)) = (max_rate, request.as_object_mut()) {
            object.insert("max_rate".to_owned(), json!(rate));
        }
        let began = Instant::now();
        let path = format!("/v1/projections/{VIEW}/rebuilds");
        let started = admin.post_json(&path, &request)?;
        let generation = started.get("generation").and_then(Value::as_u64);
        let generation = generation.context("the answer names no generation")?;
        let mut build = Self {
            generation,
            catching_up: 0.0,
            verifying: 0.0,
            rate: 0.0,
            forecasts: Vec::new(),
            limits: std::collections::BTreeMap::new(),
        };
        // When each forecast was made.
        let mut made: Vec<f64> = Vec::new();
        let mut caught_up: Option<(f64, f64)> = None;
        loop {
            let elapsed = began.elapsed().as_secs_f64();
            let found = admin.generation(generation).unwrap_or_default();
            let number = |pointer: &str| found.pointer(pointer).and_then(Value::as_f64);
            let text = |name: &str| found.get(name).and_then(Value::as_str).unwrap_or_default();
            match text("state") {
                "failed" | "cancelled" => bail!("generation {generation} failed: {found}"),
                _ => {}
            }
            let (done, target) = (number("/progress/done"), number("/progress/target"));
            let catching_up = matches!(text("phase"), "copying" | "catching up" | "");
            if let (Some(done), Some(target)) = (done, target)
                && catching_up
                && target > 0.0
            {
                *build
                    .limits
                    .entry(text("limited_by").to_owned())
                    .or_default() += 1;
                for percent in [20, 40, 60, 80] {
                    let known = build.forecasts.iter().any(|it| it.percent == percent);
                    if !known && done / target * 100.0 >= percent as f64 {
                        made.push(elapsed);
                        build.forecasts.push(Forecast {
                            percent,
                            eta: number("/progress/eta_seconds"),
                            took: 0.0,
                        });
                    }
                }
            } else if !catching_up {
                caught_up.get_or_insert_with(|| {
                    account.enter(Phase::Verification);
                    (elapsed, done.or(target).unwrap_or(0.0))
                });
            }
            if found.get("ready").and_then(Value::as_bool) == Some(true) {
                let (at, records) = caught_up.unwrap_or((elapsed, done.unwrap_or(0.0)));
                build.catching_up = at;
                build.verifying = elapsed - at;
                build.rate = records / at.max(0.001);
                for (forecast, made) in build.forecasts.iter_mut().zip(made) {
                    forecast.took = at - made;
                }
                return Ok(build);
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "not ready within {PATIENCE:?}: {found}"
            );
            std::thread::sleep(PERIOD);
        }
    }
}
