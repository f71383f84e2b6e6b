//! `viewfold rebuild`: a new generation beside the live one.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::client::{Answer, Client, Target, read, segment};
use super::failure::Failure;
use super::waiting::{Goal, PATIENCE, wait};
use super::{Settings, output, plan};
use crate::api::{Base, From, GenerationDetail, Plan, Promote, RebuildRequest};
use crate::position::RecordName;

/// How long before a request whose answer was lost is sent again.
const PAUSE: Duration = Duration::from_secs(1);

/// Builds a new generation beside the live one
#[derive(Args)]
pub(super) struct Rebuild {
    /// The projection
    projection: String,
    /// Where to begin: `earliest`, a time such as 2026-11-21T06:00:00Z, or topic/partition@offset,…
    #[arg(long, value_name = "FROM", value_parser = from)]
    from: Option<From>,
    /// What to begin with: no rows, or a copy of the live ones
    #[arg(long, default_value = "empty", value_parser = PossibleValuesParser::new(["empty", "live"]).map(base))]
    base: Base,
    /// The most records per second while it catches up
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_rate: Option<u64>,
    /// The most rows that may differ from the live ones where the definition changed: 0.05 or 5%
    #[arg(long, value_name = "PART", value_parser = part)]
    max_changed: Option<f64>,
    /// Who lets readers see it when it is ready: viewfold, or an operator
    #[arg(long, default_value = "auto", value_parser = PossibleValuesParser::new(["auto", "manual"]).map(promote))]
    promote: Promote,
    /// Wait until readers see it in every store, or with `--promote manual` until it is ready
    #[arg(long)]
    wait: bool,
    /// Only show what it would read and cost, and whether it would be refused
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Rebuild {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode, Failure> {
        let client = self.target.client(settings)?;
        let request = RebuildRequest {
            from: self.from.clone(),
            base: self.base,
            max_rate: self.max_rate,
            promote: self.promote,
            max_changed: self.max_changed,
            dry_run: self.dry_run,
        };
        let request = serde_json::to_value(&request)
            .map_err(|error| Failure::Failed(format!("failed to write the request: {error}")))?;
        let path = format!("/v1/projections/{}/rebuilds", segment(&self.projection));
        let body = ask(&client, &path, &request)?.accepted()?;
        match self.dry_run {
            true => self.show(&body)?,
            false => self.begun(&client, &body)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self, body: &str) -> Result<(), Failure> {
        let planned: Plan = read(body)?;
        match self.json {
            true => output::line(body),
            false => output::print(&plan::describe(&planned)),
        }
        match planned.refused {
            Some(reason) => Err(Failure::Refused(reason)),
            None => Ok(()),
        }
    }

    fn begun(&self, client: &Client, body: &str) -> Result<(), Failure> {
        let detail: GenerationDetail = read(body)?;
        let (name, number) = (&detail.projection, detail.status.generation);
        // The first one of a projection that was dropped is live at once.
        let doing = match detail.is_everywhere("live") {
            true => "is live",
            false => "is being built",
        };
        let begun = format!("{name}: generation {number} {doing}");
        match (self.wait, self.json) {
            (true, _) => {
                output::error_line(&format!("{begun}; Ctrl-C ends only the waiting"));
                let manual = self.promote == Promote::Manual;
                wait(client, detail, Goal::Built { manual }, self.json)
            }
            (false, true) => {
                output::line(body);
                Ok(())
            }
            (false, false) => {
                output::line(&format!("{begun}; `viewfold status` shows how far it is"));
                Ok(())
            }
        }
    }
}

/// Asks for the rebuild under a name of its own, so that asking again after a lost answer does not start two.
fn ask(client: &Client, path: &str, request: &Value) -> Result<Answer, Failure> {
    let name = Uuid::new_v4().to_string();
    let begin = Instant::now();
    let mut lost = false;
    loop {
        let answer = client.post_named(path, &name, request);
        let failure = match answer {
            Err(failure @ Failure::Lost(_)) => failure,
            Err(failure @ Failure::Away(_)) if lost => failure,
            Ok(answer) if lost && answer.status.as_u16() == 503 => Failure::Failed(answer.detail()),
            other => return other,
        };
        if begin.elapsed() >= PATIENCE {
            return Err(failure);
        }
        if !lost {
            output::error_line(&format!("{failure}; asking again"));
        }
        lost = true;
        std::thread::sleep(PAUSE);
    }
}

fn base(text: String) -> Base {
    match &*text {
        "live" => Base::Live,
        _ => Base::Empty,
    }
}

fn promote(text: String) -> Promote {
    match &*text {
        "manual" => Promote::Manual,
        _ => Promote::Auto,
    }
}

/// Where to begin.
fn from(text: &str) -> Result<From, String> {
    if text == "earliest" {
        return Ok(From::Earliest);
    }
    if text.contains('@') {
        return records(text);
    }
    let time: Timestamp = text.parse().map_err(|_| {
        "must be earliest, a time such as 2026-11-21T06:00:00Z (RFC 3339), \
         or records such as orders/0@123,orders/1@45"
    })?;
    Ok(From::Timestamp(time.to_string()))
}

fn records(text: &str) -> Result<From, String> {
    let mut offsets = BTreeMap::new();
    for name in text.split(',') {
        let record: RecordName = name
            .trim()
            .parse()
            .map_err(|error| format!("{error}; name records such as orders/0@123,orders/1@45"))?;
        let partition = record.partition.to_string();
        if offsets.contains_key(&partition) {
            return Err(format!("names {partition} twice"));
        }
        offsets.insert(partition, record.offset);
    }
    Ok(From::Offsets(offsets))
}

/// A part of all, 0 to 1, or in per cent.
pub(super) fn part(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number.trim_end(), 100.0),
        None => (text, 1.0),
    };
    let part: Option<f64> = number.parse().ok().map(|number: f64| number / unit);
    part.filter(|part| (0.0..=1.0).contains(part))
        .ok_or_else(|| "must be a part of all, such as 0.05 or 5%".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_the_beginning_a_time_or_records() {
        assert_eq!(from("earliest"), Ok(From::Earliest));
        let time = From::Timestamp("2026-11-21T05:00:00Z".into());
        assert_eq!(from("2026-11-21T06:00:00+01:00"), Ok(time));
        let offsets = [("a-b/0".to_owned(), 12), ("orders/1".to_owned(), 0)];
        assert_eq!(
            from("orders/1@0,a-b/0@12"),
            Ok(From::Offsets(offsets.into()))
        );
        for wrong in [
            "latest",
            "",
            "2026-11-21",
            "orders/0",
            "orders/0@x",
            "o/0@1,",
            "o/0@1,o/0@2",
        ] {
            assert!(from(wrong).is_err(), "{wrong}");
        }
        assert!(
            from("2026-11-21")
                .unwrap_err()
                .contains("2026-11-21T06:00:00Z")
        );
    }

    #[test]
    fn a_part_may_be_in_per_cent() {
        assert_eq!(
            [part("0.05"), part("5%"), part("100 %")],
            [Ok(0.05), Ok(0.05), Ok(1.0)]
        );
        for wrong in ["", "%", "2", "101%", "-1%", "NaN", "inf"] {
            assert!(part(wrong).is_err(), "{wrong}");
        }
    }
}
