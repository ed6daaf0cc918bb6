//! Round trips through every way a text can stand in a body.

use super::*;
use crate::json::Document;
use crate::json::SMALL_BYTES_MAX;

/// Bytes that use every base64 character.
fn sample(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| (index * 7 + index / 251) as u8).collect()
}

/// The body with `text` as its only string, and what `pieces` gives.
fn decode(text: &str) -> Result<Vec<u8>, String> {
    with(text, |encoded| {
        let pieces: Result<Vec<_>, Fault> = encoded.pieces().collect();
        Ok(pieces.map_err(|fault| fault.detail)?.concat())
    })
}

fn with<T>(
    text: &str,
    run: impl FnOnce(&Encoded<'_, [u8]>) -> Result<T, String>,
) -> Result<T, String> {
    let body = format!("[\"{text}\"]");
    let document = Document::read(body.as_bytes()).map_err(|fault| fault.detail)?;
    let text = document.value[0].as_str().expect("a string");
    let text = document.text(body.as_bytes(), text);
    let encoded = Encoded::new(text).map_err(|fault| fault.detail)?;
    run(&encoded)
}

#[test]
fn every_length_and_way_of_writing_comes_back() {
    let piece = PIECE_CHARS as usize / 4 * 3;
    let long = SMALL_BYTES_MAX as usize;
    for bytes in [0, 1, 2, 3, 4, 100, piece - 1, piece, piece + 1, long, long + 1, long + 2] {
        let plain = sample(bytes);
        let text = STANDARD.encode(&plain);
        assert_eq!(decode(&text).as_ref(), Ok(&plain), "{bytes}");
        assert_eq!(decode(&format!("data:image/png;base64,{text}")).as_ref(), Ok(&plain));
        let php = text.replace('/', "\\/");
        assert_eq!(decode(&format!("data:image\\/png;base64,{php}")).as_ref(), Ok(&plain));
        let dotnet = text.replace('+', "\\u002B").replace('/', "\\u002f");
        assert_eq!(decode(&dotnet).as_ref(), Ok(&plain), "{bytes}");
    }
}

#[test]
fn any_place_can_be_read() {
    let plain = sample(SMALL_BYTES_MAX as usize + 1);
    let end = plain.len() as u64;
    let text = STANDARD.encode(&plain);
    for text in [text.clone(), text.replace('/', "\\/")] {
        let offsets = [0, 1, 16, 5, 70_000, 69_999, 200_001, 3, end - 2, end, end + 9, u64::MAX];
        let done = with(&text, |encoded| {
            for offset in offsets {
                assert_eq!(encoded.read(offset, 20), plain.as_slice().read(offset, 20), "{offset}");
            }
            assert_eq!(encoded.read(2, 150_000), plain.as_slice().read(2, 150_000));
            Ok(())
        });
        assert_eq!(done, Ok(()));
    }
}

#[test]
fn heads_of_data_urls_are_read() {
    let media_type = |text: &str| with(text, |encoded| Ok(encoded.media_type.clone()));
    assert_eq!(media_type("DATA:Image/PNG;x=y;BASE64,"), Ok(Some("image/png".into())));
    assert_eq!(media_type("data:;base64,AAAA"), Ok(None));
    for (text, want) in [
        ("data:image/png,abc", "not base64"),
        ("data:image/png;base64", "without a comma"),
        ("https://example.org/a.png", "is a URL"),
    ] {
        let got = media_type(text).expect_err("refused");
        assert!(got.contains(want), "{got}");
    }
}

#[test]
fn damage_is_named() {
    let long = "A".repeat(PIECE_CHARS as usize);
    for (text, want) in [
        ("AAA".to_owned(), "padding"),
        ("AA==AAAA".to_owned(), "at character 3"),
        ("AB==".to_owned(), "at character 2"),
        ("AAA=".to_owned(), ""),
        ("AAA A".to_owned(), "at character 4"),
        ("AA_A".to_owned(), "URL alphabet"),
        (format!("{long}A*AA"), &format!("at character {}", PIECE_CHARS + 2)),
        (format!("{long}AA=="), ""),
        ("A\\u00e4AA".to_owned(), "at character 2"),
    ]
    .map(|(text, want)| (text, want.to_owned()))
    {
        match decode(&text) {
            Ok(_) => assert_eq!(want, "", "{text:.40}"),
            Err(got) => assert!(!want.is_empty() && got.contains(&want), "{text:.40}: {got}"),
        }
    }
    let wrapped = format!("{}\\n", "A".repeat(SMALL_BYTES_MAX as usize + 4));
    assert!(decode(&wrapped).expect_err("refused").contains("line breaks"));
}
