//! `viewfold access`: Postgres roles that may read the views and nothing else.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::failure::Failure;
use super::{Settings, output};
use crate::fault::{Fault, FaultKind};
use crate::service::access::{ReaderGrant, set_reader};

/// Lets Postgres roles read the views
#[derive(Args)]
pub(super) struct Access {
    #[command(subcommand)]
    change: Change,
}

#[derive(Subcommand)]
enum Change {
    /// Lets a role read every view, now and later, and nothing else
    Grant(Grant),
    /// Takes that back; the role stays
    Revoke(Role),
}

#[derive(Args)]
struct Grant {
    #[command(flatten)]
    role: Role,
    /// Make the role, without a password, where there is none
    #[arg(long)]
    create: bool,
}

#[derive(Args)]
struct Role {
    /// The role
    role: String,
    /// Only print the SQL
    #[arg(long)]
    print: bool,
}

impl Access {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode, Failure> {
        let config = settings.load()?;
        let (role, grant) = match &self.change {
            Change::Grant(grant) if grant.create => (&grant.role, ReaderGrant::Create),
            Change::Grant(grant) => (&grant.role, ReaderGrant::Grant),
            Change::Revoke(role) => (role, ReaderGrant::Revoke),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Failed(format!("failed to start: {error}")))?;
        let changed = runtime.block_on(set_reader(&config, &role.role, grant, role.print));
        for statement in changed.map_err(refused)? {
            output::line(&format!("{statement};"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What the role or the database does not allow is a precondition, not a wrong setting.
fn refused(fault: Fault) -> Failure {
    match fault.kind {
        FaultKind::Misconfigured => Failure::Refused(fault.message),
        _ => fault.into(),
    }
}
