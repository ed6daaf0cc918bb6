//! Processes as `/proc` and signals show them.
//!
//! Owns nothing: a [`Process`] is a number, and what it names may end at any time.

use std::fs;
use std::process::Command;

/// A process by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(pub u32);

impl Process {
    /// The first child of this process with that program name (the kernel keeps 15 characters).
    #[must_use]
    pub fn child(self, name: &str) -> Option<Self> {
        let processes = fs::read_dir("/proc").expect("Linux").flatten();
        let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.find_map(|id| {
            let stat = Stat::of(id)?;
            (stat.parent == self.0 && stat.name == name && stat.is_alive()).then_some(Self(id))
        })
    }

    /// False once it has ended, also when nobody has taken notice of its end yet.
    #[must_use]
    pub fn is_alive(self) -> bool {
        Stat::of(self.0).is_some_and(|stat| stat.is_alive())
    }

    /// Ends it without a chance to react.
    pub fn kill(self) {
        self.signal("KILL");
    }

    /// Asks it to stop.
    pub fn terminate(self) {
        self.signal("TERM");
    }

    /// What Ctrl-C sends.
    pub fn interrupt(self) {
        self.signal("INT");
    }

    /// `VmRSS` or `VmHWM` (the peak) in bytes.
    ///
    /// # Panics
    /// When the process has ended.
    #[must_use]
    pub fn memory_bytes(self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).expect("it is alive");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kibibytes =
            line.and_then(|line| line.split_whitespace().next()).expect("a memory field");
        kibibytes.parse::<u64>().expect("a number") * 1024
    }

    /// The shell's own `kill`: the program is not on every machine.
    fn signal(self, name: &str) {
        let script = format!("kill -s {name} {}", self.0);
        let status = Command::new("/bin/sh").args(["-c", &script]).status().expect("a shell");
        assert!(status.success(), "no process {} to send SIG{name} to", self.0);
    }
}

/// The start of `/proc/<id>/stat`: `7 (name) S 1 …`.
struct Stat {
    name: String,
    state: String,
    parent: u32,
}

impl Stat {
    fn of(id: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (name, rest) = text.split_once('(')?.1.rsplit_once(") ")?;
        let mut words = rest.split(' ');
        let (state, parent) = (words.next()?, words.next()?);
        Some(Self { name: name.into(), state: state.into(), parent: parent.parse().ok()? })
    }

    fn is_alive(&self) -> bool {
        !["Z", "X"].contains(&self.state.as_str())
    }
}
