//! Media as customers have it: turned, uneven, odd, deep, cut off, or no video at all.

mod support;

use std::fs;

use serde_json::{Value, json};
use support::bench::{Bench, MOVING, numbers};

#[test]
fn times_follow_a_varying_frame_rate() {
    let bench = Bench::new();
    let uneven = "-vf setpts='(N*N)/10/TB' -vsync passthrough -c:v ffv1";
    let clip = bench.clip("a.mkv", &format!("{MOVING} {uneven} -frames:v 5"));
    let report = bench.run(json!({"every_n": 2}), &[("video", &clip)]).expect("a good clip");
    assert_eq!(numbers(&report, "time_s"), [0.0, 0.4, 1.6]);
    assert_eq!(numbers(&report, "source_index"), [0.0, 2.0, 4.0]);
}

#[test]
fn odd_sizes_stay_as_they_are() {
    let bench = Bench::new();
    for (width, height) in [(161, 97), (321, 241)] {
        let size = format!("size={width}x{height}");
        let odd = format!("-f lavfi -i testsrc={size}:rate=10:duration=0.3 -pix_fmt yuv444p");
        let clip = bench.clip("odd.mp4", &odd);
        let params = json!({"outputs": ["key_frames", "preview"], "key_frames": 1});
        let report = bench.run(params, &[("video", &clip)]).expect("a good clip");
        assert_eq!([&report["source"]["width"], &report["source"]["height"]], [width, height]);
        let name = &report["key_frames"][0]["artifacts"]["frame"];
        assert_eq!(bench.picture_size(name), (width, height));
        fs::remove_dir_all(bench.out()).expect("the artifacts");
    }
}

/// `clip`, an MP4, with a header that says: shown turned by 90 degrees clockwise.
fn turned(clip: &[u8]) -> Vec<u8> {
    // Nine numbers of 16.16 (the last of each row of 2.30), row by row.
    let matrix = |values: [u32; 9]| values.into_iter().flat_map(u32::to_be_bytes).collect();
    let one = 1 << 16;
    let straight: Vec<u8> = matrix([one, 0, 0, 0, one, 0, 0, 0, 1 << 30]);
    let right: Vec<u8> = matrix([0, one, 0, one.wrapping_neg(), 0, 0, 0, 0, 1 << 30]);
    let header = clip.windows(4).position(|word| word == b"tkhd").expect("a track");
    let after = &clip[header..];
    let offset = after.windows(36).position(|word| word == straight).expect("a matrix");
    let mut turned = clip.to_vec();
    turned[header + offset..][..36].copy_from_slice(&right);
    turned
}

#[test]
fn a_turned_video_is_analysed_as_it_is_shown() {
    let bench = Bench::new();
    // Red at the left, blue at the right: turned clockwise, red is above.
    let halves = "-f lavfi -i color=red:size=80x96:rate=5:duration=1 \
                  -f lavfi -i color=blue:size=80x96:rate=5:duration=1 -filter_complex hstack \
                  -pix_fmt yuv420p";
    let flat = fs::read(bench.clip("flat.mp4", halves)).expect("a clip");
    let clip = bench.file("turned.mp4", &turned(&flat));
    let report = bench.run(json!({"key_frames": 1}), &[("video", &clip)]).expect("a good clip");
    assert_eq!([&report["source"]["width"], &report["source"]["height"]], [96, 160]);
    let picture = bench.picture(&report["key_frames"][0]["artifacts"]["frame"]);
    assert_eq!(picture.dimensions(), (96, 160));
    let is_red = |x, y| picture[(x, y)].0[0] > 200 && picture[(x, y)].0[2] < 60;
    assert!(is_red(48, 30) && !is_red(48, 130));
}

#[test]
fn ten_bits_and_hdr_become_eight_bits_without_tone_mapping() {
    let bench = Bench::new();
    let hdr = "-pix_fmt yuv420p10le -c:v ffv1 -color_primaries bt2020 \
               -color_trc smpte2084 -colorspace bt2020nc";
    let clip = bench.clip("hdr.mkv", &format!("{MOVING} {hdr}"));
    let deep = bench.run(json!({"key_frames": 1}), &[("video", &clip)]).expect("a good clip");
    let source = &deep["source"];
    assert_eq!(source["pixel_format"], "yuv420p10le");
    assert_eq!(source["color_transfer"], "smpte2084");
    let name = &deep["key_frames"][0]["artifacts"]["frame"];
    let deep = bench.picture(name);
    fs::remove_dir_all(bench.out()).expect("the artifacts");
    let clip = bench.clip("usual.mkv", &format!("{MOVING} -pix_fmt yuv420p -c:v ffv1"));
    let usual = bench.run(json!({"key_frames": 1}), &[("video", &clip)]).expect("a good clip");
    assert_eq!(usual["source"]["color_transfer"], Value::Null);
    // The same picture but for the colour matrix: the samples' curve is left as it is.
    let usual = bench.picture(&usual["key_frames"][0]["artifacts"]["frame"]);
    let pairs = deep.pixels().zip(usual.pixels());
    let far = pairs.filter(|(a, b)| a.0.iter().zip(b.0).any(|(a, b)| a.abs_diff(b) > 60)).count();
    assert!(far < 160 * 120 / 10, "{far} pixels differ much");
}

#[test]
fn what_is_no_video_is_refused_with_a_reason() {
    let bench = Bench::new();
    let good = bench.clip("good.mp4", &format!("{MOVING} -pix_fmt yuv420p"));
    let whole = fs::read(&good).expect("a clip");
    let sound = "-f lavfi -i sine=duration=0.2";
    let cover = &format!("-i one.png {sound} -map 1 -map 0 -c:v png -disposition:v attached_pic");
    let picture = bench.clip("one.png", "-f lavfi -i testsrc2=size=64x64 -frames:v 1");
    let wide = "-f lavfi -i color=size=8200x16:duration=0.2 -c:v ffv1";
    let tiny = "-f lavfi -i testsrc2=size=8x8:rate=5:duration=1 -c:v ffv1";
    let cases = [
        (bench.clip("sound.m4a", sound), "video_has_no_frames"),
        (bench.clip("cover.m4a", cover), "video_has_no_frames"),
        (bench.file("cut.mp4", &whole[..whole.len() / 2]), "video_undecodable"),
        (bench.file("empty.mp4", b""), "video_undecodable"),
        (bench.file("text.mp4", b"not a video at all\n"), "video_undecodable"),
        (picture, "video_undecodable"),
        (bench.clip("wide.mkv", wide), "video_too_large"),
        (bench.clip("tiny.mkv", tiny), "frame_too_small"),
    ];
    for (path, code) in cases {
        bench.check_refused(json!({}), &[("video", &path)], (code, "video"));
    }
}

#[test]
fn a_playlist_never_opens_another_file() {
    let bench = Bench::new();
    let good = bench.clip("good.ts", &format!("{MOVING} -pix_fmt yuv420p"));
    let secret = good.display();
    let hls = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n");
    let hls = format!("{hls}#EXT-X-ENDLIST\n");
    let concat = format!("ffconcat version 1.0\nfile '{secret}'\n");
    let dash = format!(
        "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" \
         profiles=\"urn:mpeg:dash:profile:isoff-on-demand:2011\" type=\"static\" \
         mediaPresentationDuration=\"PT1S\"><Period><AdaptationSet><Representation id=\"0\">\
         <BaseURL>file://{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    );
    let sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n\
               m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    let texts =
        [("a.m3u8", &hls[..]), ("b", &hls), ("c.txt", &concat), ("d.mpd", &dash), ("e.sdp", sdp)];
    for (name, text) in texts {
        let path = bench.file(name, text.as_bytes());
        bench.check_refused(json!({}), &[("video", &path)], ("video_undecodable", "video"));
    }
}

#[test]
fn what_is_left_of_a_damaged_clip_is_analysed() {
    let bench = Bench::new();
    let clip = bench.clip("whole.mkv", &format!("{MOVING} -c:v ffv1"));
    let whole = fs::read(clip).expect("a clip");
    let cut = bench.file("cut.mkv", &whole[..whole.len() * 2 / 3]);
    let report = bench.run(json!({}), &[("video", &cut)]).expect("the first frames are there");
    let frames = report["sampling"]["frames"].as_u64().expect("a count");
    assert!((1..10).contains(&frames), "{report}");
    assert_eq!(report["source"]["damaged"], true);
}

#[test]
fn a_still_picture_in_the_video_slot_is_told_where_it_belongs() {
    let bench = Bench::new();
    for name in ["a.png", "a.jpg", "a.webp"] {
        let picture = bench.clip(name, "-f lavfi -i testsrc2=size=64x64 -frames:v 1");
        let error = bench.run(json!({}), &[("video", &picture)]).expect_err("no video");
        assert_eq!(error.fault().code, "video_undecodable");
        assert!(error.fault().detail.contains("send it as `frame`"), "{name}: {error}");
    }
    // An animation is a video, also with one frame.
    let gif = bench.clip("a.gif", "-f lavfi -i testsrc2=size=64x64 -frames:v 1");
    let report = bench.run(json!({}), &[("video", &gif)]).expect("one frame");
    assert_eq!(report["sampling"]["frames"], 1);
}

#[test]
fn a_cut_upload_is_analysed_up_to_the_damage() {
    let bench = Bench::new();
    let long = "-f lavfi -i testsrc2=size=160x120:rate=10:duration=3 -pix_fmt yuv420p -g 5";
    // The index comes first, as in files for the web; or there is none, as in broadcasts.
    for (name, how) in [("a.mp4", "-movflags +faststart"), ("a.ts", ""), ("a.mkv", "")] {
        let whole = fs::read(bench.clip(name, &format!("{long} {how}"))).expect("a clip");
        let cut = bench.file("cut", &whole[..whole.len() * 2 / 3]);
        let report = bench.run(json!({}), &[("video", &cut)]).expect("the first frames are there");
        let frames = report["sampling"]["frames"].as_u64().expect("a count");
        assert!((10..30).contains(&frames), "{name}: {frames}");
        if name != "a.ts" {
            assert_eq!(report["source"]["damaged"], true, "{name}");
        }
        fs::remove_dir_all(bench.out()).expect("the artifacts");
    }
}

/// `jpeg` with an EXIF segment that says how it is to be shown.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut tagged = jpeg[..2].to_vec();
    tagged.extend([0xFF, 0xE1]);
    tagged.extend((exif.len() as u16 + 2).to_be_bytes());
    tagged.extend(exif);
    tagged.extend(&jpeg[2..]);
    tagged
}

#[test]
fn pictures_are_turned_as_their_tag_says() {
    let bench = Bench::new();
    let halves = "-f lavfi -i color=red:size=40x48 -f lavfi -i color=blue:size=40x48 \
                  -filter_complex hstack -frames:v 1 -pix_fmt yuvj444p";
    let flat = fs::read(bench.clip("flat.jpg", halves)).expect("a picture");
    // The tag's values, the size that is shown, and where red is then.
    let cases = [
        (1, (80, 48), (10, 24)),
        (3, (80, 48), (70, 24)),
        (6, (48, 80), (24, 10)),
        (8, (48, 80), (24, 70)),
    ];
    for (orientation, size, red) in cases {
        let path = bench.file("tagged.jpg", &with_orientation(&flat, orientation));
        let report = bench.run(json!({}), &[("frame", &path)]).expect("a good picture");
        let picture = bench.picture(&report["key_frames"][0]["artifacts"]["frame"]);
        assert_eq!(picture.dimensions(), size, "{orientation}");
        let pixel = picture[red].0;
        assert!(pixel[0] > 180 && pixel[2] < 80, "{orientation}: {pixel:?}");
        fs::remove_dir_all(bench.out()).expect("the artifacts");
    }
}
