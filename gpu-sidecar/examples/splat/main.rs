//! Times what is done to a full cloud of Gaussians after the network: unprojection and files.
//!
//! Owns the clock of that benchmark and its random cloud. Prints the median of a few runs each, by
//! the wall and by the processor: on a machine that is busy with other things only the latter says
//! something. The first argument is the only step to time (all, without), the second the folder
//! that files go to (`/dev/shm`).

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measuring program reads clocks and prints"
)]

use std::fs::File;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use postern_sidecar::splat::unproject::{Projection, unproject};
use postern_sidecar::splat::{Axes, Gaussians, Photo, json, ply, sog, splat_file, spz, stats};

/// What SHARP gives for a picture.
const COUNT: usize = 2 * 768 * 768;
const RUNS: usize = 7;

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args().nth(2).unwrap_or_else(|| "/dev/shm".into()));
    let path = folder.join(format!("postern-splat-{}", std::process::id()));
    let cloud = random();
    let photo = Photo { width: 4032, height: 3024, focal_px: 2891.6 };
    let head = serde_json::json!({ "layers": 2 });
    println!("{COUNT} Gaussians, {} threads", rayon::current_num_threads());
    let projection = Projection::centred(2891.6, 4032, 3024);
    let clone = || cloud.clone();
    let unprojected = |mut cloud: Gaussians| unproject(&mut cloud, &projection);
    time("unproject", clone, |cloud| {
        unprojected(cloud);
        Ok(0)
    })?;
    time("axes", clone, |mut cloud| {
        cloud.turn(Axes::OpenCv, Axes::Gltf);
        Ok(0)
    })?;
    time(
        "stats",
        || (),
        |()| {
            black_box(stats::Stats::of(&cloud, 2));
            Ok(0)
        },
    )?;
    let written = |file: &File| Ok(file.metadata()?.len());
    let create = || File::create(&path).expect("the folder takes files");
    time("ply", create, |mut out| {
        ply::write(&mut out, &cloud, &photo)?;
        written(&out)
    })?;
    let bytes = std::fs::read(&path).unwrap_or_default();
    time(
        "ply, read",
        || (),
        |()| {
            black_box(ply::read(&bytes)?);
            Ok(bytes.len() as u64)
        },
    )?;
    time("json", create, |mut out| {
        json::write(&mut out, &cloud, &photo, &head)?;
        written(&out)
    })?;
    for version in [spz::Version::V2, spz::Version::V3] {
        time(&format!("spz {version:?}"), create, |mut out| {
            spz::write(&mut out, &cloud, version)?;
            written(&out)
        })?;
    }
    let bytes = std::fs::read(&path).unwrap_or_default();
    time(
        "spz, read",
        || (),
        |()| {
            black_box(spz::read(&bytes)?);
            Ok(bytes.len() as u64)
        },
    )?;
    time("splat", create, |mut out| {
        splat_file::write(&mut out, &cloud)?;
        written(&out)
    })?;
    time("sog", create, |out| {
        let size = out.try_clone()?;
        sog::write(out, &cloud)?;
        written(&size)
    })?;
    // There is none if no step wrote one.
    let _ = std::fs::remove_file(&path);
    Ok(())
}

/// Prints the middle run of `work`, and its speed where it says how many bytes it moved.
fn time<T>(name: &str, ready: impl Fn() -> T, work: impl Fn(T) -> Result<u64>) -> Result<()> {
    if std::env::args().nth(1).is_some_and(|only| !name.starts_with(&only)) {
        return Ok(());
    }
    let mut runs = Vec::new();
    let mut bytes = 0;
    for _ in 0..RUNS {
        let input = ready();
        let (start, busy) = (Instant::now(), busy_ms());
        bytes = work(input)?;
        runs.push((start.elapsed().as_secs_f64() * 1e3, busy_ms() - busy));
    }
    let middle = |of: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[RUNS / 2]
    };
    let (wall, busy) = (middle(|run| run.0), middle(|run| run.1));
    let least = runs.iter().map(|run| run.0).fold(f64::MAX, f64::min);
    print!("{name:12} {wall:8.1} ms (least {least:.1}), {busy:.0} ms of processor");
    if bytes > 0 {
        let megabytes = bytes as f64 / 1e6;
        print!(", {megabytes:.1} MB at {:.0} MB/s", megabytes / least * 1e3);
    }
    println!();
    Ok(())
}

/// Processor time of this process so far, in steps of 10 ms.
fn busy_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, which may hold blanks, fields 14 and 15 of the whole line.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    ticks.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() * 10.0
}

/// Neighbours alike, as in a picture's cloud; noise in their last bits, as from a network.
fn random() -> Gaussians {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let mut cloud = Gaussians::default();
    for index in 0..COUNT {
        let (row, column) = ((index / 768) as f32, (index % 768) as f32);
        let depth = 3.0 + (row * 0.01).sin() + (column * 0.013).cos() + 0.02 * next();
        let ndc = [column / 384.0 - 1.0, (row % 768.0) / 384.0 - 1.0];
        cloud.means.push([ndc[0] * depth, ndc[1] * depth, depth]);
        cloud.scales.push([1.0, 0.8, 0.3].map(|scale| scale * 0.003 * depth * (0.5 + next())));
        cloud.rotations.push([1.0 + next(), next() - 0.5, next() - 0.5, next() - 0.5]);
        cloud.colors.push([0.2, 0.4, 0.6].map(|light| light + 0.3 * next()));
        cloud.opacities.push(0.3 + 0.7 * next());
    }
    cloud
}
