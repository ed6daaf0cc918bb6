//! The service `vision` end to end: a real clip in, figures and pictures out.

use std::sync::LazyLock;

use bytes::Bytes;
use image::{DynamicImage, GenericImageView as _};
use postern_tests::client::{Answer, Client, base64, file, send};
use postern_tests::clip::{self, FPS, FRAMES, HEIGHT, MOVING, WIDTH};
use postern_tests::gate::Gate;
use postern_tests::picture;
use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::{Value, json};

static GATE: LazyLock<Gate> = LazyLock::new(Gate::start);

fn clip_form() -> Form {
    Form::new().part("video", file("clip.mp4", MOVING.clone()))
}

/// Three pictures in which a square moves by two pixels each.
fn pictures() -> Vec<Bytes> {
    (0..3).map(|index| picture::square(128, 96, 2 * index)).collect()
}

fn pictures_form(pictures: &[Bytes]) -> Form {
    let add = |form: Form, bytes: &Bytes| form.part("frame", file("frame.png", bytes.clone()));
    pictures.iter().fold(Form::new(), add)
}

/// One field of every frame.
fn column<'a>(result: &'a Value, field: &str) -> Vec<&'a Value> {
    let frames = result["frames"].as_array().expect("frames");
    frames.iter().map(|frame| &frame[field]).collect()
}

fn numbers(result: &Value, field: &str) -> Vec<f64> {
    column(result, field).iter().map(|value| value.as_f64().expect("a number")).collect()
}

/// What must be the same however the same frames were sent.
fn figures(result: &Value) -> Value {
    let indices: Vec<&Value> = key_frames(result).iter().map(|key| &key["index"]).collect();
    json!([result["frames"], result["summary"], indices])
}

fn key_frames(result: &Value) -> &Vec<Value> {
    result["key_frames"].as_array().expect("key frames")
}

/// Downloads an artifact and checks what was said about it.
async fn download(client: &Client, artifact: &Value) -> (Answer, DynamicImage) {
    let answer = client.get(artifact["url"].as_str().expect("a link")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), artifact["media_type"].as_str());
    assert_eq!(artifact["media_type"], "image/png");
    assert_eq!(artifact["bytes"], answer.body.len());
    let picture = picture::decode(&answer.body);
    (answer, picture)
}

fn is_black_and_white(picture: &DynamicImage) -> bool {
    picture.to_luma8().pixels().all(|pixel| [0, 255].contains(&pixel.0[0]))
}

#[tokio::test]
async fn a_clip_gives_figures_for_each_frame() {
    let client = GATE.tenant("figures").await;
    let result = client.analyze(clip_form()).await.result();
    let source = &result["source"];
    assert_eq!(source["kind"], "video");
    assert_eq!(source["codec"], "h264");
    assert_eq!((&source["width"], &source["height"]), (&json!(WIDTH), &json!(HEIGHT)));
    assert_eq!(source["frames_total"], FRAMES);
    assert_eq!(source["fps"], FPS);
    assert_eq!(column(&result, "index"), (0..FRAMES).collect::<Vec<_>>());
    let times: Vec<f64> = (0..FRAMES).map(|index| index as f64 / FPS).collect();
    assert_eq!(numbers(&result, "time_s"), times);
    for field in ["motion_mean", "motion_max"] {
        let motions = column(&result, field);
        assert!(motions[0].is_null(), "nothing comes before the first frame");
        assert!(motions[1..].iter().all(|motion| motion.as_f64() > Some(0.0)), "{motions:?}");
    }
    assert!(numbers(&result, "edge_density").iter().all(|&share| share > 0.0 && share < 1.0));
    assert!(numbers(&result, "sharpness").iter().all(|&sharpness| sharpness > 0.0));
}

#[tokio::test]
async fn key_frames_come_with_pictures_that_can_be_downloaded() {
    let client = GATE.tenant("pictures").await;
    let result = client.analyze(clip_form()).await.result();
    let key_frames = key_frames(&result);
    assert_eq!(key_frames.len(), 3);
    let third = |key: &Value| key["index"].as_u64().expect("an index") * 3 / FRAMES;
    assert_eq!(key_frames.iter().map(third).collect::<Vec<_>>(), [0, 1, 2], "spread over the clip");
    for key in key_frames {
        let artifacts = &key["artifacts"];
        let (_, frame) = download(&client, &artifacts["frame"]).await;
        let (_, edges) = download(&client, &artifacts["edges"]).await;
        let (_, mask) = download(&client, &artifacts["mask"]).await;
        for picture in [&frame, &edges, &mask] {
            assert_eq!(picture.dimensions(), (WIDTH, HEIGHT));
        }
        assert!(is_black_and_white(&edges) && is_black_and_white(&mask));
        assert!(!is_black_and_white(&frame), "the frame is the picture itself");
        let count = |picture: &DynamicImage| {
            picture.to_luma8().pixels().filter(|pixel| pixel.0[0] == 255).count()
        };
        assert!(count(&mask) >= count(&edges), "closing adds, it never takes away");
        let frames = result["frames"].as_array().expect("frames");
        let index = usize::try_from(key["index"].as_u64().expect("an index")).expect("small");
        let density = count(&edges) as f64 / f64::from(WIDTH * HEIGHT);
        let reported = frames[index]["edge_density"].as_f64().expect("a number");
        assert!((density - reported).abs() < 1e-5, "{density} in the picture, {reported} reported");
    }
}

#[tokio::test]
async fn pictures_are_analysed_like_a_clip() {
    let client = GATE.tenant("frames").await;
    let result = client.analyze(pictures_form(&pictures())).await.result();
    assert_eq!(result["source"]["kind"], "frames");
    assert_eq!(column(&result, "index"), [0, 1, 2]);
    assert!(column(&result, "motion_mean")[0].is_null());
    for motion in &numbers_after_first(&result, "motion_max") {
        // The square moves by exactly two pixels.
        assert!((1.5..2.5).contains(motion), "{motion}");
    }
    let (_, frame) = download(&client, &key_frames(&result)[0]["artifacts"]["frame"]).await;
    assert_eq!(frame.to_rgb8(), picture::decode(&pictures()[0]).to_rgb8());
}

fn numbers_after_first(result: &Value, field: &str) -> Vec<f64> {
    column(result, field)[1..].iter().map(|value| value.as_f64().expect("a number")).collect()
}

#[tokio::test]
async fn json_gives_the_same_figures_as_a_form() {
    let client = GATE.tenant("json").await;
    let path = "/v1/vision/analyze";
    let by_form = client.analyze(clip_form()).await.result();
    let by_json = client.post(path, &json!({ "video": base64(&MOVING) })).await.result();
    assert_eq!(figures(&by_json), figures(&by_form));
    let url = format!("data:video/mp4;base64,{}", base64(&MOVING));
    let by_url = client.post(path, &json!({ "video": url })).await.result();
    assert_eq!(figures(&by_url), figures(&by_form));

    let pictures = pictures();
    let by_form = client.analyze(pictures_form(&pictures)).await.result();
    let url = |bytes: &Bytes| format!("data:image/png;base64,{}", base64(bytes));
    let urls: Vec<String> = pictures.iter().map(url).collect();
    let by_json = client.post(path, &json!({ "frames": urls })).await.result();
    assert_eq!(figures(&by_json), figures(&by_form));
}

#[tokio::test]
async fn a_request_that_does_not_wait_gets_a_job_with_the_same_result() {
    let client = GATE.tenant("jobs").await;
    let waited = client.analyze(clip_form()).await.result();
    let request = client.request(Method::POST, "/v1/vision/analyze").header("prefer", "wait=0");
    let answer = send(request.multipart(clip_form())).await;
    assert_eq!(answer.header("preference-applied"), Some("wait=0"));
    let id = answer.accepted();
    let job = client.job_in(&id, &["succeeded"]).await;
    assert_eq!(job["service"], "vision");
    assert_eq!(job["progress"]["fraction"], 1.0);
    assert_eq!(figures(&job["result"]), figures(&waited));
    assert_eq!(job["outputs"].as_array().map(Vec::len), Some(9), "three of each kind");

    // Who asks later is told exactly what the request that waited was told.
    let answer = client.analyze(clip_form()).await.ok();
    let job = client.job(answer["id"].as_str().expect("a job's id")).await;
    for (name, told) in answer.as_object().expect("an object") {
        assert_eq!(&job[name], told, "{name}");
    }
}

#[tokio::test]
async fn parameters_change_the_result_and_come_back_with_it() {
    let client = GATE.tenant("parameters").await;
    let usual = client.analyze(clip_form()).await.result();
    let params = &usual["params"];
    assert_eq!(params["farneback"]["winsize"], 15);
    assert_eq!((&params["canny"]["low"], &params["canny"]["high"]), (&json!(15.0), &json!(60.0)));
    assert_eq!((&params["every_n"], &params["key_frames"]), (&json!(1), &json!(3)));

    let fewer =
        client.analyze(clip_form().text("every_n", "3").text("max_frames", "4")).await.result();
    assert_eq!(column(&fewer, "source_index"), [0, 3, 6, 9]);
    assert_eq!(
        (&fewer["params"]["every_n"], &fewer["params"]["max_frames"]),
        (&json!(3), &json!(4))
    );

    let slower = client.analyze(clip_form().text("sample_fps", "2.5")).await.result();
    assert_eq!(numbers(&slower, "time_s"), [0.0, 0.4, 0.8, 1.2, 1.6]);

    let stricter = clip_form().text("canny.low", "200").text("canny.high", "400");
    let stricter = client.analyze(stricter.text("key_frames", "0")).await.result();
    assert_eq!(stricter["params"]["canny"]["high"], 400.0);
    assert!(key_frames(&stricter).is_empty());
    let density = |result: &Value| result["summary"]["edge_density_mean"].as_f64();
    assert!(density(&stricter) < density(&usual));

    let whole = json!({ "every_n": 3, "canny": { "low": 200, "high": 400 } }).to_string();
    let by_part = client.analyze(clip_form().text("params", whole)).await.result();
    assert_eq!(column(&by_part, "source_index"), [0, 3, 6, 9, 12, 15, 18]);
    assert_eq!(by_part["params"]["canny"]["low"], 200.0);
}

#[tokio::test]
async fn every_artifact_can_be_asked_for_and_downloaded() {
    let client = GATE.tenant("artifacts").await;
    let outputs = json!([
        "key_frames",
        "edges",
        "masks",
        "heatmap",
        "defects",
        "flow_flo",
        "flow_safetensors",
        "flow_png",
        "preview",
        "plot",
        "zip"
    ]);
    let form = clip_form().text("outputs", outputs.to_string()).text("item_type", "card");
    let result = client.analyze(form.text("key_frames", "2")).await.result();
    assert_eq!(
        (&result["params"]["item_type"], &result["params"]["outputs"]),
        (&json!("card"), &outputs)
    );
    let types = [
        ("frame", "image/png"),
        ("edges", "image/png"),
        ("mask", "image/png"),
        ("heatmap", "image/png"),
        ("defects", "application/json"),
        ("defect_mask", "image/png"),
        ("flow_flo", "application/octet-stream"),
        ("flow_safetensors", "application/octet-stream"),
        ("flow_png", "image/png"),
    ];
    // The second part of the clip does not begin with its first frame, which has no flow.
    let artifacts = &key_frames(&result)[1]["artifacts"];
    let clip =
        [("preview", "video/mp4"), ("plot", "image/svg+xml"), ("archive", "application/zip")];
    let of_clip = clip.map(|(name, media_type)| (&result["artifacts"][name], media_type));
    let of_key = types.map(|(name, media_type)| (&artifacts[name], media_type));
    for (artifact, media_type) in of_key.into_iter().chain(of_clip) {
        assert_eq!(artifact["media_type"], media_type, "{artifact}");
        let answer = client.get(artifact["url"].as_str().expect("a link")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(media_type)));
        assert_eq!(artifact["bytes"], answer.body.len());
    }
    let refused = client.analyze(clip_form().text("outputs", "[\"hologram\"]")).await;
    refused.problem(422, "field_invalid", Some("outputs[0]"));
}

#[tokio::test]
async fn any_container_and_codec_is_read() {
    let client = GATE.tenant("codecs").await;
    let source = clip::source(WIDTH, HEIGHT, 1);
    for (name, codec) in [("a.mkv", "ffv1"), ("b.avi", "mpeg4"), ("c.ts", "mpeg2video")] {
        let bytes = clip::encode(name, &format!("{source} -c:v {codec} -strict unofficial"));
        let result = client.analyze(Form::new().part("video", file("clip", bytes))).await.result();
        assert_eq!(result["source"]["codec"], codec);
        assert_eq!(column(&result, "index").len(), 10, "{name}");
    }
}

#[tokio::test]
async fn outputs_are_served_in_ranges_and_by_tag() {
    let client = GATE.tenant("ranges").await;
    let result = client.analyze(clip_form().text("key_frames", "1")).await.result();
    let artifact = &key_frames(&result)[0]["artifacts"]["edges"];
    let url = artifact["url"].as_str().expect("a link");
    let (whole, _) = download(&client, artifact).await;
    let bytes = whole.body.len();
    let tag = whole.header("etag").expect("a tag").to_owned();
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));

    let ask = |name: &'static str, value: String| {
        send(client.request(Method::GET, url).header(name, value))
    };
    for (range, want) in [
        ("bytes=0-7".to_owned(), 0..8),
        (format!("bytes={}-", bytes - 5), bytes - 5..bytes),
        ("bytes=-12".to_owned(), bytes - 12..bytes),
    ] {
        let part = ask("range", range).await;
        assert_eq!(part.status, 206);
        let content_range = format!("bytes {}-{}/{bytes}", want.start, want.end - 1);
        assert_eq!(part.header("content-range"), Some(content_range.as_str()));
        assert_eq!(part.body, whole.body.slice(want));
    }
    let outside = ask("range", format!("bytes={bytes}-")).await;
    outside.problem(416, "range_not_satisfiable", None);
    assert_eq!(outside.header("content-range"), Some(format!("bytes */{bytes}").as_str()));

    let unchanged = ask("if-none-match", tag.clone()).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(unchanged.header("etag"), Some(tag.as_str()));

    let head = send(client.request(Method::HEAD, url)).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(bytes.to_string().as_str()));
    assert_eq!(head.header("etag"), Some(tag.as_str()));
}

#[tokio::test]
async fn an_output_that_does_not_exist_is_not_found() {
    let client = GATE.tenant("missing").await;
    let id = client.echo(&json!({})).await.ok()["job"].as_str().expect("an id").to_owned();
    let path = format!("/v1/jobs/{id}/outputs/none.png");
    client.get(&path).await.problem(404, "output_not_found", None);
    client.get("/v1/jobs/job_0/outputs/none.png").await.problem(404, "job_not_found", None);
}
