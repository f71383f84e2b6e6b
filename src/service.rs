//! The composition root: the only file that names concrete stores and sources.

use tokio_util::sync::CancellationToken;

use crate::config::{Config, Role};
use crate::projection::Registry;

/// Runs the service until `shutdown`.
pub async fn run(
    config: Config,
    role: Role,
    registry: Registry,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let _ = (config, role, registry, shutdown);
    anyhow::bail!("not written yet")
}
