//! The scripts that `EVAL` and `SCRIPT LOAD` brought: [`ScriptCache`].
//!
//! A table from digest to slot, and slots in a slab. Scripts that came by `EVAL` are bounded in
//! number: their slots form a doubly linked list in the order of use, by index, and the one used
//! longest ago gives way. A script that was loaded is *pinned*: it is in no list and stays until
//! the cache is emptied.
//!
//! Invariants: every slot in use is named by exactly one digest of the table; the list holds
//! exactly the slots that are not pinned; it has at most [`UNPINNED_MAX`] of them. Using a script
//! allocates nothing.
//!
//! The cache knows engines by index only. It never calls one: whoever takes scripts out tells
//! their engines to forget them.

use crate::digest::Digest;
use crate::engine::{Handle, ScriptFlags};
use ahash::AHashMap;

/// Most scripts that are kept without having been loaded.
pub const UNPINNED_MAX: usize = 500;

/// What is needed to run a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptRef {
    /// Index of its engine.
    pub engine: usize,
    /// What the engine calls it.
    pub handle: Handle,
    /// What it declared.
    pub flags: ScriptFlags,
}

/// A script of the cache as it is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachedScript<'a> {
    /// Its name.
    pub digest: Digest,
    /// How to run it.
    pub script: ScriptRef,
    /// Its whole source.
    pub source: &'a [u8],
    /// It stays until the cache is emptied.
    pub pinned: bool,
}

/// No slot.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Slot {
    digest: Digest,
    script: ScriptRef,
    source: Box<[u8]>,
    overhead: usize,
    pinned: bool,
    /// Neighbours in the list, used longer ago and more recently.
    older: u32,
    newer: u32,
}

/// Compiled scripts by digest.
#[derive(Debug)]
pub struct ScriptCache {
    by_digest: AHashMap<Digest, u32>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
    unpinned: usize,
    /// Bytes of sources and engine-side bookkeeping.
    held: usize,
}

/// Everything that was in a cache when it was emptied: the engines must be told, the sources may
/// be dropped somewhere else.
#[derive(Debug)]
pub struct Emptied {
    /// Engine and handle of every script.
    pub handles: Vec<(usize, Handle)>,
    /// What takes long to drop.
    pub sources: Vec<Box<[u8]>>,
}

impl Default for ScriptCache {
    fn default() -> Self {
        ScriptCache {
            by_digest: AHashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            unpinned: 0,
            held: 0,
        }
    }
}

impl ScriptCache {
    /// Number of scripts.
    pub fn len(&self) -> usize {
        self.by_digest.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_digest.is_empty()
    }

    /// Approximate bytes the cache holds.
    pub fn memory(&self) -> usize {
        let entry = size_of::<Digest>() + size_of::<u32>();
        self.held
            + self.slots.capacity() * size_of::<Option<Slot>>()
            + self.by_digest.capacity() * entry
            + self.free.capacity() * size_of::<u32>()
    }

    /// All scripts, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = CachedScript<'_>> {
        self.slots.iter().flatten().map(|slot| CachedScript {
            digest: slot.digest,
            script: slot.script,
            source: &slot.source,
            pinned: slot.pinned,
        })
    }

    /// A script, without counting as a use.
    pub fn peek(&self, digest: &Digest) -> Option<ScriptRef> {
        let slot = *self.by_digest.get(digest)?;
        self.slot(slot).map(|slot| slot.script)
    }

    /// A script that is about to run.
    #[inline]
    pub fn touch(&mut self, digest: &Digest) -> Option<ScriptRef> {
        let at = *self.by_digest.get(digest)?;
        let slot = self.slots.get(at as usize)?.as_ref()?;
        let script = slot.script;
        if !slot.pinned && self.newest != at {
            self.unlink(at);
            self.link_newest(at);
        }
        Some(script)
    }

    /// The source of a script.
    pub fn source(&self, digest: &Digest) -> Option<&[u8]> {
        let slot = *self.by_digest.get(digest)?;
        self.slot(slot).map(|slot| &*slot.source)
    }

    /// Keeps a script until the cache is emptied. False when it is not there.
    pub fn pin(&mut self, digest: &Digest) -> bool {
        let Some(&at) = self.by_digest.get(digest) else { return false };
        if self.slot(at).is_some_and(|slot| !slot.pinned) {
            self.unlink(at);
            if let Some(slot) = self.slot_mut(at) {
                slot.pinned = true;
            }
            self.unpinned -= 1;
        }
        true
    }

    /// Adds a script that is not there yet. `overhead` is what the engine keeps about it. Answers
    /// the script that had to give way.
    pub fn insert(
        &mut self,
        digest: Digest,
        script: ScriptRef,
        source: &[u8],
        overhead: usize,
        pinned: bool,
    ) -> Option<(usize, Handle)> {
        if self.by_digest.contains_key(&digest) {
            return None;
        }
        let evicted = match !pinned && self.unpinned >= UNPINNED_MAX {
            true => self.evict_oldest(),
            false => None,
        };
        let source: Box<[u8]> = source.into();
        self.held += source.len() + overhead;
        let slot = Slot { digest, script, source, overhead, pinned, older: NONE, newer: NONE };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = Some(slot);
                at
            }
            None => {
                self.slots.push(Some(slot));
                (self.slots.len() - 1) as u32
            }
        };
        self.by_digest.insert(digest, at);
        if !pinned {
            self.link_newest(at);
            self.unpinned += 1;
        }
        evicted
    }

    /// Takes everything out.
    pub fn empty(&mut self) -> Emptied {
        let old = std::mem::take(self);
        let mut emptied = Emptied { handles: Vec::new(), sources: Vec::new() };
        for slot in old.slots.into_iter().flatten() {
            emptied.handles.push((slot.script.engine, slot.script.handle));
            emptied.sources.push(slot.source);
        }
        emptied
    }

    fn evict_oldest(&mut self) -> Option<(usize, Handle)> {
        let at = self.oldest;
        self.unlink(at);
        let slot = self.slots.get_mut(at as usize)?.take()?;
        self.by_digest.remove(&slot.digest);
        self.free.push(at);
        self.unpinned -= 1;
        self.held -= slot.source.len() + slot.overhead;
        Some((slot.script.engine, slot.script.handle))
    }

    fn slot(&self, at: u32) -> Option<&Slot> {
        self.slots.get(at as usize)?.as_ref()
    }

    fn slot_mut(&mut self, at: u32) -> Option<&mut Slot> {
        self.slots.get_mut(at as usize)?.as_mut()
    }

    fn unlink(&mut self, at: u32) {
        let Some(slot) = self.slot_mut(at) else { return };
        let older = std::mem::replace(&mut slot.older, NONE);
        let newer = std::mem::replace(&mut slot.newer, NONE);
        match self.slot_mut(older) {
            Some(neighbour) => neighbour.newer = newer,
            None => self.oldest = newer,
        }
        match self.slot_mut(newer) {
            Some(neighbour) => neighbour.older = older,
            None => self.newest = older,
        }
    }

    fn link_newest(&mut self, at: u32) {
        let before = std::mem::replace(&mut self.newest, at);
        if let Some(slot) = self.slot_mut(at) {
            slot.older = before;
        }
        match self.slot_mut(before) {
            Some(neighbour) => neighbour.newer = at,
            None => self.oldest = at,
        }
    }

    /// Checks the invariants, for tests.
    pub fn check_invariants(&self) {
        let used = self.slots.iter().flatten().count();
        assert_eq!(used, self.by_digest.len());
        assert_eq!(used + self.free.len(), self.slots.len());
        for (digest, at) in &self.by_digest {
            assert!(self.slot(*at).is_some_and(|slot| slot.digest == *digest));
        }
        let (mut at, mut before, mut linked) = (self.oldest, NONE, 0);
        while let Some(slot) = self.slot(at) {
            assert!(!slot.pinned && slot.older == before);
            (before, at, linked) = (at, slot.newer, linked + 1);
        }
        assert_eq!((before, linked), (self.newest, self.unpinned));
        assert_eq!(linked, self.slots.iter().flatten().filter(|slot| !slot.pinned).count());
        assert!(linked <= UNPINNED_MAX);
        let held: usize = self.slots.iter().flatten().map(|s| s.source.len() + s.overhead).sum();
        assert_eq!(held, self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn script(number: u64) -> ScriptRef {
        ScriptRef { engine: 0, handle: Handle(number), flags: ScriptFlags::NONE }
    }

    fn digest(number: u64) -> Digest {
        Digest::of(&number.to_le_bytes())
    }

    fn add(cache: &mut ScriptCache, number: u64, pinned: bool) -> Option<u64> {
        let evicted = cache.insert(digest(number), script(number), b"source", 8, pinned);
        evicted.map(|(_, handle)| handle.0)
    }

    #[test]
    fn evicts_what_was_not_used_for_longest() {
        let mut cache = ScriptCache::default();
        for number in 0..UNPINNED_MAX as u64 {
            assert_eq!(add(&mut cache, number, false), None);
        }
        cache.touch(&digest(0));
        assert_eq!(add(&mut cache, 1000, false), Some(1));
        assert!(cache.pin(&digest(2)));
        assert_eq!(add(&mut cache, 1001, false), None);
        assert_eq!(add(&mut cache, 1002, false), Some(3));
        assert_eq!(add(&mut cache, 1003, true), None);
        assert_eq!(cache.peek(&digest(2)), Some(script(2)));
        assert_eq!(cache.peek(&digest(1)), None);
        let pinned: Vec<_> = cache.iter().filter(|one| one.pinned).map(|one| one.digest).collect();
        assert!(pinned.len() == 2 && pinned.contains(&digest(2)), "{pinned:?}");
        assert_eq!(cache.iter().count(), cache.len());
        cache.check_invariants();
    }

    #[test]
    fn an_emptied_cache_holds_nothing() {
        let mut cache = ScriptCache::default();
        add(&mut cache, 1, false);
        add(&mut cache, 2, true);
        assert!(cache.memory() > 2 * (b"source".len() + 8));
        let emptied = cache.empty();
        assert_eq!(emptied.handles, [(0, Handle(1)), (0, Handle(2))]);
        assert_eq!(emptied.sources.len(), 2);
        assert_eq!((cache.len(), cache.memory()), (0, 0));
        assert!(!cache.pin(&digest(1)));
        cache.check_invariants();
    }

    proptest! {
        #[test]
        fn behaves_like_a_list_in_order_of_use(steps: Vec<(u8, u16)>) {
            let mut cache = ScriptCache::default();
            // Unpinned scripts, the one used last at the end; and the pinned.
            let (mut unpinned, mut pinned) = (Vec::new(), Vec::new());
            // Fill up, so that few steps reach the limit.
            for number in 10_000..10_000 + UNPINNED_MAX as u64 - 5 {
                add(&mut cache, number, false);
                unpinned.push(number);
            }
            for (action, number) in steps {
                let number = u64::from(number % 40);
                let known = unpinned.contains(&number) || pinned.contains(&number);
                match action % 4 {
                    0 | 1 if !known => {
                        let pin = action % 4 == 1;
                        let full = !pin && unpinned.len() == UNPINNED_MAX;
                        let evicted = full.then(|| unpinned.remove(0));
                        prop_assert_eq!(add(&mut cache, number, pin), evicted);
                        if pin { pinned.push(number) } else { unpinned.push(number) }
                    }
                    2 => {
                        prop_assert_eq!(cache.pin(&digest(number)), known);
                        if unpinned.contains(&number) {
                            unpinned.retain(|other| *other != number);
                            pinned.push(number);
                        }
                    }
                    _ => {
                        let found = cache.touch(&digest(number));
                        prop_assert_eq!(found, known.then(|| script(number)));
                        if unpinned.contains(&number) {
                            unpinned.retain(|other| *other != number);
                            unpinned.push(number);
                        }
                    }
                }
                cache.check_invariants();
                prop_assert_eq!(cache.len(), unpinned.len() + pinned.len());
            }
        }
    }
}
