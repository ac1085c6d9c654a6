//! The syntax tree: what a chunk consists of, with the places that messages name.
//!
//! The tree is as deep as brackets, functions and blocks nest in the source, and no deeper: chains
//! of operators and of calls are lists. Precedence of operators is not kept, because no rule asks
//! for it.

use crate::Position;

/// A name and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) at: Position,
    pub(crate) text: String,
}

/// Statements in order.
pub(crate) type Block = Vec<Statement>;

/// Lines on which something stands, as ascending ranges that include both ends.
pub(crate) type Lines = Vec<(u32, u32)>;

/// A function without its name.
#[derive(Debug)]
pub(crate) struct Function {
    /// With those that have no name of their own in the source: `self`, and `arg` for `...`.
    pub(crate) parameters: Vec<Name>,
    pub(crate) body: Block,
    /// The line of its `end`.
    pub(crate) last_line: u32,
}

/// A statement, where it begins and the lines on which it stands, without the statements in it.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) at: Position,
    pub(crate) lines: Lines,
    pub(crate) action: Action,
}

/// A condition and the lines on which it stands, with the words around it.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) value: Expression,
    pub(crate) lines: Lines,
}

#[derive(Debug)]
pub(crate) enum Action {
    Local {
        names: Vec<Name>,
        values: Vec<Expression>,
    },
    LocalFunction {
        name: Name,
        function: Function,
    },
    /// `function a.b:c() end`: the first name, whether others follow it.
    Function {
        name: Name,
        is_field: bool,
        function: Function,
    },
    Assign {
        targets: Vec<Expression>,
        values: Vec<Expression>,
    },
    Call(Expression),
    Do(Block),
    While {
        condition: Expression,
        body: Block,
    },
    Repeat {
        body: Block,
        condition: Condition,
    },
    If {
        arms: Vec<(Condition, Block)>,
        otherwise: Block,
    },
    For {
        names: Vec<Name>,
        values: Vec<Expression>,
        body: Block,
    },
    Return(Vec<Expression>),
    Break,
}

#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) at: Position,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// `nil`, a truth value.
    Word,
    Number(String),
    Text(Vec<u8>),
    Vararg,
    Name(String),
    Function(Function),
    Table(Vec<Field>),
    /// In parentheses, or behind a unary operator.
    Wrapped(Box<Expression>),
    /// Something that is indexed or called.
    Suffixed(Box<Expression>, Vec<Suffix>),
    /// Operands with binary operators between them; whether all of these are `..`.
    Chain {
        operands: Vec<Expression>,
        concatenates: bool,
    },
}

#[derive(Debug)]
pub(crate) enum Suffix {
    Field(Name),
    Index(Expression),
    Call(Vec<Expression>),
    Method(Vec<Expression>),
}

/// A field of a table constructor.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) key: Key,
    pub(crate) value: Expression,
}

#[derive(Debug)]
pub(crate) enum Key {
    None,
    Name(String),
    Expression(Expression),
}

impl Expression {
    /// Whether it can stand for any number of values at the end of a list.
    pub(crate) fn is_open(&self) -> bool {
        match &self.kind {
            Kind::Vararg => true,
            Kind::Suffixed(_, suffixes) => {
                matches!(suffixes.last(), Some(Suffix::Call(_) | Suffix::Method(_)))
            }
            _ => false,
        }
    }

    /// Whether it is made of nothing but constants: a string, a number, or several joined.
    pub(crate) fn is_constant_text(&self) -> bool {
        match &self.kind {
            Kind::Number(_) | Kind::Text(_) => true,
            Kind::Wrapped(inner) => matches!(inner.kind, Kind::Text(_)),
            Kind::Chain { operands, concatenates } => {
                *concatenates
                    && operands
                        .iter()
                        .all(|operand| matches!(operand.kind, Kind::Number(_) | Kind::Text(_)))
            }
            _ => false,
        }
    }
}
