//! On how many threads a kernel works: the caller's alone, or all of its pool, stripe by stripe.
//!
//! Owns how rows are cut into stripes. Always: the result is the same, however they are cut; each
//! kernel's tests hold it to that.

/// Where a kernel works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// On the thread that calls, without a word to the others: for callers that work on several
    /// frames at once.
    This,
    /// On the rayon pool that the caller is in, one stripe of rows a thread.
    Pool,
}

impl Threads {
    /// How many rows make a stripe: at least `least`, and at most `height`.
    pub(crate) fn stripe_rows(self, height: usize, least: usize) -> usize {
        match self {
            Self::This => height,
            Self::Pool => {
                height.div_ceil(rayon::current_num_threads()).clamp(least.min(height), height)
            }
        }
    }
}

/// Runs a test's work in a pool of three threads, so that there are stripes on any machine.
#[cfg(test)]
pub(crate) fn on_three<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    static POOL: std::sync::LazyLock<rayon::ThreadPool> = std::sync::LazyLock::new(|| {
        rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("three threads")
    });
    POOL.install(work)
}
