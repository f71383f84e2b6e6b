//! The shapes of bodies. Most come from the types themselves; here are those whose JSON is written by hand.

use serde_json::json;
use utoipa::openapi::schema::{
    AdditionalProperties, AllOfBuilder, ComponentsBuilder, ObjectBuilder, Type,
};
use utoipa::openapi::{Array, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::super::operations::{BuildStatus, VerificationStatus, VerifyRequest};
use super::super::projections::SkipRequest;
use super::super::status::{
    DefinitionState, GenerationStatus, PartitionStatus, ProjectionStatus, Stall, StatusReport,
    StoreStatus, UnmatchedType,
};
use crate::generation::{
    Base, BuildOptions, Difference, From, PartitionPlan, Plan, Progress, Promote, RebuildRequest,
    Relation, Verification,
};
use crate::projection::StoreKind;

type AnySchema = RefOr<Schema>;

/// All of them, by name.
pub(super) fn all() -> ComponentsBuilder {
    by_hand(derived(ComponentsBuilder::new()))
}

fn derived(components: ComponentsBuilder) -> ComponentsBuilder {
    fn one<T: ToSchema>(components: ComponentsBuilder) -> ComponentsBuilder {
        components.schema(T::name(), <T as PartialSchema>::schema())
    }
    let adders: [fn(ComponentsBuilder) -> ComponentsBuilder; 23] = [
        one::<Base>,
        one::<BuildOptions>,
        one::<BuildStatus>,
        one::<DefinitionState>,
        one::<Difference>,
        one::<From>,
        one::<GenerationStatus>,
        one::<PartitionPlan>,
        one::<PartitionStatus>,
        one::<Plan>,
        one::<Progress>,
        one::<ProjectionStatus>,
        one::<Promote>,
        one::<RebuildRequest>,
        one::<Relation>,
        one::<SkipRequest>,
        one::<Stall>,
        one::<StatusReport>,
        one::<StoreKind>,
        one::<StoreStatus>,
        one::<UnmatchedType>,
        one::<Verification>,
        one::<VerificationStatus>,
    ];
    let components = one::<VerifyRequest>(components);
    adders.into_iter().fold(components, |all, add| add(all))
}

fn by_hand(components: ComponentsBuilder) -> ComponentsBuilder {
    let plans = object().property("plans", list(reference("Plan")));
    let views = object().property("views", list(reference("View")));
    let dropped = object()
        .property("projection", text())
        .property("state", text().enum_values(Some(["dropped"])));
    let skipped = object()
        .property("projection", text())
        .property("record", text())
        .property(
            "state",
            text().enum_values(Some(["accepted", "decided before"])),
        );
    let confirm = object()
        .property(
            "confirm",
            text().description(Some("The projection's own name.")),
        )
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
    let anything = ObjectBuilder::new()
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)));
    components
        .schema("Text", text())
        .schema("Anything", anything)
        .schema(
            "Nothing",
            object().additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false))),
        )
        .schema("Problem", problem())
        .schema("Views", required(views, &["views"]))
        .schema("View", view())
        .schema("Row", row())
        .schema("Rows", rows())
        .schema("Change", change())
        .schema("Plans", required(plans, &["plans"]))
        .schema("GenerationDetail", generation_detail())
        .schema("Dropped", required(dropped, &["projection", "state"]))
        .schema(
            "Skipped",
            required(skipped, &["projection", "record", "state"]),
        )
        .schema("DropRequest", required(confirm, &["confirm"]))
}

fn problem() -> ObjectBuilder {
    let object = object()
        .description(Some("RFC 9457."))
        .property(
            "type",
            text().description(Some("A stable word to tell problems apart.")),
        )
        .property("title", text())
        .property("status", whole())
        .property(
            "detail",
            text().description(Some("What happened, and what to do, for people.")),
        )
        .property(
            "trace_id",
            text().pattern(Some("^[0-9a-f]{32}$")).description(Some(
                "Names the request in logs: that of `traceparent` when one was sent.",
            )),
        );
    required(object, &["type", "title", "status", "detail", "trace_id"])
}

fn view() -> ObjectBuilder {
    let columns = ObjectBuilder::new()
        .additional_properties(Some(Schema::from(text().build())))
        .description(Some("Column → type, in the definition's order."));
    let object = object()
        .property("name", text())
        .property("description", text())
        .property("key", list(text().build()))
        .property("columns", columns)
        .property("stores", list(reference("StoreKind")))
        .property("generation", whole());
    required(
        object,
        &[
            "name",
            "description",
            "key",
            "columns",
            "stores",
            "generation",
        ],
    )
}

fn row() -> ObjectBuilder {
    object()
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)))
        .description(Some(
            "Column → value. Decimals, times, dates and uuids are strings; bigints are numbers.",
        ))
        .examples([json!({"customer_id": "c-1", "orders": 3, "spent": "12.50"})])
}

fn rows() -> ObjectBuilder {
    let object = object()
        .property("rows", list(reference("Row")))
        .property(
            "next_page_token",
            text().description(Some("Send it as page_token; empty at the end.")),
        )
        .property(
            "count",
            whole().description(Some(
                "The number of rows that meet the conditions, if it was asked for.",
            )),
        );
    required(object, &["rows", "next_page_token"])
}

fn change() -> ObjectBuilder {
    let row = AllOfBuilder::new()
        .item(reference("Row"))
        .description(Some("The row as it is now; absent for a delete."));
    let object = object()
        .property("key", text())
        .property("op", text().enum_values(Some(["upsert", "delete"])))
        .property("row", row);
    required(object, &["key", "op"])
}

/// The detail is one flat object: what stands there, and always how its build stands.
fn generation_detail() -> AllOfBuilder {
    let own = object()
        .property("projection", text())
        .property("build", text().description(Some("Its identity: a UUID.")))
        .property("options", reference("BuildOptions"))
        .property("wanted", ObjectBuilder::new().schema_type(Type::Boolean).description(Some("Whether readers should see it: where it is not live yet, it is being cut over.")))
        .property("actor", text())
        .property("created_at", text());
    let own = required(
        own,
        &[
            "projection",
            "build",
            "options",
            "wanted",
            "actor",
            "created_at",
        ],
    );
    AllOfBuilder::new()
        .item(reference("GenerationStatus"))
        .item(reference("BuildStatus"))
        .item(own)
}

/// A problem of one of these types.
pub(super) fn problem_of(kinds: &[&str]) -> AllOfBuilder {
    let kind = text().enum_values(Some(kinds.iter().copied()));
    AllOfBuilder::new()
        .item(reference("Problem"))
        .item(object().property("type", kind))
}

pub(super) fn reference(name: &str) -> Ref {
    Ref::from_schema_name(name)
}

fn object() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Object)
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn whole() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0))
}

fn list(item: impl Into<AnySchema>) -> Array {
    Array::new(item)
}

fn required(object: ObjectBuilder, names: &[&str]) -> ObjectBuilder {
    names
        .iter()
        .fold(object, |object, name| object.required(*name))
}
