//! A clip in chunks: one reader, several analysts, results in the order of the frames.
//!
//! Owns the threads of a run and the bound on the frames in flight. The clip is decoded once; each
//! chunk of neighbouring frames goes to whichever analyst is free, with the frame before it, whose
//! polynomials are then expanded a second time: that costs less than waiting for another analyst.
//! Always: no figure depends on the number of threads or on where chunks are cut.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rayon::ThreadPoolBuilder;

use super::analysis::{Analysed, Analyst};
use super::gpu::Gpu;
use super::params::Params;
use super::source::{Ending, Sampled, Source};
use crate::media::Frame;
use crate::pipeline::{Cancel, RunError};

/// Decoded frames in flight, all chunks together: what protects the machine from large frames.
const FRAMES_BYTES_MAX: u64 = 96 << 20;
/// Working memory of all analysts together; where frames are large there are fewer of them, and
/// their kernels share the cores instead.
const WORK_BYTES_MAX: u64 = 256 << 20;
/// What one analyst needs per pixel at the default parameters: two expansions (27 each), two flows
/// (8 each), gray, edges and what Canny keeps.
const WORK_BYTES_PER_PIXEL: u64 = 80;
/// A longer chunk saves little more, and progress comes once a chunk.
const CHUNK_FRAMES_MAX: u64 = 16;

/// How many work at once on frames of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Analysts, each with one chunk.
    workers: usize,
    /// Threads of each.
    threads: usize,
    /// Frames of a chunk.
    chunk_frames: usize,
    /// Most that is in memory at once.
    pub(super) memory_bytes: u64,
}

/// Neighbouring frames.
pub(super) struct Chunk {
    /// Place of the first among the sampled frames.
    pub(super) first_index: u64,
    /// The frame before the first; none at the clip's start.
    pub(super) before: Option<Arc<Frame>>,
    pub(super) frames: Vec<Sampled>,
}

/// A chunk and where its figures go.
struct Job {
    chunk: Chunk,
    done: SyncSender<Done>,
}

type Done = Result<Vec<Analysed>, RunError>;

impl Plan {
    /// For frames of `pixels`, each of which is kept `copies` times, on `cores`.
    pub(super) fn new(pixels: u64, copies: u64, cores: usize) -> Self {
        let work_bytes = pixels.saturating_mul(WORK_BYTES_PER_PIXEL).max(1);
        let fitting = usize::try_from(WORK_BYTES_MAX / work_bytes).unwrap_or(usize::MAX);
        let workers = fitting.clamp(1, cores.max(1));
        let frame_bytes = pixels.saturating_mul(3 * copies).max(1);
        // In work, one that is being read, one that is being written.
        let chunks = workers as u64 + 2;
        let chunk_frames = (FRAMES_BYTES_MAX / frame_bytes / chunks).clamp(1, CHUNK_FRAMES_MAX);
        // Besides those in flight: the best so far and the last, each with the one before it.
        let frames = chunks * chunk_frames + 4;
        let work = work_bytes.saturating_mul(workers as u64);
        let memory_bytes = work.saturating_add(frame_bytes.saturating_mul(frames));
        let chunk_frames = chunk_frames as usize;
        Self { workers, threads: (cores / workers).max(1), chunk_frames, memory_bytes }
    }

    /// The same with one analyst, which uses all cores where it uses any: a GPU has its own order.
    pub(super) fn alone(pixels: u64, copies: u64, cores: usize) -> Self {
        Self { threads: cores.max(1), ..Self::new(pixels, copies, 1) }
    }

    /// Analyses `first` and what comes after it in `source`; `take` gets each chunk's figures, in
    /// order, on this thread.
    ///
    /// # Errors
    /// The first of an analyst, of `take` or of the source.
    pub(super) fn run(
        self,
        (first, source): (Sampled, Source),
        (params, gpu): (&Params, Option<&Gpu>),
        cancel: &Cancel,
        mut take: impl FnMut(Vec<Analysed>) -> Result<(), RunError>,
    ) -> Result<Ending, RunError> {
        // Both hold as many chunks as there are analysts: the reader waits for the one in front.
        let (jobs, waiting) = sync_channel::<Job>(self.workers);
        let (order, ordered) = sync_channel::<Receiver<Done>>(self.workers);
        let waiting = Mutex::new(waiting);
        thread::scope(|scope| {
            let reader = Reader { source, jobs, order, cancel, chunk_frames: self.chunk_frames };
            let reader = scope.spawn(move || reader.read(first));
            for _ in 0..self.workers {
                let analyst = Analyst::new(params, self.threads, gpu.cloned());
                scope.spawn(|| work(&waiting, self.threads, analyst, cancel));
            }
            let taken = ordered.iter().try_for_each(|done| match done.recv() {
                Ok(done) => take(done?),
                // Its sender was dropped without a word; the scope passes the panic on.
                Err(_) => Err(RunError::internal("analyst_panicked", "an analyst panicked")),
            });
            // The reader notices that nobody waits for more, and its end ends the analysts.
            drop(ordered);
            let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            taken?;
            read?.ok_or_else(|| RunError::internal("reader_stopped", "the reader gave up"))
        })
    }
}

/// Cuts the source into chunks.
struct Reader<'a> {
    source: Source,
    jobs: SyncSender<Job>,
    order: SyncSender<Receiver<Done>>,
    cancel: &'a Cancel,
    chunk_frames: usize,
}

impl Reader<'_> {
    /// To the source's end; `None` when nobody waits for more.
    fn read(mut self, first: Sampled) -> Result<Option<Ending>, RunError> {
        let mut frames = vec![first];
        let (mut first_index, mut before) = (0, None);
        loop {
            let mut ended = false;
            while !ended && frames.len() < self.chunk_frames {
                self.cancel.check()?;
                match self.source.next_frame()? {
                    Some(sampled) => frames.push(sampled),
                    None => ended = true,
                }
            }
            if let Some(last) = frames.last() {
                let last = Arc::clone(&last.frame);
                let frames = std::mem::take(&mut frames);
                let count = frames.len() as u64;
                let chunk = Chunk { first_index, before: before.replace(last), frames };
                if !self.hand_on(chunk) {
                    return Ok(None);
                }
                first_index += count;
            }
            if ended {
                return self.source.finish().map(Some);
            }
        }
    }

    /// Waits while too many chunks are in flight; false when nobody waits for their figures.
    fn hand_on(&self, chunk: Chunk) -> bool {
        let (done, figures) = sync_channel(1);
        self.order.send(figures).is_ok() && self.jobs.send(Job { chunk, done }).is_ok()
    }
}

/// One analyst, to the end of the chunks. Its kernels use the threads of its own small pool, and
/// so never wait for another analyst's.
fn work(waiting: &Mutex<Receiver<Job>>, threads: usize, mut analyst: Analyst, cancel: &Cancel) {
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    while let Ok(Job { chunk, done }) = next() {
        let figures = match &pool {
            Ok(pool) => pool.install(|| analyst.analyse(chunk, cancel)),
            Err(error) => Err(RunError::resource("threads_short", error)),
        };
        // Nobody waits for it when the run has failed elsewhere.
        let _ = done.send(figures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_frames_have_fewer_analysts_with_more_threads_each() {
        let plan = |pixels, cores| Plan::new(pixels, 1, cores);
        let small = plan(640 * 360, 2);
        assert_eq!((small.workers, small.threads, small.chunk_frames), (2, 1, 16));
        let medium = plan(1280 * 720, 2);
        assert_eq!((medium.workers, medium.threads, medium.chunk_frames), (2, 1, 9));
        let large = plan(1920 * 1080, 2);
        assert_eq!((large.workers, large.threads, large.chunk_frames), (1, 2, 5));
        let huge = plan(36_000_000, 16);
        assert_eq!((huge.workers, huge.threads, huge.chunk_frames), (1, 16, 1));
        assert_eq!(plan(0, 0).workers, 1);
    }

    #[test]
    fn frames_in_flight_stay_within_their_bound() {
        for pixels in [100, 76_800, 921_600, 2_073_600] {
            for cores in [1, 2, 7, 64] {
                for copies in [1, 2] {
                    let plan = Plan::new(pixels, copies, cores);
                    let chunks = plan.workers as u64 + 2;
                    let bytes = chunks * plan.chunk_frames as u64 * pixels * 3 * copies;
                    assert!(bytes <= FRAMES_BYTES_MAX, "{pixels} {cores} {copies}: {plan:?}");
                }
            }
        }
    }
}
