//! A program that answers each line of its input by one line of JSON.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// A running program; killed when it is dropped.
pub(in crate::bench) struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    line: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have died already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(in crate::bench) fn start(command: &mut Command) -> Result<Self> {
        let line = process::line(command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{line}`"))?;
        let input = child.stdin.take().context("the input is a pipe")?;
        let output = BufReader::new(child.stdout.take().context("the output is a pipe")?);
        Ok(Self { child, input, output, line })
    }

    fn ask(&mut self, question: &str) -> Result<Value> {
        writeln!(self.input, "{question}").with_context(|| format!("`{}` ended", self.line))?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        serde_json::from_str(&answer)
            .with_context(|| format!("`{}` did not answer `{question}`", self.line))
    }
}

/// One of the two that are compared.
pub(in crate::bench) struct Side {
    pub(in crate::bench) name: &'static str,
    pub(in crate::bench) server: Server,
}

impl Side {
    /// The median time of one call, ms.
    pub(in crate::bench) fn time(
        &mut self,
        call: &Call<'_>,
        threads: u32,
        span_ms: u32,
    ) -> Result<f64> {
        let Call { kernel, size } = call;
        let answer = self.server.ask(&format!("time {kernel} {size} {threads} {span_ms}"))?;
        answer["median_ms"].as_f64().context("a time is a number")
    }

    /// What the kernel computes, as bytes.
    pub(in crate::bench) fn result(&mut self, call: &Call<'_>, folder: &Path) -> Result<Vec<u8>> {
        let Call { kernel, size } = call;
        let file = folder.join(format!("result-{}.raw", self.name));
        self.server.ask(&format!("save {kernel} {size} {}", file.display()))?;
        std::fs::read(&file).with_context(|| file.display().to_string())
    }
}

/// A kernel's name and the size of the picture it is called on.
pub(in crate::bench) struct Call<'a> {
    pub(in crate::bench) kernel: &'a str,
    pub(in crate::bench) size: &'a str,
}
