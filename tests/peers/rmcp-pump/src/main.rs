//! A pump between our stdin and stdout and a server's, on rmcp's own transports and message types: what a gateway built
//! on that SDK costs before it does anything.
#![forbid(unsafe_code)]

use anyhow::{Context as _, Result};
use rmcp::RoleServer;
use rmcp::transport::{IntoTransport, TokioChildProcess, Transport as _, stdio};
use tokio::process::Command;

// One thread: the faster of tokio's two runtimes for one session.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let mut command = Command::new(words.next().context("no command to pump for")?);
    command.args(words);
    let mut server = TokioChildProcess::new(command).context("cannot start the server")?;
    let mut client = IntoTransport::<RoleServer, _, _>::into_transport(stdio());
    loop {
        tokio::select! {
            message = client.receive() => match message {
                Some(message) => server.send(message).await?,
                None => break,
            },
            message = server.receive() => match message {
                Some(message) => client.send(message).await?,
                None => break,
            },
        }
    }
    Ok(server.close().await?)
}
