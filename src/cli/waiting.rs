//! Waiting for a generation: until it is what was asked for, or cannot become it any more.

use std::time::{Duration, Instant};

use super::client::{Answer, Client, read, segment};
use super::differences;
use super::failure::Failure;
use super::output;
use super::progress::Show;
use crate::api::{GenerationDetail, Promote};

/// How often is looked.
const PERIOD: Duration = Duration::from_secs(1);
/// How long the service may be away: as long as an instance takes to start again, and more.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// It is built and readers see it everywhere; or it is ready, where an operator decides about that.
    Built {
        /// Whether an operator decides.
        manual: bool,
    },
    /// Readers see it everywhere.
    Live,
    /// It is gone.
    Cancelled,
}

/// How waiting ended, in a sentence about the generation.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Reached(String),
    Missed(String),
}

/// Asks again and again, also while an instance starts anew.
pub(super) struct Patient<'c> {
    client: &'c Client,
    answered: Instant,
    away: bool,
}

impl<'c> Patient<'c> {
    pub(super) fn new(client: &'c Client) -> Self {
        Self {
            client,
            answered: Instant::now(),
            away: false,
        }
    }

    /// What `path` answers; none while the service is away, at most for [`PATIENCE`]. `note` hears when that
    /// begins.
    pub(super) fn get(
        &mut self,
        path: &str,
        note: impl Fn(&str),
    ) -> Result<Option<Answer>, Failure> {
        let failure = match self.client.get(path) {
            Ok(answer) if !matches!(answer.status.as_u16(), 502..=504) => {
                self.answered = Instant::now();
                self.away = false;
                return Ok(Some(answer));
            }
            Ok(answer) => Failure::Failed(answer.detail()),
            Err(failure @ (Failure::Away(_) | Failure::Lost(_))) => failure,
            Err(failure) => return Err(failure),
        };
        if self.answered.elapsed() >= PATIENCE {
            return Err(failure);
        }
        if !self.away {
            self.away = true;
            let seconds = PATIENCE.as_secs();
            note(&format!("{failure}; trying again for {seconds} s"));
        }
        Ok(None)
    }
}

/// Waits for the generation of `first`, which the service answered just now, and prints how it ended: with
/// `json` the service's last answer.
pub(super) fn wait(
    client: &Client,
    first: GenerationDetail,
    goal: Goal,
    json: bool,
) -> Result<(), Failure> {
    let mut show = Show::new();
    let mut patient = Patient::new(client);
    let path = place(&first);
    let mut detail = first;
    let mut body = None;
    let ended = loop {
        show.show(&detail);
        if let Some(ended) = end(&detail, goal) {
            break ended;
        }
        std::thread::sleep(PERIOD);
        let Some(answer) = patient.get(&path, |text| show.note(text))? else {
            continue;
        };
        if answer.status.as_u16() == 404 && goal == Goal::Cancelled {
            break End::Reached("is gone".into());
        }
        let text = answer.accepted()?;
        detail = read(&text)?;
        body = Some(text);
    };
    drop(show);
    finish(&detail, ended, body.filter(|_| json), json)
}

fn finish(
    detail: &GenerationDetail,
    ended: End,
    body: Option<String>,
    json: bool,
) -> Result<(), Failure> {
    match (&body, json) {
        (Some(body), _) => output::line(body),
        (None, true) => output::json(detail)?,
        (None, false) => {}
    }
    let name = format!(
        "{}: generation {}",
        detail.projection, detail.status.generation
    );
    match ended {
        End::Reached(_) if json => Ok(()),
        End::Reached(text) => {
            output::line(&format!("{name} {text}"));
            Ok(())
        }
        End::Missed(text) => {
            let found = detail.status.build.as_ref();
            let found = found.and_then(|build| build.verification.as_deref());
            for verification in found.unwrap_or_default() {
                output::error_line(differences::describe(verification).trim_end());
            }
            Err(Failure::Failed(format!("{name} {text}")))
        }
    }
}

/// The path of a generation.
pub(super) fn place(detail: &GenerationDetail) -> String {
    let projection = segment(&detail.projection);
    let number = detail.status.generation;
    format!("/v1/projections/{projection}/generations/{number}")
}

/// Whether waiting is over.
fn end(detail: &GenerationDetail, goal: Goal) -> Option<End> {
    let stores = || {
        let names = detail.status.stores.iter().map(|s| s.store.to_string());
        names.collect::<Vec<_>>().join(" and ")
    };
    let anywhere = |state: &str| detail.status.stores.iter().any(|s| s.state == state);
    let build = detail.status.build.as_ref();
    let trouble = build.and_then(|build| build.trouble.as_deref());
    let why = trouble.map_or_else(String::new, |why| format!(": {why}"));
    if goal == Goal::Cancelled {
        return match detail.is_everywhere("cancelled") {
            true => Some(End::Reached("is cancelled".into())),
            false if detail.is_settled() => {
                let state = &detail.status.state;
                Some(End::Missed(format!(
                    "could not be cancelled: it is {state}{why}"
                )))
            }
            false => None,
        };
    }
    if detail.is_everywhere("live") {
        return Some(End::Reached(format!("is live in {}", stores())));
    }
    if anywhere("failed") {
        return Some(End::Missed(format!(
            "failed{why}; the live one goes on unchanged"
        )));
    }
    if anywhere("cancelled") {
        return Some(End::Missed("was cancelled".into()));
    }
    if anywhere("retired") {
        return Some(End::Missed("was removed".into()));
    }
    match goal {
        Goal::Built { manual } => not_wanted_yet(detail, manual, trouble),
        _ => no_longer_wanted(detail, trouble),
    }
}

/// How a build that is not live yet may end. A cutover that is given up leaves the rest to an operator.
fn not_wanted_yet(detail: &GenerationDetail, manual: bool, trouble: Option<&str>) -> Option<End> {
    if detail.is_everywhere("standby") && !detail.wanted {
        let text = "was live, and is standby again: another one was promoted since";
        return Some(End::Reached(text.into()));
    }
    let build = detail.status.build.as_ref();
    let ready = build.is_some_and(|build| build.ready);
    if !ready || detail.wanted || detail.options.promote == Promote::Auto {
        return None;
    }
    let again = promote(detail);
    if manual {
        let text = format!("is ready: `{again}` lets readers see it");
        return Some(End::Reached(text));
    }
    let why = trouble.unwrap_or("another one was promoted");
    let text = format!("is ready, and its cutover was given up: {why}; `{again}` tries it again");
    Some(End::Missed(text))
}

fn no_longer_wanted(detail: &GenerationDetail, trouble: Option<&str>) -> Option<End> {
    if detail.wanted {
        return None;
    }
    let again = promote(detail);
    Some(End::Missed(match trouble {
        Some(why) => {
            format!("is not live: its cutover was given up: {why}; `{again}` tries it again")
        }
        None => "is not live: another one was promoted since".to_owned(),
    }))
}

fn promote(detail: &GenerationDetail) -> String {
    format!(
        "viewfold promote {} {}",
        detail.projection, detail.status.generation
    )
}
