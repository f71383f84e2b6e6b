//! The SQL view that readers select from: created, moved to another generation, dropped.
//!
//! Where the old columns are the beginning of the new ones, the view is replaced in place.
//! Otherwise it is dropped and created again, and its owner, rights, comments and options are
//! restored, column by column for those that stay. What depends on it (other views, functions, rules,
//! triggers) is never dropped with it: the change is refused and names them.
//!
//! Readers queue behind whoever waits for the view's lock, so that wait is short ([`LOCK_LIMIT`]).
//! Two limits: a transaction that began earlier sees the new definition too, because definitions
//! are not part of a snapshot; and a prepared `SELECT *` fails once with 0A000 (cached plan must
//! not change result type) after columns went, moved or changed their type.

use sqlx::{AssertSqlSafe, Executor, FromRow, PgConnection};

use super::Database;
use super::fault::{LOCK_NOT_AVAILABLE, STILL_NEEDED, sqlstate};
use super::names::quote;
use crate::fault::{Fault, Result};
use crate::store::Generation;

/// How long a change of the view may wait for its lock, and keep new readers waiting.
const LOCK_LIMIT: &str = "SET LOCAL lock_timeout = '100ms'";

/// What became of showing a generation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// The view shows it, once the transaction commits.
    Yes,
    /// Readers hold the view's lock. The transaction can only be rolled back.
    Held,
    /// These depend on columns that would go; nothing was changed.
    Needed(Vec<String>),
}

/// How the view stands against the columns of a table.
#[derive(FromRow)]
struct Standing {
    /// Its options, as `name=value, …`.
    options: Option<String>,
    /// Whether its columns are the first ones of the table's.
    fits: bool,
    /// Its owner, quoted, where it may not read the table.
    blind_owner: Option<String>,
}

/// Parameters: the view, the table, the declared columns.
const STANDING: &str = "WITH shown AS (SELECT a.* FROM pg_attribute AS a \
         WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped), \
     wanted AS (SELECT w.place, a.* FROM unnest($3::text[]) WITH ORDINALITY AS w(name, place) \
         JOIN pg_attribute AS a ON a.attrelid = to_regclass($2) AND a.attname = w.name) \
     SELECT array_to_string(v.reloptions, ', ') AS options, \
         NOT EXISTS (SELECT FROM shown AS s LEFT JOIN wanted AS w ON w.place = s.attnum \
             WHERE (s.attname, s.atttypid, s.atttypmod, s.attcollation) \
             IS DISTINCT FROM (w.attname, w.atttypid, w.atttypmod, w.attcollation)) AS fits, \
         CASE WHEN NOT has_table_privilege(v.relowner, to_regclass($2), 'SELECT') \
             THEN quote_ident(pg_get_userbyid(v.relowner)) END AS blind_owner \
     FROM pg_class AS v WHERE v.oid = to_regclass($1) AND v.relkind = 'v'";

/// Statements that give a new view what the old one had. Parameters: the view, the columns that it will have.
const RESTORE: &str = "WITH view AS (SELECT * FROM pg_class WHERE oid = to_regclass($1)), \
     columns AS (SELECT a.* FROM pg_attribute AS a JOIN view AS v ON a.attrelid = v.oid \
         WHERE a.attnum > 0 AND a.attname = ANY ($2::text[])), \
     rights AS ( \
         SELECT '' AS columns, r.* FROM view AS v, \
             aclexplode(coalesce(v.relacl, acldefault('r', v.relowner))) AS r \
         UNION ALL SELECT format(' (%I)', c.attname), r.* FROM columns AS c, aclexplode(c.attacl) AS r) \
     SELECT statement FROM ( \
         SELECT 1 AS place, format('ALTER VIEW %s OWNER TO %I', $1, pg_get_userbyid(v.relowner)) \
             AS statement FROM view AS v WHERE pg_get_userbyid(v.relowner) <> current_user \
         UNION ALL SELECT 2, format('GRANT %s%s ON %s TO %s%s', privilege_type, columns, $1, \
             CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END, \
             CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) FROM rights \
         UNION ALL SELECT 3, format('COMMENT ON VIEW %s IS %L', $1, obj_description(v.oid, 'pg_class')) \
             FROM view AS v WHERE obj_description(v.oid, 'pg_class') IS NOT NULL \
         UNION ALL SELECT 3, format('COMMENT ON COLUMN %s.%I IS %L', $1, c.attname, \
                 col_description(c.attrelid, c.attnum)) \
             FROM columns AS c WHERE col_description(c.attrelid, c.attnum) IS NOT NULL \
     ) AS s ORDER BY place";

/// Statements that take all rights on a view, so that default privileges leave none behind.
const REVOKE: &str = "SELECT DISTINCT format('REVOKE ALL ON %s FROM %s', $1, \
         CASE r.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r.grantee)) END) \
     FROM pg_class AS v, aclexplode(coalesce(v.relacl, acldefault('r', v.relowner))) AS r \
     WHERE v.oid = to_regclass($1)";

/// What depends on the view or on its row type, in words. A view's own definition is no dependant.
const DEPENDANTS: &str = "SELECT DISTINCT coalesce( \
         CASE WHEN r.ev_class <> v.oid THEN pg_describe_object('pg_class'::regclass, r.ev_class, 0) END, \
         pg_describe_object(d.classid, d.objid, d.objsubid)) AS name \
     FROM pg_class AS v JOIN pg_type AS t ON t.oid = v.reltype \
     JOIN pg_depend AS d ON (d.refclassid = 'pg_class'::regclass AND d.refobjid = v.oid) \
         OR (d.refclassid = 'pg_type'::regclass AND d.refobjid IN (v.reltype, t.typarray)) \
     LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid \
     WHERE v.oid = to_regclass($1) AND v.relkind = 'v' AND d.deptype IN ('n', 'a') \
     AND (r.ev_class = v.oid AND r.rulename = '_RETURN') IS NOT TRUE ORDER BY name";

/// The sessions that have the view's lock, the oldest transaction first.
const HOLDERS: &str = "SELECT format('pid %s (%s, transaction open for %s s, query for %s s)', a.pid, \
         coalesce(nullif(a.application_name, ''), a.usename, 'unnamed'), \
         round(extract(epoch FROM clock_timestamp() - a.xact_start)::numeric, 1), \
         round(extract(epoch FROM clock_timestamp() - a.query_start)::numeric, 1)) \
     FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid \
     WHERE l.relation = to_regclass($1) AND l.granted AND l.pid <> pg_backend_pid() \
     AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
     GROUP BY a.pid, a.application_name, a.usename, a.xact_start, a.query_start \
     ORDER BY min(a.xact_start) LIMIT 3";

/// Makes the projection's view show the generation, in the session's transaction.
pub(super) async fn show(
    session: &mut PgConnection,
    db: &Database,
    generation: &Generation,
) -> Result<Shown> {
    match try_show(session, db, generation).await {
        Ok(shown) => Ok(shown),
        Err(error) => match sqlstate(&error) {
            Some(LOCK_NOT_AVAILABLE) => Ok(Shown::Held),
            // Something came to depend on it since it was looked at.
            Some(STILL_NEEDED) => Ok(Shown::Needed(Vec::new())),
            _ => Err(error.into()),
        },
    }
}

async fn try_show(
    session: &mut PgConnection,
    db: &Database,
    generation: &Generation,
) -> Result<Shown, sqlx::Error> {
    let view = db.names.view(&generation.projection);
    let table = db.names.table(generation);
    let schema = &generation.schema;
    let names: Vec<&str> = schema.columns.iter().map(|c| &*c.name).collect();
    let standing: Option<Standing> = sqlx::query_as(STANDING)
        .bind(&view)
        .bind(&table)
        .bind(&names)
        .fetch_optional(&mut *session)
        .await?;
    session.execute(LOCK_LIMIT).await?;
    let columns: Vec<String> = names.iter().map(|name| quote(name)).collect();
    let definition = format!("SELECT {} FROM {table}", columns.join(", "));
    let Some(standing) = standing else {
        let sql = format!("CREATE VIEW {view} AS {definition}");
        session.execute(AssertSqlSafe(sql)).await?;
        return Ok(Shown::Yes);
    };
    // Views read with their owner's rights.
    if let Some(owner) = &standing.blind_owner {
        let sql = format!("GRANT SELECT ON {table} TO {owner}");
        session.execute(AssertSqlSafe(sql)).await?;
    }
    let options = standing.options.map(|set| format!(" WITH ({set})"));
    let rest = format!("VIEW {view}{} AS {definition}", options.unwrap_or_default());
    if standing.fits {
        let sql = format!("CREATE OR REPLACE {rest}");
        session.execute(AssertSqlSafe(sql)).await?;
        return Ok(Shown::Yes);
    }
    let needed = dependants_in(session, &view).await?;
    if !needed.is_empty() {
        return Ok(Shown::Needed(needed));
    }
    let restore: Vec<String> = sqlx::query_scalar(RESTORE)
        .bind(&view)
        .bind(&names)
        .fetch_all(&mut *session)
        .await?;
    let sql = format!("DROP VIEW {view}; CREATE {rest}");
    session.execute(AssertSqlSafe(sql)).await?;
    let mut statements: Vec<String> = sqlx::query_scalar(REVOKE)
        .bind(&view)
        .fetch_all(&mut *session)
        .await?;
    statements.extend(restore);
    session
        .execute(AssertSqlSafe(statements.join("; ")))
        .await?;
    Ok(Shown::Yes)
}

/// Why a view cannot change while these depend on it, and what to do.
pub(super) fn needed_by(projection: &str, names: &[String]) -> String {
    let names = match names {
        [] => "other objects".to_owned(),
        names => names.join(", "),
    };
    format!(
        "{names} depend on the view of {projection}, whose columns go, move or change their type: \
         drop them, and create them again afterwards"
    )
}

/// Why the view's lock could not be taken. Not within the transaction that failed.
pub(super) async fn held_by(session: &mut PgConnection, db: &Database, projection: &str) -> String {
    let holders: Vec<String> = sqlx::query_scalar(HOLDERS)
        .bind(db.names.view(projection))
        .fetch_all(session)
        .await
        .unwrap_or_default();
    let who = if holders.is_empty() {
        "readers that are done meanwhile".to_owned()
    } else {
        holders.join(", ")
    };
    format!("the lock of the view of {projection} is held by {who}")
}

/// What depends on the shape of the projection's view, in words.
pub(super) async fn dependants(db: &Database, projection: &str) -> Result<Vec<String>> {
    let mut session = super::pool::Session::open(&db.pools.control).await?;
    let names = dependants_in(&mut session, &db.names.view(projection)).await?;
    session.keep();
    Ok(names)
}

async fn dependants_in(session: &mut PgConnection, view: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(DEPENDANTS)
        .bind(view)
        .fetch_all(session)
        .await
}

/// Drops the projection's view, unless something depends on it.
pub(super) async fn drop_view(
    session: &mut PgConnection,
    db: &Database,
    projection: &str,
) -> Result<()> {
    let view = db.names.view(projection);
    let needed = dependants_in(session, &view).await?;
    if !needed.is_empty() {
        return Err(Fault::misconfigured(format!(
            "{} depend on the view of {projection}: drop them first",
            needed.join(", ")
        )));
    }
    let sql = format!("DROP VIEW IF EXISTS {view}");
    session.execute(AssertSqlSafe(sql)).await?;
    Ok(())
}
