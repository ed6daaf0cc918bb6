//! Times the two passes of the aligner, without an encoder, and says how much memory they took.
//!
//! Owns that benchmark's clock and the texts of noise that it is taken on: their sizes are those of
//! the documents that upstream was timed on, and one of 10,000 sentences a side. Processor time of
//! one thread, so that a busy machine counts little, over as many runs as its coarse clock needs:
//! `cargo run --example align -- [--sentences N] [--runs N] [--json]`.

#![expect(clippy::print_stdout, reason = "a measuring program prints")]

use std::fs;

use anyhow::{Context, Result};
use clap::Parser;
use postern_sidecar::align::aligner::{self, single_rows, unwatched};
use postern_sidecar::align::band::Band;
use postern_sidecar::align::encoder::Groups;
use postern_sidecar::align::similarity::{AlignParams, Sides};
use postern_sidecar::align::{first_pass, search, second_pass};
use serde_json::{Value, json};

/// Sentences of Text+Berg's documents, and the milliseconds that upstream's search and passes took
/// for each on one thread.
const DOCUMENTS: [(usize, usize, f64); 7] = [
    (137, 155, 17.0),
    (293, 274, 19.0),
    (95, 100, 6.0),
    (107, 112, 7.0),
    (36, 40, 2.0),
    (126, 131, 8.0),
    (197, 199, 13.0),
];
/// Numbers in a vector of the usual encoder.
const WIDTH: usize = 512;

#[derive(Debug, Parser)]
struct Cli {
    /// Sentences of each side of the large text; 0 leaves it out.
    #[arg(long, default_value_t = 10_000)]
    sentences: usize,
    /// Runs of each small document.
    #[arg(long, default_value_t = 100)]
    runs: u32,
    /// All figures as one line of JSON, for programs.
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    // One thread: upstream was timed on one.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    pool.install(|| measure(&cli))
}

fn measure(cli: &Cli) -> Result<()> {
    let mut documents = Vec::new();
    for (m, n, upstream) in DOCUMENTS {
        let times = passes(&texts(m, n), cli.runs.max(1))?;
        documents.push((m, n, times, upstream));
    }
    let large = if cli.sentences > 0 { Some(large(cli.sentences)?) } else { None };
    if cli.json {
        let documents = documents.iter().map(|&(m, n, times, upstream)| {
            json!({"source": m, "target": n, "passes": times.json(), "reference_ms": upstream})
        });
        let documents: Vec<Value> = documents.collect();
        let large = large.map(|large| {
            let Large { times, held_mib, peak_mib } = large;
            json!({"sentences": cli.sentences, "passes": times.json(),
                "memory_mib_before": held_mib, "peak_memory_mib": peak_mib})
        });
        println!("{}", json!({"documents": documents, "large": large}));
        return Ok(());
    }
    println!("{:>13}  search  first  second  all, ms   upstream", "sentences");
    let mut sums = (0.0, 0.0);
    for (m, n, times, upstream) in documents {
        print(m, n, times, &format!("{upstream:6.1}  {:.1} x", upstream / times.all()));
        sums = (sums.0 + times.all(), sums.1 + upstream);
    }
    println!("all documents: {:.2} ms, upstream {:.1} ms", sums.0, sums.1);
    if let Some(Large { times, held_mib, peak_mib }) = large {
        print(cli.sentences, cli.sentences, times, "");
        println!("memory: {held_mib} MiB with the vectors, {peak_mib} MiB at the peak");
    }
    Ok(())
}

/// Two long texts.
struct Large {
    times: Times,
    held_mib: u64,
    peak_mib: u64,
}

fn large(sentences: usize) -> Result<Large> {
    let texts = texts(sentences, sentences);
    let held_mib = memory_mib("VmHWM")?;
    let times = passes(&texts, 1)?;
    Ok(Large { times, held_mib, peak_mib: memory_mib("VmHWM")? })
}

/// Milliseconds.
#[derive(Debug, Clone, Copy)]
struct Times {
    search: f64,
    first: f64,
    second: f64,
}

impl Times {
    fn all(self) -> f64 {
        self.search + self.first + self.second
    }

    fn json(self) -> Value {
        let Self { search, first, second } = self;
        json!({"search_ms": search, "first_ms": first, "second_ms": second, "all_ms": self.all()})
    }
}

fn print(m: usize, n: usize, times: Times, rest: &str) {
    let Times { search, first, second } = times;
    println!("{m:>6} x{n:>5} {search:7.2} {first:6.2} {second:7.2} {:8.2}   {rest}", times.all());
}

fn passes((source, target): &(Groups, Groups), runs: u32) -> Result<Times> {
    let params = AlignParams::default();
    let counts = (source.sentences, target.sentences);
    let (left, right) = (single_rows(source), single_rows(target));
    let (neighbours, search) =
        timed(runs, || search::nearest(left, right, params.top_k, &mut unwatched))?;
    let neighbours = neighbours.context("nobody breaks off")?;
    let (anchors, first) =
        timed(runs, || first_pass::anchors(&first_pass::decide(&neighbours, counts)))?;
    let (pointers, second) = timed(runs, || {
        let sides = Sides::new(source, target, params);
        let band = Band::around(&anchors, counts, params.win);
        second_pass::decide(&sides, &band, &mut unwatched)
    })?;
    let pointers = pointers.context("nobody breaks off")?;
    let beads = pointers.walk_back(&second_pass::kinds(params.max_align));
    let whole = aligner::align(source, target, params, &mut unwatched)?;
    anyhow::ensure!(beads == Some(whole.beads), "the parts and the whole agree");
    Ok(Times { search, first, second })
}

/// What `work` gives, and the milliseconds that one of `runs` took.
fn timed<T>(runs: u32, mut work: impl FnMut() -> T) -> Result<(T, f64)> {
    let start = processor_ms()?;
    for _ in 1..runs {
        std::hint::black_box(work());
    }
    let result = work();
    Ok((result, (processor_ms()? - start) / f64::from(runs)))
}

/// Two texts of noise of which most sentences are alike, in pairs along the diagonal.
fn texts(m: usize, n: usize) -> (Groups, Groups) {
    let layers = AlignParams::default().layers();
    let mut noise = Noise(42);
    let meanings: Vec<f32> = (0..m.max(n) * WIDTH).map(|_| noise.next()).collect();
    let mut side = |count: usize| {
        let mut vectors = Vec::with_capacity(layers * count * WIDTH);
        for layer in 0..layers {
            for last in 0..count {
                let mut vector: Vec<f32> = (0..WIDTH).map(|_| 0.5 * noise.next()).collect();
                for part in last.saturating_sub(layer)..=last {
                    let meaning = part * m.max(n) / count;
                    let meaning = &meanings[meaning * WIDTH..][..WIDTH];
                    vector.iter_mut().zip(meaning).for_each(|(sum, value)| *sum += value);
                }
                let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
                vectors.extend(vector.iter().map(|v| v / length));
            }
        }
        let lengths =
            |layer: usize| (0..count).map(move |last| 60 * (layer as u32 + 1) + last as u32 % 37);
        let byte_lengths = (0..layers).flat_map(lengths).collect();
        Groups { layers, sentences: count, width: WIDTH, vectors, byte_lengths }
    };
    (side(m), side(n))
}

struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Time that this thread has spent on a processor.
fn processor_ms() -> Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().context("a figure")?.parse()?;
    Ok(nanoseconds / 1e6)
}

fn memory_mib(field: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).context("a figure")?;
    let kib: u64 = line.trim_matches(|c: char| !c.is_ascii_digit()).parse()?;
    Ok(kib / 1024)
}
