//! `postern batch`: every file of a folder through one service, in as many runs as it takes.
//!
//! Owns the command: which files or sets of them, how many at once, what is tried again, and when
//! to stop. The journal beside the results says what is done, so that the same command goes on
//! where the last one stopped, however that ended. Knows no service. Start at [`Batch::run`].

mod folder;
mod journal;
mod sets;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::folder::{Found, Input};
use self::journal::{Entry, Journal, Stage};
use self::sets::{Pattern, Sorter};
use super::client::form::{File, Param, json_of};
use super::client::gate::{self, Fault, Gate, Refusal};
use super::client::job::{self, Accepted, Context};
use super::client::progress::{Board, Line, Style};
use super::client::route::{self, Route, Wanted};
use super::client::save::Folder;
use super::client::{Connection, SUCCEEDED, interrupts};

/// How often one file is sent again after its run failed for a reason that may pass, or the
/// connection broke when all had been sent.
const RETRIES_MAX: u32 = 2;
/// How often the bar is drawn anew when nothing happens.
const TICK: Duration = Duration::from_secs(1);
/// What the first Ctrl-C says.
const STOPPING: &str = "stopping; the same command goes on from here; Ctrl-C again quits at once";

const EXAMPLES: &str = "\
Examples (SERVICE is one that the gate lists at /):
  export POSTERN_API_KEY=sk_…                     or --key-file FILE
  postern batch SERVICE pictures --out results    results/a.png/, results/below/b.png/, …
  postern batch SERVICE pictures --out results --jobs 8 --param a.b=1.5
  postern batch SERVICE books --out results --pair source=.en.txt --pair target=.de.txt
  postern batch SERVICE books --out results --pair source=en/ --pair target=de/
  postern batch SERVICE books --out results --pair 'source=en/*.txt' --pair 'target=de/*.xml'

Sends every file below DIR that the service takes; hidden ones are passed over. Where each
job takes several files, those whose names differ only in the part's name go together
(a.source.txt with a.target.txt, source/a.txt with target/a.txt); --pair says it for other
names. The results of a set are in OUT/a/. A set that lacks a file is a failure. Killed,
stopped or broken off, the same command goes on: a file whose results are there is skipped
while neither it nor the parameters change, a job that was accepted is followed, and what
failed is tried again. The record is OUT/.postern-batch.jsonl.

Standard error has the progress and a line for each failure, standard output the sum.
Exit codes: 0 all done; 1 some files failed; 2 usage; 3 the gate refused the key or the
service; 4 the gate cannot be reached; 5 results cannot be written; 130 stopped by Ctrl-C.";

/// Send every file of a folder to a service of a running gate.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Batch {
    /// The service's name.
    service: String,
    /// The files, also in folders below.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    connection: Connection,
    /// Where results go: a folder for each file, with its outputs and result.json.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Files at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// A parameter of every file; dotted names reach inside, values may be JSON.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<Param>,
    /// The form's part for the files, where their kind does not tell.
    #[arg(long, value_name = "NAME")]
    part: Option<String>,
    /// Which files are a part's: by an ending, by a folder, or by what stands around `*`, the name
    /// that the files of a job share. Once for each part of the form.
    #[arg(long = "pair", value_name = "PART=FILES", conflicts_with = "part")]
    pairs: Vec<Pattern>,
    /// The path, where a service has several.
    #[arg(long, value_name = "PATH")]
    route: Option<String>,
    /// For how long a gate that is busy or away is tried again.
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// No progress.
    #[arg(long, short)]
    quiet: bool,
}

/// What all files share.
struct Plan<'a> {
    gate: &'a Gate,
    route: &'a Route,
    params: &'a [Param],
    /// The parameters as one object.
    json: Value,
    /// What is asked of each file, as a digest.
    ask: &'a str,
    journal: &'a Journal,
    stop: &'a CancellationToken,
}

/// How one file ended.
enum End {
    /// Its results are there.
    Done,
    /// They were there already.
    Skipped,
    /// Why there are none, for people.
    Failed(String),
    /// It was not finished, because everything ended.
    Left,
}

/// What one run came to.
enum Tried {
    End(End),
    /// It failed, and another may not.
    Again(String),
}

/// What one request came to.
enum Sent {
    /// The job's path.
    Job(String),
    Answer(Value),
    /// Not this file; others may be taken.
    Refused(String),
}

/// How many files ended how.
#[derive(Default)]
struct Sum {
    done: u64,
    skipped: u64,
    failed: u64,
    left: u64,
}

impl Batch {
    /// Runs the command and says everything there is to say; the rest is the exit code.
    pub(super) async fn run(self) -> ExitCode {
        let bar = bar(self.quiet);
        let stop = CancellationToken::new();
        let say = |text: &str| bar.suspend(|| eprintln!("{text}"));
        let code = tokio::select! {
            ended = self.all(&bar, &stop) => ended.unwrap_or_else(|fault| {
                say(&fault.to_string());
                fault.exit_code()
            }),
            () = interrupts(&stop, say, STOPPING) => Fault::Interrupted.exit_code(),
        };
        bar.finish_and_clear();
        ExitCode::from(code)
    }

    async fn all(&self, bar: &ProgressBar, stop: &CancellationToken) -> Result<u8, Fault> {
        let gate = self.connection.gate(self.patience)?;
        let json = json_of(&self.params)?;
        let found = folder::files(&self.dir, &self.out)?;
        let document = tokio::select! {
            document = gate.get("/openapi.json") => document?.1,
            () = stop.cancelled() => return Err(Fault::Interrupted),
        };
        let route = route::find(&document, &self.service, self.route.as_deref())?;
        let sorter = Sorter::new(&route, &self.pairs)?.filter(|_| self.part.is_none());
        let inputs = match &sorter {
            Some(sorter) => self.sets(found, sorter, bar)?,
            None => self.taken(found, &route, bar)?,
        };
        let parts = sorter.map(|sorter| sorter.names()).or_else(|| self.part.clone());
        let parts = parts.unwrap_or_default();
        let ask = journal::ask(&[&self.service, &route.path, &parts, &json.to_string()]);
        let journal = Journal::open(&self.out)?;
        let (gate, route, params) = (&gate, &route, self.params.as_slice());
        let plan = Plan { gate, route, params, json, ask: &ask, journal: &journal, stop };
        bar.set_length(inputs.len() as u64);
        let (plan, mut sum, mut fatal) = (&plan, Sum::default(), None);
        let run = |input| async move { (input, self.one(plan, input).await) };
        let mut ends = stream::iter(&inputs).map(run).buffer_unordered(self.jobs.into());
        while let Some((input, end)) = ends.next().await {
            bar.inc(1);
            match end {
                Ok(End::Done) => sum.done += 1,
                Ok(End::Skipped) => sum.skipped += 1,
                Ok(End::Left) => sum.left += 1,
                Ok(End::Failed(why)) => {
                    sum.failed += 1;
                    bar.suspend(|| eprintln!("{}: {why}", input.name));
                }
                Err(fault) => {
                    sum.left += 1;
                    // Nothing that is not begun would fare better.
                    stop.cancel();
                    fatal.get_or_insert(fault);
                }
            }
            let Sum { done, skipped, failed, .. } = sum;
            bar.set_message(format!("{done} done, {skipped} skipped, {failed} failed"));
        }
        drop(ends);
        bar.finish_and_clear();
        let Sum { done, skipped, failed, left } = sum;
        println!("done {done}\tskipped {skipped}\tfailed {failed}\tleft {left}");
        match fatal {
            Some(fault) => Err(fault),
            None if left > 0 => Err(Fault::Interrupted),
            None => Ok(u8::from(failed > 0)),
        }
    }

    /// The sets of files; those that belong to none are named and passed over.
    fn sets(
        &self,
        found: Vec<Found>,
        sorter: &Sorter<'_>,
        bar: &ProgressBar,
    ) -> Result<Vec<Input>, Fault> {
        let (sets, others) = sorter.sets(&self.dir, found)?;
        for file in others {
            let why = sorter.why_not();
            bar.suspend(|| eprintln!("passed over: {}: {why}", file.path.display()));
        }
        Ok(sets)
    }

    /// The files that the route takes; the others are named and passed over.
    fn taken(
        &self,
        found: Vec<Found>,
        route: &Route,
        bar: &ProgressBar,
    ) -> Result<Vec<Input>, Fault> {
        let wanted = Wanted { part: self.part.as_deref(), together: false };
        let (mut taken, mut why_not) = (Vec::with_capacity(found.len()), None);
        for Found { name, path } in found {
            match route.part(&path, &wanted) {
                Ok(part) => {
                    let files = vec![(part.name.clone(), path)];
                    taken.push(Input { name, files, fault: None });
                }
                Err(fault) => {
                    bar.suspend(|| eprintln!("passed over: {fault}"));
                    why_not = Some(fault);
                }
            }
        }
        match (taken.is_empty(), why_not) {
            (true, Some(fault)) => Err(fault),
            (true, None) => Err(Fault::Usage(format!("{} holds no files", self.dir.display()))),
            _ => Ok(taken),
        }
    }

    /// One input from where it stands to its results. `Err`: no other file would fare better.
    async fn one(&self, plan: &Plan<'_>, input: &Input) -> Result<End, Fault> {
        if plan.stop.is_cancelled() {
            return Ok(End::Left);
        }
        if let Some(fault) = &input.fault {
            return Ok(End::Failed(fault.clone()));
        }
        let target = Folder::new(self.out.join(&input.name), true);
        let known = plan.journal.known(&input.name);
        let state = match input.look(known.map(|entry| &entry.input)).await {
            Ok(state) => state,
            Err(error) => return Ok(End::Failed(error.to_string())),
        };
        let known = known.filter(|entry| entry.is_of(plan.ask, &state));
        let mut accepted = match known {
            Some(Entry { stage: Stage::Done, .. }) if target.is_done() => return Ok(End::Skipped),
            Some(Entry { stage: Stage::Accepted { job }, .. }) => Some(job.clone()),
            _ => None,
        };
        let record = |stage| plan.journal.add(&input.name, Entry::new(plan.ask, &state, stage));
        let mut patience = plan.gate.patience();
        let mut tries = 0;
        let end = loop {
            let (why, fault) = match plan.attempt(input, &target, accepted.take(), &record).await {
                Ok(Tried::End(end)) => break end,
                Ok(Tried::Again(why)) => (Some(why.clone()), Fault::Unreachable(why)),
                Err(Fault::Interrupted) => return Ok(End::Left),
                Err(fault) if fault.may_pass() => (None, fault),
                Err(fault) => return Err(fault),
            };
            tries += 1;
            if tries > RETRIES_MAX {
                break End::Failed(why.ok_or(fault)?);
            }
            tokio::select! {
                waited = patience.wait(fault) => waited?,
                () = plan.stop.cancelled() => return Ok(End::Left),
            }
        };
        match &end {
            End::Done => record(Stage::Done)?,
            End::Failed(why) => record(Stage::Failed { why: why.clone() })?,
            End::Skipped | End::Left => {}
        }
        Ok(end)
    }
}

/// Writes a line about one file.
type Record<'a> = dyn Fn(Stage) -> Result<(), Fault> + 'a;

impl Plan<'_> {
    /// One run: sent, or picked up, followed and saved. `Err` but for `Interrupted` and what may
    /// pass: no other file would fare better.
    async fn attempt(
        &self,
        input: &Input,
        target: &Folder,
        accepted: Option<String>,
        record: &Record<'_>,
    ) -> Result<Tried, Fault> {
        let board = Board::new(Style::Silent);
        let line = board.line(&input.name);
        let path = match self.still_there(accepted).await? {
            Some(path) => path,
            // It stops by itself: what was sent as a whole is answered, so that the job is known.
            None => match self.submit(input, &line).await? {
                Sent::Job(path) => {
                    let job = path.rsplit('/').next().unwrap_or_default().to_owned();
                    record(Stage::Accepted { job })?;
                    path
                }
                Sent::Answer(answer) => return self.save(target, &line, &answer).await,
                Sent::Refused(why) => return Ok(Tried::End(End::Failed(why))),
            },
        };
        // Its own stop: a job that was accepted goes on, and the next batch picks it up.
        let calm = CancellationToken::new();
        let context = Context { gate: self.gate, stop: &calm, line: &line };
        let job = tokio::select! {
            job = job::follow(context, &path) => job?,
            () = self.stop.cancelled() => return Err(Fault::Interrupted),
        };
        if job["state"] == SUCCEEDED {
            return self.save(target, &line, &job).await;
        }
        if gate::is_absent(&job["error"]) {
            return Err(Fault::Refused(Box::new(Refusal::of(&job["error"]))));
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (state, error) = (text(&job["state"]), &job["error"]);
        let why = format!("{state}: {} {}", text(&error["code"]), text(&error["detail"]));
        let may_pass = matches!(error["status"].as_u64(), Some(502..=504));
        Ok(if may_pass { Tried::Again(why) } else { Tried::End(End::Failed(why)) })
    }

    /// The path of a job that an earlier batch began, if it can still come to something.
    async fn still_there(&self, job: Option<String>) -> Result<Option<String>, Fault> {
        let Some(job) = job else { return Ok(None) };
        let path = job::path(&job);
        match self.gate.get(&path).await {
            Ok((_, job)) if job["state"] == "canceled" || job["state"] == "expired" => Ok(None),
            Ok(_) => Ok(Some(path)),
            Err(Fault::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    async fn submit(&self, input: &Input, line: &Line) -> Result<Sent, Fault> {
        let context = Context { gate: self.gate, stop: self.stop, line };
        let files = input.files.iter().map(|(part, path)| File::look(part, path));
        let request = match files.collect::<Result<_, _>>() {
            Ok(files) => self.route.request(self.params, self.json.clone(), files),
            Err(fault) => return Ok(Sent::Refused(fault.to_string())),
        };
        match job::submit(context, self.route, &request).await {
            Ok(Accepted::Job(path)) => Ok(Sent::Job(path)),
            Ok(Accepted::Answer(answer)) => Ok(Sent::Answer(answer)),
            Err(Fault::Files(why)) => Ok(Sent::Refused(why)),
            Err(Fault::Refused(refusal)) if is_about_the_file(&refusal) => {
                Ok(Sent::Refused(refusal.to_string()))
            }
            Err(fault) => Err(fault),
        }
    }

    async fn save(&self, target: &Folder, line: &Line, answer: &Value) -> Result<Tried, Fault> {
        let calm = CancellationToken::new();
        let context = Context { gate: self.gate, stop: &calm, line };
        tokio::select! {
            saved = target.save(context, answer) => saved?,
            () = self.stop.cancelled() => return Err(Fault::Interrupted),
        }
        Ok(Tried::End(End::Done))
    }
}

/// Is another file better off? Not without a key, a scope, a route or the pipeline.
fn is_about_the_file(refusal: &Refusal) -> bool {
    matches!(refusal.status.as_u16(), 400 | 413 | 415 | 422 | 500 | 507)
}

fn bar(is_quiet: bool) -> ProgressBar {
    if is_quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({elapsed}, {eta} left)");
    // It is drawn on standard error, and only on a terminal.
    let bar = ProgressBar::new(0).with_style(style.expect("the template is written here"));
    bar.enable_steady_tick(TICK);
    bar
}
