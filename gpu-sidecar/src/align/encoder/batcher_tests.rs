//! What callers of a shared encoder may rely on, with a model that counts instead of computing.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use super::*;

/// A vector is the sum of the tokens and their number. Token 13 panics, token 14 fails.
#[derive(Default)]
struct Counting {
    /// Sequences of each batch.
    batches: Mutex<Vec<usize>>,
    /// Held by a test that wants the model busy.
    gate: Mutex<()>,
    started: AtomicUsize,
}

impl TokenModel for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn width(&self) -> usize {
        2
    }

    fn languages(&self) -> &'static [&'static str] {
        &[]
    }

    fn tokens(&self, text: &str) -> Result<Vec<u32>, EncodeError> {
        let numbers = text.split(' ').map(str::parse);
        numbers.collect::<Result<_, _>>().map_err(|error| EncodeError::Model(Box::new(error)))
    }

    fn tokens_at_once(&self) -> usize {
        16
    }

    fn encode(
        &self,
        sequences: &[Vec<u32>],
        watch: &mut Watch<'_>,
    ) -> Result<Vec<f32>, EncodeError> {
        self.started.fetch_add(1, Ordering::SeqCst);
        drop(self.gate.lock());
        self.batches.lock().unwrap().push(sequences.len());
        assert!(!sequences.concat().contains(&13), "token 13");
        if sequences.concat().contains(&14) {
            return Err(EncodeError::Model("token 14".into()));
        }
        if watch(1.0) == ControlFlow::Break(()) {
            return Err(EncodeError::Cancelled);
        }
        let vector = |tokens: &Vec<u32>| [tokens.iter().sum::<u32>() as f32, tokens.len() as f32];
        Ok(sequences.iter().flat_map(vector).collect())
    }
}

fn go_on(_: f64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn batcher() -> Batcher<Counting> {
    Batcher::new(Counting::default()).unwrap()
}

/// Waits until the model has been called `times` times.
fn wait_for_calls(batcher: &Batcher<Counting>, times: usize) {
    while batcher.model.started.load(Ordering::SeqCst) < times {
        std::thread::yield_now();
    }
}

#[test]
fn every_text_has_its_own_vector_in_order() {
    let texts: Vec<String> = (0..100).map(|n| vec!["1"; n % 7 + 1].join(" ")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = batcher().embed(&texts, &mut go_on).unwrap();
    for (n, vector) in vectors.chunks_exact(2).enumerate() {
        assert_eq!(vector, [(n % 7 + 1) as f32; 2]);
    }
    assert_eq!(vectors.len(), 200);
    assert!(batcher().embed(&[], &mut go_on).unwrap().is_empty());
}

#[test]
fn groups_are_those_of_the_joined_texts() {
    let sentences: Vec<String> = ["1 2", " 3", "4 5 6", "20"].map(str::to_owned).to_vec();
    let encoder = batcher();
    for layers in [1, 2, 4, 6] {
        let groups = encoder.embed_groups(&sentences, layers, &mut go_on).unwrap();
        let overlaps = Overlaps::new(&sentences, layers);
        let mut places = 0;
        for place in overlaps.places() {
            let want = encoder.embed(&[&overlaps.text(place)], &mut go_on).unwrap();
            assert_eq!(groups.vector(place), want, "{place:?}");
            places += 1;
        }
        let filled = groups.vectors.chunks_exact(2).filter(|vector| *vector != [0.0; 2]);
        assert_eq!(filled.count(), places);
    }
}

#[test]
fn progress_rises_to_one() {
    let mut seen = Vec::new();
    let texts = vec!["1 1 1 1 1 1 1 1"; 9];
    let mut watch = |fraction| {
        seen.push(fraction);
        ControlFlow::Continue(())
    };
    batcher().embed(&texts, &mut watch).unwrap();
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!(seen.last(), Some(&1.0));
}

#[test]
fn callers_that_wait_share_the_next_batch() {
    let encoder = batcher();
    let gate = encoder.model.gate.lock().unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| encoder.embed(&["1"], &mut go_on).unwrap());
        wait_for_calls(&encoder, 1);
        let others = ["2", "3 3", "4"].map(|text| {
            let encoder = &encoder;
            scope.spawn(move || encoder.embed(&[text], &mut go_on).unwrap())
        });
        while encoder.callers.load(Ordering::SeqCst) < 4 {
            std::thread::yield_now();
        }
        drop(gate);
        assert_eq!(first.join().unwrap(), [1.0, 1.0]);
        let others = others.map(|other| other.join().unwrap());
        assert_eq!(others, [[2.0, 1.0], [6.0, 2.0], [4.0, 1.0]]);
    });
    assert_eq!(encoder.model.batches.lock().unwrap().iter().sum::<usize>(), 4);
}

#[test]
fn a_failure_or_a_panic_is_the_callers_who_caused_it() {
    let encoder = batcher();
    let gate = encoder.model.gate.lock().unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| encoder.embed(&["1"], &mut go_on));
        wait_for_calls(&encoder, 1);
        let others = ["13", "2", "14"].map(|text| {
            let encoder = &encoder;
            scope.spawn(move || encoder.embed(&[text], &mut go_on))
        });
        drop(gate);
        assert!(first.join().unwrap().is_ok());
        let [panicked, fine, failed] = others.map(|other| other.join().unwrap());
        assert!(matches!(panicked, Err(EncodeError::Model(_))));
        assert_eq!(fine.unwrap(), [2.0, 1.0]);
        assert!(matches!(failed, Err(EncodeError::Model(_))));
    });
    assert_eq!(encoder.embed(&["5"], &mut go_on).unwrap(), [5.0, 1.0]);
}

#[test]
fn a_caller_that_breaks_off_leaves_at_once_and_its_work_is_not_done() {
    let encoder = batcher();
    let gate = encoder.model.gate.lock().unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| encoder.embed(&["1"], &mut go_on));
        wait_for_calls(&encoder, 1);
        // The model is busy, so that this one is still in the queue when it breaks off.
        let broken = encoder.embed(&["2"], &mut |_| ControlFlow::Break(()));
        assert!(matches!(broken, Err(EncodeError::Cancelled)));
        drop(gate);
        assert!(first.join().unwrap().is_ok());
    });
    encoder.embed(&["3"], &mut go_on).unwrap();
    assert_eq!(*encoder.model.batches.lock().unwrap(), [1, 1]);
}

#[test]
fn a_text_without_tokens_fails_alone() {
    let encoder = batcher();
    assert!(matches!(encoder.embed(&["no number"], &mut go_on), Err(EncodeError::Model(_))));
    assert_eq!(encoder.embed(&["7"], &mut go_on).unwrap(), [7.0, 1.0]);
}
