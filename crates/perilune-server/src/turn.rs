//! Turns of connections: what was sent first runs first.
//!
//! The runtime runs the task that it woke last before all others it woke with it. Of several
//! connections whose requests came while it was busy the last one would be served first, which a
//! client notices that writes on one connection and reads on another. So a connection waits for its
//! socket with a waker that takes a number, and the one with the last number goes to the end of the
//! queue once if there are others.
//!
//! With several workers there is no order to keep, and nothing of this happens.
//!
//! Invariant: `woken - served` is the number of connections that hold a number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

/// The number of a connection that takes no more.
const GONE: u64 = u64::MAX;

/// The numbers of one runtime.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// The number given last.
    woken: AtomicU64,
    served: AtomicU64,
}

/// Wakes a connection's task and takes a number for it.
struct Place {
    turns: Arc<Turns>,
    /// The number it holds; none: 0.
    number: AtomicU64,
    task: Waker,
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let number = self.turns.woken.fetch_add(1, Ordering::Relaxed) + 1;
        let held = self.number.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed);
        if held.is_err() {
            // It keeps the number it has, or is gone.
            self.turns.served.fetch_add(1, Ordering::Relaxed);
        }
        self.task.wake_by_ref();
    }
}

impl Place {
    /// Gives the number back, if there is one.
    fn take(&self) -> Option<u64> {
        self.replace(0)
    }

    /// Gives the number back for good: whoever still has the waker gets no other.
    fn leave(&self) {
        self.replace(GONE);
    }

    fn replace(&self, by: u64) -> Option<u64> {
        let number = Some(self.number.swap(by, Ordering::Relaxed)).filter(|number| *number != 0)?;
        self.turns.served.fetch_add(1, Ordering::Relaxed);
        Some(number)
    }
}

/// One connection's turns.
pub(crate) struct Turn {
    /// None: there is no order to keep.
    turns: Option<Arc<Turns>>,
    place: Option<(Arc<Place>, Waker)>,
}

impl Turn {
    /// For a connection on this runtime.
    pub(crate) fn new(turns: &Arc<Turns>) -> Self {
        let workers = tokio::runtime::Handle::try_current().map(|it| it.metrics().num_workers());
        let turns = workers.is_ok_and(|workers| workers == 1).then(|| Arc::clone(turns));
        Turn { turns, place: None }
    }

    /// Whether the connection, which was just woken, must let others go first. Not twice in a row.
    pub(crate) fn gives_way(&self) -> bool {
        let (Some(turns), Some((place, _))) = (&self.turns, &self.place) else { return false };
        let Some(number) = place.take() else { return false };
        let woken = turns.woken.load(Ordering::Relaxed);
        number == woken && turns.served.load(Ordering::Relaxed) < woken
    }

    /// What to wait for the socket with, in the place of the task's own waker.
    pub(crate) fn waker<'a>(&'a mut self, task: &'a Waker) -> &'a Waker {
        let Some(turns) = &self.turns else { return task };
        let known = self.place.as_ref().is_some_and(|(place, _)| place.task.will_wake(task));
        if !known {
            self.leave();
            let (turns, number) = (Arc::clone(turns), AtomicU64::new(0));
            let place = Arc::new(Place { turns, number, task: task.clone() });
            self.place = Some((Arc::clone(&place), Waker::from(place)));
        }
        self.place.as_ref().map_or(task, |(_, waker)| waker)
    }

    fn leave(&self) {
        if let Some((place, _)) = &self.place {
            place.leave();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(count: usize) -> (Vec<Turn>, Vec<Waker>) {
        let turns = Arc::new(Turns::default());
        let turn = || Turn { turns: Some(Arc::clone(&turns)), place: None };
        let mut all: Vec<Turn> = (0..count).map(|_| turn()).collect();
        let wakers = all.iter_mut().map(|turn| turn.waker(Waker::noop()).clone()).collect();
        (all, wakers)
    }

    #[test]
    fn the_last_of_several_gives_way_once() {
        let (turns, wakers) = turns(3);
        wakers.iter().for_each(Waker::wake_by_ref);
        let order = [2, 0, 1, 2];
        assert_eq!(order.map(|at: usize| turns[at].gives_way()), [true, false, false, false]);
    }

    #[test]
    fn who_is_alone_goes_on() {
        let (mut turns, wakers) = turns(2);
        wakers[0].wake_by_ref();
        wakers[0].wake_by_ref();
        assert!(!turns[0].gives_way());
        // One that ends does not take its turn.
        wakers[0].wake_by_ref();
        turns.remove(0);
        wakers[1].wake_by_ref();
        assert!(!turns[0].gives_way());
    }
}
