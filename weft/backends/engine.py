"""The contract between weft and an inference engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from weft.backends.retry import Retry
from weft.backends.wording import Wording
from weft.errors import Unsupported, UsageError
from weft.types import Delta, Message, Price, Request

if TYPE_CHECKING:
    from weft.cache.kv_events import ReportedIndex

OnDelta = Callable[[Delta], None]


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """What an engine says of itself.

    Attributes:
        running: requests now.
        waiting: requests now.
        kv_usage: share of KV in use now.
        preemptions: requests that it threw out for want of KV, since it began.
    """

    running: int = 0
    waiting: int = 0
    kv_usage: float = 0.0
    preemptions: int = 0


class Engine(ABC):
    """One inference server, or replica, that serves one model.

    An engine is used between `connect` and `aclose`. Everything but `name` may be read only
    after `connect`.

    Attributes:
        name: unique in a pool; an address, for instance.
        model: the name under which the engine serves its model.
        context: most tokens of prompt and answer together; None if unknown.
        concurrency: how many calls the engine can run at once.
        rate: how many calls a second the engine gets at most; None for no limit.
        silence: after how many seconds without a byte a request is given up.
        retry: how calls are sent again for which the engine was too busy.
        kv_tokens: how many tokens the engine's KV cache holds; None if unknown.
        process: a number that changes when another process serves there, with an empty cache;
            `healthy` looks for that, as far as the server tells.
        block_size: tokens in a block of the engine's prefix cache.
        takes_tokens: whether prompts may be token ids, and answers have token ids.
        continues: whether the engine can continue an open answer.
        calls_tools: whether the engine can be told of tools. Otherwise the model is told in words,
            and writes its calls as JSON. Of engines that take tokens their template tells.
        priority: whether the engine schedules by priority, and is to be told which program began
            first.
        leases: whether the engine keeps in its cache what `Request.keep` asks for.
        leased: blocks that its leases held when it last told; 0 if it does not tell.
        needed: blocks that its leases have given up for need since it began; 0 likewise.
        wording: what users said of the parameters that the engine takes: `omit`, `rename`, `extra`.
        price: what tokens cost; None if nothing.
        opens_thinking: whether the model's chat template ends a prompt within thinking, so that
            answers begin there. If this is not known before, an answer shows it.
        url: the address for raw requests: what stands before `/v1`; empty if there is none.
        api_key: the key that the engine asks for; None if the engine asks for none.
        real: whether it computes or costs something; tests may forbid such engines.
        cards: what the engine lists of the names under which it serves its model, adapters
            included, in OpenAI's form; empty if it lists none, or other models too.
    """

    name: str
    model: str
    context: int | None = None
    concurrency: int = 64
    rate: float | None = None
    silence: float = 300.0
    retry: Retry = Retry()
    kv_tokens: int | None = None
    process: int = 0
    block_size: int = 16
    takes_tokens: bool = False
    continues: bool = False
    calls_tools: bool = True
    priority: bool = False
    leases: bool = False
    leased: int = 0
    needed: int = 0
    wording: Wording = Wording()
    price: Price | None = None
    opens_thinking: bool = False
    url: str = ""
    api_key: str | None = None
    real: bool = True
    cards: Sequence[Mapping[str, Any]] = ()

    def adapts(self, name: str) -> bool:
        """Whether a name is that of an adapter (LoRA) of the model."""
        return any(card.get("id") == name and card.get("parent") for card in self.cards)

    async def list_names(self) -> None:
        """Read `cards` anew, for adapters come and go.

        Raises:
            EngineError: the engine does not answer as it should.
        """
        return

    def allow(
        self,
        *,
        concurrency: int | None = None,
        rate: float | None = None,
        silence: float | None = None,
        retry: Retry | Mapping[str, Any] | int | None = None,
    ) -> None:
        """Set limits, before `connect`; what is None stays as it is.

        Args:
            concurrency: how many calls may run at once.
            rate: calls a second.
            silence: seconds without a byte after which a request is given up.
            retry: a Retry, its fields, or its attempts alone.

        Raises:
            UsageError: a value is out of range.
        """
        if concurrency is not None:
            if concurrency % 1 or not concurrency >= 1:
                raise UsageError(f"concurrency={concurrency} must be a whole number of at least 1")
            self.concurrency = int(concurrency)
        if rate is not None:
            self.rate = _above_zero("rate", rate)
        if silence is not None:
            self.silence = _above_zero("silence", silence)
        if retry is not None:
            self.retry = Retry.of(retry)

    @abstractmethod
    async def connect(self) -> None:
        """Reach the engine, check what it serves, and fill in the attributes.

        Raises:
            EngineUnavailable: nothing answers.
            NotAnEngine: what answers is no inference server.
            WrongModel: the model asked for is not served there.
        """

    @abstractmethod
    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        """Run one request to its end, handing each piece to `on_delta` as it comes.

        Cancelling the surrounding scope aborts the request in the engine.

        Raises:
            EngineUnavailable: the engine died on the way.
            EngineBusy: the engine can take nothing more for now.
            RequestFailed: the engine failed at this request.
            ContextExceeded: the prompt does not fit.
            RequestRejected: the engine refused the request and said why.
            Unsupported: the engine can't do what the request asks for.
        """

    async def render(
        self,
        messages: tuple[Message, ...],
        *,
        open: bool,
        template: Mapping[str, Any] | None = None,
    ) -> tuple[int, ...]:
        """The token ids of a conversation under the model's chat template.

        The ids end with the generation prompt, or, if `open`, within the last answer.
        `template` has settings of the chat template, and the `tools` that the model may call.
        Only engines that take tokens can do this.
        """
        raise Unsupported(f"engine {self.name} does not take token ids; send it messages")

    async def tokenize(self, text: str) -> tuple[int, ...]:
        """The token ids of a text alone, without special tokens."""
        raise Unsupported(f"engine {self.name} does not take token ids; send it messages")

    async def load(self) -> EngineLoad:
        """What the engine says of its load; zeros if the engine says nothing."""
        return EngineLoad()

    async def follow_cache(self, index: ReportedIndex) -> None:
        """Keep `index` as the engine's own reports say, until cancelled.

        Returns at once if the engine reports nothing of its prefix cache.

        Raises:
            EngineError: the reports can't be understood.
        """
        return

    async def healthy(self) -> bool:
        """Whether the engine answers now."""
        return True

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of connections. Engines that weft launched are stopped elsewhere."""


def _above_zero(name: str, value: float) -> float:
    if not 0 < value < float("inf"):
        raise UsageError(f"{name}={value:g} must be a number above 0")
    return value
