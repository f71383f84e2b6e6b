//! The envelope fields that an event may have.

/// An envelope field of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The event's id.
    Id,
    /// Its type, without a trailing `.vN`.
    Type,
    /// The envelope's version text, else the N of a trailing `.vN`.
    Version,
    /// Where it comes from.
    Source,
    /// When it happened.
    Time,
    /// What it is about.
    Subject,
    /// The business transaction it belongs to.
    CorrelationId,
    /// The message that caused it.
    CausationId,
    /// The trace it belongs to.
    TraceId,
    /// Who caused it.
    UserId,
    /// The aggregate's id.
    AggregateId,
    /// The aggregate's type.
    AggregateType,
    /// The aggregate's version.
    AggregateVersion,
}

impl Field {
    /// How many fields there are.
    pub const COUNT: usize = 13;

    /// All fields, in the order of their slots.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Id,
        Self::Type,
        Self::Version,
        Self::Source,
        Self::Time,
        Self::Subject,
        Self::CorrelationId,
        Self::CausationId,
        Self::TraceId,
        Self::UserId,
        Self::AggregateId,
        Self::AggregateType,
        Self::AggregateVersion,
    ];

    /// The name, as in expressions (`event.<name>`) and in mappings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Type => "type",
            Self::Version => "version",
            Self::Source => "source",
            Self::Time => "time",
            Self::Subject => "subject",
            Self::CorrelationId => "correlation_id",
            Self::CausationId => "causation_id",
            Self::TraceId => "trace_id",
            Self::UserId => "user_id",
            Self::AggregateId => "aggregate_id",
            Self::AggregateType => "aggregate_type",
            Self::AggregateVersion => "aggregate_version",
        }
    }

    /// The field called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }

    /// Its place among the slots of the fields.
    pub(super) const fn slot(self) -> usize {
        self as usize
    }
}
