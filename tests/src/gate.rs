//! A gate: the real `postern` with its real sidecar on a data folder of its own.
//!
//! Owns the processes and the folder. Always: when a [`Gate`] is dropped, and also when the test
//! process ends without dropping it, host and sidecar end and the folder goes. A test that fails
//! shows the ends of the logs of all gates of its process. Start at [`Gate::start`].

mod guard;
mod logs;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Client, send};
use crate::patience::{until, until_blocking};
use crate::process::Process;
use guard::Guard;

/// The plan that tests use unless they are about plans: nothing is limited but jobs.
pub const OPEN_PLAN: &str = "open";
/// The program name of the sidecar.
const SIDECAR: &str = "postern-sidecar";

/// What a gate is started with; the default is what a newcomer gets.
#[derive(Debug, Default)]
pub struct Setup {
    /// The text of `postern.toml`.
    pub settings: String,
    /// Components of `target/guests/fixtures` that are served as services beside the usual ones.
    pub fixtures: &'static [&'static str],
    /// A program that is started in the sidecar's place. The gate is not waited for then.
    pub sidecar: Option<PathBuf>,
    /// Fills the folder of weights before the start; see [`crate::weights`].
    pub weights: Option<fn(&Path)>,
    /// The only folder where programs are looked for, in place of the machine's.
    pub programs: Option<PathBuf>,
}

/// A running gate.
#[derive(Debug)]
pub struct Gate {
    folder: TempDir,
    setup: Setup,
    operator_key: String,
    host: Child,
    address: String,
    guard: Guard,
}

/// A key as its maker sees it, once.
#[derive(Debug, Clone)]
pub struct Key {
    /// The part that lists and logs may show.
    pub id: String,
    pub text: String,
}

impl Key {
    fn of(text: &str) -> Self {
        let id = text.split('_').nth(1).expect("`sk_<id>_<secret>`");
        Self { id: id.to_owned(), text: text.to_owned() }
    }

    /// The part that nothing may show.
    #[must_use]
    pub fn secret(&self) -> &str {
        self.text.rsplit('_').next().expect("a text has a last part")
    }
}

impl Gate {
    /// Starts a gate as a newcomer would.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Setup::default())
    }

    /// Starts a gate with settings of its own.
    ///
    /// # Panics
    /// When something was not built, or the gate does not come up.
    #[must_use]
    pub fn start_with(setup: Setup) -> Self {
        check_built();
        let folder = tempfile::Builder::new().prefix("postern-").tempdir().expect("a folder");
        logs::add(&folder.path().join("host.log"));
        let guard = Guard::over(folder.path());
        let mut init = Command::new(program("postern"));
        let operator_key = said(init.args(["init", "--data"]).arg(folder.path().join("data")));
        fs::write(folder.path().join("data/postern.toml"), &setup.settings).expect("settings");
        gather_components(folder.path(), setup.fixtures);
        if let Some(install) = setup.weights {
            install(&folder.path().join("data/weights"));
        }
        let unlimited = ["--requests", "0", "--in-flight", "0", "--quota-per-day", "0"];
        let mut plan = Command::new(program("postern"));
        plan.args(["plan", "set", OPEN_PLAN]).args(unlimited);
        said(plan.arg("--data").arg(folder.path().join("data")));
        let host = serve(folder.path(), &setup);
        let mut gate = Self { folder, setup, operator_key, host, address: String::new(), guard };
        gate.wait_ready();
        gate
    }

    /// Runs one command of `postern` on this data folder and gives what it printed.
    ///
    /// # Panics
    /// When the command fails.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> String {
        said(Command::new(program("postern")).args(arguments).arg("--data").arg(self.data()))
    }

    /// Runs one command that has to fail, without a terminal, and gives what it complained of.
    ///
    /// # Panics
    /// When the command succeeds.
    #[must_use]
    #[track_caller]
    pub fn refused(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(program("postern"));
        command.args(arguments).arg("--data").arg(self.data()).stdin(Stdio::null());
        let output = command.output().expect("the program starts");
        assert!(!output.status.success(), "{arguments:?} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Starts a second host on the same data folder and waits for its end.
    #[must_use]
    pub fn serve_again(&self) -> Output {
        let mut second = Command::new(program("postern"));
        second.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(self.data());
        second.arg("--components").arg(self.folder.path().join("components"));
        second.output().expect("the program starts")
    }

    /// A client without a key.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.address)
    }

    /// A client with the operator's key.
    #[must_use]
    pub fn operator(&self) -> Client {
        self.client().with_key(&self.operator_key)
    }

    /// A new tenant on a plan without limits, and a client with its key.
    pub async fn tenant(&self, id: &str) -> Client {
        self.tenant_on(id, OPEN_PLAN).await
    }

    /// A new tenant on that plan, and a client with its key. By the admin API: both work at once.
    pub async fn tenant_on(&self, id: &str, plan: &str) -> Client {
        let operator = self.operator();
        let tenant = json!({ "id": id, "plan": plan });
        assert_eq!(operator.post("/admin/v1/tenants", &tenant).await.status, 201);
        let key = operator.post("/admin/v1/keys", &json!({ "tenant": id })).await.json();
        self.client().with_key(key["key"].as_str().expect("a new key is shown"))
    }

    /// Adds a plan, in force at once. What `fields` leaves out is the default.
    pub async fn plan(&self, name: &str, fields: &Value) {
        let operator = self.operator();
        let path = format!("/admin/v1/plans/{name}");
        send(operator.request(Method::PUT, &path).json(fields)).await.ok();
    }

    /// A new key by the command line, with more options of `postern key create`.
    #[must_use]
    pub fn key(&self, tenant: &str, options: &[&str]) -> Key {
        Key::of(&self.cli(&[&["key", "create", "--tenant", tenant], options].concat()))
    }

    /// A client with a key of the command line, once the running host knows the key.
    pub async fn client_with(&self, key: &Key) -> Client {
        let client = self.client().with_key(&key.text);
        until("the host knows a new key", async || {
            let answer = client.get("/v1/jobs").await;
            (!answer.text().contains("key_unknown")).then_some(())
        })
        .await;
        client
    }

    /// The host's process.
    #[must_use]
    pub fn host(&self) -> Process {
        Process(self.host.id())
    }

    /// The sidecar's process, while there is one.
    #[must_use]
    pub fn sidecar(&self) -> Option<Process> {
        self.host().child(SIDECAR)
    }

    /// Where the host listens: `127.0.0.1:40001`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Everything that host and sidecar have logged.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join("host.log")).expect("a log");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Every blob of a tenant with its length.
    #[must_use]
    pub fn blobs(&self, tenant: &str) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        let mut folders = vec![self.data().join("blobs").join(tenant)];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(folder) else { continue };
            for entry in entries.flatten() {
                match entry.metadata() {
                    Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                    Ok(meta) => found.push((entry.path(), meta.len())),
                    // Removed between the two looks.
                    Err(_) => {}
                }
            }
        }
        found
    }

    /// Ends the host without a chance to react.
    pub fn kill_host(&mut self) {
        self.host.kill().expect("it is our child");
        self.host.wait().expect("it is our child");
    }

    /// Waits for the end of a host that was asked to stop, and gives how it ended.
    pub fn stopped_host(&mut self) -> ExitStatus {
        self.host.wait().expect("it is our child")
    }

    /// Starts a host on the same data folder, after the last one has ended. Its address is new.
    pub fn restart_host(&mut self) {
        assert!(self.host.try_wait().expect("our child").is_some(), "the last host still runs");
        fs::remove_file(self.folder.path().join("address")).expect("the last host wrote it");
        self.host = serve(self.folder.path(), &self.setup);
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        self.guard.watch(self.host());
        let file = self.folder.path().join("address");
        let path = if self.setup.sidecar.is_some() { "/livez" } else { "/readyz" };
        let host = &mut self.host;
        self.address = until_blocking("the gate is ready", || {
            let ended = host.try_wait().expect("our child");
            assert!(ended.is_none(), "the host ended at its start: {ended:?}");
            let address = fs::read_to_string(&file).ok()?;
            is_good(&address, path).then_some(address)
        });
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let sidecar = self.sidecar();
        // Fails when a test has ended it already.
        let _ = self.host.kill();
        let _ = self.host.wait();
        if let Some(sidecar) = sidecar {
            // It writes into the folder until it has noticed; a test that fails must not hang here.
            until_blocking("the sidecar ends with its host", || {
                (!sidecar.is_alive()).then_some(())
            });
        }
        self.guard.dismiss();
        logs::remove(&self.folder.path().join("host.log"));
    }
}

fn serve(folder: &Path, setup: &Setup) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("host.log"));
    let log = log.expect("a log file");
    let mut command = Command::new(program("postern"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--log", "info,postern=debug"]);
    command.arg("--data").arg(folder.join("data"));
    command.arg("--components").arg(folder.join("components"));
    command.arg("--address-file").arg(folder.join("address"));
    command.arg("--sidecar").arg(setup.sidecar.clone().unwrap_or_else(|| program(SIDECAR)));
    if let Some(programs) = &setup.programs {
        command.env("PATH", programs);
    }
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
    command.spawn().expect("the program starts")
}

/// One folder with what this gate serves: links to what `cargo xtask guests` built.
fn gather_components(folder: &Path, fixtures: &[&str]) {
    let (guests, components) = (guests(), folder.join("components"));
    fs::create_dir(&components).expect("a new folder");
    let link = |from: &Path, name: &str| {
        std::os::unix::fs::symlink(from, components.join(name)).expect("a link");
    };
    for entry in fs::read_dir(&guests).expect("it was checked").flatten() {
        if entry.path().is_file() {
            link(&entry.path(), &entry.file_name().to_string_lossy());
        }
    }
    for fixture in fixtures {
        let from = guests.join("fixtures").join(format!("{fixture}.wasm"));
        assert!(from.is_file(), "{} is missing: run cargo xtask test", from.display());
        link(&from, &format!("shape-{fixture}.wasm"));
    }
}

/// Does the path answer 200? One byte-for-byte request, because there is no runtime here.
fn is_good(address: &str, path: &str) -> bool {
    let Ok(mut socket) = TcpStream::connect(address) else { return false };
    let mut answer = String::new();
    let asked = write!(socket, "GET {path} HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n\r\n");
    asked.is_ok()
        && socket.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

/// Standard output of a command that has to succeed.
#[track_caller]
fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{complaint}", output.status);
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[track_caller]
fn check_built() {
    let built = [program("postern"), program(SIDECAR), guests().join("auth.wasm")];
    for path in built {
        assert!(path.is_file(), "{} is missing: run cargo xtask test", path.display());
    }
}

/// A program beside the test: `target/debug/deps/<test>` → `target/debug/<name>`.
pub(crate) fn program(name: &str) -> PathBuf {
    profile_folder().join(name)
}

/// The components, which are of no profile.
fn guests() -> PathBuf {
    profile_folder().parent().expect("`target` is above").join("guests")
}

fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("Linux");
    test.ancestors().nth(2).expect("`deps` is in the profile's folder").to_owned()
}
