//! Generations: what should run, and the loop that makes it so.
//!
//! Desired state lives in the control tables. Every instance runs a [`Reconciler`]: it proposes
//! the definitions it was started with, reads what the control tables say, sees to it that every generation is in its
//! stores, and derives the pipelines of this instance. Files only propose: what runs is the
//! definition text in the control tables.
//!
//! **Architecture invariant:** the reconciler holds no state that matters. Killed at any point, the next step of any
//! instance continues from the control tables and the stores.

mod build;
mod catalog;
mod cleanup;
mod coordinator;
mod cutover;
mod distance;
mod ensure;
mod estimate;
mod governor;
mod inquiry;
mod jobs;
mod objections;
mod pacing;
mod plan;
mod planner;
mod progress;
mod reconcile;
mod start;
mod starts;
mod survey;
mod topics;
mod verify;
mod warnings;

pub use catalog::{Catalog, Entry};
pub use coordinator::{Coordinator, Note, Notes, Workshop};
pub use governor::Limit;
pub use jobs::{VERIFY, VerifyJob, VerifyOutcome};
pub use pacing::Pacing;
pub use plan::{From, PartitionPlan, Plan, PlanError, Prepared, RebuildRequest, Relation};
pub use planner::Planner;
pub use progress::{Progress, TrackProgress};
pub use reconcile::{Reconciler, Settings};
pub use start::{Requester, Started, Starter};
pub use topics::ReadTopics;
pub use verify::{Difference, EXAMPLES, Side, Verification, Verifier};

// What is built and how is part of the answers about generations.
pub use crate::store::control::{Base, BuildOptions, Promote};
