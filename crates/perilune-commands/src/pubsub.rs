//! Channels and patterns: who listens to what.
//!
//! Invariant: a client stands in a registry here exactly when the name stands in the matching set
//! of its [`Session`](crate::session::Session).

use crate::engine::Engine;
use crate::glob;
use crate::session::ClientSlot;
use ahash::AHashMap;
use perilune_keyspace::Bytes;
use perilune_resp::{ReplyWriter, RespWriter};

/// The three kinds of subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscription {
    /// `SUBSCRIBE`
    Channel,
    /// `PSUBSCRIBE`
    Pattern,
    /// `SSUBSCRIBE`
    Shard,
}

/// Listeners by name; in order of subscription.
type Registry = AHashMap<Bytes, Vec<ClientSlot>>;

/// All subscriptions of the server.
#[derive(Debug, Default)]
pub struct PubSub {
    channels: Registry,
    patterns: Registry,
    shard_channels: Registry,
}

impl PubSub {
    fn registry(&self, kind: Subscription) -> &Registry {
        match kind {
            Subscription::Channel => &self.channels,
            Subscription::Pattern => &self.patterns,
            Subscription::Shard => &self.shard_channels,
        }
    }

    fn registry_mut(&mut self, kind: Subscription) -> &mut Registry {
        match kind {
            Subscription::Channel => &mut self.channels,
            Subscription::Pattern => &mut self.patterns,
            Subscription::Shard => &mut self.shard_channels,
        }
    }

    /// Number of names somebody listens to.
    pub fn count(&self, kind: Subscription) -> usize {
        self.registry(kind).len()
    }

    /// The names somebody listens to.
    pub fn names(&self, kind: Subscription) -> impl Iterator<Item = &Bytes> {
        self.registry(kind).keys()
    }

    /// Number of listeners of one name.
    pub fn listeners(&self, kind: Subscription, name: &[u8]) -> usize {
        self.registry(kind).get(name).map_or(0, Vec::len)
    }

    fn add(&mut self, kind: Subscription, name: Bytes, client: ClientSlot) {
        self.registry_mut(kind).entry(name).or_default().push(client);
    }

    fn remove(&mut self, kind: Subscription, name: &[u8], client: ClientSlot) {
        let registry = self.registry_mut(kind);
        if let Some(listeners) = registry.get_mut(name) {
            listeners.retain(|other| *other != client);
            if listeners.is_empty() {
                registry.remove(name);
            }
        }
    }
}

impl Engine {
    /// Subscribes a client; false when it was subscribed already.
    pub(crate) fn subscribe(
        &mut self,
        client: ClientSlot,
        kind: Subscription,
        name: &[u8],
    ) -> bool {
        let name = Bytes::new(name);
        let Some(session) = self.sessions.get_mut(client) else { return false };
        let set = match kind {
            Subscription::Channel => &mut session.channels,
            Subscription::Pattern => &mut session.patterns,
            Subscription::Shard => &mut session.shard_channels,
        };
        let fresh = set.insert(name.clone());
        if fresh {
            self.pubsub.add(kind, name, client);
        }
        fresh
    }

    /// Ends a subscription; false when there was none.
    pub(crate) fn unsubscribe(
        &mut self,
        client: ClientSlot,
        kind: Subscription,
        name: &[u8],
    ) -> bool {
        let Some(session) = self.sessions.get_mut(client) else { return false };
        let set = match kind {
            Subscription::Channel => &mut session.channels,
            Subscription::Pattern => &mut session.patterns,
            Subscription::Shard => &mut session.shard_channels,
        };
        let had = set.remove(name);
        if had {
            self.pubsub.remove(kind, name, client);
        }
        had
    }

    /// Ends all subscriptions of a client without telling it.
    pub(crate) fn unsubscribe_all(&mut self, client: ClientSlot) {
        for kind in [Subscription::Channel, Subscription::Pattern, Subscription::Shard] {
            let Some(session) = self.sessions.get(client) else { return };
            let set = match kind {
                Subscription::Channel => &session.channels,
                Subscription::Pattern => &session.patterns,
                Subscription::Shard => &session.shard_channels,
            };
            for name in set.clone() {
                self.unsubscribe(client, kind, &name);
            }
        }
    }

    /// Sends a message to the listeners of a channel and, unless it is a shard channel, of the
    /// patterns that match it. Returns the number of receivers.
    pub(crate) fn publish(&mut self, channel: &[u8], message: &[u8], shard: bool) -> usize {
        let mut receivers = 0;
        let (kind, word): (_, &[u8]) = match shard {
            true => (Subscription::Shard, b"smessage"),
            false => (Subscription::Channel, b"message"),
        };
        let direct = self.pubsub.registry(kind).get(channel).cloned().unwrap_or_default();
        for client in direct {
            self.push(client, |out| {
                out.push(3);
                out.bulk(word);
                out.bulk(channel);
                out.bulk(message);
            });
            receivers += 1;
        }
        if shard || self.pubsub.patterns.is_empty() {
            return receivers;
        }
        let matching: Vec<(Bytes, Vec<ClientSlot>)> = self
            .pubsub
            .patterns
            .iter()
            .filter(|(pattern, _)| glob::matches(pattern, channel, false))
            .map(|(pattern, clients)| (pattern.clone(), clients.clone()))
            .collect();
        for (pattern, clients) in matching {
            for client in clients {
                self.push(client, |out| {
                    out.push(4);
                    out.bulk(b"pmessage");
                    out.bulk(&pattern);
                    out.bulk(channel);
                    out.bulk(message);
                });
                receivers += 1;
            }
        }
        receivers
    }

    /// Writes something into a client's outbox and wakes its connection.
    pub(crate) fn push(&mut self, client: ClientSlot, write: impl FnOnce(&mut dyn ReplyWriter)) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        if session.killed {
            return;
        }
        let protocol = session.protocol;
        let mut outbox = std::mem::take(&mut session.outbox);
        write(&mut RespWriter::new(&mut outbox, protocol));
        session.outbox = outbox;
        self.count_client(client);
        let Some(session) = self.sessions.get(client) else { return };
        if self.current_client != Some(client) {
            session.wake();
        }
        self.enforce_output_limit(client);
    }
}
