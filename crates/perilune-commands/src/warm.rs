//! Looking ahead in a pipeline: the keys of the next requests come into the processor's cache
//! together, before the requests run one by one.
//!
//! In a large data set a key that is looked up is in no cache, and each command waits for memory
//! twice: for the key's bucket and for its entry. The memory could serve many such waits at once,
//! which is what [`Engine::warm`] makes it do. Nothing is looked up, counted or changed by it, and a
//! guess that is wrong (another database is selected in between, say) costs only its time.

use crate::engine::Engine;
use crate::session::ClientSlot;
use perilune_keyspace::hash_bytes;
use smallvec::SmallVec;

/// Requests that are worth looking ahead at together. More would push each other out of the cache.
pub const WARM_REQUESTS: usize = 16;

/// A data set of fewer keys is in the cache anyway.
const KEYS_MIN: usize = 8 * 1024;

impl Engine {
    /// Looks ahead at the first keys of `requests` requests that the client will make next, at most
    /// [`WARM_REQUESTS`]. `argument` gives an argument of a request by their indexes.
    pub fn warm<'a>(
        &self,
        client: ClientSlot,
        requests: usize,
        argument: impl Fn(usize, usize) -> Option<&'a [u8]>,
    ) {
        let Some(session) = self.sessions.get(client) else { return };
        let db = self.keyspace.db(session.db);
        if requests < 2 || db.len() < KEYS_MIN {
            return;
        }
        let mut hashes: SmallVec<[u64; WARM_REQUESTS]> = SmallVec::new();
        for request in 0..requests.min(WARM_REQUESTS) {
            let command = argument(request, 0).and_then(|name| self.commands.by_name(name));
            let first_key = command.and_then(|id| self.commands.get(id).likely_key);
            if let Some(key) = first_key.and_then(|at| argument(request, at.get().into())) {
                hashes.push(hash_bytes(key));
            }
        }
        db.warm(&hashes);
    }
}

#[cfg(test)]
mod tests {
    use crate::table::CommandTable;

    #[test]
    fn first_keys_stand_where_the_rows_say() {
        let table = CommandTable::builtin().expect("a table");
        let at = |name: &str| {
            let id = table.by_name(name.as_bytes()).expect("a command");
            table.get(id).likely_key.map(|at| at.get())
        };
        assert_eq!([at("get"), at("evalsha"), at("fcall_ro")], [Some(1), Some(3), Some(3)]);
        assert_eq!([at("bitop"), at("lmpop"), at("xgroup")], [Some(2), Some(2), None]);
        assert_eq!([at("ping"), at("dbsize"), at("xread")], [None, None, None]);
    }
}
