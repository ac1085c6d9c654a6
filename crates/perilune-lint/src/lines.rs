//! Lines that can be run: [`statement_lines`].
//!
//! Counted is a line on which a statement begins for which Lua makes code at that line. It makes
//! none for a condition that is a constant, and puts the making of a function at the function's
//! `end`; such statements are left out rather than counted as never run.

use crate::parser::parse;
use crate::rules::is_library;
use crate::syntax::{Action, Block, Expression, Function, Key, Kind, Statement, Suffix};
use std::collections::BTreeSet;

/// The lines of a script at which something can be run; of a library, those inside of its
/// functions. None of a source with a mistake.
pub fn statement_lines(source: &[u8]) -> BTreeSet<u32> {
    let mut lines = Lines { counts: !is_library(source), found: BTreeSet::new() };
    if let Ok(block) = parse(source) {
        lines.block(&block);
    }
    lines.found
}

struct Lines {
    /// Statements count here.
    counts: bool,
    found: BTreeSet<u32>,
}

impl Lines {
    fn count(&mut self, line: u32) {
        if self.counts {
            self.found.insert(line);
        }
    }

    fn block(&mut self, block: &Block) {
        block.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Statement) {
        let line = statement.at.line;
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
                    self.count(line);
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
                self.count(line);
                self.expression(call);
            }
            Action::Do(body) => self.block(body),
            Action::While { condition, body } => {
                self.condition(line, condition);
                self.block(body);
            }
            Action::Repeat { body, condition } => {
                self.block(body);
                self.condition(condition.at.line, condition);
            }
            Action::If { arms, otherwise } => {
                for (condition, body) in arms {
                    self.condition(condition.at.line, condition);
                    self.block(body);
                }
                self.block(otherwise);
            }
            Action::For { values, body, .. } => {
                self.count(line);
                self.expressions(values);
                self.block(body);
            }
            Action::Break => self.count(line),
        }
    }

    fn condition(&mut self, line: u32, condition: &Expression) {
        if !matches!(condition.kind, Kind::Word | Kind::Number(_) | Kind::Text(_)) {
            self.count(line);
        }
        self.expression(condition);
    }

    fn function(&mut self, function: &Function) {
        let before = std::mem::replace(&mut self.counts, true);
        self.block(&function.body);
        self.counts = before;
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
        statement_lines(source.as_bytes()).into_iter().collect()
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
}
