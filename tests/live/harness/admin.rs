//! What an instance says over HTTP, and what it is asked to do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Instance, wait_until};

/// What the public listener answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
    pub(crate) took: Duration,
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(10)))
        .build()
        .into()
}

impl Instance {
    /// GET on the admin listener: status code and body.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        let url = format!("http://{}{path}", self.admin);
        let mut answer = agent().get(url).call().ok()?;
        Some((
            answer.status().as_u16(),
            answer.body_mut().read_to_string().ok()?,
        ))
    }

    /// GET on the public listener with these headers; none where no answer comes within 20 s.
    pub(crate) fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        let limit = Some(Duration::from_secs(20));
        let request = agent().get(format!("http://{}{path}", self.api));
        let request = request.config().timeout_global(limit).build();
        let add = |request: ureq::RequestBuilder<_>, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        let begun = Instant::now();
        let asked = || headers.iter().fold(request, add).call();
        let mut answer = tokio::task::block_in_place(asked).ok()?;
        let text = |value: &ureq::http::HeaderValue| value.to_str().unwrap_or("").to_owned();
        let headers = answer.headers().iter();
        Some(Answer {
            status: answer.status().as_u16(),
            headers: headers
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            body: serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()?,
            took: begun.elapsed(),
        })
    }

    /// POST of JSON on the admin listener: status code and body (null where it is none).
    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.try_post(path, body, None);
        answer.unwrap_or_else(|| panic!("no answer to POST {path}"))
    }

    /// The same, under a name of the client's for the request; none where no answer comes.
    pub(crate) fn try_post(
        &self,
        path: &str,
        body: &Value,
        idempotency: Option<&str>,
    ) -> Option<(u16, Value)> {
        let url = format!("http://{}{path}", self.admin);
        let mut request = agent().post(url).header("content-type", "application/json");
        if let Some(key) = idempotency {
            request = request.header("idempotency-key", key);
        }
        let mut answer = request.send(body.to_string()).ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        let json = serde_json::from_str(&text).unwrap_or_default();
        Some((answer.status().as_u16(), json))
    }

    pub(crate) fn status(&self) -> Option<Value> {
        let (code, body) = self.get("/v1/projections")?;
        (code == 200).then(|| serde_json::from_str(&body).unwrap())
    }

    /// Every partition of every store of every projection: (projection, store, partition status).
    pub(crate) fn partitions(&self) -> Vec<(String, String, Value)> {
        let mut all = Vec::new();
        let status = self.status().unwrap_or_default();
        let none = Vec::new();
        let list = |value: &'_ Value, name: &str| value[name].as_array().unwrap_or(&none).clone();
        for projection in list(&status, "projections") {
            for generation in list(&projection, "generations") {
                for store in list(&generation, "stores") {
                    for partition in list(&store, "partitions") {
                        let text = |value: &Value| value.as_str().unwrap().to_owned();
                        all.push((text(&projection["name"]), text(&store["store"]), partition));
                    }
                }
            }
        }
        all
    }

    /// One generation in detail; null where there is none, or no answer.
    pub(crate) fn generation(&self, projection: &str, number: u32) -> Value {
        let path = format!("/v1/projections/{projection}/generations/{number}");
        match self.get(&path) {
            Some((200, body)) => serde_json::from_str(&body).unwrap(),
            _ => Value::Null,
        }
    }

    /// The states of the generations that status lists, by number.
    pub(crate) fn states(&self, projection: &str) -> BTreeMap<u64, String> {
        let status = self.status().unwrap_or_default();
        let projections = status["projections"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mut states = BTreeMap::new();
        for found in projections
            .iter()
            .filter(|found| found["name"] == projection)
        {
            for generation in found["generations"].as_array().into_iter().flatten() {
                let state = generation["state"].as_str().unwrap_or_default();
                states.insert(generation["generation"].as_u64().unwrap(), state.to_owned());
            }
        }
        states
    }

    /// Waits until a generation is in a state, in all of its stores; answers how it stands then.
    pub(crate) async fn reaches(
        &self,
        projection: &str,
        number: u32,
        state: &str,
        limit: Duration,
    ) -> Value {
        let mut last = Value::Null;
        let everywhere = |found: &Value| {
            let stores = found["stores"].as_array();
            found["state"] == state
                && stores.is_some_and(|stores| stores.iter().all(|store| store["state"] == state))
        };
        let deadline = Instant::now() + limit;
        loop {
            let found = self.generation(projection, number);
            if everywhere(&found) {
                return found;
            }
            last = if found.is_null() { last } else { found };
            assert!(
                Instant::now() < deadline,
                "generation {number} of {projection} is not {state} within {limit:?}: {last:#}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the generation's detail fulfils `holds`; answers it.
    pub(crate) async fn comes_to(
        &self,
        (projection, number): (&str, u32),
        what: &str,
        limit: Duration,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut found = Value::Null;
        wait_until(what, limit, async || {
            found = self.generation(projection, number);
            holds(&found)
        })
        .await;
        found
    }

    /// Asks for a rebuild and expects that it starts; answers the generation's number.
    #[track_caller]
    pub(crate) fn rebuild(&self, projection: &str, request: Value) -> u32 {
        let path = format!("/v1/projections/{projection}/rebuilds");
        let (code, answer) = self.post(&path, &request);
        assert_eq!(code, 202, "{answer:#}");
        u32::try_from(answer["generation"].as_u64().unwrap()).unwrap()
    }

    /// Asks something of a generation (`promote`, `cancel`, `pause`, `resume`).
    pub(crate) fn order(&self, projection: &str, number: u32, order: &str) -> (u16, Value) {
        let path = format!("/v1/projections/{projection}/generations/{number}/{order}");
        self.post(&path, &json!({}))
    }

    pub(crate) fn roll_back(&self, projection: &str) -> (u16, Value) {
        self.post(
            &format!("/v1/projections/{projection}/rollback"),
            &json!({}),
        )
    }

    /// The sum of a metric over all its labels that contain `label`.
    pub(crate) fn counter(&self, name: &str, label: &str) -> f64 {
        let (_, body) = self.get("/metrics").unwrap();
        body.lines()
            .filter(|line| {
                line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} "))
            })
            .filter(|line| line.contains(label))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

/// Waits until every partition that `instance` knows of is at its end, and `records` lie below.
pub(crate) async fn caught_up(instance: &Instance, records: i64, limit: Duration) {
    let mut last = Vec::new();
    let deadline = Instant::now() + limit;
    loop {
        let partitions = instance.partitions();
        let mut ends: BTreeMap<(String, i64), i64> = BTreeMap::new();
        for (_, _, at) in &partitions {
            let name = (
                at["topic"].as_str().unwrap().to_owned(),
                at["partition"].as_i64().unwrap(),
            );
            let end = ends.entry(name).or_default();
            *end = (*end).max(at["end"].as_i64().unwrap_or(0));
        }
        let reached = |at: &Value| at["position"].is_i64() && at["position"] == at["end"];
        if ends.values().sum::<i64>() >= records
            && !partitions.is_empty()
            && partitions.iter().all(|(_, _, at)| reached(at))
        {
            return;
        }
        last = if partitions.is_empty() {
            last
        } else {
            partitions
        };
        assert!(
            Instant::now() < deadline,
            "not caught up within {limit:?}: {last:#?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
