//! The Prometheus text format, version 0.0.4.

use std::fmt::{Display, Write as _};

/// A page under construction.
#[derive(Debug, Default)]
pub struct Text {
    text: String,
    name: &'static str,
}

impl Text {
    /// Begins the metric `name`, which the samples after it belong to. `kind` is `counter`, `gauge` or `histogram`.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        // A String takes whatever is written.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// A sample of the metric; `suffix` is `_bucket`, `_sum` or `_count` for a histogram, else empty.
    pub fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        for (place, (name, value)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{name}=\"");
            self.escape(value);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// The page.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }

    fn escape(&mut self, value: &str) {
        for character in value.chars() {
            match character {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                other => self.text.push(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_values_written_plainly() {
        let mut text = Text::default();
        text.family("garrison_x", "gauge", "Help.");
        text.sample("", &[], 0.25);
        text.sample("_bucket", &[("a", "\\ \"} 1\n# x"), ("b", "ä")], 7);
        let expected = "# HELP garrison_x Help.\n# TYPE garrison_x gauge\ngarrison_x 0.25\n\
                        garrison_x_bucket{a=\"\\\\ \\\"} 1\\n# x\",b=\"ä\"} 7\n";
        assert_eq!(text.finish(), expected);
    }
}
