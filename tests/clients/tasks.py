"""The tasks extension (`io.modelcontextprotocol/tasks`) for client.py: what the Python SDK leaves to extensions."""

from typing import Any, Literal

import mcp.types as types
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim

EXTENSION = "io.modelcontextprotocol/tasks"
# How often an unfinished task is asked for before it is cancelled.
WORKING_MAX = 3


class TaskResult(types.Result):
    """A tool's result that is a task, and a task itself."""

    model_config = {"extra": "allow"}
    result_type: Literal["task"] = "task"
    task_id: str
    status: str


class Task(types.Result):
    model_config = {"extra": "allow"}


class Params(types.RequestParams):
    task_id: str
    input_responses: dict[str, Any] | None = None


class Request(types.Request[Params, Literal["tasks/get", "tasks/update", "tasks/cancel"]]):
    method: Literal["tasks/get", "tasks/update", "tasks/cancel"]
    params: Params


class Tasks(ClientExtension):
    """Asks for a task until it is done, answers what it asks, and cancels one that does not end."""

    identifier = EXTENSION

    def __init__(self, transcript, answer):
        self._transcript = transcript
        self._answer = answer

    def claims(self):
        return [ResultClaim(result_type="task", model=TaskResult, resolve=self._resolve)]

    async def _ask(self, context, method, **params):
        answer = await context.session.send_request(Request(method=method, params=Params(**params)), Task)
        shown = answer.model_dump(by_alias=True, mode="json", exclude_unset=True)
        self._transcript.event(method, shown)
        return shown

    async def _resolve(self, result, context: ClaimContext):
        self._transcript.event("task", result.model_dump(by_alias=True, mode="json", exclude_unset=True))
        states, working = [], 0
        while True:
            task = await self._ask(context, "tasks/get", task_id=result.task_id)
            states.append(task["status"])
            match task["status"]:
                case "completed":
                    return types.CallToolResult.model_validate(task["result"])
                case "cancelled":
                    return types.CallToolResult(content=[types.TextContent(text=" ".join(states))])
                case "input_required":
                    answers = {name: self._answer for name in task["inputRequests"]}
                    await self._ask(context, "tasks/update", task_id=result.task_id, input_responses=answers)
                case _:
                    working += 1
                    if working == WORKING_MAX:
                        await self._ask(context, "tasks/cancel", task_id=result.task_id)
