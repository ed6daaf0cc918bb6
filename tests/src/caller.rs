//! `postern call` and `postern batch` as a customer starts them: options in, exit code and two
//! texts out.
//!
//! Owns how the program is started: with the gate's address and the key in the environment, and
//! with nothing else of ours that could help it.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use crate::client::Client;
use crate::gate::program;
use crate::process::Process;

/// Who calls, and where.
#[derive(Debug, Clone)]
pub struct Caller {
    address: String,
    key: Option<String>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A command that runs.
#[derive(Debug)]
pub struct Running(Child);

impl Caller {
    /// With the key of this client, to its gate.
    #[must_use]
    pub fn of(client: &Client) -> Self {
        Self { address: client.address().to_owned(), key: client.key().map(str::to_owned) }
    }

    /// The same to another address.
    #[must_use]
    pub fn at(&self, address: &str) -> Self {
        Self { address: address.to_owned(), key: self.key.clone() }
    }

    #[must_use]
    pub fn key(&self) -> &str {
        self.key.as_deref().expect("it was made of a client with a key")
    }

    /// The command `call`, to be completed by the test.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.verb("call", arguments)
    }

    /// Runs `batch` to its end.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn batch(&self, arguments: &[&str]) -> Said {
        self.start_batch(arguments).end()
    }

    /// Starts `batch` and goes on.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn start_batch(&self, arguments: &[&str]) -> Running {
        Running(self.verb("batch", arguments).spawn().expect("the program starts"))
    }

    fn verb(&self, verb: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("postern"));
        command.arg(verb).args(arguments).env_clear();
        command.env("POSTERN_URL", format!("http://{}", self.address));
        if let Some(key) = &self.key {
            command.env("POSTERN_API_KEY", key);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Said {
        self.start(arguments).end()
    }

    /// Starts it and goes on.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Running {
        Running(self.command(arguments).spawn().expect("the program starts"))
    }
}

impl Running {
    #[must_use]
    pub fn process(&self) -> Process {
        Process(self.0.id())
    }

    /// Reads standard error up to this text.
    ///
    /// # Panics
    /// When it ends without it.
    pub fn until_it_says(&mut self, text: &str) {
        let errors = self.0.stderr.as_mut().expect("piped");
        let (mut said, mut byte) = (Vec::new(), [0]);
        while !String::from_utf8_lossy(&said).contains(text) {
            let count = errors.read(&mut byte).expect("a pipe");
            assert!(count > 0, "no {text:?} in {:?}", String::from_utf8_lossy(&said));
            said.extend(byte);
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When what it said is no text.
    #[must_use]
    pub fn end(self) -> Said {
        let output = self.0.wait_with_output().expect("our child");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    /// Checks the exit code and gives the lines of standard output.
    #[track_caller]
    #[must_use]
    pub fn with(&self, code: i32) -> Vec<&str> {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self.out.lines().collect()
    }
}
