//! The load generator `wrk`, from Debian's packages: started, read, repeated.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::median;
use crate::process;

/// One kind of load; always one thread, so that two cores are shared with what is measured.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) url: String,
    pub(super) connections: u32,
    /// Header lines.
    pub(super) headers: Vec<String>,
    /// A script that makes the requests.
    pub(super) script: Option<String>,
}

/// Says how to get it when it is missing.
pub(super) fn find() -> Result<()> {
    match process::find_program("wrk") {
        Some(_) => Ok(()),
        None => bail!("wrk is missing: `apt-get install wrk`"),
    }
}

impl Load {
    /// Medians over rounds: requests a second, latency, and how many were not 2xx or 3xx.
    pub(super) fn measure(&self, rounds: usize, secs: u64) -> Result<Value> {
        let (mut rates, mut p50s, mut p99s, mut refused) = (vec![], vec![], vec![], 0.0);
        for _ in 0..rounds {
            let mut wrk = Command::new("wrk");
            wrk.args(["-t1", "--latency"]).arg(format!("-c{}", self.connections));
            wrk.arg(format!("-d{secs}s"));
            for header in &self.headers {
                wrk.args(["-H", header]);
            }
            if let Some(script) = &self.script {
                wrk.args(["-s", script]);
            }
            let text = process::stdout(wrk.arg(&self.url))?;
            let field = |name: &str| {
                let line = text.lines().map(str::trim).find(|line| line.starts_with(name));
                line.and_then(|line| line.split_whitespace().nth(1)).map(str::to_owned)
            };
            let rate = field("Requests/sec:").context("wrk printed no rate")?;
            rates.push(rate.parse()?);
            p50s.push(micros(&field("50%").context("wrk printed no median")?)?);
            p99s.push(micros(&field("99%").context("wrk printed no p99")?)?);
            let bad =
                text.lines().find_map(|line| line.trim().strip_prefix("Non-2xx or 3xx responses:"));
            refused += bad.and_then(|count| count.trim().parse::<f64>().ok()).unwrap_or(0.0);
        }
        Ok(json!({
            "requests_per_sec": median(rates),
            "p50_us": median(p50s),
            "p99_us": median(p99s),
            "not_2xx": refused,
            "connections": self.connections,
        }))
    }
}

/// `1.23ms` in microseconds.
fn micros(text: &str) -> Result<f64> {
    let (number, factor) = if let Some(number) = text.strip_suffix("us") {
        (number, 1.0)
    } else if let Some(number) = text.strip_suffix("ms") {
        (number, 1e3)
    } else {
        (text.trim_end_matches('s'), 1e6)
    };
    Ok(number.parse::<f64>().with_context(|| format!("wrk printed `{text}`"))? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_wrk_are_read_in_every_unit() {
        assert_eq!(micros("512.00us").unwrap(), 512.0);
        assert_eq!(micros("1.50ms").unwrap(), 1500.0);
        assert_eq!(micros("2.00s").unwrap(), 2e6);
        assert!(micros("x").is_err());
    }
}
