//! Configuration: which layer wins, and what is said about wrong ones.
#![cfg(test)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;
use viewfold::api::{JwtAlgorithm, KeySource, RateLimit, Scope};
use viewfold::config::{Config, Sources};
use viewfold::event::{Envelope, Field};
use viewfold::telemetry::LogFormat;

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn environment(pairs: &[(&str, &str)]) -> Result<Config, String> {
    let sources = Sources {
        variables: variables(pairs),
        ..Sources::default()
    };
    Config::load(&sources).map_err(|problems| problems.to_string())
}

fn file(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("viewfold.toml");
    std::fs::write(&path, text).unwrap();
    let sources = Sources {
        files: vec![path],
        ..Sources::default()
    };
    Config::load(&sources).map_err(|problems| problems.to_string())
}

/// What `group_id` is with these layers set, least first: conventional variable, file, second
/// file, our variable, command line.
#[test]
fn the_later_layer_wins() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, group: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("kafka.group_id = \"{group}\"\n")).unwrap();
        path
    };
    let (default, first, second) = (
        write("default.toml", "default-file"),
        write("first.toml", "first"),
        write("second.toml", "second"),
    );
    let conventional = ("KAFKA_CONSUMER_GROUP_ID", "conventional");
    let ours = ("VIEWFOLD_KAFKA__GROUP_ID", "ours");
    let option = "kafka.group_id=option";
    let missing = dir.path().join("missing.toml");
    type Case<'a> = (
        Option<&'a PathBuf>,
        Vec<&'a PathBuf>,
        Vec<(&'a str, &'a str)>,
        Vec<&'a str>,
        &'a str,
    );
    let table: Vec<Case<'_>> = vec![
        (None, vec![], vec![], vec![], "viewfold"),
        (Some(&missing), vec![], vec![], vec![], "viewfold"),
        (Some(&default), vec![], vec![], vec![], "default-file"),
        (Some(&default), vec![&first], vec![], vec![], "first"),
        (None, vec![&first, &second], vec![], vec![], "second"),
        (None, vec![&second, &first], vec![], vec![], "first"),
        (
            None,
            vec![&first],
            vec![conventional],
            vec![],
            "conventional",
        ),
        (None, vec![&first], vec![ours], vec![], "ours"),
        (None, vec![&first], vec![ours, conventional], vec![], "ours"),
        (
            None,
            vec![&first],
            vec![conventional, ours],
            vec![option],
            "option",
        ),
        (Some(&default), vec![], vec![], vec![option], "option"),
    ];
    for (index, (default_file, files, env, set, wanted)) in table.into_iter().enumerate() {
        let sources = Sources {
            default_file: default_file.cloned(),
            files: files.into_iter().cloned().collect(),
            variables: variables(&env),
            set: set.into_iter().map(str::to_owned).collect(),
            projections: None,
        };
        let config = Config::load(&sources).unwrap();
        assert_eq!(config.kafka.group_id, wanted, "case {index}");
    }
}

#[test]
fn the_shipped_file_says_what_is_built_in() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/viewfold.toml");
    let text = std::fs::read_to_string(shipped).unwrap();
    let active = file(&text).unwrap();
    assert_eq!(active.kafka.brokers, Config::default().kafka.brokers);
    // Every commented default must be readable, and be the default.
    let uncommented: Vec<String> = text
        .lines()
        .filter(|line| !line.contains("max_rate") && !line.contains("sha256"))
        .map(|line| {
            let key = line.strip_prefix("# ").unwrap_or(line);
            let setting = key.split_once(" = ").is_some_and(|(k, _)| !k.contains(' '));
            let header = key.starts_with('[');
            if setting || header { key } else { "" }.to_owned()
        })
        .collect();
    let read = file(&uncommented.join("\n")).unwrap();
    let built_in = Config::default();
    assert_eq!(read.pipeline, built_in.pipeline);
    assert_eq!(read.rebuild, built_in.rebuild);
    assert_eq!(read.admin.listen, built_in.admin.listen);
    assert_eq!(read.api.listen, built_in.api.listen);
    assert_eq!(read.projections, built_in.projections);
    assert_eq!(read.kafka.group_id, built_in.kafka.group_id);
    assert_eq!(read.kafka.properties.len(), 3);
    assert_eq!(
        read.postgres.url.expose_secret(),
        built_in.postgres.url.expose_secret()
    );
}

#[test]
fn every_setting_can_be_said_in_a_file() {
    let config = file(
        r#"
projections = "defs"
[kafka]
brokers = "a:1, b:2"
group_id = "g"
client_id = "c"
schema_registry_url = "http://registry:8081"
[kafka.properties]
sasl.password = "p"
"ssl.ca.location" = "/ca"
socket = { timeout.ms = 5000, keepalive.enable = true }
[kafka.topics."shop.orders"]
envelope = { id = "meta.id", type = ["kind", "type"], data = "body" }
format = "json"
[kafka.topics.users]
envelope = "cloudevents"
[postgres]
url = "postgresql://h/d"
schema = "s"
views_schema = "v"
[redis]
url = "rediss://h"
prefix = "p:"
[api]
listen = "[::]:80"
[[api.tokens]]
name = "web"
scope = "read"
sha256 = "9F86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
expires = 2030-01-01T00:00:00Z
[admin]
listen = "localhost:81"
tokens = [{ name = "ops", scope = "operate", sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", expires = "2030-01-01T01:00:00+01:00" }]
[pipeline]
batch_rows = 10
batch_bytes = "64KiB"
batch_age = "0s"
lanes = 4
memory_limit = 8388608
shutdown_grace = "20s"
[rebuild]
max_rate = 1000
live_lag_target = "500ms"
retain = "1h 30m"
[telemetry]
log_format = "json"
log = "viewfold=debug,warn"
otlp_endpoint = "http://otel:4317"
service_name = "views"
"#,
    )
    .unwrap();
    assert_eq!(config.projections, Path::new("defs"));
    assert_eq!(config.kafka.brokers, "a:1, b:2");
    let properties: Vec<(&str, &str)> = config
        .kafka
        .properties
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose_secret()))
        .collect();
    assert_eq!(
        properties,
        [
            ("sasl.password", "p"),
            ("socket.keepalive.enable", "true"),
            ("socket.timeout.ms", "5000"),
            ("ssl.ca.location", "/ca"),
        ]
    );
    assert_eq!(config.kafka.topics["users"], Envelope::CloudEvents);
    let Envelope::Fields(fields) = &config.kafka.topics["shop.orders"] else {
        panic!("not a mapping");
    };
    assert_eq!(fields.places(Field::Id)[0].to_string(), ".meta.id");
    assert_eq!(fields.places(Field::Type).len(), 2);
    assert_eq!(config.api.listen.to_string(), "[::]:80");
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:81");
    let (web, ops) = (&config.api.tokens[0], &config.admin.tokens[0]);
    assert_eq!((web.scope, ops.scope), (Scope::Read, Scope::Operate));
    assert_eq!(web.sha256, ops.sha256, "upper-case digits are the same");
    assert_eq!(web.expires, ops.expires);
    assert_eq!(config.pipeline.batch_bytes, 65_536);
    assert_eq!(config.pipeline.memory_limit, 8 << 20);
    assert_eq!(config.pipeline.batch_age, Duration::ZERO);
    assert_eq!(config.rebuild.retain, Duration::from_secs(5400));
    assert_eq!(config.rebuild.max_rate, Some(1000));
    assert_eq!(config.telemetry.log_format, LogFormat::Json);
    assert_eq!(config.telemetry.service_name, "views");
}

#[test]
fn the_environment_says_the_same_as_a_file() {
    let config = environment(&[
        ("VIEWFOLD_PIPELINE__LANES", "3"),
        ("VIEWFOLD_PIPELINE__MEMORY_LIMIT", "16MiB"),
        ("VIEWFOLD_REBUILD__LIVE_LAG_TARGET", "2s"),
        ("VIEWFOLD_TELEMETRY__LOG_FORMAT", "json"),
        ("VIEWFOLD_API__LISTEN", "0.0.0.0:80"),
        ("VIEWFOLD_KAFKA__PROPERTIES__SASL_PASSWORD", "secret"),
        ("VIEWFOLD_KAFKA__TOPICS__ORDERS__ENVELOPE", "plain"),
        (
            "VIEWFOLD_KAFKA__TOPICS__USERS__ENVELOPE",
            r#"{ id = "eventId", data = "body" }"#,
        ),
        (
            "VIEWFOLD_ADMIN__TOKENS",
            r#"[{ name = "ops", scope = "admin", sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" }]"#,
        ),
        ("VIEWFOLD_ADMIN__LISTEN", "0.0.0.0:81"),
    ])
    .unwrap();
    assert_eq!(config.pipeline.lanes, 3);
    assert_eq!(config.pipeline.memory_limit, 16 << 20);
    assert_eq!(config.rebuild.live_lag_target, Duration::from_secs(2));
    assert_eq!(config.telemetry.log_format, LogFormat::Json);
    assert_eq!(config.api.listen.port(), 80);
    let password = &config.kafka.properties["sasl.password"];
    assert_eq!(password.expose_secret(), "secret");
    assert_eq!(config.kafka.topics["orders"], Envelope::Plain);
    assert!(
        matches!(&config.kafka.topics["users"], Envelope::Fields(f) if f.data()[0].to_string() == ".body")
    );
    assert_eq!(config.admin.tokens[0].scope, Scope::Admin);
}

#[test]
fn conventional_variables_count() {
    let config = environment(&[
        ("KAFKA_BROKERS", "k:1"),
        ("KAFKA_CLIENT_ID", "c"),
        ("KAFKA_CONSUMER_GROUP_ID", "g"),
        ("SCHEMA_REGISTRY_URL", "http://r"),
        ("DATABASE_URL", "postgres://d"),
        ("REDIS_URL", "redis://r"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://o"),
        ("OTEL_SERVICE_NAME", "s"),
        ("RUST_LOG", "debug"),
    ])
    .unwrap();
    let kafka = &config.kafka;
    assert_eq!(
        (&*kafka.brokers, &*kafka.client_id, &*kafka.group_id),
        ("k:1", "c", "g")
    );
    assert_eq!(
        kafka.schema_registry_url.as_ref().unwrap().expose_secret(),
        "http://r"
    );
    assert_eq!(config.postgres.url.expose_secret(), "postgres://d");
    assert_eq!(config.redis.url.expose_secret(), "redis://r");
    let telemetry = &config.telemetry;
    assert_eq!(
        telemetry.otlp_endpoint.as_ref().unwrap().expose_secret(),
        "http://o"
    );
    assert_eq!((&*telemetry.service_name, &*telemetry.log), ("s", "debug"));
}

#[test]
fn what_is_not_ours_is_ignored_and_empty_is_not_set() {
    let config = environment(&[
        ("VIEWFOLD_PORT", "tcp://10.0.0.1:8080"),
        ("VIEWFOLD_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("VIEWFOLD_KAFKA_SERVICE_HOST", "10.0.0.2"),
        ("VIEWFOLD_ADMIN_URL", "http://elsewhere"),
        ("VIEWFOLD_TOKEN", "t"),
        ("viewfold_kafka__brokers", "wrong"),
        ("MY_VIEWFOLD_KAFKA__BROKERS", "wrong"),
        ("VIEWFOLD_KAFKA__BROKERS", ""),
        ("KAFKA_BROKERS", ""),
        ("VIEWFOLD_POSTGRES__URL_FILE", ""),
    ])
    .unwrap();
    assert_eq!(config.kafka.brokers, "localhost:9092");
}

#[test]
fn secrets_come_from_files_without_their_last_newline() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (url, password) = (write("url", "postgres://u:p@h/d\n"), write("pw", "a b\r\n"));
    let config = environment(&[
        ("VIEWFOLD_POSTGRES__URL_FILE", &url),
        ("DATABASE_URL", "postgres://conventional"),
        ("VIEWFOLD_KAFKA__PROPERTIES__SASL_PASSWORD_FILE", &password),
    ])
    .unwrap();
    assert_eq!(config.postgres.url.expose_secret(), "postgres://u:p@h/d");
    let password = &config.kafka.properties["sasl.password"];
    assert_eq!(password.expose_secret(), "a b");
}

#[test]
fn wrong_variables_are_named_all_at_once() {
    let missing = "/nonexistent/secret";
    let problems = environment(&[
        ("RUST_LOG", "a=b=c"),
        ("VIEWFOLD_KAFKA__BROKRES", "x"),
        ("VIEWFOLD_KAFKA__BROKERS_FILE", missing),
        ("VIEWFOLD_NOWHERE__KEY", "x"),
        ("VIEWFOLD_PIPELINE__LANES", "three"),
        ("VIEWFOLD_REDIS__URL", "redis://h"),
        ("VIEWFOLD_REDIS__URL_FILE", missing),
        ("VIEWFOLD_POSTGRES__URL_FILE", missing),
        ("VIEWFOLD_KAFKA__PROPERTIES__ENABLE_AUTO_COMMIT", "true"),
        ("VIEWFOLD_API__TOKENS", "[{ name = 1 }]"),
        ("VIEWFOLD_ADMIN__LISTEN", "0.0.0.0:8081"),
    ])
    .unwrap_err();
    let wanted = "\
VIEWFOLD_POSTGRES__URL_FILE: failed to read /nonexistent/secret: No such file or directory (os error 2)
VIEWFOLD_REDIS__URL_FILE: is set beside VIEWFOLD_REDIS__URL: set only one of them
RUST_LOG: telemetry.log must be a log filter such as \"info\" or \"viewfold=debug,warn\"
VIEWFOLD_API__TOKENS: name of a token must be a string
VIEWFOLD_KAFKA__BROKERS_FILE: unknown key `brokers_file` in [kafka]; known are brokers, group_id, client_id, properties, topics, schema_registry_url
VIEWFOLD_KAFKA__BROKRES: unknown key `brokres` in [kafka]; known are brokers, group_id, client_id, properties, topics, schema_registry_url
VIEWFOLD_NOWHERE__KEY: unknown section `nowhere`; known are kafka, postgres, redis, api, admin, pipeline, rebuild, telemetry and the top-level key projections
VIEWFOLD_PIPELINE__LANES: pipeline.lanes must be a whole number from 1 to 64
VIEWFOLD_KAFKA__PROPERTIES__ENABLE_AUTO_COMMIT: kafka.properties.enable.auto.commit cannot be set: positions live in the stores; a commit is only a hint or a proof of membership
VIEWFOLD_ADMIN__LISTEN: admin.listen 0.0.0.0:8081 can be reached from other hosts, which needs admin.tokens (`viewfold token NAME --scope operate` makes one); or listen on 127.0.0.1";
    assert_eq!(problems, wanted);
}

#[test]
fn options_of_the_command_line_are_the_last_word() {
    let set = [
        "kafka.properties.sasl.password=p=q",
        "kafka.topics.shop.orders.envelope=plain",
        "api.listen=127.0.0.1:0",
    ];
    let mut sources = Sources {
        set: set.map(str::to_owned).to_vec(),
        projections: Some("elsewhere".into()),
        ..Sources::default()
    };
    let config = Config::load(&sources).unwrap();
    assert_eq!(
        config.kafka.properties["sasl.password"].expose_secret(),
        "p=q"
    );
    assert_eq!(config.kafka.topics["shop.orders"], Envelope::Plain);
    assert_eq!(config.projections, Path::new("elsewhere"));

    sources.set = vec!["lanes".into(), "pipeline.lanes=0".into(), "lanes=1".into()];
    let problems = Config::load(&sources).unwrap_err().to_string();
    let wanted = "\
--set lanes: must be SECTION.KEY=VALUE
--set pipeline.lanes: pipeline.lanes must be a whole number from 1 to 64
--set lanes: unknown section `lanes`; known are kafka, postgres, redis, api, admin, pipeline, rebuild, telemetry and the top-level key projections";
    assert_eq!(problems, wanted);
}

#[test]
fn a_file_that_was_asked_for_must_exist() {
    let sources = Sources {
        files: vec!["/nonexistent/viewfold.toml".into()],
        ..Sources::default()
    };
    let problems = Config::load(&sources).unwrap_err().to_string();
    let wanted = "/nonexistent/viewfold.toml: failed to read the file: \
                  No such file or directory (os error 2)";
    assert_eq!(problems, wanted);
}

/// Each `tests/wrong-config/<name>.toml` is refused with exactly the lines of `<name>.txt`.
#[test]
fn wrong_files_are_refused_with_these_words() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrong-config");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 15, "only {} wrong files", files.len());
    let mut differing = String::new();
    for path in files {
        let sources = Sources {
            files: vec![path.clone()],
            ..Sources::default()
        };
        let said = match Config::load(&sources) {
            Ok(_) => "accepted".to_owned(),
            Err(problems) => problems.to_string(),
        };
        let said = said.replace(&format!("{}/", folder.display()), "") + "\n";
        let wanted = std::fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
        assert!(!said.contains("hunter2"), "a secret was printed");
        if said != wanted {
            differing += &format!("--- {}\n{said}", path.display());
        }
    }
    assert_eq!(differing, "");
}

#[test]
fn a_config_is_printed_without_its_secrets() {
    let config = environment(&[
        ("DATABASE_URL", "postgres://u:hunter2@h"),
        ("REDIS_URL", "redis://:hunter2@h"),
        ("VIEWFOLD_KAFKA__PROPERTIES__SASL_PASSWORD", "hunter2"),
        ("SCHEMA_REGISTRY_URL", "http://u:hunter2@r"),
    ])
    .unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn an_issuer_of_tokens_may_come_in_several_layers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("viewfold.toml");
    let text = "[api.jwt]\nissuer = \"https://id.example\"\naudience = \"viewfold\"\njwks_file = \"keys.json\"\n";
    std::fs::write(&path, text).unwrap();
    let sources = Sources {
        files: vec![path],
        variables: variables(&[
            ("VIEWFOLD_API__JWT__AUDIENCE", "a, b"),
            ("VIEWFOLD_API__JWT__JWKS_URL", "https://id.example/keys"),
            ("VIEWFOLD_API__RATE_LIMIT", "{ per_second = 5 }"),
            (
                "VIEWFOLD_API__CORS_ORIGINS",
                "https://shop.example,http://localhost:3000",
            ),
            ("VIEWFOLD_ADMIN__LISTEN", "0.0.0.0:8081"),
            (
                "VIEWFOLD_ADMIN__JWT",
                "{ issuer = 'i', audience = ['c'], jwks_file = 'f', algorithms = ['PS256'], scopes = { admin = 'root' } }",
            ),
        ]),
        ..Sources::default()
    };
    let config = Config::load(&sources).unwrap();
    let jwt = config.api.jwt.as_ref().unwrap();
    assert_eq!(
        (&*jwt.issuer, &*jwt.audience),
        (
            "https://id.example",
            &["a".to_owned(), "b".to_owned()] as &[String]
        )
    );
    assert_eq!(
        jwt.keys,
        Some(KeySource::Url("https://id.example/keys".into()))
    );
    let limit = RateLimit {
        per_second: 5,
        burst: 10,
    };
    assert_eq!(config.api.rate_limit, Some(limit));
    assert_eq!(config.api.cors_origins.len(), 2);
    let jwt = config.admin.jwt.as_ref().unwrap();
    assert_eq!(jwt.algorithms, [JwtAlgorithm::Ps256]);
    assert_eq!(
        (&*jwt.scopes[0].1, &*jwt.scopes[2].1),
        ("viewfold:read", "root")
    );
    assert!(
        !config.admin.access().is_open(),
        "an issuer is as good as tokens"
    );
}

#[test]
fn what_is_wrong_with_limits_and_issuers_is_said() {
    for (text, wanted) in [
        (
            "[api.jwt]\nissuer = \"i\"",
            "[api.jwt] needs audience, jwks_url (or jwks_file)",
        ),
        (
            "[api.jwt]\nalgorithms = [\"HS256\"]",
            "api.jwt.algorithms must be a list of RS256",
        ),
        ("[api.jwt]\nalgorithms = [\"none\"]", "never `none`"),
        (
            "[api.jwt]\nalgorithms = []",
            "api.jwt.algorithms must be a string or a list",
        ),
        (
            "[api.jwt]\njwks_url = \"ftp://h\"",
            "api.jwt.jwks_url must be a URL like https://",
        ),
        (
            "[api.jwt]\njwks_url = \"https://u:secret@h\"",
            "without a password",
        ),
        (
            "[api.jwt]\nscopes = { write = \"x\" }",
            "api.jwt.scopes must be { read",
        ),
        (
            "[api.jwt]\nissuers = \"x\"",
            "unknown key `issuers` in [api.jwt]",
        ),
        (
            "[api]\nrate_limit = { per_second = 0 }",
            "api.rate_limit must be { per_second",
        ),
        (
            "[api]\nrate_limit = { burst = 5 }",
            "api.rate_limit must be { per_second",
        ),
        (
            "[api]\nmax_concurrent = 0",
            "api.max_concurrent must be a whole number from 1",
        ),
        (
            "[api]\ncors_origins = [\"*\"]",
            "api.cors_origins must be a list of origins",
        ),
        (
            "[api]\ncors_origins = [\"https://h/path\"]",
            "api.cors_origins must be a list of origins",
        ),
    ] {
        let problems = file(text).unwrap_err();
        assert!(problems.contains(wanted), "{text}: {problems}");
        assert!(!problems.contains("secret"), "{problems}");
    }
    assert_eq!(
        file("[api]\nrate_limit = \"off\"").unwrap().api.rate_limit,
        None
    );
}
