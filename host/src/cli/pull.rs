//! `postern pull`: the weights of a model, from their publisher or from a file.
//!
//! Owns the questions and what is printed. What is fetched and how is `crate::weights`'.

use std::io::{BufRead as _, IsTerminal as _, stderr, stdin};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::HumanBytes;

use super::Desk;
use crate::app::sidecar_program;
use crate::weights::{Catalogue, FileRecord, Network, Origin, Puller, Source};

const EXAMPLES: &str = "\
Examples:
  # which models there are, and which are installed
  postern pull --list

  # from the publisher; goes on where an earlier attempt stopped
  postern pull NAME

  # in a script: whoever runs it accepts the licence
  postern pull NAME --accept-licence

  # without a network: from a file, a folder or a mirror
  postern pull NAME --from ~/Downloads/checkpoint.pt
  postern pull NAME --from https://mirror.example/models/

  # are the files still what was installed?
  postern pull NAME --verify

A running host needs no restart: the next call finds the weights.";

/// A running host has heard of the weights after this: it asks its sidecar every second. When the
/// command returns, a call of the model is accepted.
const NOTICE: Duration = Duration::from_millis(1500);

/// See the examples.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Pull {
    /// The model.
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// Where from, instead of the publisher: the file, a folder with the files, or an address; one
    /// that ends in `/` has the files' names appended.
    #[arg(long, value_name = "FILE|DIR|URL")]
    from: Option<String>,
    /// Accept the licence without being asked.
    #[arg(long, alias = "accept-license")]
    accept_licence: bool,
    /// Only look whether what is installed is unchanged.
    #[arg(long, conflicts_with_all = ["from", "list"])]
    verify: bool,
    /// Fetch again what is installed already.
    #[arg(long)]
    again: bool,
    /// Only list the models.
    #[arg(long)]
    list: bool,
    /// The folder of weights, instead of the settings' or that in the data folder.
    #[arg(long)]
    weights: Option<PathBuf>,
    /// The sidecar's program, which knows the models.
    #[arg(long)]
    sidecar: Option<PathBuf>,
    /// Who accepts the licence, for the record.
    #[arg(long, env = "USER", default_value = "unknown", hide_env = true)]
    accepted_by: String,
    /// Certificates (PEM) to trust in place of the built-in ones.
    #[arg(long, env = "SSL_CERT_FILE")]
    ca_file: Option<PathBuf>,
    /// The Python package index, for models that are published there.
    #[arg(long, env = "PIP_INDEX_URL")]
    index_url: Option<String>,
    #[arg(long, env = "PIP_CONFIG_FILE", hide = true)]
    pip_config: Option<PathBuf>,
}

impl Pull {
    pub(super) async fn run(self, desk: Desk) -> anyhow::Result<()> {
        // Bytes, digests and questions block; a thread of their own leaves the runtime alone.
        tokio::task::spawn_blocking(move || self.work(&desk)).await?
    }

    fn work(self, desk: &Desk) -> anyhow::Result<()> {
        let program =
            self.sidecar.clone().unwrap_or_else(|| sidecar_program(&desk.settings.sidecar));
        let folder =
            self.weights.clone().unwrap_or_else(|| desk.data.weights(&desk.settings.sidecar));
        let folder = std::path::absolute(folder)?;
        let network = Network {
            ca_file: self.ca_file.clone(),
            index_url: self.index_url.clone(),
            pip_config: self.pip_config.clone(),
        };
        let catalogue = Catalogue::new(program);
        let puller = Puller {
            folder,
            catalogue,
            network,
            clock: desk.clock.clone(),
            sleep: std::thread::sleep,
        };
        let Some(name) = self.name.as_ref().filter(|_| !self.list) else { return list(&puller) };
        let source = puller.catalogue.source(name)?;
        if self.verify {
            let files = puller.verify(&source)?;
            show(&files);
            eprintln!("{name} is unchanged.");
            return Ok(());
        }
        let from = self.from.as_deref().map(origin);
        if puller.installed(&source).complete && from.is_none() && !self.again {
            eprintln!(
                "{name} is installed. --verify looks whether it is unchanged, --again fetches it \
                 anew."
            );
            return Ok(());
        }
        self.accept(&puller, &source)?;
        if stderr().is_terminal() {
            eprintln!("Interrupt it when you like: the same command goes on from there.");
        }
        let files = puller.pull(&source, from.as_ref())?;
        show(&files);
        if desk.data.is_served()? {
            std::thread::sleep(NOTICE);
        }
        let folder = puller.folder.join(name);
        eprintln!("{} is installed in {}.", source.title, folder.display());
        Ok(())
    }

    /// Shows the terms and has them accepted, unless these very terms were accepted before.
    fn accept(&self, puller: &Puller, source: &Source) -> anyhow::Result<()> {
        let licence = &source.licence;
        eprintln!("{}: {}", source.title, licence.title);
        eprintln!("{}", licence.url);
        eprintln!("\n{}\n", licence.summary);
        if licence.research_only {
            eprintln!("For research only: these weights may not serve customers.\n");
        }
        if !licence.acceptance || puller.is_accepted(source) {
            return Ok(());
        }
        if !self.accept_licence {
            if !(stdin().is_terminal() && stderr().is_terminal()) {
                bail!(
                    "the licence of {} has to be accepted: read it, then say --accept-licence",
                    source.name
                );
            }
            eprint!("Do you accept these terms? [y/N] ");
            let mut answer = String::new();
            stdin().lock().read_line(&mut answer).context("no answer")?;
            if !matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
                bail!("the licence was not accepted; nothing was fetched");
            }
        }
        Ok(puller.accept(source, &self.accepted_by)?)
    }
}

fn origin(text: &str) -> Origin {
    match text.starts_with("http://") || text.starts_with("https://") {
        true => Origin::Url(text.to_owned()),
        false => Origin::Path(PathBuf::from(text)),
    }
}

/// One line a model: name, state, bytes, licence, title.
fn list(puller: &Puller) -> anyhow::Result<()> {
    for source in puller.catalogue.sources()? {
        let installed = puller.installed(&source);
        let (state, bytes) = match installed.complete {
            true => ("installed", installed.bytes),
            false => ("missing", source.bytes_total),
        };
        let research = if source.licence.research_only { " (research only)" } else { "" };
        println!(
            "{}\t{state}\t{}\t{}{research}\t{}\t{}",
            source.name,
            HumanBytes(bytes),
            source.licence.id,
            source.title,
            source.homepage
        );
    }
    Ok(())
}

/// One line a file: digest, bytes, name; as `sha256sum` prints it, with the size between.
fn show(files: &[FileRecord]) {
    for file in files {
        println!("{}\t{}\t{}", file.sha256, file.bytes, file.name);
    }
}
