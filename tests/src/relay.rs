//! A relay between a client and a gate, which breaks connections when it is told to.
//!
//! Owns its socket and its threads; they end with the process. Keeps everything that clients sent,
//! so that a test can see what was asked.

use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Bytes that are passed on at once.
const PIECE_BYTES: usize = 4 << 10;

/// A relay.
#[derive(Debug, Clone)]
pub struct Relay {
    address: String,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Everything that clients sent.
    asked: String,
    /// What happens to the next request that contains the text.
    faults: Vec<(String, Fault)>,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The connection ends after so many bytes of the answer.
    Cut(usize),
    /// Neither the request nor what follows it is passed on or read.
    Stall,
}

impl Relay {
    /// Listens, and passes every connection on to `gate`.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn to(gate: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it listens").to_string();
        let relay = Self { address, shared: Arc::default() };
        let (accepting, gate) = (relay.clone(), gate.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&gate) else { continue };
                accepting.pass(client, server);
            }
        });
        relay
    }

    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Once: the answer to the request that contains `text` ends after so many bytes.
    #[must_use]
    pub fn cut(self, text: &str, bytes: usize) -> Self {
        self.shared().faults.push((text.to_owned(), Fault::Cut(bytes)));
        self
    }

    /// Once: the request that contains `text` is never passed on, and its body is not read.
    #[must_use]
    pub fn stall(self, text: &str) -> Self {
        self.shared().faults.push((text.to_owned(), Fault::Stall));
        self
    }

    /// Everything that was asked.
    #[must_use]
    pub fn asked(&self) -> String {
        self.shared().asked.clone()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, client: TcpStream, server: TcpStream) {
        let left = Arc::new(Mutex::new(usize::MAX));
        let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { return };
        let (relay, limit) = (self.clone(), left.clone());
        thread::spawn(move || copy(from, to, |piece| relay.note(piece, &limit)));
        thread::spawn(move || {
            copy(server, client, |piece| {
                let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
                let count = piece.len().min(*left);
                *left -= count;
                (count, *left > 0)
            });
        });
    }

    /// Looks at what a client sent; requests are small, so a head comes in one piece.
    fn note(&self, piece: &[u8], limit: &Mutex<usize>) -> (usize, bool) {
        let text = String::from_utf8_lossy(piece);
        let mut shared = self.shared();
        shared.asked.push_str(&text);
        let found = shared.faults.iter().position(|(wanted, _)| text.contains(wanted.as_str()));
        match found.map(|index| shared.faults.remove(index).1) {
            Some(Fault::Cut(bytes)) => {
                *limit.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
            }
            Some(Fault::Stall) => {
                drop(shared);
                // Nothing is read any more; the thread ends with the process.
                loop {
                    thread::park();
                }
            }
            None => {}
        }
        (piece.len(), true)
    }
}

/// Passes bytes on until one side ends, or `look` says that it is enough.
fn copy(mut from: TcpStream, mut to: TcpStream, look: impl Fn(&[u8]) -> (usize, bool)) {
    let mut piece = [0; PIECE_BYTES];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        let (count, goes_on) = look(&piece[..count]);
        if to.write_all(&piece[..count]).is_err() || !goes_on {
            break;
        }
    }
    // Either may be gone already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
