//! The files of the pipeline: what each is called among the `outputs`.

/// Name in `outputs`, name of the file.
const FILES: [(&str, &str); 7] = [
    ("ply", "gaussians.ply"),
    ("spz", "gaussians.spz"),
    ("splat", "gaussians.splat"),
    ("sog", "gaussians.sog"),
    ("json", "gaussians.json"),
    ("preview", "preview.png"),
    ("video", "preview.mp4"),
];

/// The file of one of `outputs`.
pub(crate) fn file_of(output: &str) -> Option<&'static str> {
    FILES.iter().find(|(name, _)| *name == output).map(|(_, file)| *file)
}

/// What a file is called among `outputs`; a file that is not known keeps its name.
pub(crate) fn output_of(file: &str) -> &str {
    FILES.iter().find(|(_, known)| *known == file).map_or(file, |(name, _)| name)
}
