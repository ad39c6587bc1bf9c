"""workflow: a program made of operators, each of which names what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from inspect import Parameter, Signature
from typing import Any

from weft.errors import UnknownName, UsageError
from weft.programs.fan_out import fan_out
from weft.programs.nodes import awaitable, program
from weft.programs.scope import current, enter
from weft.programs.scope.declaration import Declaration, declared
from weft.programs.workflows.assign import Assignment
from weft.programs.workflows.operator import Operator, operator_of

_SKIPPED = object()


def workflow(
    *operators: Callable[..., Any],
    returns: str | Sequence[str] = (),
    name: str = "workflow",
) -> Workflow:
    """A program made of operators: async functions that name what they need.

        async def kind(mail): ...
        @when(lambda kind: kind == "complaint")
        async def facts(mail, kind): ...
        async def reply(mail, kind, facts=None): ...

        answer = workflow(kind, facts, reply)
        done = await run(answer, mail, pool=pool)

    A parameter that has the name of an operator is given what that operator returned; all other
    parameters are the workflow's inputs. So operators are chained by their parameters. Those
    that need nothing of each other run side by side. An operator marked `when` runs only if its
    condition holds. If it does not, those that need the operator use the default of their
    parameter; without a default they are left out too. (Compositional
    tasks out of atomic ones, chained, branching or conditional: Atomic-to-Compositional
    Generalization, 2025.)

    Args:
        *operators: async functions, marked `@node` or not.
        returns: the operator whose result is the workflow's, the last one by default. Of several
            it is the first that was not left out; if all were, the result is None.
        name: of the program.

    Raises:
        UsageError: two operators have one name, they need each other in a circle, or one is no
            function of named parameters.
    """
    return Workflow(tuple(map(operator_of, operators)), returns, name, {})


class Workflow:
    """A program made of operators; see `workflow`.

    Attributes:
        needs: the operators that each operator needs, in an order in which they can run.
        inputs: the names of the workflow's inputs.
    """

    def __init__(
        self,
        operators: Sequence[Operator],
        returns: str | Sequence[str],
        name: str,
        models: Mapping[str, str],
    ) -> None:
        if not operators:
            raise UsageError("a workflow needs at least one operator")
        known = {one.name: one for one in operators}
        if len(known) < len(operators):
            names = [one.name for one in operators]
            twice = next(one for one in names if names.count(one) > 1)
            raise UsageError(f"two operators are named {twice}; name one of them differently")
        graph = {one.name: [n for n in one.needs if n in known] for one in operators}
        try:
            order = list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            circle = " needs ".join(reversed(error.args[1]))
            raise UsageError(f"operators need each other in a circle: {circle}") from None
        self.returns = (returns,) if isinstance(returns, str) else tuple(returns)
        self.returns = self.returns or (operators[-1].name,)
        for kind, names in (("operator to return", self.returns), ("operator", models)):
            for one in names:
                if one not in known:
                    raise UnknownName(kind, one, known)
        self._operators = {one: known[one] for one in order}
        self._given, self._models = operators, dict(models)
        self.needs = {one: tuple(graph[one]) for one in order}
        wanted = {n: o for o in operators for n in o.needs if n not in known}
        optional = {n: d for o in operators for n, d in o.defaults.items() if n in wanted}
        needed = {n for o in operators for n in o.needs if n not in o.defaults}
        self.inputs = tuple(sorted(wanted, key=lambda n: n in optional and n not in needed))
        self.__name__, self.__doc__ = name, f"A workflow of {', '.join(order)}."
        types = {n: kind for o in operators for n, kind in o.types.items()}
        self.__annotations__ = {n: types[n] for n in self.inputs if n in types}
        self.__signature__ = Signature(
            [
                Parameter(n, Parameter.POSITIONAL_OR_KEYWORD)
                if n in needed or n not in optional
                else Parameter(n, Parameter.POSITIONAL_OR_KEYWORD, default=optional[n])
                for n in self.inputs
            ]
        )

        async def whole(*args: Any, **kwargs: Any) -> Any:
            return await self._run(self.__signature__.bind(*args, **kwargs).arguments)

        whole.__name__ = name
        # Marked as a program; a run of the workflow is a run of this function.
        self.__weft_calls__ = self._program = program(whole)
        self.__weft__ = vars(self._program)["__weft__"] = self._declaration()

    def _declaration(self) -> Declaration:
        after = {
            one: tuple(n for n, needs in self.needs.items() if one in needs) or ("",)
            for one in self.needs
        }
        known = {one: declared(o.function) for one, o in self._operators.items()}
        calls = [one.calls for one in known.values()]
        tokens = [one.tokens for one in known.values()]
        return Declaration(
            sum(c for c in calls if c is not None) if None not in calls else None,
            sum(t for t in tokens if t is not None) if None not in tokens else None,
            follow=after,
            known=known,
            begins=tuple(one for one, needs in self.needs.items() if not needs),
        )

    def on(self, models: Assignment | Mapping[str, str]) -> Workflow:
        """The same workflow, in which models of the pool do the operators' calls.

        Args:
            models: of each operator the model that answers for its role `solver`; those that
                are not named are answered by the pool's solver.

        Raises:
            UnknownName: there is no such operator.
        """
        models = models.models if isinstance(models, Assignment) else models
        own = {**self._models, **models}
        return Workflow(self._given, self.returns, self.__name__, own)

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the workflow on its inputs.

        Raises:
            UsageError: an input is missing, or is none of the workflow's.
            UnknownName: no engine serves a model that an operator is to be done by.
            Exception: whatever an operator raises; the others are cancelled then.
        """
        try:
            self.__signature__.bind(*args, **kwargs)
        except TypeError as error:
            inputs = ", ".join(self.inputs) or "none"
            raise UsageError(f"{self.__name__} takes the inputs {inputs}: {error}") from None
        return await self._program(*args, **kwargs)

    async def _run(self, state: dict[str, Any]) -> Any:
        served = {engine.model for engine in current().pool.engines} if self._models else set[str]()
        for model in self._models.values():
            if model not in served:
                raise UnknownName("model", model, served)
        missing = {one: set(needs) for one, needs in self.needs.items()}

        def ready() -> list[str]:
            free = [one for one, needs in missing.items() if not needs]
            for one in free:
                del missing[one]
            return free

        async def operate(one: str) -> str:
            state[one] = await self._operate(self._operators[one], state)
            for needs in missing.values():
                needs.discard(one)
            return one

        operate.__name__ = "operators"  # as the graph shows those that run side by side
        now = ready()
        while now:
            if len(now) == 1:
                await operate(now[0])
                now = ready()
                continue
            async with fan_out(operate, now) as ended:
                async for _ in ended:
                    ended.add(*ready())
            now = []
        return next((v for one in self.returns if (v := state[one]) is not _SKIPPED), None)

    async def _operate(self, one: Operator, state: Mapping[str, Any]) -> Any:
        given: dict[str, Any] = {}
        for name in one.needs:
            value = state.get(name, _SKIPPED)
            if value is not _SKIPPED:
                given[name] = value
            elif name not in one.defaults:
                return _SKIPPED
        if one.condition is not None and not one.condition(
            **{n: given.get(n, one.defaults.get(n)) for n in one.asks}
        ):
            return _SKIPPED
        given = {n: v for n, v in given.items() if n in one.takes}
        model = self._models.get(one.name)
        if model is None:
            return await awaitable(one.function(**given), "operator", one.function)
        scope = current()
        with enter(scope.but(roles={**scope.roles, "solver": model})):
            return await awaitable(one.function(**given), "operator", one.function)
