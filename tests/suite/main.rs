//! The hermetic suite: no server, no clock, no network.

mod definitions;
