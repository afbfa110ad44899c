"""Plays the steps of a NiFi flow: as much of its processors and its expression language as our flow uses."""

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import orjson

Group = dict[str, Any]
Attributes = dict[str, str]


@dataclass(frozen=True, slots=True)
class FlowFile:
    content: bytes
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Played:
    """What would have been published."""

    topic: str
    key: str
    value: bytes


def play(group: Group, asked: str, answer: bytes, now: datetime) -> Iterator[Played]:
    """What the flow publishes when the processor called `asked` gets `answer`."""
    processors = {it["identifier"]: it for it in group["processors"]}
    (start,) = (it["identifier"] for it in group["processors"] if it["name"] == asked)
    waiting = deque([(start, "Response", FlowFile(answer, {}))])
    seen: set[str] = set()
    while waiting:
        at, relationship, file = waiting.popleft()
        for connection in group["connections"]:
            if connection["source"]["id"] != at or relationship not in connection["selectedRelationships"]:
                continue
            to = processors[connection["destination"]["id"]]
            kind = to["type"].rpartition(".")[2]
            if kind == "PublishKafka":
                topic = to["properties"]["Topic Name"]
                yield Played(topic, evaluate(to["properties"]["Kafka Key"], file.attributes, now), file.content)
            else:
                waiting.extend((to["identifier"], name, out) for name, out in STEPS[kind](to, file, now, seen))


Out = Iterator[tuple[str, FlowFile]]


def dynamic(processor: dict[str, Any]) -> dict[str, str]:
    about = processor["propertyDescriptors"]
    return {name: value for name, value in processor["properties"].items() if about[name]["dynamic"]}


def split_json(processor: dict[str, Any], file: FlowFile, _now: datetime, _seen: set[str]) -> Out:
    found = [orjson.loads(file.content)]
    for name in processor["properties"]["JsonPath Expression"].removeprefix("$.").split("."):
        found = [it[name.removesuffix("[*]")] for it in found]
        if name.endswith("[*]"):
            found = [element for it in found for element in it]
    yield "original", file
    for element in found:
        yield "split", FlowFile(orjson.dumps(element), file.attributes)


def evaluate_json_path(processor: dict[str, Any], file: FlowFile, _now: datetime, _seen: set[str]) -> Out:
    body = orjson.loads(file.content)
    made = {name: as_java(body.get(path.removeprefix("$."))) for name, path in dynamic(processor).items()}
    yield "matched", replace(file, attributes={**file.attributes, **made})


def as_java(value: Any) -> str:
    """`Objects.toString` of a scalar; null is the empty string, as the processor is set."""
    assert not isinstance(value, dict | list), "no scalar: the processor would fail"
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and abs(value) >= 1e7:  # Java writes 1702281600.0 as 1.7022816E9
        digits, _, exponent = f"{value:.15e}".partition("e")
        return f"{digits.rstrip('0')}E{int(exponent)}"
    return str(value)


def route(processor: dict[str, Any], file: FlowFile, now: datetime, _seen: set[str]) -> Out:
    matched = [name for name, value in dynamic(processor).items() if evaluate(value, file.attributes, now) == "true"]
    yield from ((name, file) for name in matched or ["unmatched"])


def update(processor: dict[str, Any], file: FlowFile, now: datetime, _seen: set[str]) -> Out:
    made = {name: evaluate(value, file.attributes, now) for name, value in dynamic(processor).items()}
    yield "success", replace(file, attributes={**file.attributes, **made})


def detect_duplicate(processor: dict[str, Any], file: FlowFile, now: datetime, seen: set[str]) -> Out:
    identifier = evaluate(processor["properties"]["Cache Entry Identifier"], file.attributes, now)
    yield "duplicate" if identifier in seen else "non-duplicate", file
    seen.add(identifier)


def replace_text(processor: dict[str, Any], file: FlowFile, now: datetime, _seen: set[str]) -> Out:
    assert processor["properties"]["Replacement Strategy"] == "Always Replace"
    text = evaluate(processor["properties"]["Replacement Value"], file.attributes, now)
    yield "success", replace(file, content=text.encode())


STEPS: Final[dict[str, Callable[[dict[str, Any], FlowFile, datetime, set[str]], Out]]] = {
    "SplitJson": split_json,
    "EvaluateJsonPath": evaluate_json_path,
    "RouteOnAttribute": route,
    "UpdateAttribute": update,
    "DetectDuplicate": detect_duplicate,
    "ReplaceText": replace_text,
}

# The expression language


_TOKEN: Final = re.compile(r"\s*(?:([a-zA-Z_]+)|('[^']*'|\"[^\"]*\")|(-?[0-9]+)|(\$\{|[():,}]))")


def evaluate(text: str, attributes: Attributes, now: datetime) -> str:
    """`text` with each `${…}` in it replaced, once."""
    out, place = [], 0
    while (start := text.find("${", place)) >= 0:
        parser = _Parser(text, start, attributes, now)
        out += [text[place:start], parser.expression()]
        place = parser.place
    return "".join([*out, text[place:]])


class _Parser:
    """`${subject:function(arguments):…}`; arguments are literals or such expressions."""

    def __init__(self, text: str, place: int, attributes: Attributes, now: datetime) -> None:
        self.text, self.place, self.attributes, self.now = text, place, attributes, now

    def token(self) -> str:
        match = _TOKEN.match(self.text, self.place)
        assert match, f"not understood: {self.text[self.place :]}"
        self.place = match.end()
        return match[0].strip()

    def expression(self) -> str:
        assert self.token() == "${"
        name = self.token()
        value = self.attributes.get(name, "")
        if self.text[self.place] == "(":
            assert (name, self.arguments()) == ("now", [])
            value = str(round(self.now.timestamp() * 1000))
        while (token := self.token()) != "}":
            assert token == ":"
            value = FUNCTIONS[self.token()](value, *self.arguments())
        return value

    def arguments(self) -> list[str]:
        assert self.token() == "("
        found = []
        while (start := self.text[self.place]) != ")":
            found.append(self.expression() if start == "$" else self.token().strip("'\""))
            if self.text[self.place] == ",":
                self.token()
                self.place += self.text[self.place] == " "
        self.token()
        return found


_JAVA_FORMAT: Final = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}


def _format(value: str, form: str, zone: str) -> str:
    assert zone == "UTC"
    for java, python in _JAVA_FORMAT.items():
        form = form.replace(java, python)
    return datetime.fromtimestamp(int(value) / 1000, UTC).strftime(form)


def _bool(value: bool) -> str:
    return str(value).lower()


FUNCTIONS: Final[dict[str, Callable[..., str]]] = {
    "append": lambda value, more: value + more,
    "and": lambda value, other: _bool(value == other == "true"),
    "equals": lambda value, other: _bool(value == other),
    "escapeJson": lambda value: orjson.dumps(value).decode()[1:-1],
    "format": _format,
    "multiply": lambda value, by: str(int(value) * int(by)),
    "replaceEmpty": lambda value, other: value if value.strip() else other,
    "startsWith": lambda value, start: _bool(value.startswith(start)),
    "toDecimal": lambda value: str(float(value)),
    "toNumber": lambda value: str(int(float(value))),
}
