//! What is wrong with what was asked for: every fault at once, each with its flag and the accepted form.

use std::fmt;

use thiserror::Error;

/// Every fault, one a line.
#[derive(Debug, Error, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

/// One flag that cannot be taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The flag, for example `--storage-size`.
    flag: String,
    /// What is wrong, and the accepted form.
    cause: String,
}

/// Judges one flag after the other and keeps the faults.
#[derive(Debug, Default)]
pub(crate) struct Judge(Vec<Fault>);

impl Faults {
    /// The faults as the API tells them: its fields are the flags in camelCase.
    #[must_use]
    pub fn of_fields(&self) -> String {
        let told = self.0.iter().map(|fault| format!("{}: {}", field(&fault.flag), fault.cause));
        told.collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|fault| writeln!(f, "error: {fault}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.flag, self.cause)
    }
}

impl Judge {
    pub(crate) fn note(&mut self, flag: &str, cause: impl Into<String>) {
        self.0.push(Fault { flag: flag.to_owned(), cause: cause.into() });
    }

    /// A flag that may be absent. An empty text counts as absent: that is what an unset variable looks like.
    pub(crate) fn text<T>(
        &mut self,
        flag: &str,
        given: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = given.map(str::trim).filter(|text| !text.is_empty())?;
        parse(text).map_err(|cause| self.note(flag, cause)).ok()
    }

    /// A flag that may be repeated.
    pub(crate) fn texts<T>(
        &mut self,
        flag: &str,
        given: &[String],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        given.iter().filter_map(|text| self.text(flag, Some(text), &parse)).collect()
    }

    /// A flag without which there is nothing to write.
    pub(crate) fn required<T>(
        &mut self,
        flag: &str,
        given: Option<&str>,
        form: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if given.is_none_or(|text| text.trim().is_empty()) {
            self.note(flag, format!("it is missing; {form}"));
            return None;
        }
        self.text(flag, given, parse)
    }

    /// What was made, if there was no fault.
    pub(crate) fn end<T>(self, made: T) -> Result<T, Faults> {
        if self.0.is_empty() { Ok(made) } else { Err(Faults(self.0)) }
    }

    /// The faults, when it is known that there are some.
    pub(crate) fn faults(self) -> Faults {
        Faults(self.0)
    }
}

/// `--custom-certs-nfs` -> `customCertsNfs`.
fn field(flag: &str) -> String {
    if flag.contains(", ") {
        return flag.split(", ").map(field).collect::<Vec<_>>().join(", ");
    }
    if flag == "--cluster-address" {
        return "consoleAddr".to_owned();
    }
    let mut field = String::new();
    for (at, word) in flag.trim_start_matches('-').split('-').enumerate() {
        let mut letters = word.chars();
        match letters.next() {
            Some(first) if at > 0 => field.extend(first.to_uppercase().chain(letters)),
            Some(first) => field.extend(std::iter::once(first).chain(letters)),
            None => {}
        }
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_names_fields_as_the_command_line_names_flags() {
        assert_eq!(field("--custom-certs-nfs"), "customCertsNfs");
        assert_eq!(field("--namespace, --public-url"), "namespace, publicUrl");
        assert_eq!(field("--cluster-address"), "consoleAddr");
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let mut judge = Judge::default();
        judge.note("--a-b", "one");
        judge.note("--c", "two");
        let faults = judge.end(()).expect_err("two faults");
        assert_eq!(faults.to_string(), "error: --a-b: one\nerror: --c: two\n");
        assert_eq!(faults.of_fields(), "aB: one; c: two");
    }
}
