//! Commands out of the notation of their arguments.

use super::catalogue::{Catalogue, Row};
use super::normal::SPOP_ALL;
use super::pools;
use super::scripts::LIBRARIES;
use crate::random::Random;
use perilune_commands::syntax::{ArgKind, ArgSpec};

/// The user that some sequences go on as. No other command names it.
const USER: &str = "carol";

/// A key that is never there, and that the user may write to whatever the other rules are.
const UNUSED_KEY: &str = "unused";

/// The words of a command.
pub(super) type Words = Vec<Vec<u8>>;

/// One request, and the commands whose replies its reply is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is sent.
    pub words: Words,
    /// For a script: the commands it runs, each of which has one element of the reply.
    pub inner: Vec<Words>,
}

impl Step {
    /// A command on its own.
    pub fn plain(words: Words) -> Self {
        Step { words, inner: Vec::new() }
    }
}

/// A script that runs commands from its arguments, each preceded by its number of words. `@` stands
/// for `call` or `pcall`. What is nil to Lua would end the reply and is named instead.
const RUNNER: &str = "@SETRESP local replies, at, number = {}, 1, 0
while at <= #ARGV do
  local count, words = tonumber(ARGV[at]), {}
  for i = 1, count do words[i] = ARGV[at + i] end
  local reply = redis.@CALL(unpack(words))
  if reply == nil then reply = 'no value' end
  number = number + 1
  replies[number] = reply
  at = at + count + 1
end
return replies";

/// Whether a command is one that has [`before_sort`] before it.
pub(super) fn sorts(words: &Words) -> bool {
    let name = words.first().map_or(&b""[..], Vec::as_slice);
    name.eq_ignore_ascii_case(b"sort") || name.eq_ignore_ascii_case(b"sort_ro")
}

/// A command without effect that stands before each `SORT`. That takes texts for numbers with
/// `strtod` and looks at `errno`, which Redis does not clear before: after any number that was out
/// of range, in whatever command, it says that it cannot convert scores that it can. Reading a
/// score clears it.
pub(super) fn before_sort() -> Words {
    ["ZADD", UNUSED_KEY, "XX", "0", "member"].map(Vec::from).into()
}

/// Makes steps.
#[derive(Debug)]
pub struct Generator<'a> {
    catalogue: &'a Catalogue,
    random: Random,
    /// How many keys the command has to have, once it has said so.
    counted: Option<usize>,
}

impl<'a> Generator<'a> {
    /// The steps of a seed.
    pub fn new(catalogue: &'a Catalogue, seed: u64) -> Self {
        Generator { catalogue, random: Random::new(seed), counted: None }
    }

    /// The generator of random numbers.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// So many steps at least. Commands within a transaction are steps of their own.
    pub fn steps(&mut self, count: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        let has_encodings = self.catalogue.has("object|encoding");
        if self.random.percent(12) && self.catalogue.has("acl|setuser") {
            steps.extend(self.another_user());
        }
        if self.random.percent(20) {
            for _ in 0..3 {
                let library = self.random.pick(LIBRARIES).as_bytes().to_vec();
                steps.push(Step::plain(vec![b"FUNCTION".into(), b"LOAD".into(), library]));
            }
        }
        while steps.len() < count {
            match self.random.below(100) {
                0..4 => {
                    steps.push(Step::plain(vec![b"MULTI".to_vec()]));
                    for _ in 0..1 + self.random.below(4) {
                        let step = self.step();
                        steps.push(step);
                    }
                    steps.push(Step::plain(vec![b"EXEC".to_vec()]));
                }
                4..7 => steps.push(self.bulk_load()),
                _ => {
                    let step = self.step();
                    let key = step.words.iter().find(|word| pools::keys().any(|key| key == **word));
                    let encoding =
                        key.filter(|_| has_encodings && self.random.percent(15)).cloned();
                    steps.push(step);
                    steps.extend(
                        encoding.map(|key| {
                            Step::plain(vec![b"OBJECT".into(), b"ENCODING".into(), key])
                        }),
                    );
                }
            }
        }
        steps
    }

    /// Goes on as a user with restrictions. The user is there in any case: Redis 7.2.4 does not
    /// answer an `AUTH` that fails behind other replies.
    fn another_user(&mut self) -> [Step; 3] {
        let words = |words: &[&str]| words.iter().map(|word| Vec::from(*word)).collect::<Words>();
        let mut restricted = words(&["ACL", "SETUSER", USER]);
        for _ in 0..2 + self.random.below(6) {
            restricted.push(pools::restriction(&mut self.random));
        }
        restricted.push(format!("(~{UNUSED_KEY} +zadd)").into());
        let user = words(&["ACL", "SETUSER", USER, "reset", "on", "nopass"]);
        [user, restricted, words(&["AUTH", USER, "any"])].map(Step::plain)
    }

    fn step(&mut self) -> Step {
        let words = self.command();
        // What is taken by chance would differ from here on: the rest goes, too.
        if words.first().is_some_and(|name| name.eq_ignore_ascii_case(b"spop")) {
            let rest = words.get(1).cloned().unwrap_or_default();
            if self.random.percent(40) {
                return Step::plain(vec![words[0].clone(), rest, SPOP_ALL.into()]);
            }
            return self.script(vec![words, vec![b"DEL".to_vec(), rest]]);
        }
        if self.random.percent(12) {
            let mut commands = vec![words];
            while self.random.percent(30) {
                let next = self.command();
                if !next.first().is_some_and(|name| name.eq_ignore_ascii_case(b"spop")) {
                    commands.push(next);
                }
            }
            if self.random.percent(5) {
                commands.extend(self.refused_to_scripts());
            }
            return self.script(commands);
        }
        Step::plain(words)
    }

    fn refused_to_scripts(&mut self) -> Option<Words> {
        let rows: Vec<&Row> = self.catalogue.all().filter(|row| row.noscript).collect();
        let row = rows.get(self.random.below(rows.len()))?;
        Some(self.of_row(row))
    }

    fn script(&mut self, inner: Vec<Words>) -> Step {
        let call = if self.random.percent(30) { "call" } else { "pcall" };
        let resp = if self.random.percent(30) { "redis.setresp(3)" } else { "" };
        let text = RUNNER.replace("@SETRESP", resp).replace("@CALL", call);
        let mut words = vec![b"EVAL".to_vec(), text.into_bytes(), b"0".to_vec()];
        let inner: Vec<Words> = inner
            .into_iter()
            .flat_map(|command| sorts(&command).then(before_sort).into_iter().chain([command]))
            .collect();
        for command in &inner {
            words.push(command.len().to_string().into_bytes());
            words.extend(command.iter().cloned());
        }
        Step { words, inner }
    }

    /// Many elements at once, so that large encodings are met.
    fn bulk_load(&mut self) -> Step {
        let (name, group, pairs) = *self.random.pick(&[
            ("RPUSH", "list", false),
            ("SADD", "set", false),
            ("HSET", "hash", true),
            ("ZADD", "sorted-set", true),
            ("PFADD", "hyperloglog", false),
        ]);
        let numeric = self.random.percent(50);
        let mut words = vec![name.into(), pools::key(&mut self.random, "key", group)];
        for _ in 0..20 + self.random.below(180) {
            let number = self.random.below(100_000);
            if pairs {
                words.push(if name == "ZADD" { number % 100 } else { number }.to_string().into());
            }
            words.push(if numeric { number.to_string() } else { format!("item-{number}") }.into());
        }
        Step::plain(words)
    }

    /// A command, in some cases a broken one.
    pub fn command(&mut self) -> Words {
        let others = self.random.percent(10);
        let rows = if others { &self.catalogue.others } else { &self.catalogue.data };
        let row = &rows[self.random.below(rows.len())];
        let mut words = self.of_row(row);
        if row.name.starts_with("command|getkeys") {
            let rows: Vec<&Row> = self.catalogue.all().collect();
            words.truncate(2);
            let row = rows[self.random.below(rows.len())];
            words.extend(self.of_row(row));
        }
        // A broken timeout could be one without end.
        let waits = ["bl", "br", "bz", "xread", "wait"].iter().any(|it| row.name.starts_with(it));
        if self.random.percent(5) && row.name != "spop" && !waits {
            self.break_words(&mut words);
        }
        words
    }

    /// A command of this row.
    pub fn of_row(&mut self, row: &Row) -> Words {
        let mut words: Words = row.name.split('|').map(|word| self.any_case(word)).collect();
        let form = &row.forms[self.random.below(row.forms.len())];
        self.counted = None;
        self.list(form, row, &mut words);
        words
    }

    fn any_case(&mut self, word: &str) -> Vec<u8> {
        match self.random.below(6) {
            0 => word.to_ascii_lowercase().into_bytes(),
            _ => word.to_ascii_uppercase().into_bytes(),
        }
    }

    fn list(&mut self, args: &[ArgSpec<'_>], row: &Row, words: &mut Words) {
        for arg in args {
            self.arg(arg, row, words);
        }
    }

    fn arg(&mut self, arg: &ArgSpec<'_>, row: &Row, words: &mut Words) {
        let counts = self.counted.filter(|_| follows_count(arg));
        if arg.optional && counts.is_none() && self.random.percent(60) {
            return;
        }
        if arg.name == "streams" {
            self.counted = Some(1 + self.random.below(3));
        }
        let times = match counts {
            Some(count) if arg.multiple => count,
            _ if arg.multiple => 1 + self.random.below(3),
            _ => 1,
        };
        for time in 0..times {
            if let Some(token) = arg.token
                && arg.kind != ArgKind::PureToken
                && (time == 0 || arg.multiple_token)
            {
                let token = self.any_case(token);
                words.push(token);
            }
            self.value(arg, row, words);
        }
    }

    fn value(&mut self, arg: &ArgSpec<'_>, row: &Row, words: &mut Words) {
        match &arg.kind {
            ArgKind::OneOf(choices) if !choices.is_empty() => {
                let choice = &choices[self.random.below(choices.len())];
                self.arg(choice, row, words);
            }
            ArgKind::OneOf(_) => {}
            ArgKind::Block(parts) => self.list(parts, row, words),
            ArgKind::PureToken => {
                let token = self.any_case(arg.token.unwrap_or_default());
                words.push(token);
            }
            ArgKind::Key => words.push(pools::key(&mut self.random, &arg.name, row.group)),
            _ if arg.name == "numkeys" => {
                let count = 1 + self.random.below(3);
                self.counted = Some(count);
                let wrong = *self.random.pick(&["0", "-1", "x", "5", "9223372036854775807"]);
                let count = count.to_string();
                words.push(if self.random.percent(5) { wrong.into() } else { count.into() });
            }
            _ => words.push(pools::word(&mut self.random, arg, row.name, row.group)),
        }
    }

    /// Leaves a word out, says one twice, swaps two, adds one or replaces one. The name stays, or is
    /// one that no command has: another could be that of an excluded command.
    fn break_words(&mut self, words: &mut Words) {
        let strange: &[&str] = &["", "x", "-1", "NX", "XX", "COUNT", "LIMIT", "0", "str1", "1e9"];
        let strange = self.random.pick(strange).as_bytes().to_vec();
        if words.len() == 1 || self.random.percent(15) {
            return words.push(strange);
        }
        let args = words.len() - 1;
        let (at, other) = (1 + self.random.below(args), 1 + self.random.below(args));
        match self.random.below(5) {
            0 => drop(words.remove(at)),
            1 => words.insert(other, words[at].clone()),
            // A value could become a time to live that ends during the run.
            2 if !has_time_to_live(&words[0]) => words.swap(at, other),
            3 => words[0] = b"nosuch".to_vec(),
            _ => words[at] = strange,
        }
    }
}

/// Whether a command of this name may give a key a time to live.
fn has_time_to_live(name: &[u8]) -> bool {
    let names =
        ["set", "setex", "psetex", "getex", "expire", "pexpire", "restore", "restore-asking"];
    names.iter().any(|it| name.eq_ignore_ascii_case(it.as_bytes()))
}

/// Whether there are as many of these arguments as the command has said it has keys.
fn follows_count(arg: &ArgSpec<'_>) -> bool {
    let counted = matches!(&*arg.name, "key" | "weight" | "id" | "group-id");
    counted && arg.multiple
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::excluded;
    use super::*;
    use perilune_commands::args::Args;
    use perilune_testkit::{FakeEngine, TestServer};

    /// Far more than any command needs for one valid choice of its arguments.
    const TRIES: usize = 300;

    #[test]
    fn every_row_is_generated_or_excluded_with_a_reason() {
        let server = TestServer::new(vec![Box::new(FakeEngine::new())]);
        let table = &server.engine.commands;
        let catalogue = Catalogue::of(table, |_| true);
        let mut generator = Generator::new(&catalogue, 1);
        for row in catalogue.rows() {
            let resolves = |words: Words| {
                let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
                let found = table.resolve(Args::new(&words));
                found.is_ok_and(|id| table.get(id).full_name == row.name)
            };
            let valid = (0..TRIES).filter(|_| resolves(generator.of_row(row))).count();
            assert!(valid > 0, "no valid command of '{}' in {TRIES} tries", row.name);
        }
        for (_, command) in table.iter() {
            let name = command.full_name;
            let is_there = catalogue.rows().any(|row| row.name == name);
            let is_container = !command.subcommands.is_empty();
            assert!(is_there || is_container || excluded(name).is_some(), "nothing makes '{name}'");
        }
    }

    #[test]
    fn counted_keys_are_as_many_as_was_said() {
        let server = TestServer::new(vec![Box::new(FakeEngine::new())]);
        let catalogue = Catalogue::of(&server.engine.commands, |name| name == "zunion");
        let mut generator = Generator::new(&catalogue, 2);
        let row = &catalogue.data[0];
        let fitting = (0..100).filter(|_| {
            let words = generator.of_row(row);
            let text = |at: usize| words.get(at).map(|word| String::from_utf8_lossy(word));
            let count: Option<usize> = text(1).and_then(|count| count.parse().ok());
            let behind = count.and_then(|count| text(count.saturating_add(2)));
            let options = ["WEIGHTS", "AGGREGATE", "WITHSCORES"];
            match behind {
                Some(word) => options.contains(&word.to_ascii_uppercase().as_str()),
                None => count.is_some_and(|count| words.len() == count + 2),
            }
        });
        assert!(fitting.count() > 80);
    }
}
