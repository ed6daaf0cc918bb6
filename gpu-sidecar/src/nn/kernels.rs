//! Which form of a layer runs where both could: a choice for the time of one piece of work.
//!
//! Owns the choice, which is the calling thread's: layers are called on the thread of the
//! prediction and spread their own work. Always: it ends with the work, by a panic too.

use std::cell::Cell;

/// The forms of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kernels {
    /// Ours where there is one for the device and the type, else the definition.
    #[default]
    Own,
    /// The definitions, in candle's operators: all that a GPU runs.
    Plain,
}

thread_local! {
    static CHOSEN: Cell<Kernels> = const { Cell::new(Kernels::Own) };
}

/// Does `work` with these forms of the layers that it calls on this thread.
pub fn with_kernels<T>(kernels: Kernels, work: impl FnOnce() -> T) -> T {
    struct Restored(Kernels);
    impl Drop for Restored {
        fn drop(&mut self) {
            CHOSEN.set(self.0);
        }
    }
    let _restored = Restored(CHOSEN.replace(kernels));
    work()
}

/// Whether the fast forms may run.
pub(super) fn own() -> bool {
    CHOSEN.get() == Kernels::Own
}
