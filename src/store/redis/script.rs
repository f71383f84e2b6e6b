//! The scripts, and how one is run.

use std::sync::LazyLock;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

/// A script and its hash, by which the server knows it.
#[derive(Debug)]
pub(super) struct Script {
    name: &'static str,
    body: &'static str,
    hash: String,
}

macro_rules! script {
    ($(#[$doc:meta])* $name:ident, $($file:literal),+) => {
        $(#[$doc])*
        pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            let body = concat!(include_str!("lua/common.lua"), $(include_str!($file)),+);
            Script {
                name: stringify!($name),
                body,
                hash: redis::Script::new(body).get_hash().to_owned(),
            }
        });
    };
}

script!(APPLY, "lua/decimal.lua", "lua/apply.lua");
script!(LOAD, "lua/rows.lua", "lua/load.lua");
script!(CREATE, "lua/create.lua");
script!(ADD_CURSOR, "lua/add_cursor.lua");
script!(CLAIM, "lua/claim.lua");
script!(ADVANCE, "lua/advance.lua");
script!(POINTER, "lua/pointer.lua");
script!(PUBLISH, "lua/positions.lua", "lua/publish.lua");
script!(CUT_OVER, "lua/positions.lua", "lua/cut_over.lua");
script!(FORGET, "lua/forget.lua");
script!(COMPARE_PAGE, "lua/rows.lua", "lua/compare_page.lua");
script!(COPY_BEGIN, "lua/positions.lua", "lua/copy_begin.lua");
script!(
    COPY_PAGE,
    "lua/positions.lua",
    "lua/rows.lua",
    "lua/copy_page.lua"
);
script!(COPY_END, "lua/copy_end.lua");
script!(PAGES, "lua/pages.lua");
script!(POINT, "lua/point.lua");
script!(CURSORS, "lua/cursors.lua");
script!(DROP, "lua/drop.lua");
script!(SWEEP, "lua/sweep.lua");

/// A script with its keys and arguments.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) script: &'static Script,
    pub(super) keys: &'a [&'a str],
    pub(super) arguments: &'a [&'a [u8]],
}

impl Call<'_> {
    /// What is being done, for messages.
    pub(super) fn name(&self) -> String {
        self.script.name.to_lowercase()
    }

    /// Runs the script by its hash; with its text where the server does not know it (after a
    /// restart, a failover or `SCRIPT FLUSH`). Such a refusal has changed nothing.
    pub(super) async fn run(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<Value, RedisError> {
        let known = self
            .command("EVALSHA", &self.script.hash)
            .query_async(connection)
            .await;
        match known {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.command("EVAL", self.script.body)
                    .query_async(connection)
                    .await
            }
            other => other,
        }
    }

    fn command(&self, verb: &str, script: &str) -> redis::Cmd {
        let mut command = redis::cmd(verb);
        command.arg(script).arg(self.keys.len());
        for key in self.keys {
            command.arg(key);
        }
        for argument in self.arguments {
            command.arg(argument);
        }
        command
    }
}
