//! What is printed.

use std::time::Duration;

use super::account::{Account, Phase, Tally};
use super::build::Build;

/// The `part` (0…1) of sorted samples, in milliseconds.
fn quantile(samples: &[f64], part: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let index = (last as f64 * part).round() as usize;
    sorted.get(index).map(|seconds| seconds * 1000.0)
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.0}"))
}

pub(crate) fn print(account: &Account, build: &Build, cutover: Duration, rollback: Duration) {
    println!("| phase        |   reads | failed | empty or mixed | gone back |");
    println!("|--------------|--------:|-------:|---------------:|----------:|");
    account.with(|tallies| {
        let none = Tally::default();
        for phase in Phase::ALL {
            let tally = tallies.get(&phase).unwrap_or(&none);
            println!(
                "| {:<12} | {:>7} | {:>6} | {:>14} | {:>9} |",
                phase.name(),
                tally.reads,
                tally.failed,
                tally.mixed,
                tally.back
            );
        }
        println!();
        println!("| time to visible, ms | store    |  events |  p50 |  p99 | p99 ÷ before |");
        println!("|---------------------|----------|--------:|-----:|-----:|-------------:|");
        for store in ["postgres", "redis"] {
            let samples = |phase: Phase| {
                let tally = tallies.get(&phase).unwrap_or(&none);
                tally.visible.get(store).cloned().unwrap_or_default()
            };
            let before = quantile(&samples(Phase::Before), 0.99);
            for phase in Phase::ALL {
                let samples = samples(phase);
                let p99 = quantile(&samples, 0.99);
                let ratio = p99.zip(before).filter(|(_, before)| *before > 0.0);
                println!(
                    "| {:<19} | {store:<8} | {:>7} | {:>4} | {:>4} | {:>12} |",
                    phase.name(),
                    samples.len(),
                    shown(quantile(&samples, 0.5)),
                    shown(p99),
                    ratio.map_or_else(
                        || "–".to_owned(),
                        |(now, then)| format!("{:.2}", now / then)
                    ),
                );
            }
        }
    });
    println!();
    println!(
        "build: {:.0} records/s; {:.1} s to the end of the log, {:.1} s of verification; \
         cutover {:.0} ms, rollback {:.0} ms",
        build.rate,
        build.catching_up,
        build.verifying,
        cutover.as_secs_f64() * 1000.0,
        rollback.as_secs_f64() * 1000.0,
    );
    for forecast in &build.forecasts {
        println!(
            "at {} %: {} s forecast, {:.1} s taken",
            forecast.percent,
            forecast
                .eta
                .map_or_else(|| "no".to_owned(), |eta| format!("{eta:.1}")),
            forecast.took
        );
    }
    let seen: u64 = build.limits.values().sum();
    for (limit, times) in &build.limits {
        println!(
            "limited by {limit}: {:.0} % of the time",
            *times as f64 * 100.0 / seen.max(1) as f64
        );
    }
}
