//! A gate's end when nobody drops it: gates in statics, tests that are killed.
//!
//! Owns a shell that reads our pipe. When this process ends, however it ends, the pipe closes, and
//! the shell ends the host that it was told of last and removes the folder.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::process::Process;

/// `none` is the word for "nothing to do": the gate was dropped.
const SCRIPT: &str = "while read -r word; do last=$word; done; \
                      [ \"$last\" = none ] || { kill -s KILL \"$last\"; rm -rf \"$0\"; }";

#[derive(Debug)]
pub(super) struct Guard(Child);

impl Guard {
    pub(super) fn over(folder: &Path) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(SCRIPT).arg(folder);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(shell.spawn().expect("a shell"))
    }

    pub(super) fn watch(&mut self, host: Process) {
        self.say(&host.0.to_string());
    }

    pub(super) fn dismiss(&mut self) {
        self.say("none");
        drop(self.0.stdin.take());
        // Only so that it leaves no entry in the process table.
        let _ = self.0.wait();
    }

    fn say(&mut self, word: &str) {
        let pipe = self.0.stdin.as_mut().expect("open until `dismiss`");
        writeln!(pipe, "{word}").expect("the shell reads until the pipe closes");
    }
}
