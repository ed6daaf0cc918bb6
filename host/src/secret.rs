//! Secrets: the server's own, and the API keys whose hashes it keeps.
//!
//! Owns how a key looks (`sk_<id>_<secret>`, an operator's `ak_…`), how it is made, hashed and
//! compared. Knows no tenant and no store. Always: a `Secret` is not printed, not serialised, and
//! wiped when dropped; secrets are compared in constant time.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::ids::KeyId;

/// 256 bits: beyond guessing, so that a fast hash is enough to store it.
const SECRET_BYTES: usize = 32;
const ID_BYTES: usize = 8;
/// `sk_`, 16 digits, `_`, 64 digits.
const KEY_TEXT_BYTES: usize = 3 + 2 * ID_BYTES + 1 + 2 * SECRET_BYTES;
/// Names the purpose of the derived key. Another text makes every stored hash worthless.
const KEY_HASH_CONTEXT: &str = "postern 2025 api key hash v1";

/// A value that is not printed, not serialised, and wiped when dropped.
pub struct Secret<T: Zeroize>(T);

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the server secret `{path}` cannot be read or written")]
    File { path: PathBuf, source: io::Error },
    #[error("`{0}` is not a server secret: 64 hexadecimal digits; restore it from a backup")]
    Malformed(PathBuf),
    #[error("the system gives no randomness")]
    Randomness(#[source] getrandom::Error),
}

/// What all other keys of this installation are derived from. Who loses it, loses every API key.
#[derive(Debug)]
pub struct ServerSecret(Secret<[u8; SECRET_BYTES]>);

/// Whose key it is, told by its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// `sk_`: a tenant's.
    Tenant,
    /// `ak_`: an operator's, for the admin API.
    Admin,
}

/// A well-formed key that a client presented. Borrowed, and not printable.
#[derive(Clone, Copy)]
pub struct PresentedKey<'a> {
    pub kind: KeyKind,
    /// 16 hexadecimal digits, as a number.
    pub id: u64,
    text: &'a str,
}

/// A new key in full. Exists once, to be shown once.
#[derive(Debug)]
pub struct KeyText(Secret<String>);

/// Turns keys into what is stored, and compares.
#[derive(Debug)]
pub struct KeyHasher(Secret<[u8; 32]>);

impl<T: Zeroize> Secret<T> {
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl ServerSecret {
    /// Reads the file, or makes one with mode 0600. Two processes that start at once agree.
    ///
    /// # Errors
    /// `Malformed` instead of replacing what is there: a new secret would end every API key.
    pub fn load_or_create(path: &Path) -> Result<Self, SecretError> {
        let failed = |source| SecretError::File { path: path.to_owned(), source };
        match read(path) {
            Err(SecretError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        let mut bytes = random::<SECRET_BYTES>()?;
        let mut text = hex(&bytes);
        bytes.zeroize();
        // Written in full under another name first: a half-written secret is never seen.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file =
            tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        let written = writeln!(file, "{text}").and_then(|()| file.as_file().sync_all());
        text.zeroize();
        written.map_err(failed)?;
        match file.persist_noclobber(path) {
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
                Err(failed(error.error))
            }
            // Read back what is there now: ours, or that of whoever came first.
            _ => read(path),
        }
    }

    /// From bytes kept elsewhere, and for tests.
    #[must_use]
    pub fn from_bytes(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(Secret::new(bytes))
    }

    /// A key for one purpose. `context` is a constant of the program and never changes.
    #[must_use]
    pub fn derive(&self, context: &'static str) -> Secret<[u8; 32]> {
        Secret::new(blake3::derive_key(context, self.0.expose()))
    }
}

impl KeyKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Tenant => "sk_",
            Self::Admin => "ak_",
        }
    }
}

impl<'a> PresentedKey<'a> {
    /// `None`: not of the form `sk_<id>_<secret>` or `ak_<id>_<secret>`. Allocates nothing; text of
    /// another length is refused unread.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.len() != KEY_TEXT_BYTES || !text.is_ascii() {
            return None;
        }
        let (prefix, rest) = text.split_at(3);
        let kind = match prefix {
            "sk_" => KeyKind::Tenant,
            "ak_" => KeyKind::Admin,
            _ => return None,
        };
        let (id, rest) = rest.split_at(2 * ID_BYTES);
        let secret = rest.strip_prefix('_')?;
        if !is_hex(id) || !is_hex(secret) {
            return None;
        }
        Some(Self { kind, id: u64::from_str_radix(id, 16).ok()?, text })
    }
}

impl KeyText {
    /// A new key of 256 random bits and its id.
    ///
    /// # Errors
    /// `Randomness`.
    pub fn generate(kind: KeyKind) -> Result<(KeyId, Self), SecretError> {
        let id = hex(&random::<ID_BYTES>()?);
        let mut bytes = random::<SECRET_BYTES>()?;
        let mut secret = hex(&bytes);
        bytes.zeroize();
        let mut text = String::with_capacity(KEY_TEXT_BYTES);
        for part in [kind.prefix(), &id, "_", &secret] {
            text.push_str(part);
        }
        secret.zeroize();
        Ok((id.parse().expect("16 hexadecimal digits"), Self(Secret::new(text))))
    }

    /// The text, to be handed to its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose()
    }

    /// The same key as its owner will present it.
    #[must_use]
    pub fn presented(&self) -> PresentedKey<'_> {
        PresentedKey::parse(self.reveal()).expect("`generate` is the only constructor")
    }
}

impl KeyHasher {
    #[must_use]
    pub fn new(server: &ServerSecret) -> Self {
        Self(server.derive(KEY_HASH_CONTEXT))
    }

    /// What is stored: a keyed hash of prefix, id and secret, so that none can be exchanged. A
    /// stolen database alone allows not even a guess.
    #[must_use]
    pub fn hash(&self, key: PresentedKey<'_>) -> [u8; 32] {
        *blake3::keyed_hash(self.0.expose(), key.text.as_bytes()).as_bytes()
    }

    /// Compares in constant time.
    #[must_use]
    pub fn matches(&self, key: PresentedKey<'_>, stored: &[u8; 32]) -> bool {
        self.hash(key).ct_eq(stored).into()
    }
}

fn read(path: &Path) -> Result<ServerSecret, SecretError> {
    let failed = |source| SecretError::File { path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        // Not refused: mounted secrets of container platforms often come as 0640 or 0644.
        tracing::warn!(path = %path.display(), "others can read the server secret; chmod 600 it");
    }
    let mut text = std::fs::read_to_string(path).map_err(failed)?;
    let bytes = unhex(text.trim_end());
    text.zeroize();
    let bytes = bytes.ok_or_else(|| SecretError::Malformed(path.to_owned()))?;
    Ok(ServerSecret::from_bytes(bytes))
}

fn random<const N: usize>() -> Result<[u8; N], SecretError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(SecretError::Randomness)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

fn unhex(text: &str) -> Option<[u8; SECRET_BYTES]> {
    if text.len() != 2 * SECRET_BYTES || !is_hex(text) {
        return None;
    }
    let mut bytes = [0; SECRET_BYTES];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..][..2], 16).ok()?;
    }
    Some(bytes)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_presented_hashed_and_recognised() {
        let hasher = KeyHasher::new(&ServerSecret::from_bytes([7; 32]));
        let other = KeyHasher::new(&ServerSecret::from_bytes([8; 32]));
        for (kind, prefix) in [(KeyKind::Tenant, "sk_"), (KeyKind::Admin, "ak_")] {
            let (id, text) = KeyText::generate(kind).unwrap();
            assert!(text.reveal().starts_with(&format!("{prefix}{id}_")));
            let stored = hasher.hash(text.presented());
            assert!(hasher.matches(text.presented(), &stored));
            assert!(!other.matches(text.presented(), &stored), "another server's secret");
        }
    }

    #[test]
    fn every_changed_digit_is_noticed() {
        let hasher = KeyHasher::new(&ServerSecret::from_bytes([7; 32]));
        let (_, text) = KeyText::generate(KeyKind::Tenant).unwrap();
        let stored = hasher.hash(text.presented());
        for at in (3..19).chain(20..84) {
            let mut bytes = text.reveal().as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(!hasher.matches(PresentedKey::parse(&changed).unwrap(), &stored), "{at}");
        }
    }

    #[test]
    fn malformed_keys_are_refused() {
        let (_, text) = KeyText::generate(KeyKind::Tenant).unwrap();
        let good = text.reveal();
        let upper = good.to_uppercase();
        let long = format!("{good}0");
        let other = good.replacen("sk_", "pk_", 1);
        let joined = format!("{}0{}", &good[..19], &good[20..]);
        let wide = format!("{}é{}", &good[..30], &good[32..]);
        for bad in ["", "sk_", &good[..83], &long, &upper, &other, &joined, &wide] {
            assert!(PresentedKey::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let (_, text) = KeyText::generate(KeyKind::Tenant).unwrap();
        let server = ServerSecret::from_bytes([7; 32]);
        let hasher = KeyHasher::new(&server);
        let shown = format!("{text:?} {server:?} {hasher:?}");
        assert_eq!(shown, "KeyText([secret]) ServerSecret([secret]) KeyHasher([secret])");
    }

    #[test]
    fn the_server_secret_is_made_once_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let first = ServerSecret::load_or_create(&path).unwrap();
        let again = ServerSecret::load_or_create(&path).unwrap();
        assert_eq!(first.0.expose(), again.0.expose());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing left over");

        std::fs::write(&path, "0123").unwrap();
        let refused = ServerSecret::load_or_create(&path);
        assert!(matches!(refused, Err(SecretError::Malformed(_))));
    }
}
