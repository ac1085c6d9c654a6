//! Whether two servers hold the same data after a sequence.
//!
//! The data sets are compared by `DEBUG DIGEST`. Then every value is looked at: its encoding, the
//! bytes of its payload where those follow from how it came about, and whether each server takes
//! the other's payload and makes the same value of it.

use super::generate::{Step, Words};
use super::normal::comparable;
use super::play::{Difference, Sides, one_line};
use super::{CURRENT, pools};
use perilune_keyspace::EncodingLimits;
use perilune_rdb::{Check, dump_payload, restore_payload};
use perilune_resp::{Value, format_cli};
use std::io;

/// What is asked about every key.
const QUESTIONS: [&[&str]; 3] = [&["TYPE"], &["OBJECT", "ENCODING"], &["DUMP"]];

fn command(name: &[&str], key: &[u8]) -> Words {
    name.iter().map(|word| Vec::from(*word)).chain([key.to_vec()]).collect()
}

fn difference(at: usize, asked: &Words, [ours, theirs]: &[Value; 2]) -> Difference {
    let asked = one_line(&Step::plain(asked.clone()));
    Difference { at, asked, ours: format_cli(ours), theirs: format_cli(theirs) }
}

/// Whether values that came about in the same way have equal bytes. The elements of a set lie as in
/// a table that some of them once came from, and what a stream knows of its consumers has times.
fn has_order(kind: &Value, encoding: &Value) -> bool {
    let is = |value: &Value, word: &str| value.as_bytes() == Some(word.as_bytes());
    !is(encoding, "hashtable")
        && !is(kind, "stream")
        && (!is(kind, "set") || is(encoding, "intset"))
}

/// Whether payloads are as equal as they can be.
fn payloads_fit(kind: &Value, encoding: &Value, [ours, theirs]: &[Value; 2]) -> bool {
    let len = |value: &Value| value.as_bytes().map(<[u8]>::len);
    if kind.as_bytes() == Some(b"list") && ours != theirs {
        return uncompressed(ours).is_some_and(|it| Some(it) == uncompressed(theirs));
    }
    ours == theirs || (len(ours) == len(theirs) && !has_order(kind, encoding))
}

/// The payload of a list with the same nodes, none of them compressed. Which matches a compressor
/// finds is its own affair: that of Redis begins with a table of whatever lies in memory.
fn uncompressed(payload: &Value) -> Option<Vec<u8>> {
    let limits = EncodingLimits { list_compress_depth: 0, ..EncodingLimits::default() };
    let list = restore_payload(payload.as_bytes()?, &limits, Check::Full).ok()?;
    Some(dump_payload(list.as_ref(), false))
}

impl Sides {
    /// The first difference after `at` steps.
    pub(super) fn compare_contents(&mut self, at: usize) -> io::Result<Option<Difference>> {
        let digests = self.all(&[command(&[], b"RESET"), command(&["DEBUG"], b"DIGEST")])?;
        let keys: Vec<Vec<u8>> = pools::keys().collect();
        if self.version() != CURRENT {
            return self.compare_what_can_be_read(at, &keys);
        }
        if digests[1][0] != digests[1][1] {
            return self.differing_value(at, &keys, &digests[1]).map(Some);
        }
        let questions: Vec<Words> =
            keys.iter().flat_map(|key| QUESTIONS.map(|question| command(question, key))).collect();
        let answers = self.all(&questions)?;
        let mut payloads = Vec::new();
        for (answers, asked) in
            answers.chunks(QUESTIONS.len()).zip(questions.chunks(QUESTIONS.len()))
        {
            let [kind, encoding, payload] = answers else { continue };
            let fit = [
                kind[0] == kind[1],
                encoding[0] == encoding[1],
                payloads_fit(&kind[0], &encoding[0], payload),
            ];
            if let Some(number) = fit.iter().position(|fits| !fits) {
                return Ok(Some(difference(at, &asked[number], &answers[number])));
            }
            if let [Value::Bulk(ours), Value::Bulk(theirs)] = payload {
                payloads.push((asked[2][1].clone(), ours.clone(), theirs.clone()));
            }
        }
        self.exchange(at, payloads)
    }

    /// The first difference that does not come from encodings or digits. Digests are made of the
    /// digits of scores, but else only of what can be read.
    fn compare_what_can_be_read(
        &mut self,
        at: usize,
        keys: &[Vec<u8>],
    ) -> io::Result<Option<Difference>> {
        let kinds: Vec<Words> = keys.iter().map(|key| command(&["TYPE"], key)).collect();
        let kinds = self.all(&kinds)?;
        let questions: Vec<Words> = keys
            .iter()
            .zip(&kinds)
            .map(|(key, [ours, _])| match ours.as_bytes() {
                Some(b"zset") => {
                    let range = [b"0".to_vec(), b"-1".to_vec(), b"WITHSCORES".to_vec()];
                    [command(&["ZRANGE"], key), range.into()].concat()
                }
                _ => command(&["DEBUG", "DIGEST-VALUE"], key),
            })
            .collect();
        let answers = self.all(&questions)?;
        let comparable = |answers: &[Value; 2]| {
            let [ours, theirs] = answers.each_ref().map(|it| comparable(it, self.version()));
            ours == theirs
        };
        let found = answers.iter().position(|answers| !comparable(answers));
        Ok(found.map(|number| difference(at, &questions[number], &answers[number])))
    }

    /// Looks for the key whose value is why the digests differ.
    fn differing_value(
        &mut self,
        at: usize,
        keys: &[Vec<u8>],
        digests: &[Value; 2],
    ) -> io::Result<Difference> {
        let questions: Vec<Words> =
            keys.iter().map(|key| command(&["DEBUG", "DIGEST-VALUE"], key)).collect();
        let answers = self.all(&questions)?;
        let Some(number) = answers.iter().position(|[ours, theirs]| ours != theirs) else {
            return Ok(difference(at, &command(&["DEBUG"], b"DIGEST"), digests));
        };
        let question = command(&["DUMP"], &keys[number]);
        let payloads = self.all(std::slice::from_ref(&question))?;
        Ok(difference(at, &question, &payloads[0]))
    }

    /// Gives each the payloads of the other: key, ours, theirs.
    fn exchange(
        &mut self,
        at: usize,
        payloads: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    ) -> io::Result<Option<Difference>> {
        let mut commands = [Vec::new(), Vec::new()];
        for (key, ours, theirs) in payloads {
            for (commands, payload) in commands.iter_mut().zip([theirs, ours]) {
                commands.push(vec![
                    b"RESTORE".into(),
                    key.clone(),
                    b"0".into(),
                    payload,
                    b"REPLACE".into(),
                ]);
                commands.push(command(&["DEBUG", "DIGEST-VALUE"], &key));
            }
        }
        let [ours, theirs] = self.each([&commands[0], &commands[1]])?;
        let found = ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs);
        Ok(found.map(|number| {
            let asked = &commands[0][number];
            let asked = [b"of what was exchanged:".to_vec()].iter().chain(asked).cloned().collect();
            difference(at, &asked, &[ours[number].clone(), theirs[number].clone()])
        }))
    }
}
