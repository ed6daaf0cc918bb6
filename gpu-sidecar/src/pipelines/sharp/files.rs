//! The files of `sharp@1`.

use std::fs::File;
use std::io::{self, BufWriter};
use std::sync::Arc;

use super::params::{Output, Params};
use super::report::{CameraReport, Report};
use crate::media::png;
use crate::pipeline::{RunContext, RunError};
use crate::splat::camera::Camera;
use crate::splat::preview::{Filmed, render_preview, render_video};
use crate::splat::{Axes, Gaussians, Photo, json, ply, sog, splat_file, spz};

/// Share of a run at which files begin; the film takes most of what is left.
const BEGINS: f64 = 0.95;
const FILM_BEGINS: f64 = 0.97;

/// Writes every file that `params` ask for.
pub(super) fn write(
    mut cloud: Gaussians,
    params: &Params,
    report: &Report,
    context: &mut RunContext,
) -> Result<(), RunError> {
    // Pictures are of the world as the camera saw it; files are of the world as it was asked for.
    draw(&cloud, params, &report.camera, context)?;
    cloud.turn(Axes::OpenCv, params.axes.into());
    let photo = Photo {
        width: report.camera.width as u32,
        height: report.camera.height as u32,
        focal_px: report.camera.focal_px as f32,
    };
    type Write<'a> = &'a dyn Fn(&mut BufWriter<File>) -> io::Result<()>;
    let files: [(Output, Write<'_>); 5] = [
        (Output::Ply, &|out| ply::write(out, &cloud, &photo)),
        (Output::Spz, &|out| spz::write(out, &cloud, spz::Version::default())),
        (Output::Splat, &|out| splat_file::write(out, &cloud)),
        (Output::Sog, &|out| sog::write(out, &cloud)),
        (Output::Json, &|out| json::write(out, &cloud, &photo, report)),
    ];
    for (output, write) in files {
        if params.wants(output) {
            begin(output, context)?;
            let (name, media_type) = output.file();
            context.output(name, media_type, write)?;
        }
    }
    Ok(())
}

fn begin(output: Output, context: &mut RunContext) -> Result<(), RunError> {
    context.check_cancel()?;
    context.progress(BEGINS, "write", output.file().0);
    Ok(())
}

/// The picture and the film.
fn draw(
    cloud: &Gaussians,
    params: &Params,
    camera: &CameraReport,
    context: &mut RunContext,
) -> Result<(), RunError> {
    let camera = Camera::of_photo(camera.focal_px, (camera.width, camera.height))?
        .with_center(camera.principal);
    let cancel = Arc::clone(context.cancel());
    if params.wants(Output::Preview) {
        begin(Output::Preview, context)?;
        let picture = render_preview(cloud, &camera, &cancel)?;
        let (name, media_type) = Output::Preview.file();
        context.output(name, media_type, |out| png(out, &picture))?;
    }
    if params.wants(Output::Video) {
        begin(Output::Video, context)?;
        let (name, media_type) = Output::Video.file();
        let path = context.output_path(name);
        context.make_out_dir()?;
        let filmed = Filmed { cloud, photo: &camera, path: params.trajectory.into() };
        let mut told = |done: usize, all: usize| {
            let share = FILM_BEGINS + (1.0 - FILM_BEGINS) * done as f64 / all as f64;
            context.progress(share, "film", format_args!("frame {done} of {all}"));
        };
        render_video(&filmed, &path, &mut told, &cancel)?;
        context.output_written(name, media_type)?;
    }
    Ok(())
}
