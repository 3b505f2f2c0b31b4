"""A configuration of LiteLLM becomes one of ours: what is carried, and what is said of the rest."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from entrypoints.convert.cache import convert_cache
from entrypoints.convert.counterparts import TOP, UNKNOWN
from entrypoints.convert.general import Settings
from entrypoints.convert.literals import Export, Literals
from entrypoints.convert.model_list.context import Context
from entrypoints.convert.model_list.groups import Group, add_aliases, add_fallbacks, groups_of
from entrypoints.convert.notes import Note, Notes, Section
from entrypoints.convert.source import Node, Source, variables


class Converted(Struct, frozen=True):
    groups: tuple[Group, ...]
    general: dict[str, Any]
    entry_notes: Notes  # about entries of `model_list` of which nothing is left
    general_notes: Notes  # about settings of the whole proxy, and of everything else in the file
    exports: tuple[Export, ...]  # variables that take the place of secrets of the file, and those that it sets itself

    def notes(self) -> Iterator[Note]:
        yield from self.entry_notes
        for group in self.groups:
            yield from group.notes
            for endpoint in group.endpoints:
                yield from endpoint.notes
        yield from self.general_notes


def convert(source: Source, *, literals_kept: bool) -> Converted:
    """Every key of `source` is in the result or in a note. Secrets become variables unless they are `literals_kept`."""
    notes = Notes()
    for node, why in source.replaced:
        notes.left(node, why)
    root = Section(Node("", "", 0, source.root), notes)
    taken = {name for node in source.root.values() for name in variables(node)}
    literals = Literals(taken, kept=literals_kept)
    router, litellm, general = (
        Section(root.take(each), notes) for each in ("router_settings", "litellm_settings", "general_settings")
    )
    entra = litellm.flag("enable_azure_ad_token_refresh")
    context = Context(literals, _credentials(root, notes), entra is not None and entra[1] is True, [])
    result = groups_of(root.take("model_list"), context)
    settings = Settings(router, litellm, general, literals)
    add_fallbacks(result.groups, settings.take("fallbacks"), settings.take("default_fallbacks"), notes)
    add_aliases(result.groups, Section(router.take("model_group_alias"), notes))
    settings.convert()
    convert_cache(litellm, settings.result, literals)
    settings.leave_rest()
    if context.plain_http_hosts:
        settings.result["plain_http_hosts"] = context.plain_http_hosts
    if result.passthrough_group is not None:
        settings.result["passthrough_group"] = result.passthrough_group
    exports = [*literals.exports, *_environment(root, notes)]
    _includes(root, notes)
    root.leave_rest(TOP, UNKNOWN)
    return Converted(tuple(result.groups.values()), settings.result, result.notes, notes, tuple(exports))


def _credentials(root: Section, notes: Notes) -> dict[str, dict[str, Node]]:
    found: dict[str, dict[str, Node]] = {}
    listed = root.take("credential_list")
    if listed is None:
        return found
    for each in listed.value if isinstance(listed.value, tuple) else (listed,):
        section = Section(each, notes)
        name, values = section.text("credential_name"), section.take("credential_values")
        section.leave("credential_info", "describes the credential; nothing here reads it")
        section.leave_rest({}, UNKNOWN)
        if name is not None and values is not None and isinstance(values.value, dict):
            found[name] = values.value
            notes.differs(values, "is written at each endpoint that names it")
        elif values is not None:
            notes.left(values, "has no credential_name, or is no mapping")
    return found


def _includes(root: Section, notes: Notes) -> None:
    node = root.take("include")  # what it names has been read
    for each in (node.value if isinstance(node.value, tuple) else (node,)) if node is not None else ():
        if not isinstance(each.value, str):
            notes.left(each, "is not the name of a file")


def _environment(root: Section, notes: Notes) -> Iterator[Export]:
    for name, each in Section(root.take("environment_variables"), notes).items():
        yield Export(name, each)
        notes.left(each, f"a configuration sets no variables; export {name}=... before the start, where it is used")
