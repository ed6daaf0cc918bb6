//! `postern plan`.

use clap::{Args, Subcommand};

use crate::app::Office;
use crate::ids::PlanName;
use crate::store;

#[derive(Debug, Subcommand)]
pub(super) enum Plan {
    /// All plans, as JSON lines.
    List,
    /// Add a plan, or change the given fields of one:
    /// `postern plan set pro --requests 6000 --burst 200`.
    Set(Set),
    /// Delete a plan that no tenant has.
    Delete { name: PlanName },
}

/// A field that is not given stays as it is.
#[derive(Debug, Args)]
pub(super) struct Set {
    name: PlanName,
    /// Requests every `--period-secs`; 0: no limit.
    #[arg(long)]
    requests: Option<u32>,
    #[arg(long)]
    period_secs: Option<u32>,
    /// Requests at once.
    #[arg(long)]
    burst: Option<u32>,
    /// Requests a UTC day; 0: no limit.
    #[arg(long)]
    quota_per_day: Option<u64>,
    /// Requests open at the same time; 0: no limit.
    #[arg(long)]
    in_flight: Option<u32>,
    /// Jobs that run at the same time; 0: no limit.
    #[arg(long)]
    jobs_running_max: Option<u32>,
    /// Jobs that are not final; 0: no limit.
    #[arg(long)]
    jobs_active_max: Option<u32>,
    /// 0 is served first.
    #[arg(long)]
    priority: Option<u32>,
    /// How long a finished job and its artifacts are kept.
    #[arg(long)]
    retention_secs: Option<u64>,
}

impl Plan {
    /// Does it change what a running host goes by?
    pub(super) fn changes(&self) -> bool {
        !matches!(self, Self::List)
    }

    pub(super) async fn run(self, office: &Office) -> anyhow::Result<()> {
        match self {
            Self::List => {
                for plan in office.tenancy.plans().await? {
                    println!("{}", serde_json::to_string(&plan)?);
                }
            }
            Self::Set(set) => {
                let known = office.tenancy.plans().await?;
                let old = known.into_iter().find(|plan| plan.name == set.name);
                let plan = set.applied(old.unwrap_or_default());
                office.tenancy.put_plan(plan.clone()).await?;
                println!("{}", serde_json::to_string(&plan)?);
            }
            Self::Delete { name } => office.tenancy.delete_plan(&name).await?,
        }
        Ok(())
    }
}

impl Set {
    fn applied(self, old: store::Plan) -> store::Plan {
        store::Plan {
            name: self.name,
            requests: self.requests.unwrap_or(old.requests),
            period_secs: self.period_secs.unwrap_or(old.period_secs),
            burst: self.burst.unwrap_or(old.burst),
            quota_per_day: self.quota_per_day.unwrap_or(old.quota_per_day),
            in_flight: self.in_flight.unwrap_or(old.in_flight),
            jobs_running_max: self.jobs_running_max.unwrap_or(old.jobs_running_max),
            jobs_active_max: self.jobs_active_max.unwrap_or(old.jobs_active_max),
            priority: self.priority.unwrap_or(old.priority),
            retention_secs: self.retention_secs.unwrap_or(old.retention_secs),
        }
    }
}
