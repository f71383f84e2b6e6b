//! The load: credits to accounts, the same for the same seed on every machine.

use std::collections::BTreeMap;

use super::Load;

/// How many accounts there are.
pub(crate) const ACCOUNTS: u64 = 10_000;
/// How long an event is, in bytes.
pub(crate) const EVENT_BYTES: usize = 300;
/// Milliseconds since the epoch at which the stream's own time begins.
const START_MS: u64 = 1_795_000_000_000;

/// One event.
#[derive(Clone, Copy)]
pub(crate) struct Event {
    /// Distinct within a load, in no order.
    pub(crate) id: u64,
    pub(crate) account: u64,
    pub(crate) cents: u64,
    time_ms: u64,
}

/// What a row of the counters gains, or holds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sums {
    pub(crate) events: u64,
    pub(crate) cents: u64,
}

/// Consecutive events, folded: account → what it gains.
pub(crate) struct Batch {
    pub(crate) events: u64,
    pub(crate) rows: BTreeMap<u64, Sums>,
}

/// The finaliser of SplitMix64: a bijection, so that distinct numbers stay distinct.
fn mix(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Load {
    pub(crate) fn stream(&self) -> impl Iterator<Item = Event> + use<> {
        let seed = mix(self.seed);
        (0..self.events).map(move |index| {
            let id = mix(seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            let account = mix(id ^ 1) % ACCOUNTS;
            Event {
                id,
                account,
                cents: 1 + mix(id ^ 2) % 100_000,
                time_ms: START_MS + index,
            }
        })
    }

    /// The load in batches that close when they would get more than `most` rows.
    pub(crate) fn folded(&self, most: usize) -> impl Iterator<Item = Batch> + use<> {
        let mut events = self.stream().peekable();
        std::iter::from_fn(move || {
            events.peek()?;
            let mut batch = Batch {
                events: 0,
                rows: BTreeMap::new(),
            };
            let fits = |rows: &BTreeMap<u64, Sums>, event: &Event| {
                rows.len() < most || rows.contains_key(&event.account)
            };
            while let Some(event) = events.next_if(|event| fits(&batch.rows, event)) {
                batch.events += 1;
                batch.rows.entry(event.account).or_default().add(Sums {
                    events: 1,
                    cents: event.cents,
                });
            }
            Some(batch)
        })
    }
}

impl Sums {
    pub(crate) fn add(&mut self, more: Self) {
        self.events += more.events;
        self.cents += more.cents;
    }
}

impl Event {
    /// The record's value: [`EVENT_BYTES`] of JSON.
    pub(crate) fn json(&self) -> anyhow::Result<String> {
        let time = jiff::Timestamp::from_millisecond(i64::try_from(self.time_ms)?)?;
        let (id, account, amount) = (id(self.id), account(self.account), money(self.cents));
        let head = format!(
            r#"{{"eventId":"{id}","eventType":"account.credited","eventVersion":"1","timestamp":"{time:.3}","source":"bench","data":{{"accountId":"{account}","amount":"{amount}","currency":"EUR","reference":"{:016x}","note":""#,
            mix(self.id ^ 3),
        );
        let tail = r#""}}"#;
        let missing = EVENT_BYTES.saturating_sub(head.len() + tail.len());
        Ok(format!("{head}{:x<missing$}{tail}", ""))
    }
}

/// An event's id as text. Texts sort as the numbers do.
pub(crate) fn id(id: u64) -> String {
    format!("{id:016x}")
}

/// An account's id as text. Texts sort as the numbers do.
pub(crate) fn account(account: u64) -> String {
    format!("a-{account:05}")
}

/// Cents as text with two digits behind the point.
pub(crate) fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
