//! Source text to syntax tree, by the parser of the `cel` crate.

use cel::Env;
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};

use super::Problem;
use super::explain::explain;
use super::scan::Scan;
use super::tree::{Node, Operator, Syntax};

/// The deepest that operands may be nested: the plan is evaluated by recursion, on a worker's stack.
const MAX_DEPTH: usize = 100;
/// The parser descends about twenty calls per level; with the bounds of `scan` this is plenty.
const PARSER_STACK: usize = 64 << 20;

/// Parses `source`. The parser runs on a stack of its own, so that neither its depth nor a
/// panic in it can hurt the caller.
pub(super) fn parse(source: &str) -> Result<Node, Problem> {
    let scan = Scan::new(source)?;
    if scan.tokens.is_empty() {
        return Err(Problem::new(0, "the expression is empty"));
    }
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("expression-parser".into())
            .stack_size(PARSER_STACK)
            .spawn_scoped(scope, || parse_scanned(&scan))
            .map_err(|e| Problem::new(0, format!("the parser cannot start: {e}")))?
            .join()
            .unwrap_or_else(|_| Err(Problem::new(0, "the parser cannot read this expression")))
    })
}

fn parse_scanned(scan: &Scan<'_>) -> Result<Node, Problem> {
    // An environment without macros leaves `has(…)` and `x.all(…)` as they are written.
    let parser = Env::default()
        .parser()
        .enable_optional_syntax(true)
        .enable_ident_escape_syntax(true)
        .max_recursion_depth(1000);
    match parser.parse_with_source_info(&scan.masked) {
        Ok((expr, info)) => Converter { scan, info: &info }.node(expr, 0),
        Err(errors) => Err(explain(scan, &errors)),
    }
}

struct Converter<'c> {
    scan: &'c Scan<'c>,
    info: &'c SourceInfo,
}

impl Converter<'_> {
    /// The index of the token that expression `id` was built from.
    fn token(&self, id: u64) -> usize {
        self.info
            .offset_for(id)
            .and_then(|(start, _)| self.scan.at(start as usize))
            .unwrap_or(0)
    }

    fn start(&self, token: usize) -> usize {
        self.scan.tokens.get(token).map_or(0, |t| t.start)
    }

    fn end(&self, token: usize) -> usize {
        self.scan.tokens.get(token).map_or(0, |t| t.end)
    }

    /// The end of the bracket that opens at `token`.
    fn bracket_end(&self, token: usize) -> usize {
        let partner = self.scan.tokens.get(token).and_then(|t| t.partner);
        self.end(partner.unwrap_or(token))
    }

    fn node(&self, expr: IdedExpr, depth: usize) -> Result<Node, Problem> {
        let token = self.token(expr.id);
        if depth > MAX_DEPTH {
            return Err(Problem::new(
                self.start(token),
                format!("the expression is nested more than {MAX_DEPTH} levels deep"),
            ));
        }
        let node = match expr.expr {
            Expr::Literal(literal) => self.literal(literal, token)?,
            Expr::Ident(name) => self.over(token, token, Syntax::Name(name)),
            Expr::Select(select) => {
                let of = self.node(*select.operand, depth + 1)?;
                self.field(of, select.field, token, false)
            }
            Expr::Call(call) => self.call(call, token, depth)?,
            Expr::List(list) => {
                let optional = !list.optional_indices.is_empty();
                let parts = self.nodes(list.elements, depth)?;
                let syntax = if optional {
                    Syntax::Refused("optional list elements `[?x]` are not supported here".into())
                } else {
                    Syntax::List(parts)
                };
                self.bracket(token, syntax)
            }
            Expr::Map(map) => {
                let entries = map.entries.into_iter().map(|e| e.expr).collect();
                let syntax = self.map(entries, depth)?;
                self.bracket(token, syntax)
            }
            Expr::Struct(message) => {
                let parts = message.type_name.split('.').count();
                let name = token.saturating_sub((2 * parts).saturating_sub(1));
                let reason = format!(
                    "`{}{{…}}` is a message, which views have no use for: write a map, {{\"a\": data.a}}",
                    message.type_name
                );
                self.over(name, token, Syntax::Refused(reason))
            }
            Expr::Comprehension(_) | Expr::Unspecified => self.over(
                token,
                token,
                Syntax::Refused("the parser could not read this".into()),
            ),
        };
        Ok(self.widened(node))
    }

    fn nodes(&self, exprs: Vec<IdedExpr>, depth: usize) -> Result<Vec<Node>, Problem> {
        exprs.into_iter().map(|e| self.node(e, depth + 1)).collect()
    }

    fn over(&self, first: usize, last: usize, syntax: Syntax) -> Node {
        Node {
            start: self.start(first),
            end: self.end(last),
            syntax,
        }
    }

    fn bracket(&self, token: usize, syntax: Syntax) -> Node {
        Node {
            start: self.start(token),
            end: self.bracket_end(token),
            syntax,
        }
    }

    /// Takes the grouping brackets around a part into it.
    fn widened(&self, mut node: Node) -> Node {
        while let Some(open) = self.scan.before(node.start) {
            let close = self.scan.tokens.get(open).and_then(|t| t.partner);
            let after = self.scan.before(node.end).map(|last| last + 1);
            if !self.scan.groups(open) || close.is_none() || close != after {
                break;
            }
            node.start = self.start(open);
            node.end = self.bracket_end(open);
        }
        node
    }

    /// `of.field`, whose dot is `token`.
    fn field(&self, of: Node, field: String, token: usize, optional: bool) -> Node {
        let name = token + 1 + usize::from(optional);
        Node {
            start: of.start,
            end: self.end(name),
            syntax: Syntax::Field {
                of: Box::new(of),
                field,
                optional,
            },
        }
    }

    fn literal(&self, literal: LiteralValue, token: usize) -> Result<Node, Problem> {
        let syntax = match literal {
            LiteralValue::Null => Syntax::Null,
            LiteralValue::Boolean(value) => Syntax::Bool(value.into_inner()),
            LiteralValue::String(text) => Syntax::Text(text.into_inner()),
            LiteralValue::Bytes(_) => Syntax::Refused(
                "byte literals have no type here: write a text without the `b`".into(),
            ),
            LiteralValue::Int(value) => return self.number(token, value.into_inner() < 0),
            LiteralValue::Double(value) => {
                return self.number(token, value.into_inner().is_sign_negative());
            }
            LiteralValue::UInt(_) => return self.number(token, false),
        };
        Ok(self.over(token, token, syntax))
    }

    /// A number, read from the source as it was written.
    fn number(&self, token: usize, negative: bool) -> Result<Node, Problem> {
        let first = token - usize::from(negative && token > 0);
        let digits = plain_number(self.scan.text(token))
            .map_err(|message| Problem::new(self.start(first), message))?;
        let sign = if negative { "-" } else { "" };
        Ok(self.over(first, token, Syntax::Number(format!("{sign}{digits}"))))
    }

    fn map(&self, entries: Vec<EntryExpr>, depth: usize) -> Result<Syntax, Problem> {
        let mut parts = Vec::with_capacity(entries.len());
        for entry in entries {
            match entry {
                EntryExpr::MapEntry(entry) if !entry.optional => {
                    let key = self.node(entry.key, depth + 1)?;
                    parts.push((key, self.node(entry.value, depth + 1)?));
                }
                EntryExpr::MapEntry(_) | EntryExpr::StructField(_) => {
                    let reason = "optional map entries `{?k: v}` are not supported here";
                    return Ok(Syntax::Refused(reason.into()));
                }
            }
        }
        Ok(Syntax::Map(parts))
    }

    fn call(&self, call: CallExpr, token: usize, depth: usize) -> Result<Node, Problem> {
        let mut target = match call.target {
            Some(target) => Some(self.node(*target, depth + 1)?),
            None => None,
        };
        if let (Some(target), "orValue") = (&mut target, call.func_name.as_str()) {
            target.make_optional();
        }
        let args = self.nodes(call.args, depth)?;
        if target.is_some() || self.scan.text(token) == "(" {
            let name = token.saturating_sub(1);
            let start = target.as_ref().map_or(self.start(name), |t| t.start);
            let syntax = Syntax::Call {
                function: call.func_name,
                name_at: self.start(name),
                target: target.map(Box::new),
                args,
            };
            return Ok(Node {
                start,
                end: self.bracket_end(token),
                syntax,
            });
        }
        Ok(self.operation(&call.func_name, args, token))
    }

    /// An operator's call: `function` is its name in the parser.
    fn operation(&self, function: &str, args: Vec<Node>, token: usize) -> Node {
        let start = args.first().map_or(0, |a| a.start).min(self.start(token));
        let mut end = args.last().map_or(0, |a| a.end);
        let mut args = args.into_iter();
        let syntax = match (args.next(), args.next(), args.next()) {
            (Some(of), None, None) if function == operators::NEGATE => Syntax::Negate(Box::new(of)),
            (Some(of), None, None) if function == operators::LOGICAL_NOT => {
                Syntax::Not(Box::new(of))
            }
            (Some(condition), Some(then), Some(other)) if function == operators::CONDITIONAL => {
                Syntax::If(Box::new([condition, then, other]))
            }
            (Some(of), Some(field), None) if function == operators::OPT_SELECT => {
                let Syntax::Text(field) = field.syntax else {
                    return self.over(token, token, Syntax::Refused("this is no name".into()));
                };
                return self.field(of, field, token, true);
            }
            (Some(of), Some(index), None)
                if function == operators::INDEX || function == operators::OPT_INDEX =>
            {
                end = self.bracket_end(token);
                Syntax::Index {
                    of: Box::new(of),
                    index: Box::new(index),
                    optional: function == operators::OPT_INDEX,
                }
            }
            (Some(left), Some(right), None) => match operator(function) {
                Some(operator) => Syntax::Binary(operator, Box::new(left), Box::new(right)),
                None if function == operators::MODULO => {
                    Syntax::Refused("the operator `%` is not supported".into())
                }
                None => Syntax::Refused(format!("the operator `{function}` is not supported")),
            },
            _ => Syntax::Refused(format!("the operator `{function}` is not supported")),
        };
        Node { start, end, syntax }
    }
}

fn operator(function: &str) -> Option<Operator> {
    Some(match function {
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::EQUALS => Operator::Equal,
        operators::NOT_EQUALS => Operator::NotEqual,
        operators::LESS => Operator::Less,
        operators::LESS_EQUALS => Operator::LessOrEqual,
        operators::GREATER => Operator::Greater,
        operators::GREATER_EQUALS => Operator::GreaterOrEqual,
        operators::LOGICAL_AND => Operator::And,
        operators::LOGICAL_OR => Operator::Or,
        operators::IN => Operator::In,
        _ => return None,
    })
}

/// A literal as a JSON number: without `0x`, `u`, leading zeros, and with a digit before the point.
fn plain_number(literal: &str) -> Result<String, String> {
    let literal = literal.trim_end_matches(['u', 'U']);
    if let Some(hex) = literal.strip_prefix("0x") {
        return u128::from_str_radix(hex, 16)
            .map(|n| n.to_string())
            .map_err(|_| "this hexadecimal number is too large".to_owned());
    }
    let digits = literal.trim_start_matches('0');
    Ok(if digits.starts_with(|c: char| c.is_ascii_digit()) {
        digits.to_owned()
    } else {
        format!("0{digits}")
    })
}
