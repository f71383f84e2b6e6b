//! Watches a `viewfold run` catch up, from outside: its status over HTTP, its processor time in
//! `/proc`.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

/// How often the status is asked for.
const PERIOD: Duration = Duration::from_millis(50);
/// Without any progress for this long, the run has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// The share behind which a run counts as ending: what is left no longer fills batches.
const NEARLY: f64 = 0.95;
/// What `/proc` counts in, per second: the kernel's USER_HZ, which is 100 on every Linux platform
/// that Rust runs on.
const TICKS: f64 = 100.0;

#[derive(Args)]
pub(crate) struct Follow {
    /// The process.
    #[arg(long)]
    pid: u32,
    /// Its admin listener, `http://host:port`.
    #[arg(long)]
    admin: String,
    /// How many events the topic holds.
    #[arg(long)]
    events: u64,
}

/// The samples that the figures are made of.
struct Seen {
    /// The last one without anything applied.
    idle: Sample,
    /// The first one with something applied.
    first: Sample,
    /// The first one behind [`NEARLY`].
    nearly: Sample,
    /// The first one that is caught up.
    end: Sample,
}

/// What was seen at one instant.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    applied: u64,
    caught_up: bool,
    cpu_seconds: f64,
}

impl Follow {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(5)))
            .build()
            .into();
        let mut idle = self.sample(0, false)?;
        let (mut first, mut nearly) = (None, None);
        let mut last = idle;
        let end = loop {
            let due = Instant::now() + PERIOD;
            if let Some((applied, caught_up)) = self.progress(&agent) {
                let now = self.sample(applied, caught_up)?;
                if now.applied > last.applied {
                    last = now;
                }
                if now.applied as f64 >= self.events as f64 * NEARLY {
                    nearly.get_or_insert(now);
                }
                if now.caught_up {
                    break now;
                } else if now.applied == 0 {
                    idle = now;
                } else {
                    first.get_or_insert(now);
                }
            }
            if last.at.elapsed() > PATIENCE {
                bail!(
                    "{} of {} events are applied and nothing moves any more",
                    last.applied,
                    self.events
                );
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        };
        // A load that is over before anybody saw it under way is timed from when it was not.
        let first = first.unwrap_or(idle);
        let nearly = nearly.unwrap_or(end);
        self.print(&Seen {
            idle,
            first,
            nearly,
            end,
        })
    }

    fn print(&self, seen: &Seen) -> anyhow::Result<()> {
        let seconds = (seen.end.at - seen.first.at).as_secs_f64();
        let cpu_seconds = seen.end.cpu_seconds - seen.idle.cpu_seconds;
        println!(
            "{:.0}\t{:.0}\t{:.2}\t{seconds:.2}\t{:.2}",
            rate(seen.first, seen.end),
            rate(seen.first, seen.nearly),
            cpu_seconds * 1e6 / seen.end.applied as f64,
            self.age()?,
        );
        Ok(())
    }

    fn sample(&self, applied: u64, caught_up: bool) -> anyhow::Result<Sample> {
        Ok(Sample {
            at: Instant::now(),
            applied,
            caught_up,
            cpu_seconds: self.stat(14)? + self.stat(15)?,
        })
    }

    /// How many events are applied, and whether these are all; none where there is no answer yet.
    fn progress(&self, agent: &ureq::Agent) -> Option<(u64, bool)> {
        let url = format!("{}/v1/projections", self.admin);
        let body = agent
            .get(url)
            .call()
            .ok()?
            .body_mut()
            .read_to_string()
            .ok()?;
        let status: Value = serde_json::from_str(&body).ok()?;
        let partitions = status
            .pointer("/projections/0/generations/0/stores/0/partitions")?
            .as_array()?;
        let number = |of: &Value, name: &str| of.get(name).and_then(Value::as_u64);
        let applied = partitions
            .iter()
            .filter_map(|at| number(at, "position"))
            .sum();
        let at_end = |at: &Value| at.get("position") == at.get("end");
        let caught_up = applied >= self.events && partitions.iter().all(at_end);
        Some((applied, caught_up))
    }

    /// How long ago the process started, in seconds.
    fn age(&self) -> anyhow::Result<f64> {
        let uptime = std::fs::read_to_string("/proc/uptime")?;
        let up: f64 = uptime
            .split_whitespace()
            .next()
            .context("/proc/uptime is empty")?
            .parse()?;
        Ok(up - self.stat(22)?)
    }

    /// A time of `/proc/PID/stat` in seconds, by the number that proc(5) gives the field.
    fn stat(&self, field: usize) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))
            .with_context(|| format!("process {} has ended", self.pid))?;
        // The second field, the name in brackets, may hold spaces.
        let (_, behind) = stat.rsplit_once(')').context("an unreadable stat")?;
        let ticks: f64 = behind
            .split_whitespace()
            .nth(field - 3)
            .context("a short stat")?
            .parse()?;
        Ok(ticks / TICKS)
    }
}

/// Events per second between two samples; 0 where there is nothing between them.
fn rate(from: Sample, to: Sample) -> f64 {
    let seconds = (to.at - from.at).as_secs_f64();
    if seconds > 0.0 {
        to.applied.saturating_sub(from.applied) as f64 / seconds
    } else {
        0.0
    }
}
