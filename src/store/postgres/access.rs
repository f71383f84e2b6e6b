//! Roles that may read the SQL views and nothing else.

use sqlx::{AssertSqlSafe, Executor, PgConnection};

use super::PostgresStore;
use super::names::quote;
use super::pool::{BEGIN_WRITE, Session, bounded};
use crate::fault::{Fault, Result};

/// What is to become of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderGrant {
    /// It may read; it must exist.
    Grant,
    /// It may read; it is made where there is none.
    Create,
    /// It may not read any longer. The role stays.
    Revoke,
}

/// What is known about a role.
#[derive(Debug, sqlx::FromRow)]
struct Known {
    superuser: bool,
    /// Whether it owns one of the schemas, or is a member of who does.
    owner: bool,
}

impl PostgresStore {
    /// The statements that a change of a role consists of. Repeating them changes nothing. That on new views holds
    /// for views that the connection's own user makes, as the service does.
    pub fn reader_statements(&self, role: &str, grant: ReaderGrant) -> Vec<String> {
        let (role, views) = (quote(role), quote(self.db.names.views_schema()));
        let statements = match grant {
            ReaderGrant::Grant | ReaderGrant::Create => vec![
                format!("GRANT USAGE ON SCHEMA {views} TO {role}"),
                format!("GRANT SELECT ON ALL TABLES IN SCHEMA {views} TO {role}"),
                format!(
                    "ALTER DEFAULT PRIVILEGES IN SCHEMA {views} GRANT SELECT ON TABLES TO {role}"
                ),
            ],
            ReaderGrant::Revoke => vec![
                format!(
                    "ALTER DEFAULT PRIVILEGES IN SCHEMA {views} REVOKE SELECT ON TABLES FROM {role}"
                ),
                format!("REVOKE SELECT ON ALL TABLES IN SCHEMA {views} FROM {role}"),
                format!("REVOKE USAGE ON SCHEMA {views} FROM {role}"),
            ],
        };
        let create = (grant == ReaderGrant::Create).then(|| format!("CREATE ROLE {role} LOGIN"));
        create.into_iter().chain(statements).collect()
    }

    /// Carries these statements out, all or none of them; answers what was carried out. `Misconfigured` when the role
    /// does not exist, or has more rights than a reader anyway.
    pub async fn set_reader(&self, role: &str, grant: ReaderGrant) -> Result<Vec<String>> {
        check_name(role)?;
        let what = format!("role {role}");
        bounded("set reader", &what, async {
            let mut session = Session::begin(&self.db.pools.control, BEGIN_WRITE).await?;
            let result = self.set_reader_in(&mut session, role, grant).await;
            self.db.close(session, result).await
        })
        .await
    }

    async fn set_reader_in(
        &self,
        session: &mut PgConnection,
        role: &str,
        grant: ReaderGrant,
    ) -> Result<Vec<String>> {
        let names = &self.db.names;
        let schemas = [names.schema(), names.views_schema()];
        let there: i64 =
            sqlx::query_scalar("SELECT count(*) FROM pg_namespace WHERE nspname = ANY($1)")
                .bind(schemas)
                .fetch_one(&mut *session)
                .await?;
        if there < 2 {
            return Err(Fault::misconfigured(format!(
                "the schemas {} are not there yet: start viewfold once, then grant again",
                schemas.join(" and ")
            )));
        }
        let known: Option<Known> = sqlx::query_as(
            "SELECT r.rolsuper AS superuser, EXISTS (SELECT FROM pg_namespace n \
               WHERE n.nspname = ANY($2) AND pg_has_role(r.oid, n.nspowner, 'MEMBER')) AS owner \
             FROM pg_roles r WHERE r.rolname = $1",
        )
        .bind(role)
        .bind(schemas)
        .fetch_optional(&mut *session)
        .await?;
        let done = match (known, grant) {
            (Some(known), _) => {
                check_role(role, &known)?;
                let change = match grant {
                    ReaderGrant::Create => ReaderGrant::Grant,
                    same => same,
                };
                self.reader_statements(role, change)
            }
            (None, ReaderGrant::Create) => self.reader_statements(role, grant),
            (None, _) => {
                return Err(Fault::misconfigured(format!(
                    "there is no role {role}: make it first, or let --create do so"
                )));
            }
        };
        for statement in &done {
            session.execute(AssertSqlSafe(statement.as_str())).await?;
        }
        Ok(done)
    }
}

fn check_name(role: &str) -> Result<()> {
    let plain = !role.is_empty() && role.len() <= 63 && !role.contains('\0');
    // PUBLIC is everybody; pg_… are the server's own.
    let reserved = role.eq_ignore_ascii_case("public") || role.starts_with("pg_");
    match plain && !reserved {
        true => Ok(()),
        false => Err(Fault::misconfigured(format!(
            "role {role:?} cannot be a reader: name one role of 1 to 63 bytes, not public or pg_…"
        ))),
    }
}

fn check_role(role: &str, known: &Known) -> Result<()> {
    let more = match (known.superuser, known.owner) {
        (true, _) => "is a superuser",
        (_, true) => "owns viewfold's schemas, or is a member of the role that does",
        _ => return Ok(()),
    };
    Err(Fault::misconfigured(format!(
        "role {role} {more}: it could write views whatever is granted; name another role"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_roles_can_be_readers() {
        assert!(check_name("bi reader").is_ok());
        for wrong in ["", "PUBLIC", "pg_read_all_data", &"x".repeat(64), "a\0b"] {
            assert!(check_name(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn who_could_write_anyway_is_refused() {
        let known = |superuser, owner| Known { superuser, owner };
        assert!(check_role("a", &known(false, false)).is_ok());
        assert!(check_role("a", &known(true, true)).is_err());
        assert!(check_role("a", &known(false, true)).is_err());
    }
}
