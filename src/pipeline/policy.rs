//! What is done about every way in which a track can end. The only place that decides it.

use std::time::Duration;

use super::spec::{End, PipelineSpec};
use super::stall::{Reason, Stall};
use crate::fault::FaultKind;
use crate::position::RecordName;

/// When a track may be claimed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// After about this long, longer after every failure in a row.
    After(Duration),
    /// When an operator has decided about this record.
    Decided(RecordName),
}

/// The stall to show and when to try again.
pub(super) fn decide(spec: &PipelineSpec, end: &End) -> (Stall, Again) {
    let store = spec.key.store;
    let projection = &spec.generation.projection;
    let (reason, detail, again) = match end {
        End::Fenced => (
            Reason::NotOwner,
            "another instance holds the claim; waiting for a fresh proof of ownership".to_owned(),
            Again::After(Duration::from_millis(500)),
        ),
        End::Gone => (
            Reason::GenerationAbsent,
            format!(
                "{} is not in {store}; it is created again when {store} can be asked",
                spec.generation
            ),
            Again::After(Duration::from_secs(1)),
        ),
        End::Moved(what) => (
            Reason::CursorMoved,
            what.clone(),
            Again::After(Duration::from_millis(50)),
        ),
        End::Away(reason, fault) => {
            let who = if *reason == Reason::KafkaUnreachable {
                "kafka"
            } else {
                store.as_str()
            };
            (
                *reason,
                format!("{who}: {}", fault.message),
                Again::After(Duration::from_millis(250)),
            )
        }
        End::Poison { record, fault } => {
            let what = if fault.kind == FaultKind::Bug {
                "bug in the handler"
            } else {
                "cannot be processed"
            };
            let detail = format!(
                "{record} {what}: {}; step over it with: viewfold skip {projection} {record} --reason …",
                fault.message
            );
            let stall = Stall {
                record: Some(record.clone()),
                ..Stall::now(Reason::Poison, detail)
            };
            return (stall, Again::Decided(record.clone()));
        }
        End::Log(stall) => return (stall.clone(), Again::After(Duration::from_secs(5))),
        End::Broken(fault) => {
            let reason = if fault.kind == FaultKind::Misconfigured {
                Reason::Misconfigured
            } else {
                Reason::Bug
            };
            (
                reason,
                fault.message.clone(),
                Again::After(Duration::from_secs(5)),
            )
        }
    };
    (Stall::now(reason, detail), again)
}
