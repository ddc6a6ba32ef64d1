//! What was asked for, as given: texts, not judged yet. One structure serves the command line (flags) and the API
//! (fields, the same names in camelCase).

mod certs;
mod compose;
mod console;
mod defender;
mod istio;
mod openshift;
mod workload;

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

pub use certs::CertsFlags;
pub use compose::{ComposeFlags, ConsoleComposeFlags, DefenderComposeFlags};
pub use console::ConsoleFlags;
pub use defender::DefenderFlags;
pub use istio::IstioFlags;
pub use openshift::OpenshiftFlags;
pub use workload::WorkloadFlags;

/// Gives each flag of a command a variable: `PREFIX_FLAG_NAME`.
#[must_use]
pub fn with_variables(mut command: Command, prefix: &'static str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |sub| with_variables(sub, prefix));
    }
    command.mut_args(|argument| match argument.get_long() {
        Some(flag) if !matches!(flag, "help" | "version") => {
            let variable = format!("{prefix}_{}", flag.replace('-', "_").to_ascii_uppercase());
            // A program reads its command line once.
            argument.env(&*variable.leak())
        }
        _ => argument,
    })
}

/// A program's arguments with `help export PLATFORM` as `export PLATFORM --help`: platforms have a command line of their
/// own, of which the program's knows nothing.
#[must_use]
pub fn ask_export_for_help(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<_> = arguments.into_iter().collect();
    if arguments.get(1..3).is_some_and(|words| *words == ["help", "export"]) {
        arguments.remove(1);
        arguments.push("--help".into());
    }
    arguments
}

/// Reads a command line that names a subcommand: its name and what it was given. An empty variable counts as unset, an
/// empty flag as wrong usage.
///
/// # Errors
/// Wrong usage, and also `--help`.
pub fn read(command: Command, arguments: Vec<OsString>) -> Result<(String, ArgMatches), clap::Error> {
    let mut command = command.subcommand_required(true).arg_required_else_help(true);
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    let Some((name, mut given)) = matches.remove_subcommand() else {
        return Err(command.error(ErrorKind::MissingSubcommand, "name a platform"));
    };
    let is_given = |id: &&clap::Id| given.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    for id in given.ids().filter(is_given) {
        let mut values = given.try_get_raw(id.as_str()).ok().flatten().into_iter().flatten();
        if values.any(|value| value.to_str().is_some_and(|text| text.trim().is_empty())) {
            let flag = id.as_str().replace('_', "-");
            let text = format!("--{flag} is empty; give a value, or leave the flag out");
            return Err(command.error(ErrorKind::InvalidValue, text));
        }
    }
    let is_empty =
        |id: &str| given.get_raw(id).is_some_and(|mut values| values.all(|value| value.is_empty()));
    let empty: Vec<String> = given
        .ids()
        .map(|id| id.as_str().to_owned())
        .filter(|id| given.value_source(id) == Some(ValueSource::EnvVariable) && is_empty(id))
        .collect();
    for id in empty {
        let _ = given.try_clear_id(&id);
    }
    Ok((name, given))
}

/// Fields of a body that no flag has.
pub(crate) type Rest = BTreeMap<String, Value>;

/// A list of texts; also a single text, and for pairs a map.
pub(crate) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        List(Vec<String>),
        Pairs(BTreeMap<String, String>),
        Text(String),
    }
    Ok(match Option::<Given>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Given::List(list)) => list,
        Some(Given::Pairs(pairs)) => pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect(),
        Some(Given::Text(text)) => vec![text],
    })
}

/// Whether a switch is off, so that it need not be sent.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(crate) fn is_off(switch: &bool) -> bool {
    !*switch
}
