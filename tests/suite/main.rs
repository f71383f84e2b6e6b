//! Hermetic tests: no server, no network but the loopback.

#[cfg(test)]
mod source;
