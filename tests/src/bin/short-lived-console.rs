//! The Console with lives of seconds, for tests: the same library and flags, and `SHORT_LIFE` (a duration) in place of
//! the life that `--defender-certificate-life` bounds to an hour. Not part of the product.

use console::app;
use console::cli::Cli;
use console::config::Config;
use lifecycle::{duration, logging};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|usage| usage.exit());
    let mut config = Config::parse(cli.serve)?;
    if let Ok(life) = std::env::var("SHORT_LIFE") {
        config.defender_certificate_life = duration::parse(&life)?;
    }
    logging::start(config.log_level, config.log_format, &["console"]);
    app::run(config).await
}
