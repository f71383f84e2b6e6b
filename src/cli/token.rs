//! `viewfold token`: a new bearer token, shown once, and its config entry.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::failure::Failure;
use super::output;
use crate::api::{Scope, Token};

/// Makes a new token: prints it once, with the entry for the configuration
#[derive(Args)]
pub(super) struct NewToken {
    /// Whose it is; named in the audit
    name: String,
    /// What it allows: read, operate or admin
    #[arg(long, value_parser = scope)]
    scope: Scope,
    /// When it ends to be accepted, such as 2027-01-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    expires: Option<Timestamp>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::NAMES
        .into_iter()
        .find_map(|(name, scope)| (name == text).then_some(scope))
        .ok_or_else(|| "must be read, operate or admin".to_owned())
}

impl NewToken {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        if self.name.trim().is_empty() || self.name.contains(char::is_control) {
            return Err(Failure::Usage("NAME must be a plain name".into()));
        }
        // 256 random bits: nothing that anybody could guess, so a plain hash keeps it secret.
        let secret: [u8; 32] = rand::random();
        let token = format!("vf_{}", Token::hex(&secret));
        let sha256 = Token::hex(&Token::hash(&token));
        let expires = self.expires.map(|time| time.to_string());
        if self.json {
            let mut entry = json!({ "name": self.name, "scope": self.scope, "sha256": sha256 });
            if let (Some(expires), Some(entry)) = (expires, entry.as_object_mut()) {
                entry.insert("expires".into(), expires.into());
            }
            output::json(&json!({ "token": token, "entry": entry }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let name = serde_json::Value::from(self.name.as_str());
        let expires = expires.map_or_else(String::new, |time| format!("expires = \"{time}\"\n"));
        output::print(&format!(
            "{token}\n\n\
             # The token is not shown again. Its entry for the configuration, under [admin] or [api]:\n\
             [[admin.tokens]]\nname = {name}\nscope = \"{}\"\nsha256 = \"{sha256}\"\n{expires}",
            self.scope
        ));
        Ok(ExitCode::SUCCESS)
    }
}
