//! `postern job`.

use clap::Subcommand;

use crate::app::Office;
use crate::clock::Clock;
use crate::ids::{JobId, TenantId};
use crate::store::{Job as Stored, JobFilter};

#[derive(Debug, Subcommand)]
pub(super) enum Job {
    /// The newest jobs: id, tenant, service, state, age.
    List {
        #[arg(long)]
        tenant: Option<TenantId>,
        #[arg(long)]
        service: Option<String>,
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
    },
    /// One job.
    Show { tenant: TenantId, id: JobId },
    /// Ask a job to stop. A running host notices when the job next starts or ends; to stop a run at
    /// once, use the admin API.
    Cancel { tenant: TenantId, id: JobId },
}

impl Job {
    pub(super) async fn run(self, office: &Office, clock: &Clock) -> anyhow::Result<()> {
        let missing = || anyhow::anyhow!("that tenant has no such job");
        match self {
            Self::List { tenant, service, limit } => {
                let filter = JobFilter { tenant, service, limit, ..JobFilter::default() };
                for job in office.store.jobs(filter).await? {
                    show(&job, clock);
                }
            }
            Self::Show { tenant, id } => {
                let job = office.store.job(&tenant, &id).await?.ok_or_else(missing)?;
                show(&job, clock);
                println!("params\t{}", job.params);
                for blob in job.inputs.iter().chain(&job.outputs) {
                    println!("{}\t{}\t{} bytes", blob.name, blob.media_type, blob.bytes);
                }
                if let Some(error) = &job.error {
                    println!("error\t{}\t{}", error.code, error.detail);
                }
            }
            Self::Cancel { tenant, id } => {
                let job = office.store.cancel_job(&tenant, &id, clock.now()).await?;
                show(&job.ok_or_else(missing)?, clock);
            }
        }
        Ok(())
    }
}

fn show(job: &Stored, clock: &Clock) {
    let age = std::time::Duration::from_secs(clock.now().since(job.created_at).as_secs());
    let state = job.state.as_str();
    let (tenant, service, age) = (&job.tenant, &job.service, humantime::format_duration(age));
    println!("{}\t{tenant}\t{service}\t{state}\tattempt {}\t{age}", job.id, job.attempt);
}
