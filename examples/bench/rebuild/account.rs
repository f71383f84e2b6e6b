//! What the readers saw, by phase.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

/// What goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// The first seconds of traffic, in which connections, plans and caches come into being.
    WarmUp,
    Before,
    /// Catching up.
    Build,
    Verification,
    Cutover,
    Rollback,
}

impl Phase {
    pub(crate) const ALL: [Self; 6] = [
        Self::WarmUp,
        Self::Before,
        Self::Build,
        Self::Verification,
        Self::Cutover,
        Self::Rollback,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Before => "before",
            Self::Build => "build",
            Self::Verification => "verification",
            Self::Cutover => "cutover",
            Self::Rollback => "rollback",
        }
    }
}

/// One phase as the readers saw it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) reads: u64,
    pub(crate) failed: u64,
    /// Rows that were gone, or mixed from two generations.
    pub(crate) mixed: u64,
    /// Rows or positions that went back.
    pub(crate) back: u64,
    /// Seconds from the production of an event until a reader saw it, by store.
    pub(crate) visible: BTreeMap<&'static str, Vec<f64>>,
}

/// What a read can turn out to be.
#[derive(Clone, Copy)]
pub(crate) enum Wrong {
    Failed,
    Mixed,
    Back,
}

/// Keeps the tallies; shared by all threads.
pub(crate) struct Account {
    phase: AtomicU8,
    tallies: Mutex<BTreeMap<Phase, Tally>>,
    /// When each event of the probe row was produced, by its number.
    produced: Mutex<BTreeMap<u64, Instant>>,
    shown: AtomicU64,
}

/// How many wrong reads are described on standard error.
const SHOWN: u64 = 20;

impl Account {
    pub(crate) fn new() -> Self {
        Self {
            phase: AtomicU8::new(Phase::WarmUp as u8),
            tallies: Mutex::default(),
            produced: Mutex::default(),
            shown: AtomicU64::new(0),
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        eprintln!("{} …", phase.name());
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn phase(&self) -> Phase {
        let index = usize::from(self.phase.load(Ordering::Relaxed));
        Phase::ALL.get(index).copied().unwrap_or(Phase::Before)
    }

    /// Changes the tally of what goes on. A poisoned lock still holds good counts.
    fn note(&self, change: impl FnOnce(&mut Tally)) {
        let mut tallies = self
            .tallies
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        change(tallies.entry(self.phase()).or_default());
    }

    pub(crate) fn read(&self) {
        self.note(|tally| tally.reads += 1);
    }

    pub(crate) fn wrong(&self, wrong: Wrong, what: impl FnOnce() -> String) {
        if self.shown.fetch_add(1, Ordering::Relaxed) < SHOWN {
            eprintln!("{}: {}", self.phase().name(), what());
        }
        self.note(|tally| match wrong {
            Wrong::Failed => tally.failed += 1,
            Wrong::Mixed => tally.mixed += 1,
            Wrong::Back => tally.back += 1,
        });
    }

    /// An event of the probe row is about to be produced.
    pub(crate) fn produced(&self, number: u64) {
        let mut produced = self
            .produced
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        produced.insert(number, Instant::now());
    }

    /// A reader of `store` sees the probe row at `number`, and saw it at `before` until a moment ago.
    pub(crate) fn visible(&self, store: &'static str, before: u64, number: u64) {
        let now = Instant::now();
        let produced = self
            .produced
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let took: Vec<f64> = produced
            .range(before + 1..=number)
            .map(|(_, at)| (now - *at).as_secs_f64())
            .collect();
        drop(produced);
        self.note(|tally| tally.visible.entry(store).or_default().extend(took));
    }

    pub(crate) fn problems(&self) -> u64 {
        self.with(|tallies| {
            let wrong = |tally: &Tally| tally.failed + tally.mixed + tally.back;
            tallies.values().map(wrong).sum()
        })
    }

    /// Looks at the tallies.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&BTreeMap<Phase, Tally>) -> T) -> T {
        let tallies = self
            .tallies
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        look(&tallies)
    }
}
