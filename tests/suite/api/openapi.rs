//! The document, the routers, the committed file and the types of problems agree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use regex::Regex;
use serde_json::Value;
use viewfold::api::{self, Access, Backend, Operations, Surface};

use super::made::Made;
use super::{get, send, start};

/// Every operation of the document: method, path, and the scope that it needs.
pub(super) fn operations(surface: Surface) -> Vec<(String, String, Option<String>)> {
    let document: Value = serde_json::from_str(&api::openapi(surface)).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let scope = operation["security"][0]["bearer"][0].as_str();
            found.push((
                method.to_uppercase(),
                path.clone(),
                scope.map(str::to_owned),
            ));
        }
    }
    found
}

/// A path of the document as a client would write it.
pub(super) fn concrete(path: &str) -> String {
    path.replace("{view}", "totals")
        .replace("{key}", "a%2Cb,1")
        .replace("{projection}", "totals")
        .replace("{generation}", "1")
        .replace("{id}", "7")
}

fn routers() -> [(Surface, String); 2] {
    let made = Arc::new(Made::default());
    let backend: Arc<dyn Backend> = made.clone();
    let operations: Arc<dyn Operations> = made;
    [
        (
            Surface::Public,
            format!("{:?}", api::public(backend.clone(), Access::default())),
        ),
        (
            Surface::Admin,
            format!("{:?}", api::admin(backend, operations, Access::default())),
        ),
    ]
}

/// The routers' own list of paths is asked for, and then each path for its methods: nothing can be forgotten here.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_every_route_and_no_other() {
    let running = start(&[], 1).await;
    let listed = Regex::new(r#"RouteId\(\d+\): "([^"]+)""#).unwrap();
    for (surface, router) in routers() {
        let address = match surface {
            Surface::Public => running.public,
            Surface::Admin => running.admin,
        };
        // Behind this come the paths of the answer for everything else.
        let (own, _) = router.split_once("fallback_router").unwrap();
        let paths: BTreeSet<String> = listed
            .captures_iter(own)
            .map(|found| found[1].to_owned())
            .collect();
        assert!(paths.len() > 3, "no routes in {router}");
        let mut routed = BTreeSet::new();
        for path in paths {
            let answer = send(address, "PATCH", &concrete(&path), &[]);
            assert_eq!(
                answer.problem(),
                (405, "method-not-allowed".into()),
                "{path}"
            );
            let methods = answer.header("allow").split(',');
            let methods = methods.filter(|method| *method != "HEAD");
            routed.extend(methods.map(|method| (method.to_owned(), path.clone())));
        }
        let described: BTreeSet<(String, String)> = operations(surface)
            .into_iter()
            .map(|(method, path, _)| (method, path))
            .collect();
        assert_eq!(described, routed, "{surface:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_listeners_serve_their_document() {
    let running = start(&[], 1).await;
    for (address, surface) in [
        (running.public, Surface::Public),
        (running.admin, Surface::Admin),
    ] {
        let answer = get(address, "/openapi.json");
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "application/json")
        );
        assert_eq!(answer.body, api::openapi(surface));
        assert_eq!(answer.json()["openapi"], "3.1.0");
    }
    let public = get(running.public, "/openapi.json").body;
    assert!(
        !public.contains("/v1/projections"),
        "operators' routes are not advertised"
    );
}

#[test]
fn the_committed_document_is_this_one() {
    let committed = fs::read_to_string("docs/openapi.json").unwrap_or_default();
    assert!(
        committed == api::openapi(Surface::Admin),
        "docs/openapi.json is not what the code says: `cargo run -- openapi > docs/openapi.json`"
    );
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(target) if name == "$ref" => drop(found.insert(target.to_owned())),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_has_one_name() {
    for surface in [Surface::Public, Surface::Admin] {
        let document: Value = serde_json::from_str(&api::openapi(surface)).unwrap();
        let mut targets = BTreeSet::new();
        references(&document, &mut targets);
        assert!(targets.len() > 10);
        for target in targets {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(
                document.pointer(pointer).is_some(),
                "{target} does not exist"
            );
        }
        let mut names: BTreeMap<&str, u32> = BTreeMap::new();
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                *names
                    .entry(operation["operationId"].as_str().unwrap())
                    .or_default() += 1;
            }
        }
        assert!(names.values().all(|times| *times == 1), "{names:?}");
    }
}

fn sources(folder: &Path, found: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push_str(&fs::read_to_string(&path).unwrap()),
        }
    }
}

#[test]
fn every_problem_that_the_code_makes_is_listed_described_and_documented() {
    let mut code = String::new();
    sources(Path::new("src/api"), &mut code);
    sources(Path::new("src/service"), &mut code);
    sources(Path::new("src/query"), &mut code);
    // The last words before the detail of `Problem::new(status, "kind", …)`.
    let made =
        Regex::new(r#"(?s)(?:Problem|Self)::new\(\s*(?:StatusCode::)?\w+,\s*"([a-z-]+)""#).unwrap();
    let made: BTreeSet<String> = made
        .captures_iter(&code)
        .map(|found| found[1].to_owned())
        .collect();
    assert!(made.len() > 10, "{made:?}");
    let known: BTreeSet<String> = api::KINDS.iter().map(|kind| kind.name.to_owned()).collect();
    let unknown: Vec<_> = made.difference(&known).collect();
    assert!(unknown.is_empty(), "not in src/api/kinds.rs: {unknown:?}");
    let manual = fs::read_to_string("docs/querying.md").unwrap();
    for kind in api::KINDS {
        let row = format!("| {} | `{}` |", kind.status, kind.name);
        assert!(manual.contains(&row), "docs/querying.md has no row {row}");
    }
}
