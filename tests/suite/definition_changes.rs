//! What differs between two definitions, in the words that an operator reads.

use std::sync::Arc;

use viewfold::event::Event;
use viewfold::fault::Result;
use viewfold::projection::definition::changes;
use viewfold::projection::{
    ColumnType, Definition, Handled, Ops, Projection, Rows, Schema, TopicSelector,
};

const ORDERS: &str = r#"
description = "What each customer ordered."
topics = ["orders"]
stores = ["postgres", "redis"]
key = { customer_id = "data.customerId" }

[columns]
customer_id = "text"
orders = { type = "bigint", default = 0 }
spent = { type = "numeric(18,2)", default = "0.00" }
last_status = "text"

[on."order.created"]
set = { last_status = "'created'" }
add = { orders = "1", spent = "data.total" }

[on."order.cancelled"]
when = "data.?refunded == true"
add = { orders = "-1" }
"#;

fn parse(text: &str) -> Definition {
    Definition::parse("orders", "orders.toml", text).unwrap()
}

/// The changes that replacing each first text by the second one makes.
fn changed(replacements: &[(&str, &str)]) -> Vec<String> {
    let mut text = ORDERS.to_owned();
    for (from, to) in replacements {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    changes(&parse(ORDERS), &parse(&text))
}

#[test]
fn the_same_definition_in_another_notation_has_no_changes() {
    let none: [&str; 0] = [];
    assert_eq!(changed(&[]), none);
    let other = [
        (
            "add = { orders = \"-1\" }",
            "add.orders = \"-1\" # one less",
        ),
        (
            "last_status = \"text\"",
            "last_status = { type = \"text\" }",
        ),
    ];
    assert_eq!(changed(&other), none);
}

#[test]
fn columns_are_compared_one_by_one() {
    let spent = "{ type = \"numeric(18,2)\", default = \"0.00\" }";
    assert_eq!(
        changed(&[(spent, "{ type = \"numeric\", default = \"0.50\" }")]),
        [
            "column spent: numeric(18,2) → numeric",
            "column spent: default 0.00 → 0.5",
        ]
    );
    assert_eq!(
        changed(&[("default = 0 }", "index = true }")]),
        [
            "column orders: default 0 → none",
            "column orders: index added"
        ]
    );
    assert_eq!(
        changed(&[(
            "last_status = \"text\"\n",
            "last_status = \"text\"\nnote = \"text\"\n"
        )]),
        ["column note added (text)"]
    );
    assert_eq!(
        changed(&[("orders = {", "note = \"text\"\norders = {")]),
        ["column note added (text), before orders"]
    );
    assert_eq!(
        changed(&[
            ("last_status = \"text\"\n", ""),
            ("set = { last_status = \"'created'\" }\n", ""),
        ]),
        [
            "column last_status dropped",
            "handler order.created changed: set last_status removed",
        ]
    );
    assert_eq!(
        changed(&[
            ("last_status = \"text\"\n", ""),
            ("orders = { type", "last_status = \"text\"\norders = { type"),
        ]),
        ["columns reordered: customer_id, last_status, orders, spent"]
    );
}

#[test]
fn another_family_of_ops_is_named_with_the_handlers_that_make_it() {
    assert_eq!(
        changed(&[
            (
                "add = { orders = \"1\", spent",
                "max = { orders = \"1\" }\nadd = { spent"
            ),
            ("add = { orders = \"-1\" }", "max = { orders = \"2\" }"),
        ]),
        [
            "column orders: ops of family sum → greatest",
            "handler order.cancelled changed: add orders removed, max orders added",
            "handler order.created changed: add orders removed, max orders added",
        ]
    );
}

#[test]
fn key_topics_stores_and_handlers_are_named() {
    assert_eq!(
        changed(&[("data.customerId", "data.customer.id")]),
        ["key: other expressions"]
    );
    assert_eq!(
        changed(&[
            (
                "key = { customer_id = \"data.customerId\" }",
                "key = { customer_id = \"data.customerId\", last_status = \"data.status\" }"
            ),
            ("set = { last_status = \"'created'\" }\n", "")
        ])
        .first()
        .map(String::as_str),
        Some("key: customer_id → customer_id, last_status")
    );
    assert_eq!(
        changed(&[("topics = [\"orders\"]", "topics = [\"^orders\\\\..*\"]")]),
        ["topic orders removed", "topic ^orders\\..* added"]
    );
    assert_eq!(
        changed(&[("[\"postgres\", \"redis\"]", "[\"redis\"]")]),
        [
            "store postgres removed",
            "store for reads: postgres → redis"
        ]
    );
    assert_eq!(
        changed(&[("[on.\"order.cancelled\"]", "[on.\"order.returned\"]")]),
        [
            "handler order.cancelled removed",
            "handler order.returned added"
        ]
    );
    assert_eq!(
        changed(&[
            ("data.?refunded == true", "data.refunded"),
            ("\"-1\"", "\"-2\"")
        ]),
        ["handler order.cancelled changed: when, add orders"]
    );
    assert_eq!(
        changed(&[("topics = [", "on_poison = \"stop\"\ntopics = [")]),
        ["on_poison: default → stop"]
    );
}

#[test]
fn what_changes_no_row_needs_no_rebuild() {
    let head = "retain = \"36h\"\nauto_rebuild = true\naccept_compacted = true\ntopics = [";
    assert_eq!(
        changed(&[("ordered.\"", "bought.\""), ("topics = [", head)]),
        [
            "description changed (no rebuild needed)",
            "retain: default → 1day 12h (no rebuild needed)",
            "auto_rebuild: false → true (no rebuild needed)",
            "accept_compacted: false → true",
        ]
    );
}

struct Rust {
    schema: Arc<Schema>,
    topics: Vec<TopicSelector>,
    version: u32,
}

fn rust(version: u32) -> Definition {
    let schema = Schema::builder("orders")
        .key("customer_id", ColumnType::Text)
        .column("orders", ColumnType::Bigint)
        .sum();
    Definition::of(Arc::new(Rust {
        schema: schema.build().unwrap(),
        topics: vec![TopicSelector::Exact("orders".into())],
        version,
    }))
}

impl Projection for Rust {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn topics(&self) -> &[TopicSelector] {
        &self.topics
    }

    fn version(&self) -> String {
        self.version.to_string()
    }

    fn handle(&self, _: &Event<'_>, _: &dyn Rows, _: &mut Ops) -> Result<Handled> {
        Ok(Handled::Applied)
    }
}

#[test]
fn a_rust_projection_is_compared_by_shape_and_version() {
    assert!(changes(&rust(1), &rust(1)).is_empty());
    assert_eq!(
        changes(&rust(1), &rust(2)),
        ["Rust projection version: 1 → 2"]
    );
    let from_file = changes(&parse(ORDERS), &rust(1));
    assert_eq!(
        from_file,
        [
            "column orders: default 0 → none",
            "column spent dropped",
            "column last_status dropped",
            "store redis removed",
            "definition file → Rust projection, version 1",
            "description changed (no rebuild needed)",
        ]
    );
}
