//! `postern key`.

use std::time::Duration;

use clap::Subcommand;

use crate::app::Office;
use crate::clock::{Clock, Timestamp};
use crate::ids::{KeyId, TenantId};
use crate::secret::KeyText;
use crate::store;
use crate::tenancy::NewKey;

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Create a key; its text goes to standard output, once.
    Create {
        #[arg(long, required_unless_present = "admin")]
        tenant: Option<TenantId>,
        /// An operator's key for the admin API instead of a tenant's.
        #[arg(long, conflicts_with = "tenant")]
        admin: bool,
        /// For people.
        #[arg(long, default_value = "")]
        label: String,
        /// A service that it may use; repeat it for more. All of them without it.
        #[arg(long = "scope")]
        scopes: Vec<String>,
        /// How long it is good for: `90d`, `12h`. For ever without it.
        #[arg(long, value_parser = humantime::parse_duration)]
        expires: Option<Duration>,
    },
    /// Keys with their state, never their secrets.
    List {
        #[arg(long)]
        tenant: Option<TenantId>,
    },
    /// Make a new key in place of an old one, which goes on for the grace.
    Rotate {
        id: KeyId,
        #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
        grace: Duration,
    },
    /// From now on the key opens nothing, within a second also on a running host.
    Revoke { id: KeyId },
}

impl Key {
    /// Does it change what a running host goes by?
    pub(super) fn changes(&self) -> bool {
        !matches!(self, Self::List { .. })
    }

    pub(super) async fn run(self, office: &Office, clock: &Clock) -> anyhow::Result<()> {
        let tenancy = &office.tenancy;
        match self {
            Self::Create { admin: true, label, .. } => {
                show_once(&tenancy.create_admin_key(label).await?);
            }
            Self::Create { tenant, label, scopes, expires, .. } => {
                let tenant = tenant.ok_or_else(|| anyhow::anyhow!("give --tenant or --admin"))?;
                let scopes = if scopes.is_empty() { vec!["*".into()] } else { scopes };
                let expires_at = expires.map(|span| clock.now().plus(span));
                let new = NewKey { tenant, label, scopes, expires_at };
                show_once(&tenancy.create_key(new).await?);
            }
            Self::List { tenant } => {
                for key in tenancy.keys(tenant.as_ref()).await? {
                    show(&key, clock.now());
                }
            }
            Self::Rotate { id, grace } => show_once(&tenancy.rotate(&id, grace).await?),
            Self::Revoke { id } => {
                tenancy.revoke(&id).await?;
                eprintln!("Key {id} is revoked.");
            }
        }
        Ok(())
    }
}

fn show_once((key, text): &(store::Key, KeyText)) {
    eprintln!("Key {}. Its text, shown only now:", key.id);
    println!("{}", text.reveal());
}

fn show(key: &store::Key, now: Timestamp) {
    let state = match (key.revoked_at, key.expires_at) {
        (Some(at), _) if at <= now => "revoked",
        (_, Some(at)) if at <= now => "expired",
        _ => "good",
    };
    let owner = key.tenant.as_ref().map_or("(operator)", TenantId::as_str);
    let expires = key
        .expires_at
        .map(|at| humantime::format_rfc3339_seconds(at.to_system_time()).to_string())
        .unwrap_or_else(|| "never".into());
    println!("{}\t{owner}\t{state}\t{}\t{expires}\t{}", key.id, key.scopes.join(","), key.label);
}
