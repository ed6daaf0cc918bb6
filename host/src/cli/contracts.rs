//! `postern contracts`: what this build promises, as files that are checked in and compared.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use crate::app::{DataDir, Host};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::problem::CODES;
use crate::secret::ServerSecret;
use crate::settings::Settings;
use crate::tasks::Tasks;

#[derive(Debug, Args)]
pub(super) struct Contracts {
    /// Where the files go.
    #[arg(long)]
    out: PathBuf,
    /// The components whose services belong into the OpenAPI document.
    #[arg(long)]
    components: PathBuf,
}

impl Contracts {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.out)?;
        let write = |name: &str, text: String| std::fs::write(self.out.join(name), text);
        write("openapi.json", self.openapi().await?)?;
        let mut codes = String::new();
        for code in CODES {
            writeln!(codes, "{} {} {}", code.status, code.name, code.title)?;
        }
        write("problem-codes.txt", codes)?;
        write("metrics.txt", Metrics::contract())?;
        write("settings.toml", toml::to_string(&Settings::default())?)?;
        Ok(())
    }

    /// From a whole host on a throw-away data folder: the services describe themselves.
    async fn openapi(&self) -> anyhow::Result<String> {
        let folder = tempfile::tempdir()?;
        let data = DataDir::new(folder.path());
        ServerSecret::load_or_create(&data.secret())?;
        let mut settings = Settings::default();
        settings.sandbox.components.clone_from(&self.components);
        let tasks = Tasks::default();
        let host = Host::start(&data, settings, &tasks, Clock::system()).await?;
        let document = crate::http::openapi_document(&host.app.gate);
        tasks.stop(std::time::Duration::from_secs(10)).await;
        Ok(serde_json::to_string_pretty(&document)? + "\n")
    }
}
