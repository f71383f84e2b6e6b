//! Operators: which type their operands take, and the plan.

use super::calculate::{self, Arithmetic};
use super::check::{Checker, Part, Reported};
use super::compare::{Comparison, compare};
use super::kind::Kind;
use super::plan::Plan;
use super::references::Chain;
use super::tree::{Node, Operator, Syntax};
use super::val::Val;
use super::{calls, functions::Function};
use crate::projection::ColumnType;

/// A kind that is known without a context, and whether it is more than a literal's: the type of
/// a literal gives way to any other.
type Guess = Option<(Kind, bool)>;

impl Checker<'_, '_> {
    /// The kind that `node` has by itself, if it has one. Reports nothing.
    pub(super) fn guess(&self, node: &Node) -> Guess {
        let literal = |kind| Some((kind, false));
        let certain = |kind| Some((kind, true));
        match &node.syntax {
            Syntax::Null | Syntax::Refused(_) => None,
            Syntax::Bool(_) => literal(Kind::Bool),
            Syntax::Text(_) => literal(Kind::Text),
            Syntax::Number(_) => literal(Kind::Number),
            Syntax::Name(_) | Syntax::Field { .. } | Syntax::Index { .. } => {
                let chain = Chain::of(node).ok().flatten()?;
                chain.kind(self.scope.columns).and_then(certain)
            }
            Syntax::Call {
                function,
                target,
                args,
                ..
            } => match calls::result(function) {
                Some(Kind::Any) => self.guess_of(target.as_deref().into_iter().chain(args)),
                known => known.and_then(certain),
            },
            Syntax::Negate(of) => match self.guess(of) {
                Some((Kind::Double, _)) => certain(Kind::Double),
                _ => certain(Kind::Number),
            },
            Syntax::Not(_) => certain(Kind::Bool),
            Syntax::Binary(Operator::Add, left, right) => self.guess_of([&**left, &**right]),
            Syntax::Binary(operator, left, right) => match arithmetic(*operator) {
                Some(_) => match self.guess_of([&**left, &**right]) {
                    Some((Kind::Double, _)) => certain(Kind::Double),
                    _ => certain(Kind::Number),
                },
                None => certain(Kind::Bool),
            },
            Syntax::If(parts) => self.guess_of(parts.iter().skip(1)),
            Syntax::List(_) | Syntax::Map(_) => certain(Kind::Json),
        }
    }

    /// The kind that all of `nodes` take: that of the first certain one, else of the first literal.
    /// Beside a double, numbers are doubles.
    fn guess_of<'n>(&self, nodes: impl IntoIterator<Item = &'n Node>) -> Guess {
        let mut best: Guess = None;
        for node in nodes {
            best = match (best, self.guess(node)) {
                (_, double @ Some((Kind::Double, _))) => double,
                (Some((_, false)) | None, Some(better @ (_, true))) => Some(better),
                (None, found) => found,
                (best, _) => best,
            };
        }
        best
    }

    pub(super) fn guess_all(&self, nodes: &[&Node]) -> Option<Kind> {
        self.guess_of(nodes.iter().copied()).map(|(kind, _)| kind)
    }

    pub(super) fn negate(
        &mut self,
        node: &Node,
        of: &Node,
        want: Option<ColumnType>,
    ) -> Result<Part, Reported> {
        let kind = match (self.guess_all(&[of]), want) {
            (Some(Kind::Double), _) => Kind::Double,
            _ => Kind::Number,
        };
        let of = self.as_type(of, kind.ty().unwrap_or(ColumnType::Numeric))?;
        if let Plan::Const(value) = &of {
            return self.folded(node, calculate::negate(Val::from(value)));
        }
        let plan = Plan::Negate(Box::new(of), self.label(node));
        Ok(Part::new(node, plan, kind))
    }

    pub(super) fn binary(
        &mut self,
        node: &Node,
        operator: Operator,
        operands: (&Node, &Node),
        want: Option<ColumnType>,
    ) -> Result<Part, Reported> {
        match operator {
            Operator::And | Operator::Or => self.logic(node, operator, operands),
            Operator::In => self.among(node, operands),
            Operator::Add if self.joins(node, operands, want)? => self.join(node, operands),
            _ => match (arithmetic(operator), comparison(operator)) {
                (Some(op), _) => self.arithmetic(node, op, operands),
                (None, Some(op)) => self.comparison(node, (operator, op), operands),
                (None, None) => {
                    let message = format!("`{}` is not supported", operator.sign());
                    self.problem(node.start, message)
                }
            },
        }
    }

    /// `left` and `right` as `ty`; the problems of both are reported.
    fn both(
        &mut self,
        (left, right): (&Node, &Node),
        ty: ColumnType,
    ) -> Result<Box<[Plan; 2]>, Reported> {
        let left = self.as_type(left, ty);
        let right = self.as_type(right, ty);
        Ok(Box::new([left?, right?]))
    }

    fn logic(
        &mut self,
        node: &Node,
        operator: Operator,
        operands: (&Node, &Node),
    ) -> Result<Part, Reported> {
        let operands = self.both(operands, ColumnType::Boolean)?;
        let plan = match operator {
            Operator::And => Plan::And(operands),
            _ => Plan::Or(operands),
        };
        Ok(Part::new(node, plan, Kind::Bool))
    }

    /// Whether this `+` joins texts.
    fn joins(
        &mut self,
        node: &Node,
        operands: (&Node, &Node),
        want: Option<ColumnType>,
    ) -> Result<bool, Reported> {
        match want.map(Kind::of) {
            Some(Kind::Text) => return Ok(true),
            Some(Kind::Number | Kind::Double) => return Ok(false),
            _ => {}
        }
        let guesses = [self.guess(operands.0), self.guess(operands.1)];
        if guesses
            .iter()
            .flatten()
            .any(|(kind, _)| *kind == Kind::Text)
        {
            return Ok(true);
        }
        if guesses.iter().flatten().next().is_some() {
            return Ok(false);
        }
        if is_soft(operands.0) || is_soft(operands.1) {
            return Ok(true);
        }
        let left = self.quoted(operands.0.start, operands.0.end);
        let message = format!(
            "it is not known whether this `+` adds or joins: write decimal({left}) to add, or string({left}) to join"
        );
        self.problem(node.start, message)
    }

    fn join(&mut self, node: &Node, operands: (&Node, &Node)) -> Result<Part, Reported> {
        let operands = self.both(operands, ColumnType::Text)?;
        if let [Plan::Const(left), Plan::Const(right)] = &*operands
            && let (Some(left), Some(right)) = (left.canonical(), right.canonical())
        {
            let joined = format!("{left}{right}");
            return self.folded(node, Ok(Val::Text(joined.into())));
        }
        Ok(Part::new(node, Plan::Join(operands), Kind::Text))
    }

    fn arithmetic(
        &mut self,
        node: &Node,
        op: Arithmetic,
        operands: (&Node, &Node),
    ) -> Result<Part, Reported> {
        let kind = match self.guess_all(&[operands.0, operands.1]) {
            Some(Kind::Double) => Kind::Double,
            _ => Kind::Number,
        };
        let operands = self.both(operands, kind.ty().unwrap_or(ColumnType::Numeric))?;
        if let [Plan::Const(left), Plan::Const(right)] = &*operands
            && !self.rounding
        {
            return self.folded(
                node,
                calculate::calculate(op, Val::from(left), Val::from(right)),
            );
        }
        let plan = Plan::Arithmetic(op, operands, self.label(node));
        Ok(Part::new(node, plan, kind))
    }

    fn comparison(
        &mut self,
        node: &Node,
        (operator, op): (Operator, Comparison),
        (left, right): (&Node, &Node),
    ) -> Result<Part, Reported> {
        let equality = matches!(op, Comparison::Equal | Comparison::NotEqual);
        if equality {
            let other = match (&left.syntax, &right.syntax) {
                (_, Syntax::Null) => Some(left),
                (Syntax::Null, _) => Some(right),
                _ => None,
            };
            if let Some(other) = other {
                return self.null_test(node, op, other);
            }
        }
        let ty = self.guess_all(&[left, right]).and_then(Kind::ty);
        let operands = match ty {
            Some(ColumnType::Jsonb) if !equality => {
                return self.problem(node.start, "lists and objects have no order");
            }
            Some(ty) => self.both((left, right), ty)?,
            None => {
                let (plans, kind) = self.unified(&[left, right], None)?;
                if !equality && kind == Kind::Any {
                    return self.orderless(node, operator, left);
                }
                let operands: Result<[Plan; 2], _> = plans.try_into();
                Box::new(operands.map_err(|_| Reported)?)
            }
        };
        if let [Plan::Const(left), Plan::Const(right)] = &*operands {
            let holds = compare(op, &Val::from(left), &Val::from(right));
            return self.folded(node, Ok(holds.map_or(Val::Null, Val::Bool)));
        }
        Ok(Part::new(node, Plan::Compare(op, operands), Kind::Bool))
    }

    fn orderless(
        &mut self,
        node: &Node,
        operator: Operator,
        left: &Node,
    ) -> Result<Part, Reported> {
        let text = self.quoted(left.start, left.end);
        let message = format!(
            "the types beside `{}` are not known: write decimal({text}), timestamp({text}) or string({text})",
            operator.sign()
        );
        self.problem(node.start, message)
    }

    fn null_test(&mut self, node: &Node, op: Comparison, other: &Node) -> Result<Part, Reported> {
        let is_null = Plan::IsNull(Box::new(self.part(other, None)?.plan));
        let plan = match op {
            Comparison::Equal => is_null,
            _ => Plan::Not(Box::new(is_null)),
        };
        Ok(Part::new(node, plan, Kind::Bool))
    }

    /// `item in list`.
    fn among(&mut self, node: &Node, (item, list): (&Node, &Node)) -> Result<Part, Reported> {
        if let Syntax::List(parts) = &list.syntax {
            let nodes: Vec<&Node> = std::iter::once(item).chain(parts).collect();
            let (plans, _) = self.unified(&nodes, None)?;
            return Ok(Part::new(node, Plan::Among(plans.into()), Kind::Bool));
        }
        let list_part = self.part(list, None);
        let list_part = match list_part {
            Ok(part) if !matches!(part.kind, Kind::Any | Kind::Texts | Kind::Json) => {
                let message = format!(
                    "`in` needs a list, an array or an object on its right, not {}: to look into a text write x.contains(y)",
                    part.kind.named()
                );
                return self.problem(list.start, message);
            }
            other => other,
        };
        let item_part = match &list_part {
            Ok(part) if part.kind == Kind::Texts => self.as_type(item, ColumnType::Text),
            _ => match self.part(item, None) {
                Ok(part) if part.kind == Kind::Soft => self.coerce(part, ColumnType::Text),
                part => part.map(|part| part.plan),
            },
        };
        let args = [item_part?, list_part?.plan];
        let plan = Plan::Apply(Function::In, args.into(), self.label(node));
        Ok(Part::new(node, plan, Kind::Bool))
    }
}

/// Whether a part is a text where nothing else is asked for.
fn is_soft(node: &Node) -> bool {
    match &node.syntax {
        Syntax::Binary(Operator::Add, left, right) => is_soft(left) || is_soft(right),
        _ => Chain::of(node).ok().flatten().is_some_and(|c| c.is_soft()),
    }
}

fn arithmetic(operator: Operator) -> Option<Arithmetic> {
    Some(match operator {
        Operator::Add => Arithmetic::Add,
        Operator::Subtract => Arithmetic::Subtract,
        Operator::Multiply => Arithmetic::Multiply,
        Operator::Divide => Arithmetic::Divide,
        _ => return None,
    })
}

fn comparison(operator: Operator) -> Option<Comparison> {
    Some(match operator {
        Operator::Equal => Comparison::Equal,
        Operator::NotEqual => Comparison::NotEqual,
        Operator::Less => Comparison::Less,
        Operator::LessOrEqual => Comparison::LessOrEqual,
        Operator::Greater => Comparison::Greater,
        Operator::GreaterOrEqual => Comparison::GreaterOrEqual,
        _ => return None,
    })
}
