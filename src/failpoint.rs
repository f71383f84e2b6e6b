//! Named points at which tests make a process fail. Built only with the feature `failpoints`; without it
//! a point is nothing at all.
//!
//! The variable `FAILPOINTS` says what happens where, as the crate `fail` reads it:
//! `cutover::between=return;lane::cut=50*off->sleep(2000)`. Here `return` ends the process on the spot,
//! without unwinding or leaving the group: as good as `kill -9`. `sleep(ms)` and `pause` hold the thread.

/// Passes a named point: does what `FAILPOINTS` says of it, with the feature `failpoints`.
#[cfg(feature = "failpoints")]
macro_rules! failpoint {
    ($name:literal) => {
        $crate::failpoint::pass($name)
    };
}

/// Passes a named point: nothing without the feature `failpoints`.
#[cfg(not(feature = "failpoints"))]
macro_rules! failpoint {
    ($name:literal) => {};
}

/// Reads `FAILPOINTS`; what it says holds as long as the answer lives.
#[cfg(feature = "failpoints")]
pub fn configure() -> fail::FailScenario<'static> {
    fail::FailScenario::setup()
}

#[cfg(feature = "failpoints")]
pub(crate) fn pass(name: &str) {
    fail::fail_point!(name, |_| std::process::abort());
}
