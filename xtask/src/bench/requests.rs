//! Requests as bytes, made before anything is measured.
//!
//! A [`Pool`] holds many distinct pipelines of one case back to back; connections walk through it
//! from different places. Every server gets the same pool.

use super::cases::{Form, KEYS, Script};

/// Names the function library of the script cases.
pub(super) const FUNCTION: &str = "xtask_bench";

/// How many commands a pool holds at most: enough to touch most keys.
const POOL_COMMANDS_MAX: usize = 200_000;
/// And how many bytes, about.
const POOL_BYTES_MAX: usize = 16 << 20;

/// A small generator of pseudo-random numbers (xorshift64*): the same requests in every run.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) % bound
    }
}

/// Appends one request to `out`.
pub(super) fn encode<W: AsRef<[u8]>>(words: &[W], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        let word = word.as_ref();
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// Replaces the placeholders of a word; `index` stands for `{i}`.
pub(super) fn expand(word: &str, index: u64, random: &mut Random) -> String {
    let mut text = word.to_owned();
    if !word.contains('{') {
        return text;
    }
    while let Some(at) = text.find("{rand}") {
        text.replace_range(at..at + "{rand}".len(), &format!("{:012}", random.below(KEYS)));
    }
    while let Some(at) = text.find("{value}") {
        let value: String = (0..16).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
        text.replace_range(at..at + "{value}".len(), &value);
    }
    text.replace("{i}", &format!("{index:012}"))
}

/// The commands a case sends in turn; each a list of words with placeholders.
pub(super) type Templates = Vec<Vec<String>>;

/// The commands that call a script; `sha` is its digest.
pub(super) fn script_call(script: &Script, form: Form, sha: &str) -> Templates {
    let called = match form {
        Form::Eval => script.body,
        Form::EvalSha => sha,
        Form::Fcall => FUNCTION,
    };
    let count = script.keys.len().to_string();
    let head = [form.command(), called, &count];
    let words = head.iter().chain(script.keys).chain(script.args);
    let call = words.map(|word| (*word).to_owned()).collect();
    let before = script.before.map(owned);
    before.into_iter().chain([call]).collect()
}

/// A library whose one function is the script.
pub(super) fn library(script: &Script) -> String {
    format!(
        "#!lua name={FUNCTION}\nredis.register_function('{FUNCTION}', function(KEYS, ARGV)\n{}\nend)",
        script.body
    )
}

/// A template from words of the table of cases.
pub(super) fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Encoded pipelines, back to back.
pub(super) struct Pool {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Pool {
    /// Fills a pool with pipelines of `depth` commands.
    pub(super) fn new(templates: &Templates, depth: usize) -> Self {
        let mut random = Random::new(0x5eed);
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        let mut commands = 0;
        while ends.is_empty() || commands < POOL_COMMANDS_MAX && bytes.len() < POOL_BYTES_MAX {
            for _ in 0..depth {
                let template = &templates[commands % templates.len()];
                let words: Vec<_> = template.iter().map(|w| expand(w, 0, &mut random)).collect();
                encode(&words, &mut bytes);
                commands += 1;
            }
            ends.push(bytes.len());
        }
        Self { bytes, ends }
    }

    /// How many pipelines there are; never zero.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a pipeline.
    pub(super) fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in() {
        let mut random = Random::new(7);
        assert_eq!(expand("GET", 3, &mut random), "GET");
        assert_eq!(expand("key:{i}", 3, &mut random), "key:000000000003");
        let word = expand("{rand}/{rand}/{value}", 0, &mut random);
        let parts: Vec<_> = word.split('/').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [12, 12, 16]);
        assert_ne!(parts[0], parts[1]);
        assert!(parts[0].parse::<u64>().unwrap() < KEYS);
    }

    #[test]
    fn a_pool_holds_whole_pipelines_that_differ() {
        let templates = vec![vec!["GET".to_owned(), "k{rand}".to_owned()]];
        let pool = Pool::new(&templates, 3);
        for index in [0, 1, pool.len() - 1] {
            let text = std::str::from_utf8(pool.get(index)).unwrap();
            assert_eq!(text.matches("*2\r\n$3\r\nGET\r\n$13\r\nk").count(), 3);
            assert_eq!(text.len(), 3 * "*2\r\n$3\r\nGET\r\n$13\r\nk000000000000\r\n".len());
        }
        assert_ne!(pool.get(0), pool.get(1));
    }

    #[test]
    fn a_script_is_called_with_its_keys_counted() {
        let script = Script {
            forms: &[],
            body: "return 1",
            keys: &["a", "b"],
            args: &["c"],
            before: Some(&["DEL", "a"]),
        };
        let calls = script_call(&script, Form::EvalSha, "ab12");
        assert_eq!(calls[0], ["DEL", "a"]);
        assert_eq!(calls[1], ["EVALSHA", "ab12", "2", "a", "b", "c"]);
    }
}
