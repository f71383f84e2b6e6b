//! The page for people.

use viewfold::api::{Access, Scope};

use super::made::Made;
use super::{get, send, serve_with, start, token};

#[tokio::test(flavor = "multi_thread")]
async fn it_shows_the_views_and_a_row() {
    let running = start(&[], 1).await;
    let page = get(running.public, "/");
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    for shown in [
        "totals",
        "numeric(18,2)",
        "Generation 3",
        "/openapi.json",
        "shop,day",
    ] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    let row = get(running.public, "/?view=totals&key=a%252Cb%2C1");
    assert!(row.body.contains("12.50"), "{}", row.body);
    let none = get(running.public, "/?view=totals&key=x%2C1");
    assert_eq!(none.status, 200);
    assert!(none.body.contains("no row with this key"));
    let wrong = get(running.public, "/?view=totals&key=x");
    assert!(wrong.body.contains("needs 2 parts"));
    assert_eq!(get(running.admin, "/").status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_somebody_sends_becomes_markup() {
    let running = start(&[], 1).await;
    let evil = "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    for path in [
        format!("/?view=totals&key={evil}"),
        format!("/?view={evil}&key=1"),
        format!("/?view=totals&view={evil}"),
    ] {
        let page = get(running.public, &path);
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.body.contains("<script"), "{}", page.body);
        assert!(!page.body.contains("=\"\"><"), "{}", page.body);
    }
    let policy = get(running.public, "/")
        .header("content-security-policy")
        .to_owned();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_it_shows_nothing_but_that_one_is_needed() {
    let access = Access {
        tokens: vec![token("a", Scope::Read, None)],
        ..Access::default()
    };
    let running = serve_with(Made::default(), access).await;
    let page = get(running.public, "/?view=totals&key=a%252Cb%2C1");
    assert_eq!(
        (page.status, page.header("www-authenticate")),
        (401, "Bearer")
    );
    assert!(page.body.contains("asks for a token"));
    assert!(
        !page.body.contains("totals") && !page.body.contains("12.50"),
        "{}",
        page.body
    );
    let page = send(running.public, "GET", "/", &[("authorization", "Bearer a")]);
    assert!(page.body.contains("totals"));
}
