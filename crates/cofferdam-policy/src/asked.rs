//! Which questions a message puts to the policies.

use std::borrow::Cow;

use cofferdam_protocol::{Message, MessageKind, Sender};

use crate::context::Context;
use crate::decision::embedded_requests;
use crate::engine::Asked;

/// A question with the text it borrows from the message.
#[derive(Debug)]
pub(crate) struct Question<'m> {
    kind: Kind,
    /// Tool, URI or prompt.
    name: Cow<'m, str>,
    arguments: Option<&'m str>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Call,
    List,
    Read,
    GetPrompt,
    Elicit,
    Sample,
    ReleaseResult,
}

impl Question<'_> {
    pub(crate) fn asked(&self) -> Asked<'_> {
        match self.kind {
            Kind::Call => Asked::Call {
                tool: &self.name,
                arguments: self.arguments,
            },
            Kind::List => Asked::List,
            Kind::Read => Asked::Read { uri: &self.name },
            Kind::GetPrompt => Asked::GetPrompt { prompt: &self.name },
            Kind::Elicit => Asked::Elicit,
            Kind::Sample => Asked::Sample,
            Kind::ReleaseResult => Asked::ReleaseResult { tool: &self.name },
        }
    }

    /// Whether somebody can be asked to consent: only the client's requests can wait.
    pub(crate) fn may_wait(&self) -> bool {
        matches!(self.kind, Kind::Call | Kind::List | Kind::Read | Kind::GetPrompt)
    }

    fn new(kind: Kind, name: Cow<'_, str>) -> Question<'_> {
        Question {
            kind,
            name,
            arguments: None,
        }
    }
}

/// What must be permitted before `message` passes; nothing, for what policies have no say in (handshakes, pings, notifications).
pub(crate) fn questions<'m>(message: &'m Message, context: &'m Context<'_>) -> Vec<Question<'m>> {
    match (context.sender, message.kind()) {
        (Sender::Client, MessageKind::Request) => client_question(message).into_iter().collect(),
        (Sender::Server, MessageKind::Request) => message.method().and_then(server_question).into_iter().collect(),
        (Sender::Server, MessageKind::Response) => answer_questions(message, context),
        _ => Vec::new(),
    }
}

fn client_question(message: &Message) -> Option<Question<'_>> {
    let named = |kind, key| Question::new(kind, message.param_str(key).unwrap_or_default());
    match message.method()? {
        "tools/call" => Some(Question {
            arguments: message.param("arguments"),
            ..named(Kind::Call, "name")
        }),
        "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list" => {
            Some(Question::new(Kind::List, Cow::Borrowed("")))
        }
        "resources/read" | "resources/subscribe" => Some(named(Kind::Read, "uri")),
        "prompts/get" => Some(named(Kind::GetPrompt, "name")),
        _ => None,
    }
}

fn server_question(method: &str) -> Option<Question<'static>> {
    match method {
        "elicitation/create" => Some(Question::new(Kind::Elicit, Cow::Borrowed(""))),
        "sampling/createMessage" => Some(Question::new(Kind::Sample, Cow::Borrowed(""))),
        _ => None,
    }
}

fn answer_questions<'m>(message: &'m Message, context: &'m Context<'_>) -> Vec<Question<'m>> {
    let mut questions = Vec::new();
    if let Some(pending) = context
        .admitted
        .answers
        .as_ref()
        .filter(|pending| &*pending.method == "tools/call")
    {
        let tool = pending.tool.as_deref().unwrap_or_default();
        questions.push(Question::new(Kind::ReleaseResult, Cow::Borrowed(tool)));
    }
    for requests in message.input_requests() {
        let methods = embedded_requests(requests).unwrap_or_default();
        questions.extend(methods.iter().filter_map(|method| server_question(method)));
    }
    questions
}
