//! `postern call`: a client of a running gate, over HTTP as any other.
//!
//! Owns the command: its options, its exit codes, which file becomes which job and where the files
//! go. Knows no service and no route: what a service takes is asked of the gate. Never opens a data
//! folder. Start at [`Call::run`]; `client/job.rs` has the way of one job.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt as _, stream};
use http::Method;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::client::form::{File, Param, Request, json_of};
use super::client::gate::{Fault, Gate};
use super::client::job::{self, Accepted, Context};
use super::client::progress::{Board, Style};
use super::client::route::{self, FilePart, Route, Wanted};
use super::client::save::{Folder, free_name};
use super::client::{Connection, SUCCEEDED, interrupts};
use crate::ids::JobId;

const EXAMPLES: &str = "\
Examples (SERVICE is one that the gate lists at /):
  export POSTERN_API_KEY=sk_…                     or --key-file FILE
  postern call SERVICE clip.mp4 --out result      one job; its files go to result/
  postern call SERVICE a.mp4 b.mp4 --out results  two jobs; results/a/ and results/b/
  postern call SERVICE *.png --frames --out r     all pictures in one job
  postern call SERVICE a.txt b.txt --out r        one job, where the service takes two texts
  postern call SERVICE clip.mp4 --param a.b=1.5 --json
  postern call --job job_… --out result           go on with a job that is known

Ctrl-C cancels the job; a second one quits at once. A connection that breaks is made
again; a download goes on where it broke off. Progress goes to standard error. Standard
output has a line for each job (file, job, state, then device, time, outputs and folder,
or code and detail), or with --json the whole answer.

Exit codes: 0 done; 1 a job failed or was cancelled by others; 2 usage; 3 refused by the
gate; 4 the gate cannot be reached; 5 a file here cannot be read or written;
130 cancelled by Ctrl-C. With several files: of the first that was not done.";

/// Send files to a service of a running gate and fetch the result.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Call {
    /// The service's name.
    #[arg(required_unless_present = "job")]
    service: Option<String>,
    /// What to send: each file is a job of its own, unless --frames, or unless every job of the
    /// service needs several files: then so many, in the order that the gate's pages name.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    connection: Connection,
    /// Where outputs and result.json go; with several jobs, a folder for each below it.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace files that exist.
    #[arg(long, requires = "out")]
    force: bool,
    /// A parameter; dotted names reach inside, values may be JSON. Repeat it for more.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<Param>,
    /// All files in one job, in this order.
    #[arg(long)]
    frames: bool,
    /// The form's part for the files, where their kind does not tell.
    #[arg(long, value_name = "NAME")]
    part: Option<String>,
    /// The path, where a service has several.
    #[arg(long, value_name = "PATH")]
    route: Option<String>,
    /// Jobs at once.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    parallel: u8,
    /// Follow this job instead of sending a new one.
    #[arg(long, value_name = "ID", conflicts_with_all = ["files", "params", "frames"])]
    job: Option<JobId>,
    /// For how long a gate that is busy or away is tried again.
    #[arg(long, default_value = "1m", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// The whole answer of each job, a line of JSON each, in the order of the files.
    #[arg(long)]
    json: bool,
    /// No progress.
    #[arg(long, short)]
    quiet: bool,
}

/// One job to be.
#[derive(Debug)]
struct Task {
    /// For people: the file, or what there is instead.
    name: String,
    /// `None` follows the job of the command line.
    request: Option<Request>,
    folder: Option<(PathBuf, Folder)>,
}

/// What all jobs share.
#[derive(Debug)]
struct Plan {
    gate: Gate,
    route: Option<Route>,
    tasks: Vec<Task>,
}

/// What the gate said in the end: a final job, or the answer of a service that had none.
#[derive(Debug)]
struct End {
    answer: Value,
    state: String,
}

impl Call {
    /// Runs the command and says everything there is to say; the rest is the exit code.
    pub(super) async fn run(self) -> ExitCode {
        let board = Board::new(Style::of(self.quiet));
        let stop = CancellationToken::new();
        let code = tokio::select! {
            code = self.all(&board, &stop) => code,
            () = interrupts(&stop, |text| board.say(text), STOPPING) => {
                code(&Err(Fault::Interrupted), &stop)
            }
        };
        ExitCode::from(code)
    }

    async fn all(&self, board: &Board, stop: &CancellationToken) -> u8 {
        let plan = match self.plan(stop).await {
            Ok(plan) => plan,
            Err(fault) => {
                let end = Err(fault);
                self.report(board, None, &end);
                return code(&end, stop);
            }
        };
        let plan = &plan;
        let run = |task| async move {
            let end = self.one(plan, task, board, stop).await;
            (task, end)
        };
        let parallel = usize::from(self.parallel);
        let mut ends = stream::iter(&plan.tasks).map(run).buffered(parallel);
        let mut first = 0;
        while let Some((task, end)) = ends.next().await {
            self.report(board, Some(task), &end);
            if first == 0 {
                first = code(&end, stop);
            }
        }
        first
    }

    /// Everything that can be wrong before the first upload is found here.
    async fn plan(&self, stop: &CancellationToken) -> Result<Plan, Fault> {
        let gate = self.connection.gate(self.patience)?;
        let Some(service) = self.service.as_deref().filter(|_| self.job.is_none()) else {
            let name = self.job.as_ref().map(ToString::to_string).unwrap_or_default();
            let tasks = vec![Task { name, request: None, folder: self.folder(None) }];
            return Ok(Plan { gate, route: None, tasks });
        };
        let document = tokio::select! {
            document = gate.once(Method::GET, "/openapi.json") => document?.1,
            () = stop.cancelled() => return Err(Fault::Interrupted),
        };
        let route = route::find(&document, service, self.route.as_deref())?;
        let sets = self.sets(&route)?;
        let mut taken = HashSet::new();
        let mut tasks = Vec::with_capacity(sets.len());
        for set in &sets {
            let name = match set {
                [] => service.to_owned(),
                [file] => file.display().to_string(),
                [first, rest @ ..] => format!("{} and {} more", first.display(), rest.len()),
            };
            let below = (sets.len() > 1).then(|| {
                let stem = set.first().and_then(|file| file.file_stem()).unwrap_or_default();
                free_name(&stem.to_string_lossy(), &mut taken)
            });
            let folder = self.folder(below.as_deref());
            if let Some((_, folder)) = &folder {
                folder.check_free()?;
            }
            tasks.push(Task { name, request: Some(self.request(&route, set)?), folder });
        }
        Ok(Plan { gate, route: Some(route), tasks })
    }

    fn folder(&self, below: Option<&str>) -> Option<(PathBuf, Folder)> {
        let out = self.out.as_ref()?;
        let path = below.map_or_else(|| out.clone(), |name| out.join(name));
        Some((path.clone(), Folder::new(path, self.force)))
    }

    /// The parts that the files of one job go into, in turn; empty where each finds its own.
    fn parts<'a>(&self, route: &'a Route) -> Vec<&'a FilePart> {
        let finds_its_own = self.frames || self.part.is_some() || self.files.is_empty();
        if finds_its_own { Vec::new() } else { route.set() }
    }

    /// The files of each job.
    fn sets(&self, route: &Route) -> Result<Vec<&[PathBuf]>, Fault> {
        let (files, parts) = (self.files.as_slice(), self.parts(route));
        if self.frames || files.is_empty() {
            return Ok(vec![files]);
        }
        let count = parts.len().max(1);
        if !files.len().is_multiple_of(count) {
            let names = parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join(", ");
            let (path, given) = (&route.path, files.len());
            let text = format!("{path} takes {count} files a job ({names}), not {given}");
            return Err(Fault::Usage(text));
        }
        Ok(files.chunks(count).collect())
    }

    fn request(&self, route: &Route, files: &[PathBuf]) -> Result<Request, Fault> {
        let params = json_of(&self.params)?;
        let wanted = Wanted { part: self.part.as_deref(), together: self.frames };
        let parts = self.parts(route);
        let file = |(index, path): (usize, &PathBuf)| match parts.get(index) {
            Some(part) => File::look(&part.name, path),
            None => File::look(&route.part(path, &wanted)?.name, path),
        };
        let files: Vec<File> = files.iter().enumerate().map(file).collect::<Result<_, _>>()?;
        Ok(route.request(&self.params, params, files))
    }

    /// One job from its request to its files.
    async fn one(
        &self,
        plan: &Plan,
        task: &Task,
        board: &Board,
        stop: &CancellationToken,
    ) -> Result<End, Fault> {
        if stop.is_cancelled() {
            return Err(Fault::Interrupted);
        }
        let line = board.line(&task.name);
        let context = Context { gate: &plan.gate, stop, line: &line };
        let path = match (&self.job, &plan.route, &task.request) {
            (None, Some(route), Some(request)) => {
                match job::submit(context, route, request).await? {
                    Accepted::Job(path) => path,
                    Accepted::Answer(answer) => {
                        let end = End { answer, state: SUCCEEDED.to_owned() };
                        return self.saved(context, task, end).await;
                    }
                }
            }
            (id, ..) => job::path(id.as_ref().map_or("", JobId::as_str)),
        };
        let done = async {
            let answer = job::follow(context, &path).await?;
            let state = answer["state"].as_str().unwrap_or_default().to_owned();
            self.saved(context, task, End { answer, state }).await
        };
        let end = done.await;
        if let Err(Fault::Unreachable(_) | Fault::Files(_) | Fault::Interrupted) = &end {
            let id = path.rsplit('/').next().unwrap_or_default();
            board.say(&format!("the gate still has the job: postern call --job {id}"));
        }
        end
    }

    /// The same end once its files are written.
    async fn saved(&self, context: Context<'_>, task: &Task, end: End) -> Result<End, Fault> {
        let Some((_, folder)) = task.folder.as_ref().filter(|_| end.state == SUCCEEDED) else {
            return Ok(end);
        };
        tokio::select! {
            saved = folder.save(context, &end.answer) => saved?,
            () = context.stop.cancelled() => return Err(Fault::Interrupted),
        }
        Ok(end)
    }

    /// What standard output says of one job, or standard error of why there is none.
    fn report(&self, board: &Board, task: Option<&Task>, end: &Result<End, Fault>) {
        board.clear();
        let name = task.map_or("", |task| task.name.as_str());
        let said = |text: &str| {
            let colon = if name.is_empty() { "" } else { ": " };
            board.say(&format!("{name}{colon}{text}"));
        };
        match end {
            Ok(end) if self.json => println!("{}", end.answer),
            Ok(end) => println!("{}", summary(name, end, task)),
            Err(Fault::Refused(refusal)) => {
                said(&refusal.to_string());
                if self.json {
                    println!("{}", refusal.problem);
                }
            }
            Err(Fault::Usage(text) | Fault::Files(text) | Fault::Unreachable(text)) => said(text),
            Err(Fault::Interrupted) => said("cancelled"),
        }
    }
}

/// What the first Ctrl-C says.
const STOPPING: &str = "cancelling; Ctrl-C again quits at once";

fn code(end: &Result<End, Fault>, stop: &CancellationToken) -> u8 {
    match end {
        Ok(end) if end.state == SUCCEEDED => 0,
        Ok(end) if end.state == "canceled" && stop.is_cancelled() => 130,
        Ok(_) => 1,
        Err(fault) => fault.exit_code(),
    }
}

/// A line of a table: tabs between its cells.
fn summary(name: &str, end: &End, task: Option<&Task>) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let job = &end.answer;
    let mut cells = vec![name.to_owned(), text(&job["id"]), end.state.clone()];
    if end.state == SUCCEEDED {
        let millis = job["timings"]["total_ms"].as_u64();
        let outputs = job["outputs"].as_array().map_or(0, Vec::len);
        cells.push(text(&job["device"]));
        cells.push(millis.map_or_else(|| "-".into(), |millis| format!("{millis} ms")));
        cells.push(format!("{outputs} outputs"));
        let folder = task.and_then(|task| task.folder.as_ref());
        cells.extend(folder.map(|(path, _)| path.display().to_string()));
    } else {
        cells.extend([text(&job["error"]["code"]), text(&job["error"]["detail"])]);
    }
    // What a pipeline says must not look like another line.
    cells.join("\t").replace(['\n', '\r'], " ")
}
