//! Tells a webhook that somebody is asked for consent. It leads to the question, and answers nothing.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use cofferdam_ship::{Undelivered, Webhook, WebhookPoster};
use serde_json::{Value, json};

use super::Question;
use crate::gate::escaped;

/// Questions that wait to be posted.
const WAITING_MAX: usize = 64;
/// Tries for each, and the pause before the second, which doubles.
const TRIES_MAX: u32 = 4;
const PAUSE: Duration = Duration::from_secs(1);
const STACK_BYTES: usize = 512 * 1024;

/// A thread that posts questions: nothing on the line waits for it.
#[derive(Debug)]
pub(crate) struct QuestionPoster(SyncSender<(String, Value)>);

impl QuestionPoster {
    /// Begins; `say` tells the operator what could not be posted.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(webhook: Webhook, say: impl Fn(String) + Send + 'static) -> std::io::Result<Self> {
        let (questions, waiting) = sync_channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("approvals-webhook".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || post_all(WebhookPoster::new(webhook), &waiting, &say))?;
        Ok(Self(questions))
    }

    /// Hands a question over; `false` where too many wait already.
    pub(crate) fn post(&self, question: &Question) -> bool {
        let body = json!({"type": "cofferdam.approval.asked", "data": facts(question)});
        !matches!(
            self.0.try_send((format!("approval-{}", question.id), body)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_))
        )
    }
}

/// Everything but the arguments, which are between the model, the person and the server. Texts of others are printable and nothing else.
fn facts(question: &Question) -> Value {
    let safe = |text: &str| escaped(text.as_bytes());
    json!({
        "id": question.id, "server": safe(&question.server), "tool": safe(&question.tool), "client": safe(&question.client),
        "level": question.level, "reason": question.reason, "policy": safe(&question.policy), "findings": question.findings.len(),
        "digest": question.digest, "expires": question.expires, "record": question.record,
    })
}

fn post_all(mut poster: WebhookPoster, waiting: &Receiver<(String, Value)>, say: &dyn Fn(String)) {
    let mut is_told = false;
    while let Ok((id, body)) = waiting.recv() {
        match post(&mut poster, &id, &body.to_string()) {
            Ok(()) => is_told = false,
            Err(cause) if !is_told => {
                is_told = true;
                say(format!(
                    "cofferdam: the webhook of approvals did not take a question: {}",
                    escaped(cause.to_string().as_bytes())
                ));
            }
            Err(_) => {}
        }
    }
}

fn post(poster: &mut WebhookPoster, id: &str, body: &str) -> Result<(), Undelivered> {
    let mut pause = PAUSE;
    let mut tries = 1;
    loop {
        match poster.post(id, body) {
            Err(Undelivered::Unavailable(_)) if tries < TRIES_MAX => {
                std::thread::sleep(pause);
                (tries, pause) = (tries + 1, pause * 2);
            }
            outcome => return outcome,
        }
    }
}
