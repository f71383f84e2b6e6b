//! Hermetic tests: no server, no network but the loopback.

mod source;
