//! Pointers in six bytes, so that eight of them fit into a cache line with a tag each and the address
//! of the next line.
//!
//! ```text
//! Address    | bits 0 to 15 of the address: u16 | bits 16 to 47: u32, never zero |     aligned to 1
//! ```
//!
//! The processors that this runs on give a process addresses of 47 bits (x86-64) or 48 (AArch64); the
//! kernel hands out longer ones only to who asks for them, which no allocator does. An allocation
//! beyond them is treated like memory that has run out. No allocation lies in the first 64 KiB, so the
//! upper part is never zero, and an `Option` of an address takes six bytes, too.
#![allow(unsafe_code)]

use std::alloc::{Layout, handle_alloc_error};
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::num::NonZeroU32;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::hashtable::Entry;

/// The address of something allocated.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub(crate) struct Address {
    low: u16,
    high: NonZeroU32,
}

const _: () = assert!(size_of::<Option<Address>>() == 6 && align_of::<Option<Address>>() == 1);

impl Address {
    /// The address of `place`, unless it is one of more than 48 bits or lies in the first 64 KiB.
    #[inline]
    pub(crate) fn of<T>(place: NonNull<T>) -> Option<Address> {
        let address = place.as_ptr().expose_provenance();
        let high = u32::try_from(address >> 16).ok().and_then(NonZeroU32::new)?;
        Some(Address { low: address as u16, high })
    }

    /// The place that it is the address of. Whoever uses it must know that something of the type
    /// is there.
    #[inline]
    pub(crate) fn place<T>(self) -> NonNull<T> {
        let Address { low, high } = self;
        let address = (high.get() as usize) << 16 | usize::from(low);
        // SAFETY: the upper part is not zero.
        unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut(address)) }
    }
}

/// A `Box` or an `Arc`, which a [`Slim`] can keep.
///
/// # Safety
///
/// A pointer made by `from_raw` of what `into_raw` returned is that pointer again; until then the
/// place is that of a living target, and stays the same.
pub unsafe trait Pointer: Deref<Target: Sized> + Sized {
    /// Gives the pointer up for the place that it leads to.
    fn into_raw(self) -> NonNull<Self::Target>;

    /// The pointer again.
    ///
    /// # Safety
    ///
    /// `place` is of [`Pointer::into_raw`], and this is done once for each time that was.
    unsafe fn from_raw(place: NonNull<Self::Target>) -> Self;
}

// SAFETY: so `Box` promises.
unsafe impl<T> Pointer for Box<T> {
    #[inline]
    fn into_raw(self) -> NonNull<T> {
        NonNull::from(Box::leak(self))
    }

    #[inline]
    unsafe fn from_raw(place: NonNull<T>) -> Self {
        // SAFETY: as the caller says.
        unsafe { Box::from_raw(place.as_ptr()) }
    }
}

// SAFETY: so `Arc` promises.
unsafe impl<T> Pointer for Arc<T> {
    #[inline]
    fn into_raw(self) -> NonNull<T> {
        // SAFETY: an `Arc` is never null.
        unsafe { NonNull::new_unchecked(Arc::into_raw(self).cast_mut()) }
    }

    #[inline]
    unsafe fn from_raw(place: NonNull<T>) -> Self {
        // SAFETY: as the caller says.
        unsafe { Arc::from_raw(place.as_ptr()) }
    }
}

/// A `Box` or an `Arc` in six bytes.
///
/// Invariant: the address is that of a pointer which was given up for it, and which it owns.
pub struct Slim<P: Pointer> {
    address: Address,
    pointer: PhantomData<P>,
}

impl<P: Pointer> From<P> for Slim<P> {
    #[inline]
    fn from(pointer: P) -> Self {
        const { assert!(size_of::<P::Target>() > 0, "what takes no room has no address") };
        let Some(address) = Address::of(pointer.into_raw()) else {
            handle_alloc_error(Layout::new::<P::Target>())
        };
        Slim { address, pointer: PhantomData }
    }
}

impl<P: Pointer> Slim<P> {
    /// The pointer as it was before.
    #[inline]
    pub fn into_inner(self) -> P {
        let slim = ManuallyDrop::new(self);
        // SAFETY: the address is of a pointer that was given up, and `slim` is not used again.
        unsafe { P::from_raw(slim.address.place()) }
    }
}

impl<T: Clone> Slim<Arc<T>> {
    /// What [`Arc::make_mut`] gives: the target, copied first if others share it.
    pub fn make_mut(&mut self) -> &mut T {
        // SAFETY: the address is of an `Arc` that was given up; nothing drops this one.
        let mut pointer =
            ManuallyDrop::new(unsafe { <Arc<T> as Pointer>::from_raw(self.address.place()) });
        if Arc::get_mut(&mut pointer).is_none() {
            *self = Slim::from(Arc::new(T::clone(self)));
        }
        // SAFETY: this is the only pointer to the target, by the lines above, and it is borrowed for
        // as long as the reference lives.
        unsafe { self.address.place::<T>().as_mut() }
    }
}

impl<P: Pointer> Drop for Slim<P> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the address is of a pointer that was given up, and `self` is not used again.
        drop(unsafe { P::from_raw(self.address.place()) });
    }
}

impl<P: Pointer> Deref for Slim<P> {
    type Target = P::Target;

    #[inline]
    fn deref(&self) -> &P::Target {
        // SAFETY: the target lives as long as the pointer that `self` owns.
        unsafe { self.address.place::<P::Target>().as_ref() }
    }
}

impl<T> DerefMut for Slim<Box<T>> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`, and a box is the only pointer to its target.
        unsafe { self.address.place::<T>().as_mut() }
    }
}

impl<T> Clone for Slim<Arc<T>> {
    /// Another pointer to the same target.
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: the address is of an `Arc` that lives; the new `Slim` owns what is counted here.
        unsafe { Arc::increment_strong_count(self.address.place::<T>().as_ptr()) };
        Slim { address: self.address, pointer: PhantomData }
    }
}

impl<T: Clone> Clone for Slim<Box<T>> {
    /// A copy of the target in a box of its own.
    fn clone(&self) -> Self {
        Slim::from(Box::new(T::clone(self)))
    }
}

impl<P: Pointer<Target: Entry>> Entry for Slim<P> {
    #[inline]
    fn key(&self) -> &[u8] {
        (**self).key()
    }
}

impl<P: Pointer<Target: fmt::Debug>> fmt::Debug for Slim<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_of_six_bytes_with_a_niche() {
        assert_eq!(size_of::<Option<Slim<Box<u64>>>>(), 6);
        assert_eq!(align_of::<Slim<Arc<u64>>>(), 1);
    }

    #[test]
    fn addresses_survive_and_longer_ones_are_refused() {
        for address in [0x1_0000, 0x1_0001, 0x7fff_ffff_ffff, 0x1_0000_0000, 0xffff_ffff_ffff] {
            let place = NonNull::new(ptr::without_provenance_mut::<u8>(address));
            let kept = place.and_then(Address::of).map(Address::place::<u8>);
            assert_eq!(kept, place);
        }
        for address in [1, 0xffff, 0x1_0000_0000_0000, usize::MAX] {
            let place = NonNull::new(ptr::without_provenance_mut::<u8>(address));
            assert!(place.and_then(Address::of).is_none(), "{address:x}");
        }
    }

    #[test]
    fn shares_and_drops_as_the_pointer_would() {
        let shared = Arc::new(String::from("target"));
        let mut slim = Slim::from(shared.clone());
        let copy = slim.clone();
        assert_eq!((Arc::strong_count(&shared), copy.as_str()), (3, "target"));
        slim.make_mut().push('s');
        assert_eq!((Arc::strong_count(&shared), slim.as_str()), (2, "targets"));
        let place = slim.as_ptr();
        slim.make_mut().clear();
        assert_eq!((slim.as_ptr(), slim.len()), (place, 0));
        drop(copy);
        assert_eq!(Arc::strong_count(&shared), 1);
        assert_eq!(Arc::strong_count(&slim.into_inner()), 1);
    }

    #[test]
    fn a_box_can_be_changed_and_taken_back() {
        let mut slim = Slim::from(Box::new(vec![1]));
        let copy = slim.clone();
        slim.push(2);
        assert_eq!((copy.as_slice(), *slim.into_inner()), (&[1][..], vec![1, 2]));
    }
}
