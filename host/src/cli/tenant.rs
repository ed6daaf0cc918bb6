//! `postern tenant`.

use clap::Subcommand;

use crate::app::Office;
use crate::ids::{PlanName, TenantId};
use crate::store;

#[derive(Debug, Subcommand)]
pub(super) enum Tenant {
    /// Create a tenant: `postern tenant create acme --plan pro`.
    Create {
        id: TenantId,
        #[arg(long, default_value = "default")]
        plan: PlanName,
    },
    /// All tenants.
    List,
    /// Move a tenant to another plan.
    Plan { id: TenantId, plan: PlanName },
    /// From now on its keys and tokens open nothing; its jobs run on.
    Suspend { id: TenantId },
    /// Undo `suspend`.
    Resume { id: TenantId },
}

impl Tenant {
    /// Does it change what a running host goes by?
    pub(super) fn changes(&self) -> bool {
        !matches!(self, Self::List)
    }

    pub(super) async fn run(self, office: &Office) -> anyhow::Result<()> {
        let tenancy = &office.tenancy;
        match self {
            Self::Create { id, plan } => show(&tenancy.create_tenant(id, plan).await?),
            Self::Plan { id, plan } => show(&tenancy.set_plan(&id, plan).await?),
            Self::Suspend { id } => show(&tenancy.suspend(&id).await?),
            Self::Resume { id } => show(&tenancy.resume(&id).await?),
            Self::List => tenancy.tenants().await?.iter().for_each(show),
        }
        Ok(())
    }
}

fn show(tenant: &store::Tenant) {
    let state = if tenant.suspended { "suspended" } else { "active" };
    println!("{}\t{}\t{state}", tenant.id, tenant.plan);
}
