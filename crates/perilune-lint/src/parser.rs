//! Tokens to a syntax tree, by recursive descent.
//!
//! The parser recurses where the source nests, and no deeper than [`LEVELS_MAX`], which is Lua's own
//! limit: so neither it nor whatever walks the tree can run out of stack. Operators that Lua recurses
//! for, and this does not, count as levels, too. It stops at the first mistake, as Lua does, with
//! the same message.
//!
//! On the way it notes the lines for which Lua may make code. Lua gives an instruction the line of
//! the token that was taken last, so it is expressions that have code, and a few words: not names
//! that are declared or assigned, nor what opens and closes blocks.

use crate::lexer::{Lexer, Token};
use crate::rules::is_library;
use crate::syntax::{
    Action, Block, Condition, Expression, Field, Function, Key, Kind, Lines, Name, Statement,
    Suffix,
};
use crate::{Finding, Position};
use std::collections::BTreeSet;

/// Deepest nesting of a source.
const LEVELS_MAX: usize = 200;

/// Most local variables that a function may have at a time.
const LOCALS_MAX: usize = 200;
/// Variables without a name that a `for` loop has.
const LOOP_VARIABLES: usize = 3;

/// Symbols that join two operands.
const BINARY: [&str; 15] =
    ["+", "-", "*", "/", "%", "^", "..", "==", "~=", "<", "<=", ">", ">=", "and", "or"];

type Result<T> = std::result::Result<T, Finding>;

/// What a source is made of.
pub(crate) struct Chunk {
    pub(crate) block: Block,
    /// Lines for which Lua may make code; of a library, code of its functions.
    pub(crate) code: BTreeSet<u32>,
}

/// Reads a whole source.
pub(crate) fn parse(source: &[u8]) -> Result<Chunk> {
    let mut lexer = Lexer::new(source);
    let (at, token) = lexer.next()?;
    let mut parser = Parser {
        lexer,
        at,
        token,
        last_line: 1,
        level: 0,
        loops: 0,
        varargs: true,
        locals: 0,
        defined: None,
        lines: Vec::new(),
        makes_code: false,
        counts_code: !is_library(source),
        code: BTreeSet::new(),
    };
    let block = parser.block()?;
    if parser.token != Token::End {
        return Err(parser.expected("<eof>"));
    }
    // The end of the chunk returns.
    parser.note_code(parser.last_line);
    Ok(Chunk { block, code: parser.code })
}

struct Parser<'s> {
    lexer: Lexer<'s>,
    /// Where the next token stands.
    at: Position,
    /// The next token.
    token: Token,
    /// The line at which the token before it ends.
    last_line: u32,
    level: usize,
    /// Loops around the next token, within its function.
    loops: usize,
    /// Whether the function around the next token has `...`.
    varargs: bool,
    /// Local variables that are visible, within the function.
    locals: usize,
    /// The line at which the function begins; none for the chunk.
    defined: Option<u32>,
    /// Lines of the statement that is being read, and of those around it.
    lines: Vec<Lines>,
    /// Lua makes code for the next token.
    makes_code: bool,
    /// The code is of interest.
    counts_code: bool,
    code: BTreeSet<u32>,
}

impl Parser<'_> {
    /// Takes the next token.
    fn take(&mut self) -> Result<Token> {
        let (first, last) = (self.at.line, self.lexer.line());
        self.last_line = last;
        if self.makes_code {
            self.note_code(last);
        }
        if let Some(lines) = self.lines.last_mut() {
            match lines.last_mut() {
                Some(range) if first <= range.1.saturating_add(1) => range.1 = last,
                _ => lines.push((first, last)),
            }
        }
        let (at, token) = self.lexer.next()?;
        self.at = at;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn note_code(&mut self, line: u32) {
        if self.counts_code {
            self.code.insert(line);
        }
    }

    /// Runs `inner` over tokens for which Lua makes code, or makes none.
    fn coding<T>(&mut self, makes_code: bool, inner: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.makes_code, makes_code);
        let result = inner(self);
        self.makes_code = before;
        result
    }

    /// Runs `inner` and answers the lines of the tokens that it takes, but for those of statements.
    fn with_lines<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<(T, Lines)> {
        self.lines.push(Vec::new());
        let result = inner(self);
        let lines = self.lines.pop().unwrap_or_default();
        Ok((result?, lines))
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.token, Token::Symbol(found) if found == symbol)
    }

    /// Takes the symbol if it comes next.
    fn accept(&mut self, symbol: &str) -> Result<bool> {
        let found = self.is(symbol);
        if found {
            self.take()?;
        }
        Ok(found)
    }

    fn expect(&mut self, symbol: &str) -> Result<()> {
        if self.accept(symbol)? { Ok(()) } else { Err(self.expected(symbol)) }
    }

    /// As [`expect`](Self::expect), for what closes something that was opened at `from`.
    fn close(&mut self, symbol: &str, opener: &str, from: Position) -> Result<()> {
        if self.accept(symbol)? {
            return Ok(());
        }
        if from.line == self.at.line {
            return Err(self.expected(symbol));
        }
        let line = from.line;
        Err(self.near(&format!("'{symbol}' expected (to close '{opener}' at line {line})")))
    }

    fn expected(&self, what: &str) -> Finding {
        self.near(&format!("'{what}' expected"))
    }

    fn near(&self, message: &str) -> Finding {
        let token = match &self.token {
            Token::Name(text) | Token::Number(text) => text.clone(),
            Token::Text(text) => text.escape_ascii().to_string(),
            Token::Symbol(symbol) => (*symbol).to_owned(),
            Token::End => "<eof>".to_owned(),
        };
        self.at.says(format!("{message} near '{token}'"))
    }

    /// Runs `inner` one level deeper.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.check_level(1)?;
        self.level += 1;
        let result = inner(self);
        self.level -= 1;
        result
    }

    /// Whether `more` levels are allowed here.
    fn check_level(&self, more: usize) -> Result<()> {
        match self.level + more > LEVELS_MAX {
            true => Err(self.at.says("chunk has too many syntax levels")),
            false => Ok(()),
        }
    }

    fn name(&mut self) -> Result<Name> {
        let at = self.at;
        match &self.token {
            Token::Name(text) => {
                let text = text.clone();
                self.take()?;
                Ok(Name { at, text })
            }
            _ => Err(self.near("<name> expected")),
        }
    }

    fn names(&mut self) -> Result<Vec<Name>> {
        let mut names = vec![self.name()?];
        while self.accept(",")? {
            names.push(self.name()?);
        }
        Ok(names)
    }

    /// Makes variables visible, of which the last one has a name at `at`.
    fn declare(&mut self, count: usize, at: Position) -> Result<()> {
        self.locals += count;
        if self.locals <= LOCALS_MAX {
            return Ok(());
        }
        let function = match self.defined {
            None => "main function".to_owned(),
            Some(line) => format!("function at line {line}"),
        };
        Err(at.says(format!("{function} has more than {LOCALS_MAX} local variables")))
    }

    fn declare_names(&mut self, names: &[Name]) -> Result<()> {
        names.iter().try_for_each(|name| self.declare(1, name.at))
    }

    // ---- statements ------------------------------------------------------------------------

    fn block(&mut self) -> Result<Block> {
        self.nested(|parser| {
            let mut block = Vec::new();
            let locals = parser.locals;
            while !parser.block_ends() {
                let at = parser.at;
                let (action, lines) = parser.with_lines(|parser| {
                    let action = parser.coding(false, Self::statement)?;
                    parser.accept(";")?;
                    Ok(action)
                })?;
                let is_last = matches!(action, Action::Return(_) | Action::Break);
                block.push(Statement { at, lines, action });
                if is_last {
                    break;
                }
            }
            parser.locals = locals;
            Ok(block)
        })
    }

    fn block_ends(&self) -> bool {
        self.token == Token::End
            || ["else", "elseif", "end", "until"].iter().any(|word| self.is(word))
    }

    fn loop_body(&mut self) -> Result<Block> {
        // A mistake within a function leaves the count of that function behind.
        let outer = self.loops;
        self.loops = outer + 1;
        let body = self.block();
        self.loops = outer;
        body
    }

    fn statement(&mut self) -> Result<Action> {
        let at = self.at;
        let Token::Symbol(word) = self.token else { return self.expression_statement() };
        match word {
            "if" => self.if_statement(),
            "while" => {
                self.take()?;
                let condition = self.condition()?;
                self.expect("do")?;
                let body = self.loop_body()?;
                // From here it goes back to the condition.
                self.note_code(self.last_line);
                self.close("end", "while", at)?;
                Ok(Action::While { condition, body })
            }
            "do" => {
                self.take()?;
                let body = self.block()?;
                self.close("end", "do", at)?;
                Ok(Action::Do(body))
            }
            "for" => self.for_statement(),
            "repeat" => {
                self.take()?;
                let body = self.loop_body()?;
                let (value, lines) = self.with_lines(|parser| {
                    parser.close("until", "repeat", at)?;
                    parser.condition()
                })?;
                Ok(Action::Repeat { body, condition: Condition { value, lines } })
            }
            "function" => self.function_statement(),
            "local" => self.local_statement(),
            "return" => {
                self.take()?;
                if self.block_ends() || self.is(";") {
                    self.note_code(self.last_line);
                    return Ok(Action::Return(Vec::new()));
                }
                Ok(Action::Return(self.expressions()?))
            }
            "break" => {
                self.take()?;
                self.note_code(self.last_line);
                if self.loops == 0 { Err(self.near("no loop to break")) } else { Ok(Action::Break) }
            }
            _ => self.expression_statement(),
        }
    }

    fn if_statement(&mut self) -> Result<Action> {
        let at = self.at;
        let (mut arms, mut otherwise) = (Vec::new(), Vec::new());
        loop {
            let (value, lines) = self.with_lines(|parser| {
                parser.take()?;
                let value = parser.condition()?;
                parser.expect("then")?;
                Ok(value)
            })?;
            arms.push((Condition { value, lines }, self.block()?));
            if self.is("elseif") || self.is("else") {
                // From here it goes behind the whole statement.
                self.note_code(self.last_line);
            }
            if !self.is("elseif") {
                break;
            }
        }
        if self.accept("else")? {
            otherwise = self.block()?;
        }
        self.close("end", "if", at)?;
        Ok(Action::If { arms, otherwise })
    }

    fn for_statement(&mut self) -> Result<Action> {
        let at = self.at;
        self.take()?;
        let names = self.names()?;
        let values = if names.len() == 1 && self.accept("=")? {
            self.note_code(at.line);
            let mut values = vec![self.expression()?];
            self.expect(",")?;
            values.push(self.expression()?);
            if self.accept(",")? {
                values.push(self.expression()?);
            }
            values
        } else {
            if !self.is("in") {
                let expected = if names.len() == 1 { "'=' or 'in'" } else { "'in'" };
                return Err(self.near(&format!("{expected} expected")));
            }
            self.take()?;
            self.expressions()?
        };
        self.coding(true, |parser| parser.expect("do"))?;
        let locals = self.locals;
        self.declare(LOOP_VARIABLES, at)?;
        self.declare_names(&names)?;
        let body = self.loop_body()?;
        self.locals = locals;
        self.close("end", "for", at)?;
        Ok(Action::For { names, values, body })
    }

    /// Reads what decides whether a block is run. Lua makes no code for what is always true.
    fn condition(&mut self) -> Result<Expression> {
        let (line, is_true) = (self.at.line, self.is("true"));
        let is_known = self.code.contains(&line);
        let value = self.expression()?;
        let is_constant = match value.kind {
            Kind::Word => is_true,
            Kind::Number(_) | Kind::Text(_) => true,
            _ => false,
        };
        if is_constant && !is_known {
            self.code.remove(&line);
        }
        Ok(value)
    }

    fn function_statement(&mut self) -> Result<Action> {
        let at = self.at;
        self.take()?;
        self.note_code(at.line);
        let name = self.name()?;
        let mut is_field = false;
        while self.accept(".")? {
            self.name()?;
            is_field = true;
        }
        let is_method = self.accept(":")?;
        if is_method {
            self.name()?;
        }
        let own = is_method.then(|| Name { at, text: "self".into() });
        let function = self.function_body(at, own)?;
        Ok(Action::Function { name, is_field: is_field || is_method, function })
    }

    fn local_statement(&mut self) -> Result<Action> {
        self.take()?;
        let at = self.at;
        if self.accept("function")? {
            let name = self.name()?;
            self.declare(1, name.at)?;
            return Ok(Action::LocalFunction { name, function: self.function_body(at, None)? });
        }
        let names = self.names()?;
        self.declare_names(&names)?;
        if !self.accept("=")? {
            self.note_code(self.last_line);
            return Ok(Action::Local { names, values: Vec::new() });
        }
        let values = self.expressions()?;
        Ok(Action::Local { names, values })
    }

    fn expression_statement(&mut self) -> Result<Action> {
        let first = self.target()?;
        if first.is_open() && !self.is("=") && !self.is(",") {
            return Ok(Action::Call(first));
        }
        let mut targets = vec![first];
        while self.accept(",")? {
            targets.push(self.target()?);
        }
        let assignable = |target: &Expression| match &target.kind {
            Kind::Name(_) => true,
            Kind::Suffixed(_, suffixes) => {
                matches!(suffixes.last(), Some(Suffix::Field(_) | Suffix::Index(_)))
            }
            _ => false,
        };
        if !targets.iter().all(assignable) {
            return Err(self.near("syntax error"));
        }
        self.expect("=")?;
        Ok(Action::Assign { targets, values: self.expressions()? })
    }

    /// What is called or assigned. A bare name is nothing that Lua makes code for here.
    fn target(&mut self) -> Result<Expression> {
        let line = self.at.line;
        let is_known = self.code.contains(&line);
        let target = self.coding(true, Self::suffixed)?;
        if !is_known && matches!(target.kind, Kind::Name(_)) {
            self.code.remove(&line);
        }
        Ok(target)
    }

    // ---- expressions -----------------------------------------------------------------------

    fn expressions(&mut self) -> Result<Vec<Expression>> {
        let mut values = vec![self.expression()?];
        while self.accept(",")? {
            values.push(self.expression()?);
        }
        Ok(values)
    }

    fn expression(&mut self) -> Result<Expression> {
        self.coding(true, |parser| parser.nested(Self::operands))
    }

    /// Operands with binary operators between them.
    fn operands(&mut self) -> Result<Expression> {
        let first = self.operand()?;
        let at = first.at;
        let (mut operands, mut concatenates) = (vec![first], true);
        let (mut joins, mut powers) = (0, 0);
        while let Token::Symbol(symbol) = self.token
            && BINARY.contains(&symbol)
        {
            concatenates &= symbol == "..";
            (joins, powers) = match symbol {
                "^" => (joins, powers + 1),
                ".." => (joins + 1, 0),
                "+" | "-" | "*" | "/" | "%" => (joins, 0),
                _ => (0, 0),
            };
            self.check_level(joins + powers)?;
            self.take()?;
            operands.push(self.operand()?);
        }
        match (operands.len(), operands.pop()) {
            (1, Some(only)) => Ok(only),
            (_, last) => {
                operands.extend(last);
                Ok(Expression { at, kind: Kind::Chain { operands, concatenates } })
            }
        }
    }

    /// What stands between two binary operators, with its unary operators.
    fn operand(&mut self) -> Result<Expression> {
        let at = self.at;
        let mut signs = 0;
        while self.is("not") || self.is("-") || self.is("#") {
            signs += 1;
            self.check_level(signs)?;
            self.take()?;
        }
        let inner = self.simple()?;
        if signs == 0 {
            return Ok(inner);
        }
        Ok(Expression { at, kind: Kind::Wrapped(Box::new(inner)) })
    }

    fn simple(&mut self) -> Result<Expression> {
        let at = self.at;
        let kind = match &self.token {
            Token::Number(text) => Kind::Number(text.clone()),
            Token::Text(text) => Kind::Text(text.clone()),
            Token::Symbol("nil" | "true" | "false") => Kind::Word,
            Token::Symbol("...") => {
                if !self.varargs {
                    return Err(self.near("cannot use '...' outside a vararg function"));
                }
                // Lua makes the code before it takes the token.
                self.note_code(self.last_line);
                Kind::Vararg
            }
            Token::Symbol("{") => return self.table(),
            Token::Symbol("function") => {
                self.coding(false, Self::take)?;
                let function = self.function_body(at, None)?;
                return Ok(Expression { at, kind: Kind::Function(function) });
            }
            _ => return self.suffixed(),
        };
        self.take()?;
        Ok(Expression { at, kind })
    }

    /// A name or something in parentheses, with everything that is indexed and called behind it.
    fn suffixed(&mut self) -> Result<Expression> {
        let at = self.at;
        let base = match &self.token {
            Token::Name(_) => Expression { at, kind: Kind::Name(self.name()?.text) },
            Token::Symbol("(") => {
                self.take()?;
                let inner = self.expression()?;
                self.close(")", "(", at)?;
                Expression { at, kind: Kind::Wrapped(Box::new(inner)) }
            }
            _ => return Err(self.near("unexpected symbol")),
        };
        let mut suffixes = Vec::new();
        while let Some(suffix) = self.suffix()? {
            suffixes.push(suffix);
        }
        if suffixes.is_empty() {
            return Ok(base);
        }
        Ok(Expression { at, kind: Kind::Suffixed(Box::new(base), suffixes) })
    }

    fn suffix(&mut self) -> Result<Option<Suffix>> {
        Ok(Some(match &self.token {
            Token::Symbol(".") => {
                self.take()?;
                Suffix::Field(self.name()?)
            }
            Token::Symbol("[") => {
                self.take()?;
                let index = self.expression()?;
                self.expect("]")?;
                Suffix::Index(index)
            }
            Token::Symbol(":") => {
                self.take()?;
                self.name()?;
                Suffix::Method(self.arguments()?)
            }
            Token::Symbol("(" | "{") | Token::Text(_) => Suffix::Call(self.arguments()?),
            _ => return Ok(None),
        }))
    }

    fn arguments(&mut self) -> Result<Vec<Expression>> {
        let at = self.at;
        match &self.token {
            Token::Text(text) => {
                let kind = Kind::Text(text.clone());
                self.take()?;
                Ok(vec![Expression { at, kind }])
            }
            Token::Symbol("{") => Ok(vec![self.table()?]),
            Token::Symbol("(") => {
                if self.last_line != at.line {
                    return Err(self.near("ambiguous syntax (function call x new statement)"));
                }
                self.take()?;
                if self.accept(")")? {
                    return Ok(Vec::new());
                }
                let arguments = self.expressions()?;
                self.close(")", "(", at)?;
                Ok(arguments)
            }
            _ => Err(self.near("function arguments expected")),
        }
    }

    fn table(&mut self) -> Result<Expression> {
        let at = self.at;
        // Lua makes the code before it takes the token.
        self.note_code(self.last_line);
        self.take()?;
        let mut fields = Vec::new();
        while !self.is("}") {
            fields.push(self.field()?);
            if !(self.accept(",")? || self.accept(";")?) {
                break;
            }
        }
        self.close("}", "{", at)?;
        Ok(Expression { at, kind: Kind::Table(fields) })
    }

    fn field(&mut self) -> Result<Field> {
        if self.accept("[")? {
            let key = Key::Expression(self.expression()?);
            self.expect("]")?;
            self.expect("=")?;
            return Ok(Field { key, value: self.expression()? });
        }
        let value = self.expression()?;
        match value.kind {
            Kind::Name(name) if self.is("=") => {
                self.take()?;
                Ok(Field { key: Key::Name(name), value: self.expression()? })
            }
            kind => Ok(Field { key: Key::None, value: Expression { at: value.at, kind } }),
        }
    }

    /// Parameters and body of a function that began at `from`; `own` is a parameter that it has
    /// beside them.
    fn function_body(&mut self, from: Position, own: Option<Name>) -> Result<Function> {
        let outer = (self.loops, self.varargs, self.locals, self.defined, self.counts_code);
        (self.loops, self.locals, self.defined) = (0, 0, Some(from.line));
        let (parameters, varargs) = self.coding(false, |parser| parser.parameters(own))?;
        (self.varargs, self.counts_code) = (varargs, true);
        let body = self.block()?;
        // The end returns; and it is where the function is made.
        self.coding(true, |parser| parser.close("end", "function", from))?;
        (self.loops, self.varargs, self.locals, self.defined, self.counts_code) = outer;
        Ok(Function { parameters, body, last_line: self.last_line })
    }

    /// Parameters in parentheses, and whether any number of values may follow them.
    fn parameters(&mut self, own: Option<Name>) -> Result<(Vec<Name>, bool)> {
        let (mut parameters, mut varargs) = (Vec::from_iter(own), false);
        self.expect("(")?;
        while !self.is(")") {
            let at = self.at;
            if self.accept("...")? {
                varargs = true;
                parameters.push(Name { at, text: "arg".into() });
                break;
            }
            parameters.push(self.name()?);
            if !self.accept(",")? {
                break;
            }
            if self.is(")") {
                return Err(self.near("<name> expected"));
            }
        }
        self.declare_names(&parameters)?;
        self.expect(")")?;
        Ok((parameters, varargs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(source: &str) -> String {
        parse(source.as_bytes()).map(|_| ()).expect_err("a mistake").to_string()
    }

    #[test]
    fn takes_every_statement() {
        let source = "local a, b = 1, ... local function f(x, ...) return x, ... end
            function m.n:o() self.p = 1 end a.b['c'], d = {1, x = 2, [3] = 4; f{}, f''}, -#a .. 'x'
            for i = 1, 2, 3 do if i then break elseif not a then else end end
            for k, v in pairs(a) do while true do break end end
            repeat local z = (a or b) ^ 2 until z do f(1)(2):g'3' end return";
        assert_eq!(parse(source.as_bytes()).expect("valid").block.len(), 9);
        assert!(parse(b"").expect("valid").block.is_empty());
    }

    #[test]
    fn mistakes_are_told_as_lua_tells_them() {
        for (source, message) in [
            ("x 1", "1:3: '=' expected near '1'"),
            ("if x\nthen", "2:5: 'end' expected (to close 'if' at line 1) near '<eof>'"),
            ("x = ", "1:5: unexpected symbol near '<eof>'"),
            ("return 1 x = 2", "1:10: '<eof>' expected near 'x'"),
            ("break", "1:6: no loop to break near '<eof>'"),
            (
                "function f() return ... end",
                "1:21: cannot use '...' outside a vararg function near '...'",
            ),
            ("f() = 1", "1:5: syntax error near '='"),
            ("for a, b = 1, 2 do end", "1:10: 'in' expected near '='"),
            ("for a do end", "1:7: '=' or 'in' expected near 'do'"),
            ("local x = f\n(1)", "2:1: ambiguous syntax (function call x new statement) near '('"),
            ("goto x", "1:6: '=' expected near 'x'"),
        ] {
            assert_eq!(mistake(source), message, "{source}");
        }
    }

    #[test]
    fn depth_is_bounded_and_length_is_not() {
        let deep = |open: &str, middle: &str, close: &str, count: usize| {
            format!("x = {}{middle}{}", open.repeat(count), close.repeat(count))
        };
        for (open, middle, close) in
            [("(", "1", ")"), ("{", "", "}"), ("f(", "", ")"), ("a[", "1", "]")]
        {
            let message = mistake(&deep(open, middle, close, 100_000));
            assert!(message.ends_with("too many syntax levels"), "{message}");
            assert!(parse(deep(open, middle, close, 50).as_bytes()).is_ok());
        }
        for long in
            [format!("x = {}1", "1 + ".repeat(100_000)), format!("f{}", "()".repeat(100_000))]
        {
            assert!(parse(long.as_bytes()).is_ok());
        }
        assert!(mistake(&"do ".repeat(100_000)).ends_with("too many syntax levels"));
        // Lua recurses to the right of these, and for the signs before an operand.
        for (levels, joined) in [("1 .. ", true), ("2 ^ ", true), ("not ", true), ("1 + ", false)] {
            let parsed = parse(format!("x = {}1", levels.repeat(250)).as_bytes());
            assert_eq!(parsed.is_err(), joined, "{levels}");
            assert!(parse(format!("x = {}1", levels.repeat(190)).as_bytes()).is_ok());
        }
        let short = "1 .. ".repeat(150);
        assert!(parse(format!("x = {short} 1 == {short} 1").as_bytes()).is_ok());
    }
}
