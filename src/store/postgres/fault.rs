//! The one place where an error of the database becomes a [`Fault`].
//!
//! | SQLSTATE | kind | why |
//! |---|---|---|
//! | 08, 53, 57, 58, 40, 25, 55, XX | transient | connection, resources, shutdown, serialization, locks; a standby after a failover |
//! | 22, 23, 54, P0 | poison | a value, a constraint, a size limit or a trigger refused a row |
//! | 42, 28, 3D, 3F, 2B, 0A, 26 | misconfigured | rights, login, objects that are not as we left them |
//! | others | misconfigured | nothing that trying again, or skipping an event, would mend |
//!
//! Messages name the condition, the table and the constraint. Row values are left out: a
//! primary message of class 22 may carry one, and DETAIL lines do.

use sqlx::Error;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;

use crate::fault::{Fault, FaultKind};

/// SQLSTATE of a transaction that was chosen to resolve a deadlock.
pub(super) const DEADLOCK: &str = "40P01";
/// SQLSTATE of a lock that was not to be had within the time-out.
pub(super) const LOCK_NOT_AVAILABLE: &str = "55P03";
/// SQLSTATE of a statement that took longer than its time-out, or was cancelled.
pub(super) const CANCELLED: &str = "57014";
/// SQLSTATE of dropping what something else depends on.
pub(super) const STILL_NEEDED: &str = "2BP01";
/// SQLSTATE of a relation that does not exist.
pub(super) const NO_TABLE: &str = "42P01";

/// The kind of a failure with this SQLSTATE.
pub(super) fn kind_of(sqlstate: &str) -> FaultKind {
    match sqlstate.get(..2).unwrap_or_default() {
        "08" | "53" | "57" | "58" | "40" | "25" | "55" | "XX" => FaultKind::Transient,
        "22" | "23" | "54" | "P0" => FaultKind::Poison,
        _ => FaultKind::Misconfigured,
    }
}

/// The SQLSTATE of an error that the server reported.
pub(super) fn sqlstate(error: &Error) -> Option<&str> {
    match error {
        Error::Database(error) => Some(error.try_downcast_ref::<PgDatabaseError>()?.code()),
        _ => None,
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match &error {
            Error::Database(reported) => match reported.try_downcast_ref::<PgDatabaseError>() {
                Some(reported) => reported_fault(reported),
                None => Self::bug("postgres: an error of another database"),
            },
            Error::PoolTimedOut => Self::transient(
                "postgres: no connection within the time-out (unreachable, or all in use)",
            ),
            Error::PoolClosed | Error::WorkerCrashed => {
                Self::transient("postgres: the connections are closed")
            }
            Error::Io(cause) => Self::transient(format!("postgres: {cause}")),
            Error::Tls(cause) => Self::transient(format!("postgres: TLS: {cause}")),
            Error::Protocol(_) | Error::BeginFailed => {
                Self::transient("postgres: the connection lost its place in the protocol")
            }
            Error::Configuration(_) => Self::misconfigured("postgres: the URL cannot be used"),
            Error::Migrate(cause) => migration_fault(cause),
            other => Self::bug(format!("postgres: {}", name_of(other))),
        }
    }
}

impl From<MigrateError> for Fault {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            other => migration_fault(&other),
        }
    }
}

fn migration_fault(error: &MigrateError) -> Fault {
    match error {
        MigrateError::VersionMismatch(version) => Fault::misconfigured(format!(
            "postgres: control migration {version} in the database is not the one of this program"
        )),
        other => Fault::misconfigured(format!("postgres: control migrations: {other}")),
    }
}

/// Variants that only a mistake of ours can cause; their texts could quote values.
fn name_of(error: &Error) -> &'static str {
    match error {
        Error::ColumnDecode { .. } | Error::Decode(_) => "an answer cannot be decoded",
        Error::Encode(_) => "a parameter cannot be encoded",
        Error::RowNotFound | Error::ColumnNotFound(_) | Error::ColumnIndexOutOfBounds { .. } => {
            "an answer lacks a row or column"
        }
        _ => "unexpected failure in the client",
    }
}

fn reported_fault(error: &PgDatabaseError) -> Fault {
    let code = error.code();
    let kind = kind_of(code);
    let mut message = match kind {
        FaultKind::Poison => format!("postgres: {} ({code})", condition(code)),
        _ => format!("postgres: {} ({code})", error.message()),
    };
    for (what, name) in [
        ("column", error.column()),
        ("constraint", error.constraint()),
        ("table", error.table()),
    ] {
        if let (FaultKind::Poison, Some(name)) = (kind, name) {
            message.push_str(&format!(", {what} {name}"));
        }
    }
    if matches!(code, "26000" | "42P05") {
        message.push_str(
            "; the connection seems to go through a pooler that does not keep prepared statements",
        );
    }
    Fault::new(kind, message)
}

/// Names of the conditions that rows run into; they stand in for messages that may quote values.
fn condition(code: &str) -> &'static str {
    match code {
        "22003" => "a number is out of the column's range",
        "22001" => "a text is too long",
        "22007" | "22008" => "a date or time is out of range",
        "22021" | "22P05" => "a text has a character that cannot be stored",
        "22P02" | "22023" => "a value is not valid for its type",
        "23502" => "a value is missing",
        "23503" => "a foreign key is violated",
        "23505" => "a unique constraint is violated",
        "23514" => "a check constraint is violated",
        "54000" => "a row or index entry is too large",
        "P0001" => "a trigger refused a row",
        _ if code.starts_with("23") => "a constraint is violated",
        _ => "a value was refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_event_is_blamed_for_an_outage() {
        for code in [
            "08006", "53300", "57P01", "57014", "40001", "40P01", "55P03", "25P03", "25006",
            "58030", "XX000",
        ] {
            assert_eq!(kind_of(code), FaultKind::Transient, "{code}");
        }
        for code in ["22003", "22021", "23505", "23514", "54000"] {
            assert_eq!(kind_of(code), FaultKind::Poison, "{code}");
        }
        for code in ["42501", "42P01", "28P01", "3D000", "3F000", "2BP01", ""] {
            assert_eq!(kind_of(code), FaultKind::Misconfigured, "{code}");
        }
    }
}
