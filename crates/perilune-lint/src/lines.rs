//! Lines that can be run: [`StatementLines`]; lines that have code: [`code_lines`].
//!
//! A statement counts at the line on which it begins, or its condition does, when Lua makes code
//! for it. It makes none for a condition that is a constant, and puts the making of a function at
//! the function's `end`; such statements are left out rather than counted as never run.
//!
//! The code of a statement may be at any of the lines on which it stands, so running one of these is
//! running the statement. Only the `end` of the function around it may be on its last line, too, and
//! that is reached without it.

use crate::parser::parse;
use crate::rules::is_library;
use crate::syntax::{Action, Block, Expression, Function, Key, Kind, Lines, Statement, Suffix};
use std::collections::{BTreeMap, BTreeSet};

/// The statements of a script by the lines on which they stand; of a library, those inside of its
/// functions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatementLines {
    first: BTreeSet<u32>,
    /// First lines of the statements that stand on a line.
    on_line: BTreeMap<u32, BTreeSet<u32>>,
}

impl StatementLines {
    /// Reads a source. One with a mistake has no statements.
    pub fn of(source: &[u8]) -> Self {
        let mut walk = Walk {
            counts: !is_library(source),
            function_end: None,
            found: StatementLines::default(),
        };
        if let Ok(chunk) = parse(source) {
            walk.block(&chunk.block);
        }
        walk.found
    }

    /// The lines at which something can be run: the first of every statement.
    pub fn first_lines(&self) -> &BTreeSet<u32> {
        &self.first
    }

    /// Those of them that were run when Lua came to these lines.
    pub fn run_by(&self, lines: &BTreeSet<u32>) -> BTreeSet<u32> {
        lines.iter().filter_map(|line| self.on_line.get(line)).flatten().copied().collect()
    }
}

/// The lines at which Lua may have code, and where a debugger can stop; of a library, those inside
/// of its functions. `Err` is a source with a mistake.
pub fn code_lines(source: &[u8]) -> Result<BTreeSet<u32>, crate::Finding> {
    parse(source).map(|chunk| chunk.code)
}

struct Walk {
    /// Statements count here.
    counts: bool,
    /// The line at which the function around the statement ends.
    function_end: Option<u32>,
    found: StatementLines,
}

impl Walk {
    /// Counts what begins at a line and stands on `lines`.
    fn count(&mut self, line: u32, lines: &Lines) {
        if !self.counts {
            return;
        }
        self.found.first.insert(line);
        self.found.on_line.entry(line).or_default().insert(line);
        for on in lines.iter().flat_map(|(first, last)| *first..=*last) {
            if Some(on) != self.function_end {
                self.found.on_line.entry(on).or_default().insert(line);
            }
        }
    }

    fn block(&mut self, block: &Block) {
        block.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Statement) {
        let (line, lines) = (statement.at.line, &statement.lines);
        match &statement.action {
            Action::Local { values, .. }
            | Action::Assign { values, .. }
            | Action::Return(values) => {
                let is_silent = |value: &Expression| {
                    matches!(value.kind, Kind::Function(_))
                        || (matches!(value.kind, Kind::Word)
                            && matches!(statement.action, Action::Local { .. }))
                };
                let declares = matches!(statement.action, Action::Local { .. });
                let all_silent = values.iter().all(is_silent) && (declares || !values.is_empty());
                if !all_silent {
                    self.count(line, lines);
                }
                if let Action::Assign { targets, .. } = &statement.action {
                    self.expressions(targets);
                }
                self.expressions(values);
            }
            Action::LocalFunction { function, .. } | Action::Function { function, .. } => {
                self.function(function);
            }
            Action::Call(call) => {
                self.count(line, lines);
                self.expression(call);
            }
            Action::Do(body) => self.block(body),
            Action::While { condition, body } => {
                self.condition(line, lines, condition);
                self.block(body);
            }
            Action::Repeat { body, condition } => {
                self.block(body);
                let line = condition.value.at.line;
                self.condition(line, &condition.lines, &condition.value);
            }
            Action::If { arms, otherwise } => {
                for (condition, body) in arms {
                    let line = condition.value.at.line;
                    self.condition(line, &condition.lines, &condition.value);
                    self.block(body);
                }
                self.block(otherwise);
            }
            Action::For { values, body, .. } => {
                self.count(line, lines);
                self.expressions(values);
                self.block(body);
            }
            Action::Break => self.count(line, lines),
        }
    }

    fn condition(&mut self, line: u32, lines: &Lines, condition: &Expression) {
        if !matches!(condition.kind, Kind::Word | Kind::Number(_) | Kind::Text(_)) {
            self.count(line, lines);
        }
        self.expression(condition);
    }

    fn function(&mut self, function: &Function) {
        let before = (self.counts, self.function_end);
        (self.counts, self.function_end) = (true, Some(function.last_line));
        self.block(&function.body);
        (self.counts, self.function_end) = before;
    }

    fn expressions(&mut self, expressions: &[Expression]) {
        expressions.iter().for_each(|expression| self.expression(expression));
    }

    /// Looks for functions.
    fn expression(&mut self, expression: &Expression) {
        match &expression.kind {
            Kind::Word | Kind::Number(_) | Kind::Text(_) | Kind::Vararg | Kind::Name(_) => {}
            Kind::Function(function) => self.function(function),
            Kind::Table(fields) => {
                for field in fields {
                    if let Key::Expression(key) = &field.key {
                        self.expression(key);
                    }
                    self.expression(&field.value);
                }
            }
            Kind::Wrapped(inner) => self.expression(inner),
            Kind::Chain { operands, .. } => self.expressions(operands),
            Kind::Suffixed(base, suffixes) => {
                self.expression(base);
                for suffix in suffixes {
                    match suffix {
                        Suffix::Field(_) => {}
                        Suffix::Index(index) => self.expression(index),
                        Suffix::Call(arguments) | Suffix::Method(arguments) => {
                            self.expressions(arguments);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(source: &str) -> Vec<u32> {
        StatementLines::of(source.as_bytes()).first_lines().iter().copied().collect()
    }

    #[test]
    fn statements_that_do_something_count() {
        let source = "local a = 1\nlocal b\nlocal function f()\n  return a\nend\nif a then\n  f()\n\
                      elseif b then\n  b = 2\nelse\n  f(function()\n    return 1\n  end)\nend\n\
                      while true do\n  break\nend\nreturn f";
        assert_eq!(lines(source), [1, 4, 6, 7, 8, 9, 11, 12, 16, 18]);
    }

    #[test]
    fn of_a_library_only_its_functions_count() {
        let source = "#!lua name=x\nlocal a = 1\nlocal function f()\n  return a\nend\n\
                      redis.register_function('f', f)";
        assert_eq!(lines(source), [4]);
        assert!(lines("return return").is_empty());
    }

    #[test]
    fn a_statement_is_run_at_any_of_its_lines() {
        let run_by = |source: &str, line: u32| -> Vec<u32> {
            let lines = StatementLines::of(source.as_bytes());
            lines.run_by(&BTreeSet::from([line])).into_iter().collect()
        };
        let source = "local r =\n  f(function()\n    return x\n  end, [[\n\n]])\nr()";
        assert_eq!(lines(source), [1, 3, 7]);
        for line in [1, 2, 4, 5, 6] {
            assert_eq!(run_by(source, line), [1], "{line}");
        }
        assert_eq!(run_by(source, 3), [3]);
        // The end of a function is reached when the function is made.
        let source = "local function f()\n  return\n    x end";
        assert_eq!((run_by(source, 2), run_by(source, 3)), (vec![2], vec![]));
        let source = "if\n  a\nthen\n  b()\nelseif c\n  or d then end\nrepeat\n  e()\nuntil\n f";
        assert_eq!(lines(source), [2, 4, 5, 8, 10]);
        for (line, first) in [(3, 2), (4, 4), (6, 5), (8, 8), (9, 10), (10, 10)] {
            assert_eq!(run_by(source, line), [first], "{line}");
        }
    }

    #[test]
    fn code_is_where_expressions_are() {
        let code = |source: &str| -> Vec<u32> {
            code_lines(source.as_bytes()).expect("valid").into_iter().collect()
        };
        let source = "-- a comment\n\nlocal a =\n  1\nx =\n  a\nlocal function f()\n\n  f(\n    a\n  )\n\
                      end\nif a\nthen\n  a = 2\nelse\n  a = 3\nend\nwhile true do\n  break\nend\n\
                      return\n  a";
        assert_eq!(code(source), [4, 6, 9, 10, 11, 12, 13, 15, 17, 20, 23]);
        let library = "#!lua name=x\nlocal a = 1\nlocal function f()\n  return a\nend\n\
                       redis.register_function('f', f)";
        assert_eq!(code(library), [4, 5]);
        assert_eq!(code("-- nothing"), [1]);
        assert!(code_lines(b"return return").is_err());
    }
}
