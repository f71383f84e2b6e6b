//! The checker: gives every part a type and makes the plan. Reports all problems, not the first.

use super::calls;
use super::kind::Kind;
use super::plan::{Label, Plan};
use super::quote::quote;
use super::references::Chain;
use super::tree::{Node, Syntax};
use super::val::Val;
use super::{Problem, Scope, Want};
use crate::projection::{ColumnType, Decimal, Value};

/// Says that a problem has been reported, and that there is no plan.
#[derive(Debug)]
pub(super) struct Reported;

/// A checked part.
pub(super) struct Part {
    pub(super) plan: Plan,
    pub(super) kind: Kind,
    /// Where it stands in the source.
    pub(super) start: usize,
    pub(super) end: usize,
    /// For a number literal: as it is written.
    digits: Option<Box<str>>,
}

impl Part {
    pub(super) fn new(node: &Node, plan: Plan, kind: Kind) -> Self {
        Self {
            plan,
            kind,
            start: node.start,
            end: node.end,
            digits: None,
        }
    }
}

/// What checking gives.
pub(super) struct Checked {
    pub(super) plan: Plan,
    /// The type of the value; none where the expression's own type is taken.
    pub(super) ty: Option<ColumnType>,
    pub(super) reads_row: bool,
}

pub(super) struct Checker<'c, 's> {
    pub(super) source: &'c str,
    pub(super) scope: &'c mut Scope<'s>,
    pub(super) reads_row: bool,
    /// Whether a `round` around this part takes quotients that are not exact.
    pub(super) rounding: bool,
    problems: Vec<Problem>,
}

/// Checks the expression `tree` of `source`.
pub(super) fn check(
    source: &str,
    tree: &Node,
    want: Want,
    scope: &mut Scope<'_>,
) -> Result<Checked, Vec<Problem>> {
    let mut checker = Checker {
        source,
        scope,
        reads_row: false,
        rounding: false,
        problems: Vec::new(),
    };
    let ty = match want {
        Want::Column(ty) => Some(ty),
        Want::Condition => Some(ColumnType::Boolean),
        Want::Text => Some(ColumnType::Text),
        Want::Json => Some(ColumnType::Jsonb),
        Want::Amount => Some(ColumnType::Numeric),
        Want::Order | Want::Array => None,
    };
    let plan = match (ty, want) {
        (Some(ty), _) => checker.as_type(tree, ty),
        (None, Want::Array) => checker.array(tree),
        (None, _) => checker.ordered(tree),
    };
    let reads_row = checker.reads_row;
    match plan {
        Ok(plan) if checker.problems.is_empty() => Ok(Checked {
            plan,
            ty,
            reads_row,
        }),
        _ => {
            checker.problems.sort_by_key(|problem| problem.at);
            Err(checker.problems)
        }
    }
}

impl Checker<'_, '_> {
    /// Reports a problem.
    pub(super) fn problem<T>(
        &mut self,
        at: usize,
        message: impl Into<String>,
    ) -> Result<T, Reported> {
        self.problems.push(Problem::new(at, message));
        Err(Reported)
    }

    /// The source text of a part, for messages.
    pub(super) fn quoted(&self, start: usize, end: usize) -> String {
        quote(self.source.get(start..end).unwrap_or_default())
    }

    pub(super) fn label(&self, node: &Node) -> Label {
        self.quoted(node.start, node.end).into()
    }

    /// `node` as a value of `ty`.
    pub(super) fn as_type(&mut self, node: &Node, ty: ColumnType) -> Result<Plan, Reported> {
        let part = self.part(node, Some(ty))?;
        self.coerce(part, ty)
    }

    /// All of `nodes` as values of `ty`; every problem in them is reported.
    pub(super) fn all_as_type(
        &mut self,
        nodes: &[&Node],
        ty: ColumnType,
    ) -> Result<Vec<Plan>, Reported> {
        let plans: Vec<_> = nodes.iter().map(|node| self.as_type(node, ty)).collect();
        plans.into_iter().collect()
    }

    /// A part read as `ty`, or converted to it.
    pub(super) fn coerce(&mut self, part: Part, ty: ColumnType) -> Result<Plan, Reported> {
        let kind = part.kind;
        let kind_of_literal = match part.plan {
            Plan::Const(Value::Text(_)) => Kind::Soft,
            _ => kind,
        };
        if !kind_of_literal.fits(ty) {
            let text = self.quoted(part.start, part.end);
            let instead = kind.instead(ty);
            let message = format!(
                "`{text}` is {}, but {} is needed here{instead}",
                kind.named(),
                needed(ty)
            );
            return self.problem(part.start, message);
        }
        match part.plan {
            Plan::Const(value) => {
                let written = part.digits.filter(|_| ty == ColumnType::Jsonb);
                let value = match written {
                    Some(digits) => Value::parse(ty, &digits),
                    None => value.cast(ty),
                };
                match value {
                    Ok(value) => Ok(Plan::Const(value)),
                    Err(reason) => {
                        let text = self.quoted(part.start, part.end);
                        self.problem(part.start, format!("`{text}` {reason}"))
                    }
                }
            }
            Plan::Raw(reference) => Ok(Plan::Read(reference, ty)),
            plan if kind != Kind::Any && kind.ty() == Kind::of(ty).ty() => Ok(plan),
            plan => {
                let label = self.quoted(part.start, part.end).into();
                Ok(Plan::Cast(Box::new(plan), ty, label))
            }
        }
    }

    /// A part with the type that it has by itself, or takes from `want`.
    pub(super) fn part(&mut self, node: &Node, want: Option<ColumnType>) -> Result<Part, Reported> {
        match &node.syntax {
            Syntax::Null => Ok(constant(node, Value::Null)),
            Syntax::Bool(b) => Ok(constant(node, Value::Bool(*b))),
            Syntax::Text(text) => Ok(constant(node, Value::Text(text.as_str().into()))),
            Syntax::Number(digits) => self.number(node, digits),
            Syntax::Name(_) | Syntax::Field { .. } | Syntax::Index { .. } => {
                match Chain::of(node) {
                    Ok(Some(chain)) => self.chain(node, &chain),
                    Ok(None) => self.problem(
                        node.start,
                        "only names such as data, item, row, event and headers have fields",
                    ),
                    Err((at, message)) => self.problem(at, message),
                }
            }
            Syntax::Call {
                function,
                name_at,
                target,
                args,
            } => {
                let call = calls::Call {
                    node,
                    function,
                    name_at: *name_at,
                    args: target.as_deref().into_iter().chain(args).collect(),
                    is_method: target.is_some(),
                };
                self.call(&call, want)
            }
            Syntax::Negate(of) => self.negate(node, of, want),
            Syntax::Not(of) => {
                let of = self.as_type(of, ColumnType::Boolean)?;
                Ok(Part::new(node, Plan::Not(Box::new(of)), Kind::Bool))
            }
            Syntax::Binary(operator, left, right) => {
                self.binary(node, *operator, (left, right), want)
            }
            Syntax::If(parts) => {
                let [condition, then, other] = &**parts;
                let condition = self.as_type(condition, ColumnType::Boolean);
                let (plans, kind) = self.unified(&[then, other], want)?;
                let parts: Result<[Plan; 2], _> = plans.try_into();
                match (condition?, parts) {
                    (condition, Ok([then, other])) => {
                        let plan = Plan::If(Box::new([condition, then, other]));
                        Ok(Part::new(node, plan, kind))
                    }
                    _ => Err(Reported),
                }
            }
            Syntax::List(parts) => self.list(node, parts, want),
            Syntax::Map(entries) => self.map(node, entries),
            Syntax::Refused(reason) => self.problem(node.start, reason.clone()),
        }
    }

    fn number(&mut self, node: &Node, digits: &str) -> Result<Part, Reported> {
        match Decimal::parse(digits) {
            Ok(number) => Ok(Part {
                digits: Some(digits.into()),
                ..constant(node, Value::Numeric(number))
            }),
            Err(reason) => {
                let text = self.quoted(node.start, node.end);
                self.problem(node.start, format!("`{text}` {reason}"))
            }
        }
    }

    /// Parts of which one is taken, all read as one type: the wanted one, else one that is known.
    pub(super) fn unified(
        &mut self,
        nodes: &[&Node],
        want: Option<ColumnType>,
    ) -> Result<(Vec<Plan>, Kind), Reported> {
        let ty = want.or_else(|| self.guess_all(nodes).and_then(Kind::ty));
        if let Some(ty) = ty {
            return Ok((self.all_as_type(nodes, ty)?, Kind::of(ty)));
        }
        let parts: Vec<_> = nodes.iter().map(|node| self.part(node, None)).collect();
        let parts: Vec<Part> = parts.into_iter().collect::<Result<_, _>>()?;
        if parts.iter().any(|part| part.kind == Kind::Soft) {
            let plans: Result<Vec<_>, _> = parts
                .into_iter()
                .map(|part| self.coerce(part, ColumnType::Text))
                .collect();
            return Ok((plans?, Kind::Text));
        }
        Ok((parts.into_iter().map(|part| part.plan).collect(), Kind::Any))
    }

    fn list(
        &mut self,
        node: &Node,
        parts: &[Node],
        want: Option<ColumnType>,
    ) -> Result<Part, Reported> {
        let nodes: Vec<&Node> = parts.iter().collect();
        if want == Some(ColumnType::TextArray) {
            let plans = self.all_as_type(&nodes, ColumnType::Text)?.into();
            return Ok(Part::new(node, Plan::Texts(plans), Kind::Texts));
        }
        let plans = self.all_as_type(&nodes, ColumnType::Jsonb)?.into();
        Ok(Part::new(node, Plan::List(plans), Kind::Json))
    }

    fn map(&mut self, node: &Node, entries: &[(Node, Node)]) -> Result<Part, Reported> {
        let plans: Vec<_> = entries
            .iter()
            .map(|(name, value)| {
                let name = self.as_type(name, ColumnType::Text);
                let value = self.as_type(value, ColumnType::Jsonb);
                Ok((name?, value?))
            })
            .collect();
        let plans: Vec<(Plan, Plan)> = plans.into_iter().collect::<Result<_, _>>()?;
        Ok(Part::new(node, Plan::Map(plans.into()), Kind::Json))
    }

    /// A value that orders others: of a type that is known and has an order.
    fn ordered(&mut self, node: &Node) -> Result<Plan, Reported> {
        let part = self.part(node, None)?;
        match part.kind {
            Kind::Any => {
                let text = self.quoted(part.start, part.end);
                let message = format!(
                    "the type of `{text}` is not known here: write decimal({text}), timestamp({text}) or string({text})"
                );
                self.problem(part.start, message)
            }
            Kind::Json | Kind::Texts | Kind::Null => {
                let message = format!("{} has no order", part.kind.named());
                self.problem(part.start, message)
            }
            Kind::Soft => self.coerce(part, ColumnType::Text),
            _ => Ok(part.plan),
        }
    }

    /// A path to an array; `.orValue([])` makes it optional.
    fn array(&mut self, node: &Node) -> Result<Plan, Reported> {
        if let Syntax::Call {
            function,
            target: Some(target),
            args,
            ..
        } = &node.syntax
            && function == "orValue"
        {
            return match args.as_slice() {
                [
                    Node {
                        syntax: Syntax::List(parts),
                        ..
                    },
                ] if parts.is_empty() => self.array(target),
                _ => self.problem(node.start, "here only .orValue([]) makes sense"),
            };
        }
        let part = self.part(node, None)?;
        match part.plan {
            Plan::Raw(_) => Ok(part.plan),
            _ => self.problem(
                part.start,
                "a path to an array is needed here, such as data.items",
            ),
        }
    }

    /// A constant, where evaluating `of` on constants gives one.
    pub(super) fn folded<'v>(
        &mut self,
        node: &Node,
        result: Result<Val<'v>, String>,
    ) -> Result<Part, Reported> {
        match result {
            Ok(val) => Ok(constant(node, val.natural())),
            Err(reason) => {
                let text = self.quoted(node.start, node.end);
                self.problem(node.start, format!("`{text}` {reason}"))
            }
        }
    }
}

fn constant(node: &Node, value: Value) -> Part {
    let kind = Kind::of_value(&value);
    Part::new(node, Plan::Const(value), kind)
}

/// What a message calls a type: a boolean is what conditions are made of.
fn needed(ty: ColumnType) -> String {
    match ty {
        ColumnType::Boolean => "true or false".into(),
        ColumnType::Integer => "an integer".into(),
        ty => format!("a {ty}"),
    }
}
