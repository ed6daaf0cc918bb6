//! The key-frame rule: steady, sharp, spread over the clip. `docs/vision.md` states it.
//!
//! Owns the score and the parts. Knows no pixels. Always: frames come in order, one candidate is
//! held at a time, no frame is chosen twice, at most `parts` are chosen.

/// One frame that may become a key frame; `picture` is whatever is needed to show it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate<P> {
    pub(super) index: u64,
    pub(super) score: f64,
    pub(super) picture: P,
}

/// Cuts the clip into equal parts and keeps the best frame of the current one.
#[derive(Debug)]
pub(super) struct Picker<P> {
    parts: u64,
    frames_expected: u64,
    best: Option<Candidate<P>>,
}

/// Higher is better: squared gray levels per (1 + pixels).
pub(super) fn score(sharpness: f64, motion_in: Option<f64>, motion_out: Option<f64>) -> f64 {
    let motions = [motion_in, motion_out].into_iter().flatten();
    let count = motions.clone().count().max(1) as f64;
    sharpness / (1.0 + motions.sum::<f64>() / count)
}

impl<P> Picker<P> {
    /// `key_frames` parts of a clip of `frames_expected` sampled frames; fewer frames, fewer parts.
    pub(super) fn new(key_frames: u32, frames_expected: u64) -> Self {
        let frames_expected = frames_expected.max(1);
        Self { parts: u64::from(key_frames).min(frames_expected), frames_expected, best: None }
    }

    /// Takes the next frame; gives the winner of a part that it ends. Of equals the first wins.
    pub(super) fn offer(&mut self, candidate: Candidate<P>) -> Option<Candidate<P>> {
        if self.parts == 0 {
            return None;
        }
        let Some(best) = &self.best else {
            self.best = Some(candidate);
            return None;
        };
        if self.part(best.index) != self.part(candidate.index) {
            return self.best.replace(candidate);
        }
        if candidate.score > best.score {
            self.best = Some(candidate);
        }
        None
    }

    /// The winner of the last part.
    pub(super) fn take(&mut self) -> Option<Candidate<P>> {
        self.best.take()
    }

    /// Frames past the expected end belong to the last part.
    fn part(&self, index: u64) -> u64 {
        (index.saturating_mul(self.parts) / self.frames_expected).min(self.parts - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key_frames: u32, frames_expected: u64, scores: &[f64], want: &[u64]) {
        let mut picker = Picker::new(key_frames, frames_expected);
        let mut chosen = Vec::new();
        for (index, &score) in (0..).zip(scores) {
            chosen.extend(picker.offer(Candidate { index, score, picture: () }));
        }
        chosen.extend(picker.take());
        let chosen: Vec<u64> = chosen.iter().map(|candidate| candidate.index).collect();
        assert_eq!(chosen, want);
    }

    #[test]
    fn each_part_of_the_clip_gives_its_best_frame() {
        check(3, 9, &[1.0, 3.0, 2.0, 5.0, 4.0, 4.0, 0.0, 0.0, 9.0], &[1, 3, 8]);
        check(2, 4, &[1.0, 1.0, 2.0, 2.0], &[0, 2]);
        check(1, 3, &[1.0, 2.0, 3.0], &[2]);
    }

    #[test]
    fn no_frame_is_chosen_twice() {
        check(5, 2, &[1.0, 1.0], &[0, 1]);
        check(3, 1, &[1.0], &[0]);
        check(3, 0, &[1.0], &[0]);
        check(0, 3, &[1.0, 2.0, 3.0], &[]);
        check(3, 3, &[], &[]);
    }

    #[test]
    fn a_clip_of_another_length_than_expected_still_has_key_frames() {
        check(2, 4, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[1, 5]);
        check(2, 8, &[1.0, 2.0, 3.0], &[2]);
    }

    #[test]
    fn a_steady_sharp_frame_has_the_best_score() {
        assert_eq!(score(100.0, None, None), 100.0);
        assert_eq!(score(100.0, Some(1.0), None), 50.0);
        assert_eq!(score(100.0, Some(0.0), Some(2.0)), 50.0);
        assert!(score(100.0, Some(0.1), Some(0.1)) > score(100.0, Some(5.0), Some(5.0)));
    }
}
