//! The process's beginning and end: signals and the bounded drain (I13).

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::fault::{Fault, Result};

/// A token that is cancelled by the first SIGTERM or SIGINT. A second signal ends the process at
/// once, with 128 + its number as a shell reports it; cursors make that safe. Must be called inside
/// the runtime; misconfigured when signals cannot be watched.
pub fn shutdown_on_signals() -> Result<CancellationToken> {
    let watch = |kind| {
        signal(kind).map_err(|error| Fault::misconfigured(format!("watch signals: {error}")))
    };
    let terminate = watch(SignalKind::terminate())?;
    let interrupt = watch(SignalKind::interrupt())?;
    let shutdown = CancellationToken::new();
    tokio::spawn(watch_signals(terminate, interrupt, shutdown.clone()));
    Ok(shutdown)
}

async fn watch_signals(mut terminate: Signal, mut interrupt: Signal, shutdown: CancellationToken) {
    loop {
        let kind = tokio::select! {
            Some(()) = terminate.recv() => SignalKind::terminate(),
            Some(()) = interrupt.recv() => SignalKind::interrupt(),
            else => return,
        };
        if shutdown.is_cancelled() {
            tracing::warn!("second signal: ending at once");
            std::process::exit(128 + kind.as_raw_value());
        }
        tracing::info!("signal received: draining; a second one ends at once");
        shutdown.cancel();
    }
}

/// Runs `work` to its end. Once `shutdown` is cancelled, it has `grace` left; after that it is
/// dropped and none is answered.
pub async fn drained<T>(
    shutdown: &CancellationToken,
    grace: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let deadline = async {
        shutdown.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = deadline => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_has_the_grace_period_after_the_signal_and_no_more() {
        let shutdown = CancellationToken::new();
        let grace = Duration::from_secs(5);
        let work = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
        assert_eq!(drained(&shutdown, grace, work(3600)).await, Some(()));
        shutdown.cancel();
        assert_eq!(drained(&shutdown, grace, work(4)).await, Some(()));
        assert_eq!(drained(&shutdown, grace, work(6)).await, None);
    }
}
