//! `viewfold verify`: compares a generation with another one, or with the log.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::client::{Client, Target, read, segment};
use super::failure::Failure;
use super::rebuild::part;
use super::waiting::Patient;
use super::{Settings, differences, output};
use crate::api::{VerificationStatus, VerifyRequest};

/// How often is looked whether it is done.
const PERIOD: Duration = Duration::from_millis(500);

/// Compares a generation with another one or with the log, and names keys that differ
#[derive(Args)]
pub(super) struct Verify {
    /// The projection
    projection: String,
    /// The generation to look at; the live one unless given
    generation: Option<u32>,
    /// What to compare with: the number of a generation, or `log`; by default the newest other one, else the log
    #[arg(long, value_name = "GENERATION|log", value_parser = against)]
    against: Option<String>,
    /// The part of keys to look at when compared with the log: 0.1 or 10%
    #[arg(long, value_name = "F", value_parser = sample)]
    sample: Option<f64>,
    /// Count differences that depend on the order between partitions
    #[arg(long)]
    strict: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

fn against(text: &str) -> Result<String, String> {
    match text == "log" || text.parse::<u32>().is_ok_and(|number| number > 0) {
        true => Ok(text.to_owned()),
        false => Err("must be the number of a generation, or log".to_owned()),
    }
}

fn sample(text: &str) -> Result<f64, String> {
    let found = part(text)?;
    match found > 0.0 {
        true => Ok(found),
        false => Err("must be above 0".to_owned()),
    }
}

impl Verify {
    /// 1 when something differs.
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode, Failure> {
        let client = self.target.client(settings)?;
        let request = VerifyRequest {
            generation: self.generation,
            against: self.against.clone(),
            sample: self.sample,
            strict: self.strict,
        };
        let request = serde_json::to_value(&request)
            .map_err(|error| Failure::Failed(format!("failed to write the request: {error}")))?;
        let path = format!(
            "/v1/projections/{}/verifications",
            segment(&self.projection)
        );
        let begun: VerificationStatus = read(&client.post(&path, &request)?.accepted()?)?;
        let (body, status) = poll(&client, &format!("{path}/{}", begun.id))?;
        if self.json {
            output::line(&body);
        } else {
            for found in &status.stores {
                output::print(&differences::describe(found));
            }
        }
        let name = &self.projection;
        match &*status.state {
            "same" => {
                if !self.json {
                    output::line(&format!("{name}: same"));
                }
                Ok(ExitCode::SUCCESS)
            }
            "differs" => Err(Failure::Failed(format!("{name}: differs"))),
            _ => Err(Failure::Failed(format!(
                "{name}: could not be verified: {}",
                status.trouble.as_deref().unwrap_or("no reason is known")
            ))),
        }
    }
}

fn poll(client: &Client, path: &str) -> Result<(String, VerificationStatus), Failure> {
    let mut patient = Patient::new(client);
    loop {
        if let Some(answer) = patient.get(path, output::error_line)? {
            let body = answer.accepted()?;
            let status: VerificationStatus = read(&body)?;
            if status.state != "running" {
                return Ok((body, status));
            }
        }
        std::thread::sleep(PERIOD);
    }
}
