//! What a rebuild costs, about.

use super::starts::Part;
use super::survey::Survey;

/// Records per second where nothing was measured and nothing is limited: what a small machine does with room to spare.
const ASSUMED_RATE: f64 = 20_000.0;

/// A rate, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    pub(super) records_per_second: f64,
    pub(super) source: &'static str,
}

impl Rate {
    /// The measured rate if there is one, at most the operator's limit.
    pub(super) fn of(measured: Option<f64>, limit: Option<u64>) -> Self {
        let measured = measured.filter(|rate| rate.is_finite() && *rate > 0.0);
        let unlimited = Self {
            records_per_second: measured.unwrap_or(ASSUMED_RATE),
            source: measured.map_or("assumed", |_| "measured"),
        };
        match limit.map(|limit| limit as f64) {
            Some(limit) if limit < unlimited.records_per_second => Self {
                records_per_second: limit,
                source: "limit",
            },
            _ => unlimited,
        }
    }
}

/// How many offsets are read.
pub(super) fn records(parts: &[Part]) -> u64 {
    let left = |part: &Part| part.start.distance_to(part.bounds.high);
    parts.iter().map(left).sum()
}

/// About how many bytes of keys and values are read; none when no record could be looked at.
pub(super) async fn bytes(parts: &[Part], survey: &mut Survey) -> Option<u64> {
    if records(parts) == 0 {
        return Some(0);
    }
    let mut sampled = 0.0;
    let mut of_sampled = 0;
    // Parts lie in the order of topics.
    for topic in parts.chunk_by(|a, b| a.partition.topic == b.partition.topic) {
        let left = |part: &&Part| part.start.distance_to(part.bounds.high);
        let Some(largest) = topic.iter().max_by_key(left).filter(|part| left(part) > 0) else {
            continue;
        };
        let from = largest.start.max(largest.bounds.low);
        if let Some(size) = survey.record_size(&largest.partition, from).await {
            let records = records(topic);
            sampled += size * records as f64;
            of_sampled += records;
        }
    }
    // Topics that could not be looked at are taken for like the others.
    let mean = (of_sampled > 0).then(|| sampled / of_sampled as f64);
    mean.map(|mean| (mean * records(parts) as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_the_least_of_what_is_known() {
        let rate = |measured, limit| {
            let rate = Rate::of(measured, limit);
            (rate.records_per_second, rate.source)
        };
        assert_eq!(rate(None, None), (ASSUMED_RATE, "assumed"));
        assert_eq!(rate(Some(50_000.0), None), (50_000.0, "measured"));
        assert_eq!(rate(Some(50_000.0), Some(100)), (100.0, "limit"));
        assert_eq!(rate(Some(50.0), Some(100)), (50.0, "measured"));
        assert_eq!(rate(Some(0.0), None), (ASSUMED_RATE, "assumed"));
        assert_eq!(rate(Some(f64::NAN), Some(7)), (7.0, "limit"));
    }
}
