//! `cargo xtask images`: the two container images, without a base image, an engine or the internet. Each is a scratch
//! image of one static binary, CA certificates and empty directories; equal binaries give equal archives.
//!
//! The programs are those of the one build profile (`.cargo/rustc` has them linked statically), less their symbols:
//! nothing is compiled for the images alone.

mod tar;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use tar::{Archive, Owner};

/// Builds, packs, and hands over to the engine when asked.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let (mut builds, mut loads) = (true, false);
    for argument in arguments {
        match argument.as_str() {
            "--load" => loads = true,
            "--no-build" => builds = false,
            "-h" | "--help" => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!("{USAGE}");
                return crate::wrong_usage();
            }
        }
    }
    if builds && !crate::build() {
        return ExitCode::FAILURE;
    }
    match pack_all(loads) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("cargo xtask images: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// What differs between the two.
struct Image {
    program: &'static str,
    about: &'static str,
    /// Directories that the program writes to, below `/var/lib/twistlock`.
    dirs: [&'static str; 2],
    ports: &'static [u16],
    health: &'static str,
}

fn pack_all(loads: bool) -> Result<(), String> {
    let out = crate::release_dir().with_file_name("images");
    fs::create_dir_all(&out).map_err(|error| format!("making {}: {error}", out.display()))?;
    for image in &IMAGES {
        let file = out.join(format!("{}.tar", image.program));
        let size = pack(image, &file)?;
        println!("{}: {:.1} MiB", file.display(), mebibytes(size));
        if size > MOST_BYTES {
            return Err(format!("{} is over {:.0} MiB", file.display(), mebibytes(MOST_BYTES)));
        }
        if loads {
            load(&file)?;
        }
    }
    Ok(())
}

/// Writes one image as `docker load` takes it; its size.
fn pack(image: &Image, file: &Path) -> Result<u64, String> {
    let binary = bare(image.program, file)?;
    let layer = layer(image, &binary)?;
    let layer_sum = sha256(&layer)?;
    let config = config(image, &layer_sum);
    let config_name = format!("{}.json", sha256(config.as_bytes())?);
    let version = env!("CARGO_PKG_VERSION");
    let manifest = format!(
        "[{{\"Config\":\"{config_name}\",\"RepoTags\":[\"garrison/{}:{version}\"],\"Layers\":[\"{layer_sum}.tar\"]}}]",
        image.program
    );
    let mut archive = Archive::default();
    archive.file("manifest.json", manifest.as_bytes(), 0o644, Owner::Root)?;
    archive.file(&config_name, config.as_bytes(), 0o644, Owner::Root)?;
    archive.file(&format!("{layer_sum}.tar"), &layer, 0o644, Owner::Root)?;
    let bytes = archive.end();
    fs::write(file, &bytes).map_err(|error| format!("writing {}: {error}", file.display()))?;
    u64::try_from(bytes.len()).map_err(|error| error.to_string())
}

/// The built program without its symbols, beside the archive.
fn bare(program: &str, archive: &Path) -> Result<PathBuf, String> {
    let (built, bare) = (crate::release_dir().join(program), archive.with_extension("stripped"));
    let binutils = |arguments: &[&str]| {
        let name = arguments.first().copied().unwrap_or_default();
        let mut command = Command::new(name);
        command.args(arguments.iter().skip(1)).arg(&built);
        let output = command.output();
        let output = output
            .map_err(|error| format!("starting {name}: {error}; install it: apt-get install binutils"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(format!(
            "{name}: {}; build first: cargo xtask images",
            String::from_utf8_lossy(&output.stderr).trim()
        ))
    };
    if binutils(&["readelf", "--wide", "--program-headers"])?.contains(" INTERP ") {
        return Err(format!(
            "{} is not static and would not start in a scratch image; build it by `cargo xtask images`, without \
             RUSTC_WORKSPACE_WRAPPER in the environment",
            built.display()
        ));
    }
    binutils(&["strip", "--strip-all", "-o", &bare.to_string_lossy()])?;
    Ok(bare)
}

fn layer(image: &Image, binary: &Path) -> Result<Vec<u8>, String> {
    let read = |path: &Path| fs::read(path).map_err(|error| format!("reading {}: {error}", path.display()));
    let authorities = read(Path::new(AUTHORITIES))
        .map_err(|fault| format!("{fault}; install the CA certificates: apt-get install ca-certificates"))?;
    let mut layer = Archive::default();
    for dir in [
        "etc",
        "etc/ssl",
        "etc/ssl/certs",
        "usr",
        "usr/local",
        "usr/local/bin",
        "var",
        "var/lib",
        "var/lib/twistlock",
    ] {
        layer.dir(dir, 0o755, Owner::Root)?;
    }
    layer.dir("tmp", 0o1777, Owner::Root)?;
    for dir in image.dirs {
        // An engine gives a new volume the owner of the directory that it covers.
        layer.dir(&format!("var/lib/twistlock/{dir}"), 0o750, Owner::Program)?;
    }
    let user = tar::USER;
    layer.file(
        "etc/passwd",
        format!("garrison:x:{user}:{user}::/:/sbin/nologin\n").as_bytes(),
        0o644,
        Owner::Root,
    )?;
    layer.file("etc/group", format!("garrison:x:{user}:\n").as_bytes(), 0o644, Owner::Root)?;
    layer.file("etc/nsswitch.conf", b"hosts: files dns\n", 0o644, Owner::Root)?;
    layer.file(AUTHORITIES.trim_start_matches('/'), &authorities, 0o644, Owner::Root)?;
    layer.file(&format!("usr/local/bin/{}", image.program), &read(binary)?, 0o755, Owner::Root)?;
    Ok(layer.end())
}

/// How a container of it is run. Everything in it is known here, so nothing needs escaping.
fn config(image: &Image, layer_sum: &str) -> String {
    let Image { program, about, health, .. } = image;
    let mut ports = String::new();
    for port in image.ports {
        let comma = if ports.is_empty() { "" } else { "," };
        let _ = write!(ports, "{comma}\"{port}/tcp\":{{}}");
    }
    let (version, user) = (env!("CARGO_PKG_VERSION"), tar::USER);
    format!(
        "{{\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":\"1970-01-01T00:00:00Z\",\
         \"config\":{{\"User\":\"{user}:{user}\",\"ExposedPorts\":{{{ports}}},\
         \"Env\":[\"PATH=/usr/local/bin\",\"SSL_CERT_FILE={AUTHORITIES}\"],\
         \"Entrypoint\":[\"/usr/local/bin/{program}\"],\"WorkingDir\":\"/\",\"StopSignal\":\"SIGTERM\",\
         \"Healthcheck\":{{\"Test\":[\"CMD\",\"/usr/local/bin/{program}\",\"{health}\"],\"Interval\":10000000000,\
         \"Timeout\":5000000000,\"StartPeriod\":60000000000,\"Retries\":3}},\
         \"Labels\":{{\"org.opencontainers.image.title\":\"garrison/{program}\",\
         \"org.opencontainers.image.description\":\"{about}\",\
         \"org.opencontainers.image.version\":\"{version}\",\
         \"org.opencontainers.image.licenses\":\"MIT OR Apache-2.0\"}}}},\
         \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"sha256:{layer_sum}\"]}},\
         \"history\":[{{\"created\":\"1970-01-01T00:00:00Z\",\"created_by\":\"cargo xtask images\"}}]}}"
    )
}

fn load(file: &Path) -> Result<(), String> {
    let status = Command::new("docker").arg("load").arg("--input").arg(file).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`docker load`: {status}; see that the engine runs: dockerd")),
        Err(error) => Err(format!("starting docker: {error}; install it: apt-get install docker.io")),
    }
}

/// By the program of that name, so that this one needs no library for it.
fn sha256(bytes: &[u8]) -> Result<String, String> {
    let fault = |error: std::io::Error| format!("sha256sum: {error}; install it: apt-get install coreutils");
    let mut program =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(fault)?;
    if let Some(mut input) = program.stdin.take() {
        input.write_all(bytes).map_err(fault)?;
    }
    let output = program.wait_with_output().map_err(fault)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let sum = text.split_whitespace().next().filter(|sum| sum.len() == 64);
    sum.map(str::to_owned).ok_or_else(|| "sha256sum gave no sum".to_owned())
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "shown with one digit behind the point"
)]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

const IMAGES: [Image; 2] = [
    Image {
        program: "console",
        about: "Garrison Console: API and pages on 8083, Defenders on 8084",
        dirs: ["console", "certificates"],
        ports: &[8083, 8084],
        health: "healthcheck",
    },
    Image {
        program: "defender",
        about: "Garrison Defender: dials its Console and reports",
        dirs: ["defender", "certificates"],
        ports: &[],
        health: "status",
    },
];

const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
const MOST_BYTES: u64 = 25 * 1024 * 1024;

const USAGE: &str = "\
Usage: cargo xtask images [--load] [--no-build]

Builds garrison/console and garrison/defender: static binaries in scratch images, written to target/images/ as
archives for `docker load`. Needs no internet and no base image.

  --load      hands them to the engine
  --no-build  packs the programs as they are in target/release/";
