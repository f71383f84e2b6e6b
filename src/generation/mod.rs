//! Generations: what should run, and the loop that makes it so.
//!
//! Desired state lives in the control tables. Every instance runs a [`Reconciler`]: it proposes
//! the definitions it was started with, reads what the control tables say, sees to it that every generation is in its
//! stores, and derives the pipelines of this instance. Files only propose: what runs is the
//! definition text in the control tables.
//!
//! **Architecture invariant:** the reconciler holds no state that matters. Killed at any point, the next step of any
//! instance continues from the control tables and the stores.

mod catalog;
mod ensure;
mod governor;
mod plan;
mod progress;
mod reconcile;
mod topics;
mod verify;

pub use catalog::{Catalog, Change, Entry};
pub use governor::{Governor, Inputs, Limit, inputs_from, share_of, unfinished_here};
pub use plan::{From, PartitionPlan, Plan, Prepared, RebuildRequest, Relation};
pub use progress::{Progress, TrackProgress};
pub use reconcile::{Reconciler, Settings};
pub use topics::ReadTopics;
pub use verify::{Difference, EXAMPLES, Side, Verification, Verifier};
