//! Definition files (CONTRACT §1): what they mean, and what is wrong with wrong ones.
//!
//! `tests/wrong/<name>.toml` has its exact diagnostics in `<name>.err`. After an intended change
//! run with `UPDATE_WRONG=1` and read the difference.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use viewfold::event::lines::chunk_from_lines;
use viewfold::event::{Chunk, Decoder, Envelope, Event, PathSet};
use viewfold::fault::Fault;
use viewfold::position::{Position, TopicPartition};
use viewfold::projection::trial::{Trial, trial};
use viewfold::projection::{
    Decimal, Definition, Handled, Op, Ops, Projection, RowKey, Rows, Schema, StoreKind,
    TopicSelector, Value,
};
use viewfold::record::{RawChunk, RawRecord};

/// The files of `directory` that end in `ending`, by name.
fn files(directory: &str, ending: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut files: Vec<PathBuf> = fs::read_dir(&root)
        .unwrap_or_else(|error| panic!("{}: {error}", root.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    files
}

/// A chunk of `topic` with one record per value; no value is a tombstone.
fn records(topic: &str, values: &[Option<&str>]) -> Chunk {
    let mut raw = RawChunk::empty(TopicPartition::new(topic, 0), Position::ZERO);
    for (offset, value) in values.iter().enumerate() {
        let key = raw.store(b"k");
        let value = value.map(|value| raw.store(value.as_bytes()));
        raw.records.push(RawRecord {
            offset: offset as i64,
            timestamp_ms: 1_795_240_800_000 + offset as i64,
            key: Some(key),
            value,
            headers: Box::default(),
        });
    }
    raw.range.to = Position::at(values.len() as i64);
    raw.end = raw.range.to;
    let envelope = Envelope::detect(&raw).unwrap_or(Envelope::Plain);
    Decoder::new(envelope, Arc::new(PathSet::default())).decode(raw)
}

/// The records of a sample of topic `orders`, decoded.
fn lines(text: &str) -> Vec<Chunk> {
    let mut envelope = None;
    let decoded = |raw: RawChunk| {
        let known =
            envelope.get_or_insert_with(|| Envelope::detect(&raw).unwrap_or(Envelope::Plain));
        Decoder::new(known.clone(), Arc::new(PathSet::default())).decode(raw)
    };
    let raw = chunk_from_lines("orders", text).unwrap();
    raw.into_iter().map(decoded).collect()
}

/// An event of `kind` at second `second`.
fn event(kind: &str, second: u32, data: &str) -> String {
    format!(
        r#"{{"eventId":"e{second}","eventType":"{kind}","eventVersion":"1","timestamp":"2026-11-21T06:00:{second:02}Z","source":"test","data":{data}}}"#
    )
}

/// The definition of projection `p` with key `id`, these further columns and these handlers.
fn definition(columns: &str, handlers: &str) -> Definition {
    parse(&format!(
        "topics = [\"orders\"]\nkey = {{ id = \"data.id\" }}\n[columns]\nid = \"text\"\n{columns}\n{handlers}\n"
    ))
}

fn parse(text: &str) -> Definition {
    Definition::parse("p", "p.toml", text)
        .unwrap_or_else(|problems| panic!("{text}\n{}", shown(&problems)))
}

fn shown(problems: &[viewfold::projection::Diagnostic]) -> String {
    problems.iter().fold(String::new(), |mut text, problem| {
        writeln!(text, "{problem}").unwrap();
        text
    })
}

/// The rows of a definition after events `(type, data)`, one per second. No event may fail.
fn rows(definition: &Definition, events: &[(&str, &str)]) -> String {
    let trial = run(definition, events);
    assert!(trial.faults.is_empty(), "{:?}", trial.faults);
    compact(&trial)
}

fn run(definition: &Definition, events: &[(&str, &str)]) -> Trial {
    let text: Vec<String> = events
        .iter()
        .zip(1..)
        .map(|((kind, data), second)| event(kind, second, data))
        .collect();
    trial(definition, &lines(&text.join("\n")))
}

/// Rows as one line.
fn compact(trial: &Trial) -> String {
    trial.to_json().replace('\n', "")
}

#[test]
fn every_wrong_file_reports_all_its_problems_at_their_places() {
    let wrong = files("tests/wrong", ".toml");
    assert!(wrong.len() >= 45, "only {} files", wrong.len());
    let mut differences = String::new();
    for path in &wrong {
        let name = path.file_stem().unwrap().to_string_lossy();
        let file = path.file_name().unwrap().to_string_lossy();
        let text = fs::read_to_string(path).unwrap();
        let found = match Definition::parse(&name, &file, &text) {
            Ok(_) => "(nothing is wrong)\n".to_owned(),
            Err(problems) => shown(&problems),
        };
        let pinned = path.with_extension("err");
        if std::env::var_os("UPDATE_WRONG").is_some() {
            fs::write(&pinned, &found).unwrap();
        }
        let wanted = fs::read_to_string(&pinned).unwrap_or_default();
        for line in wanted
            .lines()
            .filter(|line| !found.lines().any(|l| l == *line))
        {
            writeln!(differences, "- {line}").unwrap();
        }
        for line in found
            .lines()
            .filter(|line| !wanted.lines().any(|l| l == *line))
        {
            writeln!(differences, "+ {line}").unwrap();
        }
        if wanted != found && differences.is_empty() {
            writeln!(differences, "{file}: another order").unwrap();
        }
        if found.starts_with("(nothing") {
            writeln!(differences, "! {file} is accepted").unwrap();
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

#[test]
fn every_golden_case_of_the_shipped_projections_comes_out() {
    let mut cases = 0;
    for path in files("projections", ".toml") {
        let definition = Definition::read_file(&path).unwrap_or_else(|p| panic!("{}", shown(&p)));
        let directory = format!("projections/cases/{}", definition.name);
        for events in files(&directory, ".events.jsonl") {
            let text = fs::read_to_string(&events).unwrap();
            let expected = events
                .to_string_lossy()
                .replace(".events.jsonl", ".expect.json");
            let trial = trial(&definition, &lines(&text));
            assert!(trial.faults.is_empty(), "{expected}: {:?}", trial.faults);
            if std::env::var_os("UPDATE_CASES").is_some() {
                fs::write(&expected, trial.to_json()).unwrap();
            }
            let wanted = fs::read_to_string(&expected).unwrap();
            let differences = trial.compare(&wanted).unwrap();
            assert!(
                differences.is_empty(),
                "{expected}\n{}",
                differences.join("\n")
            );
            cases += 1;
        }
    }
    assert!(cases >= 6, "only {cases} cases");
}

#[test]
fn the_directory_of_shipped_projections_is_read_as_a_whole() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("projections");
    let definitions = Definition::read_dir(&path).unwrap_or_else(|p| panic!("{}", shown(&p)));
    let names: Vec<&str> = definitions.iter().map(|d| &*d.name).collect();
    assert_eq!(names, ["customer_orders", "orders", "product_sales"]);
    for definition in &definitions {
        assert!(!definition.describe().description.is_empty());
    }
}

#[test]
fn the_problems_of_all_files_of_a_directory_come_at_once() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.toml"), "topics = [\"t\"]\n").unwrap();
    fs::write(directory.path().join("Bad.toml"), "x = 1\n").unwrap();
    fs::write(directory.path().join("bytes.toml"), [0xff, 0xfe]).unwrap();
    fs::write(directory.path().join("notes.md"), "no definition").unwrap();
    let problems = Definition::read_dir(directory.path()).unwrap_err();
    for file in ["a.toml", "Bad.toml", "bytes.toml"] {
        assert!(problems.iter().any(|p| p.file.ends_with(file)), "{file}");
    }
    assert!(!problems.iter().any(|p| p.file.ends_with("notes.md")));
    let missing = Definition::read_dir(&directory.path().join("absent")).unwrap_err();
    assert!(missing[0].message.contains("cannot be read"), "{missing:?}");
}

#[test]
fn columns_keep_document_order_and_stores_default_to_postgres() {
    let definition = definition("z = \"bigint\"\na = \"text\"", "[on.\"x\"]");
    let schema = definition.plan.schema();
    let names: Vec<&str> = schema.columns.iter().map(|c| &*c.name).collect();
    assert_eq!(names, ["id", "z", "a"]);
    assert_eq!(definition.plan.stores(), [StoreKind::Postgres]);
}

#[test]
fn a_key_of_several_columns_keeps_its_own_order() {
    let definition = parse(
        "topics = [\"orders\"]\nkey = { b = \"data.b\", a = \"data.a\" }\n[columns]\na = \"bigint\"\nb = \"text\"\n[on.\"x\"]\n",
    );
    let trial = run(&definition, &[("x", r#"{"a":7,"b":"ü,"}"#)]);
    assert_eq!(trial.rows[0].0.text(), "%C3%BC%2C,7");
}

#[test]
fn a_topic_pattern_matches_whole_names_but_never_dead_letters() {
    let definition = parse(
        "topics = [\"^a|ab\", \"exact.topic\"]\nkey = { id = \"data.id\" }\n[columns]\nid = \"text\"\n[on.\"x\"]\n",
    );
    let reads = |topic: &str| definition.plan.topics().iter().any(|t| t.selects(topic));
    assert!(reads("a") && reads("ab") && reads("exact.topic"));
    assert!(!reads("abc") && !reads("xab") && !reads("a.dlq") && !reads("exactxtopic"));
    assert_eq!(definition.describe().topics, ["^a|ab", "exact.topic"]);
}

#[test]
fn the_contracts_example_counts_and_forgets() {
    let definition = parse(include_str!("../../projections/customer_orders.toml"));
    let order = |total: &str| format!(r#"{{"customerId":"c1","orderId":"o","total":{total}}}"#);
    let found = rows(
        &definition,
        &[
            ("order.created", &order("\"10.50\"")),
            ("order.created", &order("2.25")),
            ("order.cancelled", &order("2.25")),
        ],
    );
    assert!(found.contains(r#""orders":2,"spent":"12.75""#), "{found}");
    let gone = rows(
        &definition,
        &[
            ("order.created", &order("1")),
            ("customer.erased", r#"{"id":"c1"}"#),
        ],
    );
    assert_eq!(gone, "[]");
}

#[test]
fn a_handler_without_ops_creates_the_row_with_its_defaults() {
    let definition = definition(
        "n = { type = \"bigint\", default = 5 }\nj = \"jsonb\"\ns = { type = \"text\", default = \"x\" }",
        "[on.\"a\"]",
    );
    assert_eq!(
        rows(&definition, &[("a", r#"{"id":"1"}"#)]),
        r#"[{"id":"1","n":5,"j":null,"s":"x"}]"#
    );
}

#[test]
fn set_takes_null_and_set_present_does_not() {
    let definition = definition(
        "a = \"text\"\nb = \"text\"",
        "[on.\"a\"]\nset = { a = \"data.?v\" }\nset_present = { b = \"data.?v\" }",
    );
    let events = [("a", r#"{"id":"1","v":"x"}"#), ("a", r#"{"id":"1"}"#)];
    assert_eq!(
        rows(&definition, &events),
        r#"[{"id":"1","a":null,"b":"x"}]"#
    );
}

#[test]
fn set_once_keeps_the_first_value_and_unset_makes_room() {
    let definition = definition(
        "a = \"text\"",
        "[on.\"a\"]\nset_once = { a = \"data.?v\" }\n[on.\"b\"]\nunset = [\"a\"]",
    );
    let event = |v: &str| format!(r#"{{"id":"1","v":{v}}}"#);
    let (null, x, y) = (event("null"), event("\"x\""), event("\"y\""));
    let first = [("a", &*null), ("a", &*x), ("a", &*y)];
    assert_eq!(rows(&definition, &first), r#"[{"id":"1","a":"x"}]"#);
    let reset = [("a", &*x), ("b", &*x), ("a", &*y)];
    assert_eq!(rows(&definition, &reset), r#"[{"id":"1","a":"y"}]"#);
}

#[test]
fn latest_keeps_the_greatest_by_in_any_order_of_arrival() {
    let definition = definition(
        "s = \"text\"",
        "[on.\"a\"]\nlatest = { s = { value = \"data.?v\", by = \"timestamp(data.at)\" } }",
    );
    let early = r#"{"id":"1","v":"early","at":"2026-01-01T00:00:00Z"}"#;
    let late = r#"{"id":"1","v":"late","at":"2026-01-02T00:00:00Z"}"#;
    let null = r#"{"id":"1","at":"2026-01-03T00:00:00Z"}"#;
    for events in [
        [early, late, null],
        [late, null, early],
        [null, late, early],
    ] {
        let events = events.map(|data| ("a", data));
        assert_eq!(rows(&definition, &events), r#"[{"id":"1","s":"late"}]"#);
    }
}

#[test]
fn add_is_exact_and_ignores_null_and_may_be_reset() {
    let definition = definition(
        "m = \"numeric(18,2)\"\nn = \"numeric\"",
        "[on.\"a\"]\nadd = { m = \"data.?v\", n = \"data.?v\" }\n[on.\"r\"]\nset = { m = \"1\" }\nunset = [\"n\"]",
    );
    let tenth = ("a", r#"{"id":"1","v":0.1}"#);
    let fifth = ("a", r#"{"id":"1","v":"0.20"}"#);
    let none = ("a", r#"{"id":"1"}"#);
    assert_eq!(
        rows(&definition, &[tenth, fifth, none]),
        r#"[{"id":"1","m":"0.30","n":"0.3"}]"#
    );
    assert_eq!(
        rows(&definition, &[tenth, ("r", r#"{"id":"1"}"#), fifth]),
        r#"[{"id":"1","m":"1.20","n":"0.2"}]"#
    );
}

#[test]
fn max_and_min_keep_the_extremes_and_ignore_null() {
    let definition = definition(
        "hi = \"timestamptz\"\nlo = \"text\"",
        "[on.\"a\"]\nmax = { hi = \"data.?t\" }\nmin = { lo = \"data.?s\" }",
    );
    let events = [
        ("a", r#"{"id":"1","t":"2026-01-01T00:00:00+02:00","s":"b"}"#),
        ("a", r#"{"id":"1","t":"2025-12-31T23:00:00Z","s":"B"}"#),
        ("a", r#"{"id":"1"}"#),
    ];
    assert_eq!(
        rows(&definition, &events),
        r#"[{"id":"1","hi":"2025-12-31T23:00:00Z","lo":"B"}]"#
    );
}

#[test]
fn append_keeps_the_last_elements() {
    let definition = definition(
        "all = \"jsonb\"\nlast = \"jsonb\"",
        "[on.\"a\"]\nappend = { all = \"data.?v\", last = { value = \"data.?v\", keep = 2 } }",
    );
    let event = |v: &str| format!(r#"{{"id":"1","v":{v}}}"#);
    let (one, two, three) = (event("1.50"), event("{\"b\":1,\"a\":[]}"), event("\"x\""));
    let events = [
        ("a", &*one),
        ("a", &*two),
        ("a", r#"{"id":"1"}"#),
        ("a", &*three),
    ];
    assert_eq!(
        rows(&definition, &events),
        r#"[{"id":"1","all":[1.50,{"a":[],"b":1},"x"],"last":[{"a":[],"b":1},"x"]}]"#
    );
}

#[test]
fn put_and_remove_change_entries_of_an_object() {
    let definition = definition(
        "o = \"jsonb\"",
        "[on.\"p\"]\nput = { o = { key = \"data.k\", value = \"data.?v\" } }\n[on.\"r\"]\nremove = { o = \"data.?k\" }",
    );
    let put = |k: &str, v: &str| format!(r#"{{"id":"1","k":"{k}","v":{v}}}"#);
    let (a, b) = (put("a", "1"), put("b", "null"));
    let both = [("p", &*b), ("p", &*a)];
    assert_eq!(
        rows(&definition, &both),
        r#"[{"id":"1","o":{"a":1,"b":null}}]"#
    );
    let none_left = [("p", &*a), ("r", &*a)];
    assert_eq!(rows(&definition, &none_left), r#"[{"id":"1","o":null}]"#);
    let nameless = run(&definition, &[("r", r#"{"id":"1"}"#)]);
    assert!(
        nameless.faults[0].1.message.contains("key is null"),
        "{:?}",
        nameless.faults
    );
}

#[test]
fn the_ops_of_one_column_run_in_document_order() {
    let columns = "n = { type = \"bigint\", default = 7 }";
    let set_first = definition(
        columns,
        "[on.\"a\"]\nset = { n = \"1\" }\nadd = { n = \"2\" }",
    );
    let add_first = definition(
        columns,
        "[on.\"a\"]\nadd = { n = \"2\" }\nset = { n = \"1\" }",
    );
    let events = [("a", r#"{"id":"1"}"#)];
    assert_eq!(rows(&set_first, &events), r#"[{"id":"1","n":3}]"#);
    assert_eq!(rows(&add_first, &events), r#"[{"id":"1","n":1}]"#);
    assert_ne!(set_first.hash, add_first.hash);
}

#[test]
fn each_changes_one_row_per_element_also_the_same_row_twice() {
    let definition = parse(
        "topics = [\"orders\"]\nkey = { sku = \"item.sku\" }\n[columns]\nsku = \"text\"\nn = \"bigint\"\n\
         [on.\"a\"]\neach = \"data.items\"\nwhen = \"item.n > 0\"\nadd = { n = \"item.n * data.times\" }\n\
         [on.\"b\"]\neach = \"data.?items\"\nwhen = \"data.times > 1\"\nadd = { n = \"1\" }\n",
    );
    let items =
        r#"{"times":2,"items":[{"sku":"x","n":1},{"sku":"y","n":2},{"n":0},{"sku":"x","n":3}]}"#;
    assert_eq!(
        rows(&definition, &[("a", items)]),
        r#"[{"sku":"x","n":8},{"sku":"y","n":4}]"#
    );
    for data in [
        r#"{"times":2}"#,
        r#"{"times":2,"items":null}"#,
        r#"{"times":2,"items":{}}"#,
    ] {
        assert_eq!(run(&definition, &[("a", data)]).faults.len(), 1, "{data}");
    }
    let optional = run(
        &definition,
        &[
            ("b", r#"{"times":2}"#),
            ("b", r#"{"times":2,"items":[]}"#),
            ("b", r#"{"times":1}"#),
        ],
    );
    assert_eq!(
        (optional.applied, optional.filtered),
        (2, 1),
        "{:?}",
        optional.faults
    );
}

#[test]
fn an_event_that_fails_in_its_last_element_changes_nothing() {
    let definition = parse(
        "topics = [\"orders\"]\nkey = { sku = \"item.sku\" }\n[columns]\nsku = \"text\"\nn = \"bigint\"\n\
         [on.\"a\"]\neach = \"data.items\"\nadd = { n = \"item.n\" }\n",
    );
    let trial = run(
        &definition,
        &[("a", r#"{"items":[{"sku":"x","n":1},{"sku":null,"n":2}]}"#)],
    );
    assert!(trial.rows.is_empty());
    let message = &trial.faults[0].1.message;
    assert_eq!(message, "[on.\"a\"]: element 1: key column sku is null");
}

#[test]
fn when_decides_and_null_counts_as_false() {
    let definition = definition(
        "n = \"bigint\"",
        "[on.\"a\"]\nwhen = \"data.?ok\"\nadd = { n = \"1\" }",
    );
    let trial = run(
        &definition,
        &[
            ("a", r#"{"id":"1","ok":true}"#),
            ("a", r#"{"id":"1","ok":false}"#),
            ("a", r#"{"id":"1"}"#),
        ],
    );
    assert_eq!(
        (trial.applied, trial.filtered),
        (1, 2),
        "{:?}",
        trial.faults
    );
}

#[test]
fn the_most_exact_handler_runs_alone() {
    let definition = definition(
        "by = \"text\"",
        "[on.\"*\"]\nset = { by = \"'any'\" }\n[on.\"order.*\"]\nset = { by = \"'order'\" }\n\
         [on.\"order.line.*\"]\nset = { by = \"'line'\" }\n[on.\"order.created\"]\nset = { by = \"'type'\" }\n\
         [on.\"order.created.v2\"]\nset = { by = \"'v2'\" }\n[on.\"order.created.v1\"]\nset = { by = \"'v1'\" }",
    );
    let by = |kind: &str| {
        let found = rows(&definition, &[(kind, r#"{"id":"1"}"#)]);
        found.split('"').nth(7).unwrap().to_owned()
    };
    assert_eq!(by("order.created.v2"), "v2");
    assert_eq!(by("order.created.v3"), "type");
    // The envelope says version 1.
    assert_eq!(by("order.created"), "v1");
    assert_eq!(by("order.line.added"), "line");
    assert_eq!(by("order.paid"), "order");
    assert_eq!(by("ordered"), "any");
}

#[test]
fn a_type_without_handler_is_counted_and_a_tombstone_filtered() {
    let quiet = definition("n = \"bigint\"", "[on.\"a\"]\nadd = { n = \"1\" }");
    let other = event("b.c.v2", 1, r#"{"id":"1"}"#);
    let trial_of = |definition| trial(definition, &[records("orders", &[Some(&other), None])]);
    let found = trial_of(&quiet);
    assert_eq!(found.unmatched.get("b.c"), Some(&1));
    assert_eq!((found.filtered, found.unmatched.len()), (1, 1));
    let handled = parse(
        "topics = [\"orders\"]\nkey = { id = \"key\" }\n[columns]\nid = \"text\"\n[on.\"$tombstone\"]\n[on.\"*\"]\n",
    );
    assert_eq!(trial_of(&handled).applied, 2);
}

#[test]
fn a_plain_record_has_its_topic_as_type() {
    let definition = parse(
        "topics = [\"prices\"]\nkey = { id = \"data.id\" }\n[columns]\nid = \"text\"\nn = \"bigint\"\n[on.\"prices\"]\nset = { n = \"data.n\" }\n",
    );
    let chunk = records("prices", &[Some(r#"{"id":"x","n":2.0}"#)]);
    let trial = trial(&definition, &[chunk]);
    assert_eq!(
        compact(&trial),
        r#"[{"id":"x","n":2}]"#,
        "{:?}",
        trial.faults
    );
}

#[test]
fn a_handler_may_look_at_the_row() {
    let definition = definition(
        "n = { type = \"bigint\", default = 10 }\nnew = \"boolean\"",
        "[on.\"a\"]\nset = { n = \"row.n * 2\", new = \"row.id == null\" }\n[on.\"b\"]\nwhen = \"row.n > 10\"\ndelete = true",
    );
    assert!(definition.plan.reads_rows());
    let (a, b) = (("a", r#"{"id":"1"}"#), ("b", r#"{"id":"1"}"#));
    assert_eq!(rows(&definition, &[a]), r#"[{"id":"1","n":20,"new":true}]"#);
    assert_eq!(
        rows(&definition, &[a, a]),
        r#"[{"id":"1","n":40,"new":false}]"#
    );
    assert_eq!(rows(&definition, &[b, a, b]), "[]");
    assert_eq!(rows(&definition, &[b]), "[]");
}

#[test]
fn inside_each_the_row_is_as_the_earlier_elements_left_it() {
    let definition = parse(
        "topics = [\"orders\"]\nkey = { sku = \"item.sku\" }\n[columns]\nsku = \"text\"\nn = { type = \"bigint\", default = 1 }\n\
         [on.\"a\"]\neach = \"data.items\"\nwhen = \"row.n < 8\"\nset = { n = \"row.n * item.n\" }\n",
    );
    let data =
        r#"{"items":[{"sku":"x","n":2},{"sku":"x","n":5},{"sku":"y","n":3},{"sku":"x","n":7}]}"#;
    assert_eq!(
        rows(&definition, &[("a", data)]),
        r#"[{"sku":"x","n":10},{"sku":"y","n":3}]"#
    );
}

#[test]
fn what_stands_beside_handlers_is_kept() {
    let definition = parse(
        "description = \"d\"\ntopics = [\"orders\"]\nkey = { id = \"data.id\" }\non_poison = \"stop\"\nretain = \"24h\"\nauto_rebuild = true\naccept_compacted = true\n[columns]\nid = \"text\"\n[on.\"x\"]\n",
    );
    assert_eq!(
        definition.retain,
        Some(std::time::Duration::from_secs(86_400))
    );
    assert!(definition.auto_rebuild && definition.accept_compacted);
    assert_eq!(definition.description, "d");
}

#[test]
fn every_type_has_defaults_in_its_own_notation() {
    let definition = definition(
        "a = { type = \"smallint\", default = 1 }\nb = { type = \"numeric(6,2)\", default = 1.5 }\n\
         c = { type = \"double\", default = 0.1 }\nd = { type = \"boolean\", default = true }\n\
         e = { type = \"timestamptz\", default = 2026-01-01T00:00:00+01:00 }\nf = { type = \"date\", default = 2026-01-01 }\n\
         g = { type = \"jsonb\", default = { b = [1, \"x\"], a = 1.50 } }\nh = { type = \"text[]\", default = [\"x\"] }\n\
         i = { type = \"uuid\", default = \"00000000-0000-0000-0000-00000000000A\" }\nj = { type = \"jsonb\", default = \"[]\" }",
        "[on.\"x\"]",
    );
    assert_eq!(
        rows(&definition, &[("x", r#"{"id":"1"}"#)]),
        r#"[{"id":"1","a":1,"b":"1.50","c":0.1,"d":true,"e":"2025-12-31T23:00:00Z","f":"2026-01-01","g":{"a":1.50,"b":[1,"x"]},"h":["x"],"i":"00000000-0000-0000-0000-00000000000a","j":[]}]"#
    );
}

#[test]
fn the_hash_ignores_notation_and_sees_meaning() {
    let base = "topics = [\"orders\"]\nkey = { id = \"data.id\" }\n[columns]\nid = \"text\"\na = \"text\"\nn = \"bigint\"\n[on.\"x\"]\nset = { a = \"data.a\" }\nadd = { n = \"1\" }\n[on.\"y\"]\ndelete = true\n";
    let hash = parse(base).hash;
    let same = [
        "# comment\ndescription = \"d\"\nkey = { id = 'data.id' }\ntopics = [ \"orders\" ]\n[columns]\nid = { type = \"text\" }\na = { type = \"text\", index = false }\nn = \"bigint\"\n[on]\ny.delete = true\nx.add.n = \"1\"\nx.set.a = \"data.a\"\n".to_owned(),
        base.replace("[on.\"y\"]", "[on.\"y\"]\n  # more"),
        base.replace("topics", "retain = \"1h\"\nauto_rebuild = true\ntopics"),
    ];
    for text in &same {
        assert_eq!(parse(text).hash, hash, "{text}");
    }
    let other = [
        base.replace(
            "a = \"text\"\nn = \"bigint\"",
            "n = \"bigint\"\na = \"text\"",
        ),
        base.replace("\"1\"", "\"2\""),
        base.replace("on.\"y\"", "on.\"z\""),
        base.replace("[\"orders\"]", "[\"orders\", \"more\"]"),
        base.replace("topics", "stores = [\"redis\"]\ntopics"),
        base.replace("n = \"bigint\"", "n = { type = \"bigint\", default = 0 }"),
    ];
    for text in &other {
        assert_ne!(parse(text).hash, hash, "{text}");
    }
    assert_eq!(hash.len(), 64);
}

#[test]
fn check_describes_columns_and_warns() {
    let definition = definition(
        "n = \"bigint\"\nm = \"bigint\"\ns = \"text\"\nidle = \"text\"\nr = \"timestamptz\"",
        "[on.\"x\"]\nadd = { n = \"1\", m = \"1\" }\nset = { s = \"data.s\" }\nmax = { r = \"event.time\" }\n[on.\"y\"]\nset = { m = \"0\" }\n[on.\"z\"]\ndelete = true",
    );
    let described = definition.describe();
    let columns: Vec<(&str, &str, &str)> = described
        .columns
        .iter()
        .map(|c| (c.name.as_str(), c.family, c.order))
        .collect();
    assert_eq!(
        columns,
        [
            ("id", "key", "commuting"),
            ("n", "sum", "commuting"),
            ("m", "sum", "ordered"),
            ("s", "assign", "ordered"),
            ("idle", "assign", "commuting"),
            ("r", "greatest", "commuting"),
        ]
    );
    assert_eq!(described.handlers, ["x", "y", "z"]);
    assert!(
        described.warnings.iter().any(|w| w.contains("`idle`")),
        "{:?}",
        described.warnings
    );
    assert!(
        described
            .warnings
            .iter()
            .any(|w| w.contains("deletes rows")),
        "{:?}",
        described.warnings
    );
}

#[test]
fn a_sample_counts_where_paths_are_found() {
    let definition = parse(
        "topics = [\"orders\"]\nkey = { sku = \"item.sku\" }\n[columns]\nsku = \"text\"\nn = \"bigint\"\n\
         [on.\"a\"]\neach = \"data.items\"\nadd = { n = \"item.?n\" }\n[on.\"b\"]\nkey = { sku = \"data.sku\" }\n",
    );
    let text = [
        event(
            "a",
            1,
            r#"{"items":[{"sku":"x","n":1},{"sku":"y"},{"sku":"z","n":null}]}"#,
        ),
        event("a", 2, r#"{"items":[]}"#),
        event("c", 3, "{}"),
    ];
    let sample = definition.sample(&lines(&text.join("\n")));
    assert_eq!(sample.events, 3);
    assert_eq!(sample.unmatched.get("c"), Some(&1));
    assert_eq!((sample.handlers["a"], sample.handlers["b"]), (2, 0));
    let found: Vec<(&str, &str, u64, u64, u64)> = sample
        .paths
        .iter()
        .map(|p| {
            (
                p.handler.as_str(),
                p.path.as_str(),
                p.present,
                p.null,
                p.missing,
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("a", "data.items", 2, 0, 0),
            ("a", "item.n", 1, 1, 1),
            ("a", "item.sku", 3, 0, 0),
            ("b", "data.sku", 0, 0, 0),
        ]
    );
}

#[test]
fn expected_rows_are_compared_by_key_and_column() {
    let definition = definition(
        "m = \"numeric(18,2)\"\ns = \"text\"",
        "[on.\"a\"]\nset = { m = \"data.m\" }",
    );
    let trial = run(
        &definition,
        &[("a", r#"{"id":"1","m":1}"#), ("a", r#"{"id":"2","m":2}"#)],
    );
    let same = r#"[{"id":"2","m":"2.00","s":null},{"id":"1","m":1}]"#;
    assert_eq!(trial.compare(same), Ok(Vec::new()));
    let other = r#"[{"id":"1","m":"1.01","s":"x"},{"id":"3","m":"2.00"}]"#;
    assert_eq!(
        trial.compare(other).unwrap(),
        [
            r#"1: m: expected "1.01", is "1.00""#,
            r#"1: s: expected "x", is null"#,
            "3: expected, but there is no such row",
            "2: not expected, but there is such a row",
        ]
    );
    for wrong in [
        "{}",
        "[{}]",
        r#"[{"id":"1","zz":1}]"#,
        r#"[{"id":"1"},{"id":"1"}]"#,
    ] {
        assert!(trial.compare(wrong).is_err(), "{wrong}");
    }
}

/// Counts events of every type; a newer version counts double.
struct Counter {
    schema: Arc<Schema>,
    topics: Vec<TopicSelector>,
    version: u32,
}

impl Projection for Counter {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn topics(&self) -> &[TopicSelector] {
        &self.topics
    }

    fn version(&self) -> String {
        self.version.to_string()
    }

    fn handle(&self, event: &Event<'_>, _: &dyn Rows, ops: &mut Ops) -> Result<Handled, Fault> {
        let kind = Value::Text(event.event_type().into());
        let key = RowKey::new(&self.schema, vec![kind]).map_err(Fault::poison)?;
        let amount = Decimal::from(i64::from(self.version));
        ops.upsert(key, vec![(1, Op::Add(amount))]);
        Ok(Handled::Applied)
    }
}

#[test]
fn a_rust_projection_is_a_definition_whose_hash_holds_its_version() {
    let base = definition("n = \"bigint\"", "[on.\"a\"]\nadd = { n = \"1\" }");
    let counter = |version| {
        Definition::of(Arc::new(Counter {
            schema: base.plan.schema().clone(),
            topics: vec![TopicSelector::Exact("orders".into())],
            version,
        }))
    };
    assert_eq!(counter(1).hash, counter(1).hash);
    assert_ne!(counter(1).hash, counter(2).hash);
    assert_eq!(
        rows(&counter(2), &[("a", "{}"), ("a", "{}")]),
        r#"[{"id":"a","n":4}]"#
    );
    assert_eq!(counter(1).describe().columns[1].order, "commuting");
}

#[test]
fn a_key_in_a_handler_may_differ_and_a_null_key_is_a_fault() {
    let definition = definition(
        "n = \"bigint\"",
        "[on.\"a\"]\nadd = { n = \"1\" }\n[on.\"b\"]\nkey = { id = \"data.other\" }\nadd = { n = \"2\" }",
    );
    let trial = run(
        &definition,
        &[
            ("a", r#"{"id":"1"}"#),
            ("b", r#"{"other":"1"}"#),
            ("b", r#"{"other":null}"#),
            ("b", r#"{"id":"1"}"#),
        ],
    );
    assert_eq!(compact(&trial), r#"[{"id":"1","n":3}]"#);
    let messages: Vec<&str> = trial
        .faults
        .iter()
        .map(|(_, f)| f.message.as_str())
        .collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert_eq!(messages[0], "[on.\"b\"]: key column id is null");
    assert!(
        messages[1].contains("data.other is missing"),
        "{messages:?}"
    );
}

#[test]
fn numeric_keys_are_one_key_by_value() {
    let definition = parse(
        "topics = [\"orders\"]\nkey = { k = \"data.k\" }\n[columns]\nk = \"numeric\"\nn = \"bigint\"\n[on.\"a\"]\nadd = { n = \"1\" }\n",
    );
    let events = [
        ("a", r#"{"k":1.0}"#),
        ("a", r#"{"k":"1.00"}"#),
        ("a", r#"{"k":1}"#),
    ];
    assert_eq!(rows(&definition, &events), r#"[{"k":"1","n":3}]"#);
}

#[test]
fn a_when_without_item_is_asked_once_for_all_elements() {
    let definition = parse(
        "topics = [\"orders\"]\nkey = { id = \"data.id\" }\n[columns]\nid = \"text\"\nn = { type = \"bigint\", default = 0 }\n\
         [on.\"a\"]\neach = \"data.items\"\nwhen = \"row.n == 0\"\nset = { n = \"row.n + item\" }\n",
    );
    let data = r#"{"id":"1","items":[1,2,3]}"#;
    let trial = run(&definition, &[("a", data), ("a", data)]);
    assert!(trial.faults.is_empty(), "{:?}", trial.faults);
    assert_eq!((trial.applied, trial.filtered), (1, 1));
    assert_eq!(compact(&trial), r#"[{"id":"1","n":6}]"#);
}
