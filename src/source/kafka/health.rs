//! Whether Kafka can be reached, as far as the clients noticed.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use rdkafka::error::RDKafkaErrorCode;

/// Since when something is wrong, and what. A broker that is away is no error of a stream, which just
/// waits; it is told here (I14). Any answer of a broker clears it.
#[derive(Default)]
pub(super) struct Health(Mutex<Option<(String, SystemTime)>>);

impl Health {
    /// A broker answered.
    pub(super) fn answered(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((reason, since)) = state.take() {
            let seconds = since.elapsed().map_or(0, |gone| gone.as_secs());
            tracing::info!(reason, seconds, "kafka can be used again");
        }
    }

    /// A client met `code`. Only what means that no broker can be used is remembered, with its first time.
    pub(super) fn met(&self, code: RDKafkaErrorCode) {
        if let Some(reason) = reason(code) {
            self.remember(reason.to_owned());
        }
    }

    /// The group client failed for good, because of `code`.
    pub(super) fn failed(&self, code: RDKafkaErrorCode) {
        self.remember(format!("kafka refuses this member: {code}"));
    }

    fn remember(&self, reason: String) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            Some((known, _)) => *known = reason,
            None => {
                tracing::warn!(reason, "kafka cannot be used");
                *state = Some((reason, SystemTime::now()));
            }
        }
    }

    /// What is wrong, and since when; `None` when the last that was heard was good.
    pub(super) fn report(&self) -> Option<(String, SystemTime)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn reason(code: RDKafkaErrorCode) -> Option<&'static str> {
    match code {
        RDKafkaErrorCode::AllBrokersDown
        | RDKafkaErrorCode::BrokerTransportFailure
        | RDKafkaErrorCode::OperationTimedOut
        | RDKafkaErrorCode::RequestTimedOut => Some("kafka unreachable"),
        RDKafkaErrorCode::Resolve => Some("kafka's host name cannot be resolved"),
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
            Some("kafka refuses the credentials")
        }
        RDKafkaErrorCode::SSL => Some("kafka's TLS handshake fails"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_time_is_kept_until_a_broker_answers() {
        let health = Health::default();
        assert!(health.report().is_none());
        health.met(RDKafkaErrorCode::AllBrokersDown);
        let first = health.report().unwrap();
        health.met(RDKafkaErrorCode::Authentication);
        let second = health.report().unwrap();
        assert_eq!(first.1, second.1);
        assert_ne!(first.0, second.0);
        health.answered();
        assert!(health.report().is_none());
    }

    #[test]
    fn an_end_of_partition_is_no_trouble() {
        let health = Health::default();
        health.met(RDKafkaErrorCode::PartitionEOF);
        health.met(RDKafkaErrorCode::UnknownTopicOrPartition);
        assert!(health.report().is_none());
    }
}
