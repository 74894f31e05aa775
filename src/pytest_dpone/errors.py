"""The error tree: every error states a fact and carries a hint that says what to do."""

from __future__ import annotations


class DponeError(Exception):
    """Base of all errors that a user may see; `str()` gives the fact, then a line `hint: …`.

    The text must hold no secret: callers pass addresses through `core.wire.redact` first.
    """

    def __init__(self, fact: str, *, hint: str) -> None:
        super().__init__(fact)
        self.fact = fact
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.fact}\nhint: {self.hint}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.fact, self.hint))


def _rebuild(cls: type[DponeError], fact: str, hint: str) -> DponeError:
    error = cls.__new__(cls)
    DponeError.__init__(error, fact, hint=hint)
    return error


class UsageError(DponeError):
    """The call is wrong: an unknown name, a value out of range, options that contradict each other."""


class MissingExtra(DponeError):
    """An optional library is not installed; the hint is the `pip install` line."""

    def __init__(self, module: str, *, extra: str) -> None:
        super().__init__(
            f"the module {module!r} is needed and not installed",
            hint=f"pip install 'pytest-dpone[{extra}]'",
        )


class ServiceUnavailable(DponeError):
    """A service can't be had on this machine by any allowed provider; decided before anything starts."""


class ServiceFailed(DponeError):
    """A service was there or was being started, and failed; the fact ends with its last log lines."""


class EngineFailed(DponeError):
    """The engine under test raised, died or answered with facts that can't be read."""


class ValueRejected(DponeError):
    """A sink refuses a value that its contract says it can't hold (DESIGN §5)."""


class ArtifactError(DponeError):
    """An artifact can't be written or read."""


def described(error: BaseException) -> str:
    """`error` as `Type: text`, also if its text can't be had: an exception of foreign code may fail even there."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return f"{type(error).__name__} (its text can't be had)"


def require(module: str, *, extra: str) -> object:
    """Import `module` and return it; raises `MissingExtra` that names the extra to install."""
    from importlib import import_module

    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise MissingExtra(module, extra=extra) from None
