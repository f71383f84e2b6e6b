//! Function calls: what may be called with what, and the plan.

use regex::Regex;

use super::calendar::{self, Unit};
use super::check::{Checker, Part, Reported};
use super::functions::Function;
use super::kind::Kind;
use super::near::advice;
use super::plan::Plan;
use super::references::Chain;
use super::tree::{Node, Syntax};
use super::val::Val;
use crate::projection::{ColumnType, Decimal, Value};

/// A call as it is written; the target of a method is its first argument.
pub(super) struct Call<'n> {
    pub(super) node: &'n Node,
    pub(super) function: &'n str,
    pub(super) name_at: usize,
    pub(super) args: Vec<&'n Node>,
    pub(super) is_method: bool,
}

/// A function's name, the kind of its result ([`Kind::Any`]: that of its arguments), how many
/// arguments it takes, and how it is called.
struct Signature {
    name: &'static str,
    result: Kind,
    arguments: (usize, usize),
    usage: &'static str,
}

const fn signature(
    name: &'static str,
    result: Kind,
    arguments: (usize, usize),
    usage: &'static str,
) -> Signature {
    Signature {
        name,
        result,
        arguments,
        usage,
    }
}

const ANY_NUMBER: usize = usize::MAX;

const SIGNATURES: [Signature; 22] = [
    signature("coalesce", Kind::Any, (1, ANY_NUMBER), "coalesce(a, b, …)"),
    signature("contains", Kind::Bool, (2, 2), "x.contains('part')"),
    signature("date", Kind::Date, (1, 2), "date(ts) or date(ts, 'Europe/Berlin')"),
    signature("decimal", Kind::Number, (1, 1), "decimal(x)"),
    signature("double", Kind::Double, (1, 1), "double(x)"),
    signature("endsWith", Kind::Bool, (2, 2), "x.endsWith('end')"),
    signature("has", Kind::Bool, (1, 1), "has(data.x)"),
    signature("int", Kind::Number, (1, 1), "int(x)"),
    signature("lowerAscii", Kind::Text, (1, 1), "x.lowerAscii()"),
    signature("matches", Kind::Bool, (2, 2), "x.matches('^a+$')"),
    signature("orValue", Kind::Any, (2, 2), "data.?x.orValue(v)"),
    signature("replace", Kind::Text, (3, 3), "x.replace('from', 'to')"),
    signature("round", Kind::Number, (1, 2), "round(x) or round(x, n)"),
    signature("size", Kind::Number, (1, 1), "size(x)"),
    signature("split", Kind::Texts, (2, 2), "x.split(',')"),
    signature("startsWith", Kind::Bool, (2, 2), "x.startsWith('start')"),
    signature("string", Kind::Text, (1, 1), "string(x)"),
    signature("timestamp", Kind::Time, (1, 1), "timestamp('2026-11-21T06:00:00Z')"),
    signature("timestamp_ms", Kind::Time, (1, 1), "timestamp_ms(milliseconds)"),
    signature("trim", Kind::Text, (1, 1), "x.trim()"),
    signature("trunc", Kind::Time, (2, 3), "trunc(ts, 'hour') or trunc(ts, 'day', 'Europe/Berlin')"),
    signature("upperAscii", Kind::Text, (1, 1), "x.upperAscii()"),
];

/// The kind of a function's result; [`Kind::Any`] when it is that of its arguments.
pub(super) fn result(function: &str) -> Option<Kind> {
    SIGNATURES
        .iter()
        .find(|s| s.name == function)
        .map(|s| s.result)
}

/// Why a macro of CEL is not taken, and what to do instead.
fn macro_advice(function: &str) -> Option<String> {
    let instead = match function {
        "exists" | "exists_one" | "existsOne" => {
            "to look for a value write `x in data.list`; to act on elements use `each` with `when`"
        }
        "all" => "use `each = \"data.list\"` with `when` to act on the elements that matter",
        "map" => "use `each = \"data.list\"` for one row change per element, and `item` in it",
        "filter" => "use `each = \"data.list\"` with a `when` that looks at `item`",
        "optMap" | "optFlatMap" => "write data.?x.orValue(v), or coalesce(a, b)",
        _ => return None,
    };
    Some(format!("the macro `{function}` is not supported: {instead}"))
}

impl Checker<'_, '_> {
    pub(super) fn call(
        &mut self,
        call: &Call<'_>,
        want: Option<ColumnType>,
    ) -> Result<Part, Reported> {
        let Some(signature) = SIGNATURES.iter().find(|s| s.name == call.function) else {
            let message = macro_advice(call.function).unwrap_or_else(|| {
                let names = SIGNATURES.iter().map(|s| s.name);
                format!(
                    "unknown function `{}`{}",
                    call.function,
                    advice(call.function, names)
                )
            });
            return self.problem(call.name_at, message);
        };
        let (least, most) = signature.arguments;
        let method_only = call.function == "orValue" && !call.is_method;
        if call.args.len() < least || call.args.len() > most || method_only {
            let message = format!(
                "`{}` does not take these arguments: write {}",
                call.function, signature.usage
            );
            return self.problem(call.name_at, message);
        }
        match (call.function, call.args.as_slice()) {
            ("coalesce" | "orValue", args) => {
                let (plans, kind) = self.unified(args, want)?;
                Ok(Part::new(call.node, Plan::First(plans.into()), kind))
            }
            ("has", [of]) => self.has(call, of),
            ("size", [of]) => self.size(call, of),
            ("string", [of]) => self.string(call, of),
            ("decimal", [of]) => self.decimal(call, of),
            ("int", [of]) => self.int(call, of),
            ("double", [of]) => self.double(call, of),
            ("round", [of, rest @ ..]) => self.round(call, of, rest.first().copied()),
            ("timestamp", [of]) => self.timestamp(call, of),
            ("timestamp_ms", [of]) => {
                let of = self.as_type(of, ColumnType::Numeric)?;
                self.apply(call, Function::TimestampMs, vec![of], Kind::Time)
            }
            ("date", [of, rest @ ..]) => self.date(call, of, rest.first().copied()),
            ("trunc", [of, unit, rest @ ..]) => {
                self.trunc(call, (of, unit), rest.first().copied())
            }
            ("matches", [of, pattern]) => self.matches(call, of, pattern),
            (_, args) => {
                let function = match call.function {
                    "lowerAscii" => Function::LowerAscii,
                    "upperAscii" => Function::UpperAscii,
                    "trim" => Function::Trim,
                    "startsWith" => Function::StartsWith,
                    "endsWith" => Function::EndsWith,
                    "contains" => Function::Contains,
                    "replace" => Function::Replace,
                    "split" => Function::Split,
                    _ => return self.problem(call.name_at, signature.usage),
                };
                let plans = self.all_as_type(args, ColumnType::Text)?;
                self.apply(call, function, plans, signature.result)
            }
        }
    }

    /// The call, or its result where all arguments are constants.
    fn apply(
        &mut self,
        call: &Call<'_>,
        function: Function,
        args: Vec<Plan>,
        kind: Kind,
    ) -> Result<Part, Reported> {
        let constants: Option<Vec<Val<'_>>> = args
            .iter()
            .map(|arg| match arg {
                Plan::Const(value) => Some(Val::from(value)),
                _ => None,
            })
            .collect();
        if let Some(constants) = constants {
            return self.folded(call.node, function.apply(&constants));
        }
        let plan = Plan::Apply(function, args.into(), self.label(call.node));
        Ok(Part::new(call.node, plan, kind))
    }

    fn has(&mut self, call: &Call<'_>, of: &Node) -> Result<Part, Reported> {
        let chain = match Chain::of(of) {
            Ok(Some(chain)) => chain,
            Ok(None) => return self.problem(of.start, "has() takes a path: write has(data.x)"),
            Err((at, message)) => return self.problem(at, message),
        };
        let not_null = |plan| Plan::Not(Box::new(Plan::IsNull(Box::new(plan))));
        let plan = match self.chain(of, &chain)?.plan {
            Plan::Raw(reference) => Plan::Has(reference),
            Plan::Header { name, .. } => not_null(Plan::Header {
                name,
                required: false,
            }),
            Plan::Envelope { field, .. } => not_null(Plan::Envelope {
                field,
                required: false,
            }),
            Plan::Time { .. } => not_null(Plan::Time { required: false }),
            plan => not_null(plan),
        };
        Ok(Part::new(call.node, plan, Kind::Bool))
    }

    fn size(&mut self, call: &Call<'_>, of: &Node) -> Result<Part, Reported> {
        let part = self.part(of, None)?;
        match part.kind {
            Kind::Any | Kind::Soft | Kind::Text | Kind::Texts | Kind::Json | Kind::Null => {
                self.apply(call, Function::Size, vec![part.plan], Kind::Number)
            }
            kind => {
                let message = format!(
                    "size() counts the characters of a text, the elements of an array or the entries of an object, not {}",
                    kind.named()
                );
                self.problem(of.start, message)
            }
        }
    }

    fn string(&mut self, call: &Call<'_>, of: &Node) -> Result<Part, Reported> {
        let part = self.part(of, None)?;
        match part.kind {
            Kind::Soft | Kind::Text => Ok(Part::new(call.node, part.plan, Kind::Text)),
            _ => self.apply(call, Function::String, vec![part.plan], Kind::Text),
        }
    }

    fn decimal(&mut self, call: &Call<'_>, of: &Node) -> Result<Part, Reported> {
        if self.guess_all(&[of]) == Some(Kind::Double) {
            let of = self.as_type(of, ColumnType::Double)?;
            return self.apply(call, Function::Decimal, vec![of], Kind::Number);
        }
        let plan = self.as_type(of, ColumnType::Numeric)?;
        Ok(Part::new(call.node, plan, Kind::Number))
    }

    fn int(&mut self, call: &Call<'_>, of: &Node) -> Result<Part, Reported> {
        let of = match self.guess_all(&[of]) {
            Some(Kind::Time) => self.as_type(of, ColumnType::Timestamptz)?,
            _ => self.decimal(call, of)?.plan,
        };
        self.apply(call, Function::Int, vec![of], Kind::Number)
    }

    fn double(&mut self, call: &Call<'_>, of: &Node) -> Result<Part, Reported> {
        let part = self.part(of, Some(ColumnType::Double))?;
        if part.kind == Kind::Number && !matches!(part.plan, Plan::Const(_)) {
            return self.apply(call, Function::Double, vec![part.plan], Kind::Double);
        }
        let plan = self.coerce(part, ColumnType::Double)?;
        Ok(Part::new(call.node, plan, Kind::Double))
    }

    fn round(
        &mut self,
        call: &Call<'_>,
        of: &Node,
        digits: Option<&Node>,
    ) -> Result<Part, Reported> {
        let digits = match digits.map(|node| (&node.syntax, node)) {
            None => Ok(0),
            Some((Syntax::Number(n), node)) => match n.parse::<u16>() {
                Ok(n) if u64::from(n) <= Decimal::MAX_DIGITS => Ok(n),
                _ => self.problem(node.start, "round() keeps 0 to 1000 digits"),
            },
            Some((_, node)) => self.problem(
                node.start,
                "the number of digits must be a literal: round(x, 2)",
            ),
        };
        let outer = std::mem::replace(&mut self.rounding, true);
        let plan = match self.guess_all(&[of]) {
            Some(Kind::Double) => self.decimal(call, of).map(|part| part.plan),
            _ => self.as_type(of, ColumnType::Numeric),
        };
        self.rounding = outer;
        let (plan, digits) = (plan?, digits?);
        if let Plan::Const(Value::Numeric(n)) = &plan {
            return self.folded(call.node, Ok(Val::Number(n.round(digits))));
        }
        let plan = Plan::Round(Box::new(plan), digits, self.label(call.node));
        Ok(Part::new(call.node, plan, Kind::Number))
    }

    fn timestamp(&mut self, call: &Call<'_>, of: &Node) -> Result<Part, Reported> {
        if self.guess_all(&[of]) == Some(Kind::Date) {
            let of = self.as_type(of, ColumnType::Date)?;
            return self.apply(call, Function::Midnight, vec![of], Kind::Time);
        }
        let plan = self.as_type(of, ColumnType::Timestamptz)?;
        Ok(Part::new(call.node, plan, Kind::Time))
    }

    fn date(
        &mut self,
        call: &Call<'_>,
        of: &Node,
        zone: Option<&Node>,
    ) -> Result<Part, Reported> {
        let zone = self.zone(zone);
        let part = self.part(of, None)?;
        match part.kind {
            Kind::Any | Kind::Soft | Kind::Text | Kind::Null | Kind::Time | Kind::Date => {
                self.apply(call, Function::Date(zone?), vec![part.plan], Kind::Date)
            }
            kind => {
                let message = format!("date() takes a timestamp, not {}", kind.named());
                self.problem(of.start, message)
            }
        }
    }

    fn trunc(
        &mut self,
        call: &Call<'_>,
        (of, unit): (&Node, &Node),
        zone: Option<&Node>,
    ) -> Result<Part, Reported> {
        let unit = match &unit.syntax {
            Syntax::Text(name) => match Unit::named(name) {
                Some(unit) => Ok(unit),
                None => {
                    let message = format!("`{name}` is no unit{}", advice(name, Unit::NAMES));
                    self.problem(unit.start, message)
                }
            },
            _ => self.problem(unit.start, "the unit must be a literal: trunc(ts, 'hour')"),
        };
        let zone = self.zone(zone);
        let of = self.timestamp(call, of)?.plan;
        let function = Function::Trunc(unit?, zone?);
        self.apply(call, function, vec![of], Kind::Time)
    }

    fn zone(&mut self, zone: Option<&Node>) -> Result<Option<jiff::tz::TimeZone>, Reported> {
        match zone.map(|node| (&node.syntax, node.start)) {
            None => Ok(None),
            Some((Syntax::Text(name), at)) => calendar::zone(name)
                .or_else(|reason| self.problem(at, format!("`{name}` {reason}"))),
            Some((_, at)) => self.problem(
                at,
                "the time zone must be a literal, such as 'Europe/Berlin'",
            ),
        }
    }

    fn matches(
        &mut self,
        call: &Call<'_>,
        of: &Node,
        pattern: &Node,
    ) -> Result<Part, Reported> {
        let regex = match &pattern.syntax {
            Syntax::Text(text) => Regex::new(text).or_else(|error| {
                let reason = error.to_string();
                let last = reason.lines().last().unwrap_or_default();
                let last = last.strip_prefix("error: ").unwrap_or(last);
                self.problem(pattern.start, format!("this is no regular expression: {last}"))
            }),
            _ => self.problem(
                pattern.start,
                "the regular expression must be a literal: x.matches('^a+$')",
            ),
        };
        let of = self.as_type(of, ColumnType::Text)?;
        self.apply(call, Function::Matches(regex?), vec![of], Kind::Bool)
    }
}
