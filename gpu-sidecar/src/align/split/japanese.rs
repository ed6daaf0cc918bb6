//! Japanese sentences: they end at full-width marks outside brackets.
//!
//! Owns our own rule; upstream has none for Japanese. A run of marks stays together. Inside
//! brackets nothing ends; a quotation that itself ends with a mark ends the sentence, unless a
//! particle goes on with it (「はい。」と言った。). Always: the pieces are the line again.

const MARKS: [char; 7] = ['。', '．', '！', '？', '!', '?', '｡'];
const OPENING: [char; 9] = ['「', '『', '（', '(', '【', '〈', '《', '［', '〔'];
const CLOSING: [char; 9] = ['」', '』', '）', ')', '】', '〉', '》', '］', '〕'];
/// After a quotation these carry its sentence on.
const CARRYING_ON: [char; 11] = ['と', 'っ', 'の', 'を', 'が', 'は', 'に', 'で', 'な', '、', '，'];
/// A bracket that is never closed must not swallow the rest of the line.
const BRACKET_CHARS_MAX: usize = 300;

/// The sentences of a line.
pub(super) fn split(line: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let (mut start, mut depth, mut inside) = (0, 0usize, 0);
    let mut ending = false;
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        inside = if depth == 0 { 0 } else { inside + 1 };
        if inside > BRACKET_CHARS_MAX {
            depth = 0;
        }
        let closes = CLOSING.contains(&c);
        if OPENING.contains(&c) {
            depth += 1;
        } else if closes {
            depth = depth.saturating_sub(1);
        }
        // A closing bracket hands on whether the text in it had ended.
        ending = MARKS.contains(&c) || (closes && ending);
        let next = chars.peek().map(|&(_, next)| next);
        let goes_on = next.is_some_and(|next| {
            MARKS.contains(&next) || CLOSING.contains(&next) || (closes && carries_on(next))
        });
        if ending && depth == 0 && !goes_on && !is_decimal(c, next) {
            let end = at + c.len_utf8();
            sentences.push(&line[start..end]);
            start = end;
        }
    }
    sentences.push(&line[start..]);
    sentences
}

fn carries_on(next: char) -> bool {
    CARRYING_ON.contains(&next)
}

/// A full-width point before a digit is one of a number.
fn is_decimal(c: char, next: Option<char>) -> bool {
    c == '．' && next.is_some_and(char::is_numeric)
}

#[cfg(test)]
mod tests {
    #[track_caller]
    fn check(line: &str, want: &[&str]) {
        assert_eq!(super::split(line).join("|"), want.join("|") + "|");
    }

    #[test]
    fn sentences_end_at_marks_outside_brackets() {
        check("今日は晴れ。公園へ行こう！本当？", &["今日は晴れ。", "公園へ行こう！", "本当？"]);
        check("えっ！？そうなの？！", &["えっ！？", "そうなの？！"]);
        check("彼（医者。四十歳）は来た。", &["彼（医者。四十歳）は来た。"]);
        check("円周率は３．１４だ．次へ．", &["円周率は３．１４だ．", "次へ．"]);
    }

    #[test]
    fn a_quotation_ends_a_sentence_unless_a_particle_goes_on() {
        check("「はい。」と言った。次。", &["「はい。」と言った。", "次。"]);
        check("「はい。」彼は頷いた。", &["「はい。」", "彼は頷いた。"]);
        check("「本」を読む。", &["「本」を読む。"]);
    }

    #[test]
    fn a_bracket_that_is_never_closed_swallows_no_more_than_its_limit() {
        let long = format!("「{}。終わり。", "あ".repeat(400));
        assert_eq!(super::split(&long).len(), 3);
    }
}
