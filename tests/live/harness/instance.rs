//! One process of the program, and its commands.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::deployment::unique;
use super::{Deployment, free_port};

/// Beyond the longest grace period: who has not ended by then never will.
const END: Duration = Duration::from_secs(30);

/// How an instance is to be started.
pub(crate) struct Launch<'d> {
    deployment: &'d Deployment,
    command: Command,
    admin: String,
    api: String,
    log: PathBuf,
}

impl<'d> Launch<'d> {
    pub(super) fn new(deployment: &'d Deployment) -> Self {
        let admin = format!("127.0.0.1:{}", free_port());
        let api = format!("127.0.0.1:{}", free_port());
        let folder = deployment.folder.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_viewfold"));
        command
            .arg("run")
            .current_dir(folder)
            .env_remove("FAILPOINTS")
            .env("KAFKA_BROKERS", &deployment.brokers)
            .env("DATABASE_URL", &deployment.postgres_url)
            .env("REDIS_URL", &deployment.redis_url)
            .env("VIEWFOLD_KAFKA__GROUP_ID", &deployment.name)
            .env("VIEWFOLD_POSTGRES__SCHEMA", &deployment.name)
            .env("VIEWFOLD_POSTGRES__VIEWS_SCHEMA", deployment.views_schema())
            .env("VIEWFOLD_REDIS__PREFIX", &deployment.name)
            .env("VIEWFOLD_API__LISTEN", &api)
            .env("VIEWFOLD_ADMIN__LISTEN", &admin)
            .env("VIEWFOLD_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "6000")
            .env("VIEWFOLD_KAFKA__PROPERTIES__HEARTBEAT_INTERVAL_MS", "1000")
            .env("RUST_LOG", "info")
            .envs(&deployment.environment);
        if deployment
            .environment
            .get("VIEWFOLD_KAFKA__PROPERTIES__GROUP_PROTOCOL")
            .is_some_and(|it| it == "consumer")
        {
            command
                .env_remove("VIEWFOLD_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS")
                .env_remove("VIEWFOLD_KAFKA__PROPERTIES__HEARTBEAT_INTERVAL_MS");
        }
        Self {
            deployment,
            command,
            log: folder.join(format!("instance-{}.log", unique())),
            admin,
            api,
        }
    }

    /// Makes it fail at named points; see `src/failpoint.rs`.
    pub(crate) fn failing(mut self, points: &str) -> Self {
        if !cfg!(feature = "failpoints") {
            panic!("this test needs `cargo test --features failpoints`");
        }
        self.command.env("FAILPOINTS", points);
        self
    }

    /// Gives it another folder of definitions.
    pub(crate) fn projections(mut self, folder: &Path) -> Self {
        self.command.arg("--projections").arg(folder);
        self
    }

    /// Gives it one part of the work.
    pub(crate) fn role(mut self, role: &str) -> Self {
        self.command.args(["--role", role]);
        self
    }

    pub(crate) fn start(mut self) -> Instance {
        let file = File::create(&self.log).unwrap();
        self.command
            .stdout(Stdio::from(file.try_clone().unwrap()))
            .stderr(Stdio::from(file));
        Instance {
            child: self.command.spawn().unwrap(),
            folder: self.deployment.folder.path().to_owned(),
            admin: self.admin,
            api: self.api,
            log: self.log,
        }
    }
}

/// A running instance.
pub(crate) struct Instance {
    child: Child,
    folder: PathBuf,
    /// Where its admin listener is.
    pub(crate) admin: String,
    /// Where its public listener is.
    pub(crate) api: String,
    log: PathBuf,
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("--- {}", self.log.display());
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

impl Instance {
    /// As `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it where it is, without its knowing.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Asks for an orderly end and waits for it; answers the exit code and how long it took.
    pub(crate) fn stop(&mut self) -> (Option<i32>, Duration) {
        let asked = Instant::now();
        self.signal("-TERM");
        let status = ended(&mut self.child, END);
        let status = status.unwrap_or_else(|| panic!("it has not ended {END:?} after SIGTERM"));
        (status.code(), asked.elapsed())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has died at a fail point.
    pub(crate) async fn dies(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.is_running() {
            assert!(
                Instant::now() < deadline,
                "it did not reach its fail point within {limit:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let status = self.child.wait().unwrap();
        assert!(status.signal().is_some(), "it ended by itself: {status}");
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Runs a command of the program against this instance.
    pub(crate) fn command(&self, arguments: &[&str]) -> Ran {
        self.command_within(arguments, Duration::from_secs(60))
    }

    /// Runs a command that may take as long as `limit`.
    pub(crate) fn command_within(&self, arguments: &[&str], limit: Duration) -> Ran {
        let stem = self.folder.join(format!("command-{}", unique()));
        let (out, err) = (stem.with_extension("out"), stem.with_extension("err"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_viewfold"))
            .args(arguments)
            .current_dir(&self.folder)
            .env("VIEWFOLD_ADMIN_URL", format!("http://{}", self.admin))
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        let status = ended(&mut child, limit);
        let ran = Ran {
            code: status.and_then(|status| status.code()),
            out: std::fs::read_to_string(out).unwrap(),
            err: std::fs::read_to_string(err).unwrap(),
        };
        assert!(
            status.is_some(),
            "`viewfold {}` has not ended within {limit:?}: {ran:?}",
            arguments.join(" ")
        );
        ran
    }
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Fails unless the command ended with `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// Everything that it said.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// Waits for a process; none when it still runs after `limit`, and it is killed then.
fn ended(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
