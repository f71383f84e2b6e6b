//! How far a build is, for people: a line, or a bar on a terminal.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output;
use crate::api::{BuildStatus, GenerationDetail, Progress};

/// How often a line is printed where there is no terminal.
const PERIOD: Duration = Duration::from_secs(5);

/// What a build does and how far it is, in one line.
pub(super) fn line(build: &BuildStatus) -> String {
    let mut parts = Vec::new();
    if let Some(progress) = build.progress.filter(|progress| progress.target > 0) {
        parts.push(counted(&progress));
        parts.push(pace(&progress));
    }
    parts.push(limit(build));
    parts.retain(|part| !part.is_empty());
    let what = doing(build);
    match (parts.is_empty(), what.contains(':')) {
        (true, _) => what.to_owned(),
        // `copying postgres: 1200 rows`
        (false, true) => format!("{what}, {}", parts.join(", ")),
        (false, false) => format!("{what}: {}", parts.join(", ")),
    }
}

fn doing(build: &BuildStatus) -> &str {
    match (build.paused, &*build.phase) {
        (true, _) => "paused",
        (false, "") => "starting",
        (false, phase) => phase,
    }
}

fn counted(progress: &Progress) -> String {
    let (done, target) = (count(progress.done), count(progress.target));
    format!("{done} of {target} records ({} %)", percent(progress))
}

/// Whole per cent, 100 only at the end.
pub(super) fn percent(progress: &Progress) -> u64 {
    match progress.target {
        0 => 0,
        target => {
            let done = u128::from(progress.done.min(target)) * 100 / u128::from(target);
            u64::try_from(done).unwrap_or(100)
        }
    }
}

fn pace(progress: &Progress) -> String {
    let rate = format!("{}/s", count(progress.rate.max(0.0).round() as u64));
    match progress.eta_seconds {
        Some(seconds) if seconds > 0.0 => format!("{rate}, {} left", lasting(seconds)),
        None if !progress.converging => format!("{rate}, not converging: the log grows as fast"),
        _ => rate,
    }
}

/// What holds it back, if anything does.
fn limit(build: &BuildStatus) -> String {
    let at = build.rate_limit.map_or_else(String::new, |rate| {
        format!(" to {}/s", count(rate.max(0.0).round() as u64))
    });
    match &*build.limited_by {
        "" | "none" | "paused" => String::new(),
        reason => format!("limited by {reason}{at}"),
    }
}

/// A number with separated thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time span, as exact as people want it.
pub(super) fn lasting(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 1e9).round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{} h {m} min", count(h)),
    }
}

/// A bar of plain characters.
pub(super) fn drawn(progress: &Progress) -> String {
    const WIDTH: usize = 24;
    let filled = usize::try_from(percent(progress)).map_or(0, |percent| percent * WIDTH / 100);
    format!("{}{}", "█".repeat(filled), "░".repeat(WIDTH - filled))
}

/// Shows one build while it goes on, on standard error: a bar on a terminal, else a line every few seconds.
pub(super) struct Show {
    bar: Option<ProgressBar>,
    last: Option<(Instant, String)>,
}

impl Show {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{prefix} [{bar:24}] {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, last: None }
    }

    /// Shows the generation as it is.
    pub(super) fn show(&mut self, detail: &GenerationDetail) {
        let Some(build) = &detail.status.build else {
            return;
        };
        let name = format!("{} {}", detail.projection, detail.status.generation);
        let text = line(build);
        match &self.bar {
            Some(bar) => {
                let progress = build.progress.unwrap_or_default();
                bar.set_length(progress.target);
                bar.set_position(progress.done.min(progress.target));
                bar.set_prefix(name);
                bar.set_message(text);
                bar.tick();
            }
            None => self.print(format!("{name}: {text}")),
        }
    }

    fn print(&mut self, text: String) {
        let due = self
            .last
            .as_ref()
            .is_none_or(|(at, last)| *last != text && at.elapsed() >= PERIOD);
        if due {
            output::error_line(&text);
            self.last = Some((Instant::now(), text));
        }
    }

    /// Says something beside the bar.
    pub(super) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::error_line(text)),
            None => output::error_line(text),
        }
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build() -> BuildStatus {
        BuildStatus {
            progress: Some(Progress {
                done: 1_234_567,
                target: 2_000_000,
                rate: 1_000.4,
                eta_seconds: Some(765.4),
                converging: true,
            }),
            rate_limit: Some(1000.0),
            limited_by: "live lag".into(),
            phase: "catching up".into(),
            ..BuildStatus::default()
        }
    }

    #[test]
    fn a_line_says_what_how_far_how_fast_how_long_and_why_not_faster() {
        assert_eq!(
            line(&build()),
            "catching up: 1,234,567 of 2,000,000 records (61 %), 1,000/s, 12 min 45 s left, \
             limited by live lag to 1,000/s"
        );
    }

    #[test]
    fn a_build_that_does_not_converge_says_so() {
        let mut slow = build();
        slow.limited_by = "none".into();
        slow.progress = slow.progress.map(|progress| Progress {
            eta_seconds: None,
            converging: false,
            ..progress
        });
        let text = line(&slow);
        assert!(
            text.ends_with("1,000/s, not converging: the log grows as fast"),
            "{text}"
        );
    }

    #[test]
    fn a_build_is_not_at_100_per_cent_before_its_end() {
        let at = |done| Progress {
            done,
            target: 1000,
            ..Progress::default()
        };
        assert_eq!(
            [0, 999, 1000, 1001].map(|done| percent(&at(done))),
            [0, 99, 100, 100]
        );
        assert_eq!(percent(&Progress::default()), 0);
    }

    #[test]
    fn time_spans_are_as_exact_as_people_want_them() {
        assert_eq!(
            [0.4, 59.0, 61.0, 7_322.0].map(lasting),
            ["0 s", "59 s", "1 min 1 s", "2 h 2 min"]
        );
    }
}
