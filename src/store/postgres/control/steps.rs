//! What the holder of a lease records: builds that are ready, failed, live, retired, cleaned.

use uuid::Uuid;

use super::PostgresControl;
use super::audit::{self, Note, SERVICE};
use super::generations::{self, change_under};
use crate::fault::Result;
use crate::projection::StoreKind;
use crate::store::control::{GenerationRecord, Lease};
use crate::store::desired;

/// How a step is audited: the action, and why.
pub(super) type Audited<'a> = Option<(&'static str, Option<&'a str>)>;

impl PostgresControl {
    /// Changes the generations of the build's projection in one transaction, under the lease;
    /// audited where something was changed.
    pub(super) async fn step(
        &self,
        lease: &Lease,
        build: Uuid,
        audited: Audited<'_>,
        change: impl FnOnce(&mut [GenerationRecord]) -> bool + Send,
    ) -> Result<bool> {
        let mut session = self.write().await?;
        let result = async {
            let changed = change_under(&self.db, &mut session, lease, build, change).await?;
            if let (Some((action, reason)), Some(record)) = (audited, changed.written) {
                let detail = serde_json::json!({"generation": record.number, "build": build});
                let note = Note::new(SERVICE, action, &record.projection);
                let note = note.reason(reason).detail(detail);
                audit::write(&self.db, &mut session, &note).await?;
            }
            Ok(changed.done)
        }
        .await;
        self.db.close(session, result).await
    }

    /// Records that a build is gone from a store; forgets the projection when it was the last.
    pub(super) async fn clean(&self, lease: &Lease, build: Uuid, store: StoreKind) -> Result<bool> {
        let mut session = self.write().await?;
        let result = async {
            let clean = |all: &mut [GenerationRecord]| desired::set_cleaned(all, build, store);
            let changed = change_under(&self.db, &mut session, lease, build, clean).await?;
            if changed.done && desired::is_gone(&changed.all) {
                generations::delete(&self.db, &mut session, &changed.all).await?;
            }
            Ok(changed.done)
        }
        .await;
        self.db.close(session, result).await
    }
}
