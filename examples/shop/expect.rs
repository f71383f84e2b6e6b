//! What the shipped views must hold after a stream: computed one event after the other, in plain
//! code that shares nothing with the engine. Money is counted in whole cents.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::stream::{ShopEvent, money, rfc3339};

/// A view's rows: key, then column by column as JSON.
pub(crate) type Rows = BTreeMap<String, BTreeMap<&'static str, Value>>;

#[derive(Default)]
struct Customer {
    orders: i64,
    spent: i128,
    refunded: i128,
    cancelled: i64,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    status: Option<&'static str>,
    last_order: Option<String>,
}

#[derive(Default)]
struct Product {
    orders: i64,
    quantity: i64,
    revenue: i128,
    cancelled: i64,
    shipped: i64,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    last_price: Option<(i64, String, String)>,
}

/// The views as they become, event by event.
#[derive(Default)]
pub(crate) struct Expected {
    customers: BTreeMap<String, Customer>,
    products: BTreeMap<String, Product>,
    orders: Rows,
}

fn text(value: &Value) -> String {
    value.as_str().map(str::to_owned).unwrap_or_default()
}

fn cents(value: &Value) -> i128 {
    text(value).replace('.', "").parse().unwrap_or_default()
}

impl Expected {
    pub(crate) fn apply(&mut self, event: &ShopEvent) {
        self.customer(event);
        self.product(event);
        self.order(event);
    }

    fn customer(&mut self, event: &ShopEvent) {
        let data = &event.value["data"];
        if event.event_type == "order.cancelled" && data["refunded"] != Value::Bool(true) {
            return;
        }
        let row = self.customers.entry(text(&data["customerId"])).or_default();
        match event.event_type {
            "order.created" => {
                row.orders += 1;
                row.spent += cents(&data["total"]);
                row.last_order = Some(text(&data["orderId"]));
                row.last_ms = row.last_ms.max(Some(event.time_ms));
                row.first_ms = Some(
                    row.first_ms
                        .map_or(event.time_ms, |first| first.min(event.time_ms)),
                );
            }
            "order.cancelled" => {
                row.orders -= 1;
                row.cancelled += 1;
                row.spent -= cents(&data["total"]);
                row.refunded += cents(&data["total"]);
            }
            "order.refunded" => {
                row.spent -= cents(&data["amount"]);
                row.refunded += cents(&data["amount"]);
            }
            _ => {}
        }
        row.status = event.event_type.strip_prefix("order.");
    }

    fn product(&mut self, event: &ShopEvent) {
        let lines = event.value["data"]["lines"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        for line in lines {
            let (quantity, price) = (
                line["quantity"].as_i64().unwrap_or_default(),
                cents(&line["price"]),
            );
            let row = self.products.entry(text(&line["sku"])).or_default();
            match event.event_type {
                "order.created" => {
                    row.orders += 1;
                    row.quantity += quantity;
                    row.revenue += price * i128::from(quantity);
                    row.last_ms = row.last_ms.max(Some(event.time_ms));
                    row.first_ms = Some(
                        row.first_ms
                            .map_or(event.time_ms, |first| first.min(event.time_ms)),
                    );
                    let latest = (
                        event.time_ms,
                        text(&event.value["eventId"]),
                        text(&line["price"]),
                    );
                    row.last_price = row.last_price.take().max(Some(latest));
                }
                "order.cancelled" => {
                    row.orders -= 1;
                    row.quantity -= quantity;
                    row.cancelled += quantity;
                    row.revenue -= price * i128::from(quantity);
                }
                "order.shipped" => row.shipped += quantity,
                _ => {}
            }
        }
    }

    fn order(&mut self, event: &ShopEvent) {
        let data = &event.value["data"];
        let at = json!(rfc3339(event.time_ms));
        let row = self
            .orders
            .entry(text(&data["orderId"]))
            .or_insert_with(|| {
                let mut row: BTreeMap<&'static str, Value> =
                    ORDER_COLUMNS.iter().map(|c| (*c, Value::Null)).collect();
                row.insert("order_id", data["orderId"].clone());
                row.insert("paid", json!("0.00"));
                row.insert("refunded", json!("0.00"));
                row.insert("events", json!(0));
                row
            });
        let add = |row: &mut BTreeMap<&'static str, Value>, column, more: &Value| {
            let sum = cents(&row[column]) + cents(more);
            row.insert(column, json!(money(sum)));
        };
        match event.event_type {
            "order.created" => {
                row.insert("customer_id", data["customerId"].clone());
                row.insert("currency", data["currency"].clone());
                row.insert("total", data["total"].clone());
                row.insert("lines", data["lines"].clone());
            }
            "order.paid" => add(row, "paid", &data["amount"]),
            "order.shipped" => drop(row.insert("carrier", data["carrier"].clone())),
            "order.cancelled" if data["refunded"] == Value::Bool(true) => {
                add(row, "refunded", &data["total"])
            }
            "order.refunded" => add(row, "refunded", &data["amount"]),
            _ => {}
        }
        let (status, stamp) = match event.event_type {
            "order.created" => ("created", "created_at"),
            "order.paid" => ("paid", "paid_at"),
            "order.shipped" => ("shipped", "shipped_at"),
            "order.delivered" => ("delivered", "delivered_at"),
            "order.cancelled" => ("cancelled", "cancelled_at"),
            _ => ("refunded", "refunded_at"),
        };
        row.insert("status", json!(status));
        row.insert(stamp, at.clone());
        row.insert(
            "events",
            json!(row["events"].as_i64().unwrap_or_default() + 1),
        );
        let updated = row["updated_at"]
            .as_str()
            .and_then(|was| was.parse::<jiff::Timestamp>().ok());
        if updated.is_none_or(|was| was.as_millisecond() < event.time_ms) {
            row.insert("updated_at", at);
        }
    }

    /// The rows of one of the shipped views.
    pub(crate) fn rows(&self, view: &str) -> Option<Rows> {
        let instant = |ms: &Option<i64>| ms.map_or(Value::Null, |ms| json!(rfc3339(ms)));
        match view {
            "orders" => Some(self.orders.clone()),
            "customer_orders" => Some(
                self.customers
                    .iter()
                    .map(|(id, row)| {
                        let columns = BTreeMap::from([
                            ("customer_id", json!(id)),
                            ("orders", json!(row.orders)),
                            ("spent", json!(money(row.spent))),
                            ("last_order_at", instant(&row.last_ms)),
                            ("last_status", json!(row.status)),
                            ("first_order_at", instant(&row.first_ms)),
                            ("last_order_id", json!(row.last_order)),
                            ("cancelled", json!(row.cancelled)),
                            ("refunded", json!(money(row.refunded))),
                        ]);
                        (id.clone(), columns)
                    })
                    .collect(),
            ),
            "product_sales" => Some(
                self.products
                    .iter()
                    .map(|(sku, row)| {
                        let columns = BTreeMap::from([
                            ("sku", json!(sku)),
                            ("orders", json!(row.orders)),
                            ("quantity", json!(row.quantity)),
                            ("revenue", json!(money(row.revenue))),
                            ("cancelled", json!(row.cancelled)),
                            ("shipped", json!(row.shipped)),
                            ("first_sold_at", instant(&row.first_ms)),
                            ("last_sold_at", instant(&row.last_ms)),
                            (
                                "last_price",
                                json!(row.last_price.as_ref().map(|(_, _, price)| price)),
                            ),
                        ]);
                        (sku.clone(), columns)
                    })
                    .collect(),
            ),
            _ => None,
        }
    }
}

const ORDER_COLUMNS: [&str; 17] = [
    "order_id",
    "customer_id",
    "status",
    "currency",
    "total",
    "paid",
    "refunded",
    "carrier",
    "lines",
    "created_at",
    "paid_at",
    "shipped_at",
    "delivered_at",
    "cancelled_at",
    "refunded_at",
    "updated_at",
    "events",
];
