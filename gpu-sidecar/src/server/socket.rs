//! The Unix socket: only this user may connect, and a dead process's leftover does not block.
//!
//! Owns the file at the socket's path.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Why the socket could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("the folder {0} does not exist; make it first")]
    NoFolder(PathBuf),
    #[error("another process answers on {0}")]
    InUse(PathBuf),
    #[error("{0} exists and is not a socket")]
    NotASocket(PathBuf),
    #[error("cannot listen on {path}")]
    Failed { path: PathBuf, source: io::Error },
}

/// Listens on `path`. The socket is made in a private folder and moved into place, so that there
/// is no moment in which another user could connect.
pub(super) fn bind(path: &Path) -> Result<UnixListener, BindError> {
    let folder = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(BindError::NotASocket(path.to_owned())),
    };
    if !folder.is_dir() {
        return Err(BindError::NoFolder(folder.to_owned()));
    }
    check_vacant(path)?;
    bind_in(folder, path).map_err(|source| BindError::Failed { path: path.to_owned(), source })
}

fn bind_in(folder: &Path, path: &Path) -> io::Result<UnixListener> {
    // Short names: a socket's path has 107 bytes at most.
    let private = tempfile::Builder::new().prefix(".s").rand_bytes(4).tempdir_in(folder)?;
    let made = private.path().join("s");
    let listener = UnixListener::bind(&made)?;
    fs::set_permissions(&made, Permissions::from_mode(0o600))?;
    fs::rename(&made, path)?;
    Ok(listener)
}

fn check_vacant(path: &Path) -> Result<(), BindError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(BindError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(BindError::InUse(path.to_owned())),
        Err(_) => Ok(()),
    }
}
