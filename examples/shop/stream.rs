//! A stream of shop orders: realistic, and the same for the same seed on every machine, for ever.

use serde_json::{Value, json};

/// One event, with the key under which it is published.
#[derive(Clone, Debug)]
pub(crate) struct ShopEvent {
    pub(crate) customer: String,
    pub(crate) event_type: &'static str,
    /// Milliseconds since the epoch.
    pub(crate) time_ms: i64,
    pub(crate) value: Value,
}

/// What the stream looks like.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) seed: u64,
    pub(crate) customers: u64,
    pub(crate) products: u64,
    /// The share of events that are published twice, 0…1.
    pub(crate) duplicates: f64,
    /// The share of events that are held back and published late, 0…1.
    pub(crate) late: f64,
    /// Seconds since the epoch at which the stream begins; every event is a millisecond later.
    pub(crate) start: i64,
}

/// An order that is under way.
struct Order {
    id: String,
    customer: String,
    lines: Vec<(String, u64, u64)>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Created,
    Paid,
    Shipped,
    Delivered,
}

/// The stream; endless.
pub(crate) struct Stream {
    shape: Shape,
    random: Random,
    events: u64,
    orders: u64,
    active: Vec<Order>,
    again: Option<ShopEvent>,
    held: Vec<(u64, ShopEvent)>,
}

/// SplitMix64: the same numbers in every release of this program.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn chance(&mut self, share: f64) -> bool {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64 <= share && share > 0.0
    }

    /// Below `bound`, the small ones much more often: a few customers order most.
    fn skewed(&mut self, bound: u64) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((unit * unit * unit * bound as f64) as u64).min(bound.saturating_sub(1))
    }
}

/// Cents as text with two digits.
pub(crate) fn money(cents: i128) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

impl Stream {
    pub(crate) fn new(shape: Shape) -> Self {
        let random = Random(shape.seed);
        Self {
            shape,
            random,
            events: 0,
            orders: 0,
            active: Vec::new(),
            again: None,
            held: Vec::new(),
        }
    }

    fn step(&mut self) -> ShopEvent {
        let begin = self.active.is_empty() || (self.active.len() < 400 && self.random.chance(0.3));
        if begin {
            return self.create();
        }
        let index = self.random.below(self.active.len() as u64) as usize;
        self.advance(index)
    }

    fn create(&mut self) -> ShopEvent {
        let customer = format!("c-{:05}", self.random.skewed(self.shape.customers));
        self.orders += 1;
        let id = format!("o-{}-{:08}", self.shape.seed % 100_000, self.orders);
        let mut lines: Vec<(String, u64, u64)> = Vec::new();
        for _ in 0..1 + self.random.below(4) {
            let product = self.random.skewed(self.shape.products);
            let sku = format!("sku-{product:04}");
            if lines.iter().all(|(other, _, _)| *other != sku) {
                lines.push((sku, 1 + self.random.below(5), 99 + (product * 37) % 20_000));
            }
        }
        let order = Order {
            id,
            customer,
            lines,
            stage: Stage::Created,
        };
        let data = json!({
            "orderId": order.id, "customerId": order.customer, "total": money(order.total()),
            "currency": "EUR", "lines": order.lines_json(),
        });
        let event = self.event(&order.customer, "order.created", data);
        self.active.push(order);
        event
    }

    fn advance(&mut self, index: usize) -> ShopEvent {
        let order = &self.active[index];
        let (id, customer) = (order.id.clone(), order.customer.clone());
        let (total, lines) = (money(order.total()), order.lines_json());
        let roll = self.random.below(100);
        let (stage, event_type, data) = match order.stage {
            Stage::Created | Stage::Paid if roll < 8 => {
                let mut data = json!({ "orderId": id, "customerId": customer, "total": total, "lines": lines });
                if order.stage == Stage::Paid {
                    data["refunded"] = Value::Bool(true);
                }
                (None, "order.cancelled", data)
            }
            Stage::Created => {
                let data = json!({ "orderId": id, "customerId": customer, "amount": total });
                (Some(Stage::Paid), "order.paid", data)
            }
            Stage::Paid => {
                let carrier = ["post", "courier", "bike"][(roll % 3) as usize];
                let data = json!({ "orderId": id, "customerId": customer, "carrier": carrier });
                (Some(Stage::Shipped), "order.shipped", data)
            }
            Stage::Shipped => {
                let data = json!({ "orderId": id, "customerId": customer });
                (Some(Stage::Delivered), "order.delivered", data)
            }
            Stage::Delivered if roll < 10 => {
                let data = json!({ "orderId": id, "customerId": customer, "amount": total });
                (None, "order.refunded", data)
            }
            Stage::Delivered => {
                self.active.swap_remove(index);
                return self.create();
            }
        };
        let event = self.event(&customer, event_type, data);
        match stage {
            Some(stage) => self.active[index].stage = stage,
            None => drop(self.active.swap_remove(index)),
        }
        event
    }

    fn event(&mut self, customer: &str, event_type: &'static str, data: Value) -> ShopEvent {
        let time_ms = self.shape.start * 1000 + self.events as i64;
        let id = format!("{:016x}{:016x}", self.random.next(), self.random.next());
        let value = json!({
            "eventId": id, "eventType": event_type, "eventVersion": "1",
            "timestamp": rfc3339(time_ms), "source": "shop", "correlationId": &id[..12], "data": data,
        });
        ShopEvent {
            customer: customer.to_owned(),
            event_type,
            time_ms,
            value,
        }
    }
}

impl Order {
    fn total(&self) -> i128 {
        self.lines
            .iter()
            .map(|(_, quantity, price)| i128::from(quantity * price))
            .sum()
    }

    fn lines_json(&self) -> Value {
        let line = |(sku, quantity, price): &(String, u64, u64)| json!({ "sku": sku, "quantity": quantity, "price": money(i128::from(*price)) });
        self.lines.iter().map(line).collect()
    }
}

/// Milliseconds since the epoch as RFC 3339 text in UTC, without needless zeros.
pub(crate) fn rfc3339(time_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(time_ms)
        .map(|at| at.to_string())
        .unwrap_or_default()
}

impl Iterator for Stream {
    type Item = ShopEvent;

    fn next(&mut self) -> Option<ShopEvent> {
        self.events += 1;
        if let Some(due) = self.held.iter().position(|(at, _)| *at <= self.events) {
            return Some(self.held.remove(due).1);
        }
        if let Some(again) = self.again.take() {
            return Some(again);
        }
        let event = self.step();
        if self.random.chance(self.shape.late) {
            let delay = 1 + self.random.below(50);
            self.held.push((self.events + delay, event));
            return Some(self.step());
        }
        if self.random.chance(self.shape.duplicates) {
            self.again = Some(event.clone());
        }
        Some(event)
    }
}
