"""What stands before the verb: which profile, which environment, which source, how much log.

The one rule: nothing is read until a verb asks for it, so a wrong profile cannot break `--help`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..settings.load import Loaded


@dataclass(frozen=True, slots=True)
class Asked:
    """The global options, as given; it is click's `obj` for every verb.

    Attributes:
        profile: `--profile`, or None.
        environment: `--environment`, or None.
        source_id: `--source-id`, or None.
        log_level: `--log-level`, lower case.
    """

    profile: str | None = None
    environment: str | None = None
    source_id: str | None = None
    log_level: str = "warning"

    def load(self, **overrides: object) -> Loaded:
        """The settings, with the global options and a verb's own as the last word.

        Args:
            **overrides: Fields of `Settings`; None means that the option was not given.

        Raises:
            ConfigError: As for `load_settings`.
        """
        from ..settings.load import load_settings  # noqa: PLC0415  # 60 ms, paid by verbs only

        given = {"environment": self.environment, "source_id": self.source_id, **overrides}
        return load_settings(self.profile, _without_none(given))

    def load_to_send(self, **overrides: object) -> Loaded:
        """As `load`, for a verb that sends: which environment is meant must have been said.

        Raises:
            ConfigError: It was not; or as for `load`.
        """
        loaded = self.load(**overrides)
        if loaded.settings.environment is None:
            raise ConfigError(
                "no environment is set: give --environment Development, Staging or Production, or a"
                " profile that has one; or try it with --sandbox"
            )
        return loaded


def _without_none(given: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in given.items() if value is not None}
