//! `audit prune --install-timer`: the units that prune every day.

use std::path::{Path, PathBuf};

use crate::cli::output::Output;
use crate::failure::{Exit, Failure, file_failure};
use crate::home::Home;

const NAME: &str = "cofferdam-prune";

/// Writes the user's service and timer, and says how to start them.
pub(super) fn install(home: &Home, output: &mut Output) -> Result<Exit, Failure> {
    let folder = match &home.explicit {
        Some(explicit) => explicit.join("config/systemd/user"),
        None => home.user_home.join(".config/systemd/user"),
    };
    let program = std::env::current_exe().map_err(|cause| file_failure("find", Path::new("/proc/self/exe"), &cause))?;
    let mut command = vec![program];
    if let Some(explicit) = &home.explicit {
        command.extend([PathBuf::from("--home"), explicit.clone()]);
    }
    command.extend(["audit", "prune"].map(PathBuf::from));
    let line: Result<Vec<String>, Failure> = command.iter().map(|word| quoted(word)).collect();
    // Nothing to prune is no failure of the unit.
    let service = format!(
        "[Unit]\nDescription=Remove records of MCP servers whose time is over\n\n[Service]\nType=oneshot\nNice=10\nSuccessExitStatus=3\nExecStart={}\n",
        line?.join(" ")
    );
    let timer = "[Unit]\nDescription=Prune the record of MCP servers every day\n\n[Timer]\nOnCalendar=daily\nRandomizedDelaySec=1h\nPersistent=true\n\n[Install]\nWantedBy=timers.target\n";
    std::fs::create_dir_all(&folder).map_err(|cause| file_failure("make the folder", &folder, &cause))?;
    for (ending, text) in [("service", service.as_str()), ("timer", timer)] {
        let path = folder.join(format!("{NAME}.{ending}"));
        std::fs::write(&path, text).map_err(|cause| file_failure("write", &path, &cause))?;
        output.line(&path.display().to_string())?;
    }
    let unit = if home.explicit.is_some() {
        format!("{}/{NAME}.timer", folder.display())
    } else {
        format!("{NAME}.timer")
    };
    output.say(&format!(
        "start it with: systemctl --user daemon-reload && systemctl --user enable --now {unit}"
    ));
    Ok(Exit::Fine)
}

/// One word of `ExecStart`, as systemd reads it.
fn quoted(word: &Path) -> Result<String, Failure> {
    let text = word.to_str().filter(|text| !text.contains(char::is_control));
    let text =
        text.ok_or_else(|| Failure::misconfigured(format!("the path `{}` cannot stand in a unit", word.display())))?;
    let text = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%")
        .replace('$', "$$");
    Ok(format!("\"{text}\""))
}
