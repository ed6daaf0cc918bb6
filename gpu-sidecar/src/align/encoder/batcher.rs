//! The batcher: an encoder whose callers share one model, and what they ask for its batches.
//!
//! Owns the queue, the thread that computes, how groups are made of sentences and how long a
//! request waits for others. Knows token sequences; not what a model does with them. Always: a
//! vector does not depend on who shared its batch, but for rounding; a failed or cancelled
//! request takes nothing from the others. Start at [`Batcher::new`].

use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::token_model::TokenModel;
use super::{EncodeError, Encoder, Groups, Watch};
use crate::align::overlaps::Overlaps;
use crate::clock;

/// Portions that wait; a caller has one at a time and waits for room past it.
const PORTIONS_MAX: usize = 64;
/// How long the first of a batch waits for others, when others are under way at all.
const GATHER: Duration = Duration::from_millis(3);
/// How often a waiting caller is asked whether it goes on.
const WATCH_EVERY: Duration = Duration::from_millis(20);

/// An [`Encoder`] of a token model, for many threads.
pub struct Batcher<M> {
    model: Arc<M>,
    queue: SyncSender<Portion>,
    /// Callers that are inside.
    callers: Arc<AtomicUsize>,
}

/// A part of what one caller wants encoded.
struct Portion {
    sequences: Vec<Vec<u32>>,
    answer: SyncSender<Result<Vec<f32>, EncodeError>>,
    cancelled: Arc<AtomicBool>,
}

impl Portion {
    fn tokens(&self) -> usize {
        self.sequences.iter().map(Vec::len).sum()
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// The place of a group and its tokens.
type GroupTokens = ((usize, usize), Vec<u32>);

/// A caller, counted as long as it is inside.
struct Caller(Arc<AtomicUsize>);

impl Caller {
    fn enter(callers: &Arc<AtomicUsize>) -> Self {
        callers.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(callers))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The computing side; ends when the last [`Batcher`] is dropped.
struct Worker<M> {
    model: Arc<M>,
    queue: Receiver<Portion>,
    callers: Weak<AtomicUsize>,
}

impl<M: TokenModel> Batcher<M> {
    /// Starts the thread that computes.
    /// # Errors
    /// No thread can be started.
    pub fn new(model: M) -> io::Result<Self> {
        let (model, callers) = (Arc::new(model), Arc::new(AtomicUsize::new(0)));
        let (queue, portions) = sync_channel(PORTIONS_MAX);
        let worker = Worker {
            model: Arc::clone(&model),
            queue: portions,
            callers: Arc::downgrade(&callers),
        };
        let name = format!("encoder-{}", model.name());
        // Not joined: it ends by itself, and nobody should wait for what nobody wants any more.
        drop(std::thread::Builder::new().name(name).spawn(move || worker.run())?);
        Ok(Self { model, queue, callers })
    }

    /// The model; for comparison with goldens.
    #[must_use]
    pub fn model(&self) -> &M {
        &self.model
    }

    /// Vectors of sequences, by portions of about what fills the device.
    fn encode(
        &self,
        sequences: Vec<Vec<u32>>,
        watch: &mut Watch<'_>,
    ) -> Result<Vec<f32>, EncodeError> {
        let _caller = Caller::enter(&self.callers);
        let total = sequences.len();
        let mut vectors = Vec::with_capacity(total * self.model.width());
        let mut left = sequences.into_iter();
        while left.len() > 0 {
            let mut portion = Vec::new();
            let mut tokens = 0;
            while tokens < self.model.tokens_at_once()
                && let Some(sequence) = left.next()
            {
                tokens += sequence.len();
                portion.push(sequence);
            }
            let done = vectors.len() / self.model.width();
            let fraction = |done| done as f64 / total as f64;
            vectors.extend(self.answer(portion, &mut || watch(fraction(done)))?);
            if watch(fraction(total - left.len())) == ControlFlow::Break(()) {
                return Err(EncodeError::Cancelled);
            }
        }
        Ok(vectors)
    }

    fn answer(
        &self,
        sequences: Vec<Vec<u32>>,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<f32>, EncodeError> {
        let (answer, answers) = sync_channel(1);
        let cancelled = Arc::new(AtomicBool::new(false));
        let portion = Portion { sequences, answer, cancelled: Arc::clone(&cancelled) };
        self.queue.send(portion).map_err(|_| ended())?;
        loop {
            match answers.recv_timeout(WATCH_EVERY) {
                Ok(vectors) => return vectors,
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
                Err(RecvTimeoutError::Timeout) if go_on() == ControlFlow::Break(()) => {
                    cancelled.store(true, Ordering::Relaxed);
                    return Err(EncodeError::Cancelled);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Of all groups, by their first sentence and then their size: neighbours share their start.
    fn group_tokens(
        &self,
        overlaps: &Overlaps<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<Vec<GroupTokens>, EncodeError> {
        let count = overlaps.sentences();
        let mut sentences = Vec::with_capacity(count);
        for index in 0..count {
            sentences.push(self.model.tokens(overlaps.sentence(index))?);
            if watch(0.0) == ControlFlow::Break(()) {
                return Err(EncodeError::Cancelled);
            }
        }
        let mut groups = Vec::new();
        for first in 0..count {
            for layer in 0..overlaps.layers().min(count - first) {
                let place = (layer, first + layer);
                let tokens = if overlaps.is_cut(place) {
                    self.model.tokens(&overlaps.text(place))?
                } else {
                    sentences[first..=first + layer].concat()
                };
                groups.push((place, tokens));
            }
        }
        Ok(groups)
    }
}

impl<M: TokenModel> Encoder for Batcher<M> {
    fn name(&self) -> &'static str {
        self.model.name()
    }

    fn width(&self) -> usize {
        self.model.width()
    }

    fn languages(&self) -> &'static [&'static str] {
        self.model.languages()
    }

    fn embed(&self, texts: &[&str], watch: &mut Watch<'_>) -> Result<Vec<f32>, EncodeError> {
        let tokens = texts.iter().map(|text| self.model.tokens(text));
        self.encode(tokens.collect::<Result<_, _>>()?, watch)
    }

    fn embed_groups(
        &self,
        sentences: &[String],
        layers: usize,
        watch: &mut Watch<'_>,
    ) -> Result<Groups, EncodeError> {
        let overlaps = Overlaps::new(sentences, layers);
        let mut groups = Groups::empty(&overlaps, self.width());
        let (places, tokens): (Vec<_>, Vec<_>) =
            self.group_tokens(&overlaps, watch)?.into_iter().unzip();
        let vectors = self.encode(tokens, watch)?;
        for (place, vector) in places.into_iter().zip(vectors.chunks_exact(self.width())) {
            groups.vector_mut(place).copy_from_slice(vector);
        }
        Ok(groups)
    }
}

impl<M: TokenModel> Worker<M> {
    fn run(self) {
        while let Ok(first) = self.queue.recv() {
            self.compute(self.gather(first));
        }
    }

    /// The first portion and those that come within [`GATHER`], as long as some are to be expected
    /// and the device is not full.
    fn gather(&self, first: Portion) -> Vec<Portion> {
        let until = clock::now() + GATHER;
        let mut tokens = first.tokens();
        let mut batch = vec![first];
        while tokens < self.model.tokens_at_once() {
            let callers = self.callers.upgrade().map_or(0, |count| count.load(Ordering::Relaxed));
            let wait = if batch.len() < callers {
                until.saturating_duration_since(clock::now())
            } else {
                Duration::ZERO
            };
            let Ok(portion) = self.queue.recv_timeout(wait) else { break };
            tokens += portion.tokens();
            batch.push(portion);
        }
        batch
    }

    fn compute(&self, mut batch: Vec<Portion>) {
        batch.retain(|portion| !portion.is_cancelled());
        if batch.is_empty() {
            return;
        }
        match self.encode(&batch) {
            Ok(vectors) => {
                let mut rest = vectors.as_slice();
                for portion in batch {
                    let (own, after) = rest.split_at(portion.sequences.len() * self.model.width());
                    rest = after;
                    // A caller that has left wants no answer.
                    let _ = portion.answer.send(Ok(own.to_vec()));
                }
            }
            Err(error) if batch.len() == 1 => {
                let _ = batch[0].answer.send(Err(error));
            }
            // Whose fault it was shows when each is alone.
            Err(_) => batch.into_iter().for_each(|portion| self.compute(vec![portion])),
        }
    }

    fn encode(&self, batch: &[Portion]) -> Result<Vec<f32>, EncodeError> {
        let sequences: Vec<Vec<u32>> =
            batch.iter().flat_map(|portion| portion.sequences.iter().cloned()).collect();
        // On a thread of the pool: from any other, each of a model's many small layers would wake
        // one and wait for it.
        let model = &self.model;
        let on_pool = || {
            rayon::scope(|_| {
                let mut watch = |_| match batch.iter().all(Portion::is_cancelled) {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                };
                model.encode(&sequences, &mut watch)
            })
        };
        let encoded = catch_unwind(AssertUnwindSafe(on_pool));
        let vectors =
            encoded.unwrap_or_else(|_| Err(EncodeError::Model("the model panicked".into())))?;
        if vectors.len() != sequences.len() * self.model.width() {
            return Err(EncodeError::Model("the model answered with too few vectors".into()));
        }
        Ok(vectors)
    }
}

/// The thread is gone, which it never is while a batcher lives, unless the process ends.
fn ended() -> EncodeError {
    EncodeError::Model("the encoder has ended".into())
}

#[cfg(test)]
#[path = "batcher_tests.rs"]
mod tests;
