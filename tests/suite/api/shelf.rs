//! Rows to list, in a store in memory.

use std::sync::Arc;

use viewfold::api::{ListAnswer, Problem, RowJson};
use viewfold::position::Position;
use viewfold::projection::{ColumnType, Row, RowKey, Schema, StoreKind, Value};
use viewfold::query::ListQuery;
use viewfold::store::list::Listed;
use viewfold::store::memory::MemoryStore;
use viewfold::store::{Generation, ViewStore};

/// The rows of `totals`: key (shop, day), amount.
#[derive(Default)]
pub(crate) struct Shelf {
    rows: Vec<(String, i64, Option<String>)>,
}

impl Shelf {
    /// Every shop with days 1 to `days`; the amount of each first day is not known.
    pub(crate) fn of(shops: &[&str], days: i64) -> Self {
        let days = |shop: &&str| {
            let shop = (*shop).to_owned();
            let amount = |day| (day > 1).then(|| format!("{day}.50"));
            let rows = (1..=days).map(move |day| (shop.clone(), day, amount(day)));
            rows.collect::<Vec<_>>()
        };
        Self {
            rows: shops.iter().flat_map(days).collect(),
        }
    }

    pub(crate) async fn list(&self, query: &ListQuery) -> Result<ListAnswer, Problem> {
        let money = ColumnType::Decimal {
            precision: 18,
            scale: 2,
        };
        let schema: Arc<Schema> = Schema::builder("totals")
            .key("shop", ColumnType::Text)
            .key("day", ColumnType::Integer)
            .column("amount", money)
            .build()
            .unwrap();
        let list = query.bind(&schema).map_err(Problem::bad_request)?;
        let generation = Generation {
            projection: "totals".into(),
            number: 3,
            build: uuid::Uuid::nil(),
            schema: schema.clone(),
        };
        let rows = self.rows.iter().map(|(shop, day, amount)| {
            let key = vec![Value::Text(shop.as_str().into()), Value::Int(*day)];
            let amount = amount.as_ref();
            let amount = amount.map_or(Value::Null, |text| Value::parse(money, text).unwrap());
            let row = Row {
                values: [key.clone(), vec![amount]].concat(),
                orders: vec![None; 3],
                page: 0,
            };
            (RowKey::new(&schema, key).unwrap(), row)
        });
        let store = MemoryStore::new(StoreKind::Postgres);
        let nowhere: [(_, Position); 0] = [];
        store.create(&generation, &nowhere).await?;
        store.publish(&generation, 1).await?;
        assert!(store.put_rows(&generation, rows.collect()).await);
        let listed = store.list(&generation, &list.read).await?;
        let Listed::Page(page) = listed else {
            panic!("{listed:?}");
        };
        let token = page.next.map(|last| list.token(&last).unwrap());
        let row = |values: Vec<Value>| {
            let names = list.read.columns.iter();
            let names = names.map(|&column| schema.columns[column].name.clone());
            RowJson(names.zip(values.iter().map(Value::to_json)).collect())
        };
        Ok(ListAnswer {
            store: StoreKind::Postgres,
            generation: 3,
            rows: page.rows.into_iter().map(row).collect(),
            next_page_token: token.unwrap_or_default(),
            count: page.count,
            positions: Vec::new(),
            as_of_micros: Some(1_795_240_800_120_000),
        })
    }
}
