//! The one printer: stdout is data, stderr is for people.

use std::io::{self, IsTerminal as _, Write as _};

use super::args::Format;
use crate::failure::{Failure, file_failure};

/// Where everything that is not MCP traffic is printed.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    is_coloured: bool,
}

/// The few styles that are used; all readable without colour.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Style {
    Bold,
    Red,
    Green,
    Yellow,
    Dim,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            format,
            is_coloured: wanted && io::stdout().is_terminal(),
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    pub(crate) fn is_sarif(&self) -> bool {
        self.format == Format::Sarif
    }

    pub(crate) fn is_parquet(&self) -> bool {
        self.format == Format::Parquet
    }

    pub(crate) fn is_csv(&self) -> bool {
        self.format == Format::Csv
    }

    /// One line of data. A reader that closed its end is no failure.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.raw(format!("{line}\n").as_bytes())
    }

    /// Bytes of data.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(file_failure("write to", std::path::Path::new("stdout"), &error))
            }
            _ => Ok(()),
        }
    }

    /// One line for people.
    pub(crate) fn say(&mut self, line: &str) {
        // A terminal that is gone hears nothing.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// A question whose answer is yes only when somebody says so on a terminal.
    pub(crate) fn is_confirmed(&mut self, question: &str) -> bool {
        self.asked(&format!("{question} [y/N] "))
            .is_some_and(|answer| matches!(answer.as_str(), "y" | "Y" | "yes"))
    }

    /// What somebody answers on a terminal, without the line's end; `None` where nobody can be asked.
    pub(crate) fn asked(&mut self, question: &str) -> Option<String> {
        if !io::stdin().is_terminal() {
            return None;
        }
        // A prompt that cannot be shown cannot be answered.
        write!(io::stderr().lock(), "{question}").ok()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).ok()?;
        Some(answer.trim().to_owned())
    }

    /// What went wrong, its help on its own line.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        self.say(&format!("error: {}", failure.what));
        if let Some(help) = &failure.help {
            self.say(&format!("help: {help}"));
        }
    }

    pub(crate) fn styled(&self, style: Style, text: &str) -> String {
        if !self.is_coloured {
            return text.to_owned();
        }
        let code = match style {
            Style::Bold => "1",
            Style::Red => "31",
            Style::Green => "32",
            Style::Yellow => "33",
            Style::Dim => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}
