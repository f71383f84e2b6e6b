//! Lists of rows, from the one kind of store that lists.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backend::{MEETING, ServiceBackend, newest, store_problem};
use super::freshness::considered;
use crate::api::{ListAnswer, Problem, RowJson};
use crate::fault::Fault;
use crate::generation::{Catalog, Entry};
use crate::projection::{Schema, StoreKind, Value};
use crate::query::{BoundList, ListQuery};
use crate::store::list::{ListPage, Listed};
use crate::store::{Generation, ViewStore};

/// The store that lists.
const LISTING: StoreKind = StoreKind::Postgres;
/// How long to wait before asking again, when readers see a generation that this instance has not met.
const PAUSE: Duration = Duration::from_millis(50);

impl ServiceBackend {
    /// The rows that are asked for. Readers may be moved to another generation at any moment, so the store says
    /// which one they see, and the question is put again for that one.
    pub(super) async fn list_rows(
        &self,
        view: &str,
        query: &ListQuery,
    ) -> Result<ListAnswer, Problem> {
        let catalog = self.facts.catalog();
        let foremost = catalog.foremost(view);
        let foremost = foremost.ok_or_else(|| self.unknown_view(view))?;
        let mut generation = listable(&catalog, foremost, view)?;
        let Some(store) = self.connections.stores.get(&LISTING) else {
            return Err(Problem::not_listable(view));
        };
        let begun = Instant::now();
        loop {
            let number = match ask(&**store, view, &generation, query).await? {
                Asked::Answer(answer) => return Ok(answer),
                Asked::Elsewhere(number) => number,
            };
            if begun.elapsed() > MEETING {
                return Err(Problem::unavailable(format!(
                    "view {view}: generation {number} is live, and not known to this instance yet"
                )));
            }
            let known = self.generations(view).into_iter();
            let mut known = known.filter(|other| other.build != generation.build);
            match known.find(|other| other.number == number) {
                Some(other) => generation = other,
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// What came of asking for the rows of one generation.
enum Asked {
    Answer(ListAnswer),
    /// Readers see the generation of this number.
    Elsewhere(u32),
}

async fn ask(
    store: &dyn ViewStore,
    view: &str,
    generation: &Generation,
    query: &ListQuery,
) -> Result<Asked, Problem> {
    let failed = |fault: Fault| store_problem(view, LISTING, &fault);
    let list = match query.bind(&generation.schema) {
        Ok(list) => list,
        Err(reason) => {
            // What this generation lacks, the one that readers see by now may have.
            let wrong = || Problem::bad_request(&reason);
            let one_row = ListQuery::parse("limit=1").map_err(Problem::bad_request)?;
            let any = one_row.bind(&generation.schema).map_err(|_| wrong())?;
            return match store.list(generation, &any.read).await.map_err(failed)? {
                Listed::Elsewhere(number) => Ok(Asked::Elsewhere(number)),
                _ => Err(wrong()),
            };
        }
    };
    match store.list(generation, &list.read).await.map_err(failed)? {
        Listed::Page(page) => answer(generation, &list, page).map(Asked::Answer),
        Listed::Elsewhere(number) => Ok(Asked::Elsewhere(number)),
        Listed::RowsTooSlow => Err(too_slow(view)),
        Listed::CountTooSlow => Err(count_too_slow(view)),
        Listed::NotPublished => Err(Problem::unavailable(format!(
            "view {view} is not published in {LISTING} yet"
        ))),
    }
}

/// The generation that readers of the view probably see.
fn listable(catalog: &Catalog, foremost: &Entry, view: &str) -> Result<Generation, Problem> {
    let mut stores = foremost.record.stores.iter();
    if !stores.any(|(kind, _)| *kind == LISTING) {
        return Err(Problem::not_listable(view));
    }
    let entry = catalog.live(view, LISTING).unwrap_or(foremost);
    entry.generation().ok_or_else(|| {
        let detail = entry.definition.as_ref().err();
        let detail = detail.map_or("its definition cannot be read", |detail| detail);
        Problem::unavailable(format!("view {view}: {detail}"))
    })
}

fn answer(
    generation: &Generation,
    list: &BoundList,
    page: ListPage,
) -> Result<ListAnswer, Problem> {
    let token = page.next.as_deref().map(|last| list.token(last));
    let token = token.transpose().map_err(Problem::bad_request)?;
    let names = names(&generation.schema, &list.read.columns);
    let row = |values: Vec<_>| {
        let values = values.iter().map(Value::to_json);
        RowJson(names.iter().cloned().zip(values).collect())
    };
    Ok(ListAnswer {
        store: LISTING,
        generation: generation.number,
        rows: page.rows.into_iter().map(row).collect(),
        next_page_token: token.unwrap_or_default(),
        count: page.count,
        positions: considered(&page.cursors),
        as_of_micros: newest(&page.cursors),
    })
}

fn names(schema: &Schema, columns: &[usize]) -> Vec<Arc<str>> {
    let columns = columns
        .iter()
        .filter_map(|&index| schema.columns.get(index));
    columns.map(|column| Arc::clone(&column.name)).collect()
}

fn too_slow(view: &str) -> Problem {
    let detail = format!(
        "view {view}: finding these rows takes longer than a list may; \
         order by the key or by a column with an index, or narrow the conditions"
    );
    Problem::too_slow("list-too-slow", detail)
}

fn count_too_slow(view: &str) -> Problem {
    let detail = format!(
        "view {view}: counting these rows takes longer than a list may; \
         ask with Prefer: count=estimated, or narrow the conditions"
    );
    Problem::too_slow("count-too-slow", detail)
}
