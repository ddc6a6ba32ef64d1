//! What the setups of both programs have in common: a directory, flags, environment variables, custom certificates.

/// The methods of a setup with the fields `dir`, `flags` and `variables`.
macro_rules! setup_methods {
    () => {
        /// One flag more, or another value for one.
        #[must_use]
        pub fn flag(mut self, flag: &str, value: &str) -> Self {
            self.flags.retain(|(name, _)| name != flag);
            self.flags.push((flag.to_owned(), value.to_owned()));
            self
        }

        /// An environment variable.
        #[must_use]
        pub fn variable(mut self, name: &str, value: &str) -> Self {
            self.variables.push((name.to_owned(), value.to_owned()));
            self
        }

        /// Without the custom certificates directory.
        #[must_use]
        pub fn without_custom_dir(self) -> Self {
            std::fs::remove_dir_all(self.custom_dir()).expect("ours");
            self
        }

        /// With these files in the custom certificates directory.
        #[must_use]
        pub fn custom(self, files: &Files) -> Self {
            Manner::InPlace.place(&self.custom_dir(), files);
            self
        }

        /// The directory of everything.
        pub fn dir(&self) -> &Path {
            self.dir.path()
        }

        /// The custom certificates directory.
        pub fn custom_dir(&self) -> PathBuf {
            self.dir.path().join("custom")
        }

        /// The command with the flags and variables, and with those of `defaults` that no flag replaces. An empty value
        /// leaves the flag out.
        fn with_settings(&self, mut command: Command, defaults: &[(&str, PathBuf)]) -> Command {
            for (flag, value) in defaults {
                if !self.flags.iter().any(|(given, _)| given == flag) {
                    command.arg(flag).arg(value);
                }
            }
            for (flag, value) in self.flags.iter().filter(|(_, value)| !value.is_empty()) {
                command.arg(flag).arg(value);
            }
            command.envs(self.variables.iter().cloned());
            command
        }
    };
}

pub(crate) use setup_methods;
