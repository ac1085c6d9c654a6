//! Digests of keys and of the whole data set, by Redis' own algorithm (`DEBUG DIGEST`), so that the
//! content of two servers can be compared.
//!
//! Two ways of adding something to a digest: [`Digest::xor`] forgets the order, [`Digest::mix`]
//! keeps it. Elements of unordered types are mixed on their own and then xored.

use perilune_keyspace::{KeyEntry, Keyspace, ValueRef};
use perilune_resp::format_double_digits;
use sha1::{Digest as _, Sha1};
use std::ops::ControlFlow;

/// A 160-bit digest under construction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Digest([u8; 20]);

impl Digest {
    fn xor_bytes(&mut self, other: &[u8]) {
        for (mine, theirs) in self.0.iter_mut().zip(other) {
            *mine ^= theirs;
        }
    }

    /// Adds `data` so that the order of additions does not matter.
    fn xor(&mut self, data: &[u8]) {
        self.xor_bytes(&Sha1::digest(data));
    }

    /// Adds `data` so that the order of additions matters.
    fn mix(&mut self, data: &[u8]) {
        self.xor(data);
        self.0 = Sha1::digest(self.0).into();
    }

    /// 40 hexadecimal digits.
    pub(crate) fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Adds type, content and expiry of a value.
    pub(crate) fn add_entry(&mut self, entry: &KeyEntry) {
        let value = entry.value();
        let kind: u32 = match value {
            ValueRef::Int(_) | ValueRef::Str(_) | ValueRef::Raw(_) => 0,
            ValueRef::List(_) => 1,
            ValueRef::Set(_) => 2,
            ValueRef::ZSet(_) => 3,
            ValueRef::Hash(_) => 4,
            ValueRef::Stream(_) => 6,
        };
        self.mix(&kind.to_be_bytes());
        match value {
            ValueRef::Int(_) | ValueRef::Str(_) | ValueRef::Raw(_) => {
                self.mix(&value.as_string().unwrap_or_default());
            }
            ValueRef::List(list) => list.for_each(|item| {
                self.mix(&item.to_vec());
                ControlFlow::Continue(())
            }),
            ValueRef::Set(set) => set.iter().for_each(|member| self.xor(&member.to_vec())),
            ValueRef::ZSet(zset) => {
                for scored in zset.iter() {
                    let mut score = Vec::new();
                    format_double_digits(scored.score, &mut score);
                    let mut element = Digest::default();
                    element.mix(&scored.member.to_vec());
                    element.mix(&score);
                    self.xor_bytes_hashed(&element);
                }
            }
            ValueRef::Hash(hash) => {
                for (field, content) in hash.iter() {
                    let mut element = Digest::default();
                    element.mix(&field.to_vec());
                    element.mix(&content.to_vec());
                    self.xor_bytes_hashed(&element);
                }
            }
            ValueRef::Stream(stream) => {
                for item in stream.iter() {
                    self.mix(format!("{}.{}", item.id().ms, item.id().seq).as_bytes());
                    for (field, content) in item.fields() {
                        self.mix(&field.to_vec());
                        self.mix(&content.to_vec());
                    }
                }
            }
        }
        if entry.expire_at().is_some() {
            self.xor(b"!!expire!!");
        }
    }

    /// Adds an element's own digest, hashed once more, as the order of elements does not matter.
    fn xor_bytes_hashed(&mut self, element: &Digest) {
        self.xor(&element.0);
    }

    /// The digest of all databases.
    pub(crate) fn of_keyspace(keyspace: &Keyspace) -> Digest {
        let mut whole = Digest::default();
        for (index, db) in keyspace.iter().filter(|(_, db)| !db.is_empty()) {
            whole.mix(&(index as u32).to_be_bytes());
            for entry in db.iter() {
                let mut digest = Digest::default();
                digest.mix(entry.name());
                digest.add_entry(entry);
                whole.xor(&digest.0);
            }
        }
        whole
    }
}
