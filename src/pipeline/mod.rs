//! The engine: from the log to the stores.
//!
//! One batch, top to bottom: the [`Engine`] learns from the group which partitions this instance owns. Each has a
//! *feeder* that pulls chunks from a reader, has them decoded once (`decoding`), keeps them in a
//! *ring* and hands them to the *tracks* that stand inside it; a catch-up *pass* brings the others
//! there. A *lane* folds the chunks of its tracks into a *batch* and *commits* it: one atomic step
//! in the store. What the store says ends, repeats or completes the batch; `policy` decides when a
//! track that ended is *claimed* again. The *board* shows what everything is doing.
//!
//! Correctness rests on three things alone: a chunk is taken only if `from ≤ position < to`; a
//! cursor moves only under its claim, in the same step as the rows; and a track starts only
//! through a claim. Everything else is pacing.
//!
//! **Architecture invariant:** live, building and standby generations run the same code; a role
//! changes pacing and labels only.

mod backoff;
mod base;
mod batch;
mod board;
mod budget;
mod claim;
mod commit;
mod decoding;
mod engine;
mod excerpt;
mod feeder;
mod hold;
mod lane;
mod meter;
mod onto;
mod pace;
mod pass;
mod policy;
mod readers;
mod ring;
mod spec;
mod stall;
mod status;
mod surroundings;

pub(crate) use batch::guarded;
pub use board::{Board, TrackName};
pub use budget::Budget;
pub use decoding::Envelopes;
pub use engine::{Engine, Parts};
pub use excerpt::Excerpts;
pub use pace::Pace;
pub use spec::{Limits, PipelineKey, PipelineSpec, Role, TopicUse};
pub use stall::{Reason, Stall};
pub use status::TrackStatus;
