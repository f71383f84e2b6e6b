//! The syntax tree: what the parser understood, with the place of every part.

/// A part of an expression: bytes `start..end` of the source, brackets around it included.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) syntax: Syntax,
}

impl Node {
    /// Makes a path optional from its first step on, unless it says itself from where.
    pub(super) fn make_optional(&mut self) {
        let mut step = self;
        loop {
            match &mut step.syntax {
                Syntax::Field { of, optional, .. } | Syntax::Index { of, optional, .. } => {
                    if *optional {
                        return;
                    }
                    if !of.has_optional_step() {
                        *optional = true;
                    }
                    step = of;
                }
                _ => return,
            }
        }
    }

    fn has_optional_step(&self) -> bool {
        match &self.syntax {
            Syntax::Field { of, optional, .. } | Syntax::Index { of, optional, .. } => {
                *optional || of.has_optional_step()
            }
            _ => false,
        }
    }
}

/// What a part is.
#[derive(Debug)]
pub(super) enum Syntax {
    Null,
    Bool(bool),
    Text(String),
    /// A number as a plain JSON number text, read from the source.
    Number(String),
    Name(String),
    /// `of.field`, `of.?field`.
    Field {
        of: Box<Node>,
        field: String,
        optional: bool,
    },
    /// `of[index]`, `of[?index]`.
    Index {
        of: Box<Node>,
        index: Box<Node>,
        optional: bool,
    },
    /// `function(…)`, or `target.function(…)`.
    Call {
        function: String,
        /// Where the function's name stands.
        name_at: usize,
        target: Option<Box<Node>>,
        args: Vec<Node>,
    },
    Negate(Box<Node>),
    Not(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    /// Condition, then, else.
    If(Box<[Node; 3]>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    /// Valid CEL that has no meaning here: why, and what to do.
    Refused(String),
}

/// An operator between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    In,
}

impl Operator {
    /// As it is written.
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::And => "&&",
            Self::Or => "||",
            Self::In => "in",
        }
    }
}
