"""Rows as documents: a model's row as plain JSON and back, for data-sync and backups, whatever release wrote it.

- A document is one row with its many-to-many links; its key is the same on every appliance.
- Fields and types that this release does not know are kept, and are part of the document when it is passed on.
- A field that a document lacks (an older release wrote it) keeps its value here.
- Secrets are never in the clear: a ``Sealer`` wraps them for whoever the document is for.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Protocol

from django.apps import AppConfig, apps
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models.signals import post_migrate

from staffetta.site.data.errors import DocumentDamaged
from staffetta.site.data.fields import EncryptedField
from staffetta.site.data.models import KeptDocument
from staffetta.site.data.secrets import Secret
from staffetta.site.data.sync import Sync, travels_with

SECRET: Final = "$secret"  # noqa: S105 - the name under which a sealed secret stands in a document
_SEPARATOR: Final = "/"
_PLAIN: Final = (str, int, float, bool, type(None))

applying: Final[ContextVar[bool]] = ContextVar("applying", default=False)
"""True while documents are applied: the guard of configuration lets them pass."""

_AFTERWARDS: Final[list[Callable[[], None]]] = []


class Sealer(Protocol):
    """Wraps secrets for the reader of a document; equal secrets at one place seal equally."""

    def seal(self, place: str, secret: Secret) -> str:
        """Return the sealed text of a secret of the place ``type.field``."""
        ...

    def unseal(self, place: str, text: str) -> Secret:
        """Open it again. Raises ``SecretUnreadable``."""
        ...


@dataclass(frozen=True, slots=True)
class Document:
    """One row: ``type`` is the model's label, ``key`` its key on every appliance, ``body`` JSON."""

    type: str
    key: str
    body: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the body in canonical JSON: equal bodies, equal digests."""
        text = json.dumps(self.body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def connect(app: AppConfig) -> None:
    """After every migrate, take into its columns what was kept for this release."""
    post_migrate.connect(_after_migrate, sender=app, dispatch_uid="staffetta.site.data.documents")


def after_apply(work: Callable[[], None]) -> None:
    """Register what is to be done after documents were applied, in the same transaction."""
    _AFTERWARDS.append(work)


def models_of(kind: Sync) -> tuple[type[models.Model], ...]:
    """Return the models of one kind, in a fixed order."""
    found = [model for model in apps.get_models() if travels_with(model).kind is kind]
    return tuple(sorted(found, key=lambda model: model._meta.label))


def collect(kind: Sync, sealer: Sealer) -> Iterator[Document]:
    """Return every document of a kind, with what is kept for newer releases."""
    kept = {(one.type, one.key): one for one in KeptDocument.objects.filter(kind=kind)}
    for model in models_of(kind):
        yield from _documents(model, _travelling(model), kept, sealer)
    for left in kept.values():
        if left.whole:
            yield Document(left.type, left.key, left.body)


def fetch(kind: Sync, keys: Iterable[tuple[str, str]], sealer: Sealer) -> list[Document]:
    """Return the documents of these (type, key) that exist."""
    wanted: dict[str, list[str]] = {}
    for label, key in keys:
        wanted.setdefault(label, []).append(key)
    kept = {(one.type, one.key): one for one in KeptDocument.objects.filter(kind=kind, type__in=wanted)}
    found: list[Document] = []
    for model in models_of(kind):
        if model._meta.label in wanted:
            rows = _travelling(model).filter(_is_one_of(model, wanted[model._meta.label]))
            found += _documents(model, rows, kept, sealer)
    found += [
        Document(one.type, one.key, one.body) for one in kept.values() if one.whole and one.key in wanted[one.type]
    ]
    return found


def apply(
    kind: Sync, documents: Iterable[Document], removed: Iterable[tuple[str, str]], sealer: Sealer
) -> list[Document]:
    """Write documents and remove others, all or nothing. Raises ``DocumentDamaged`` for what cannot be read.

    Returns the live state that was left out, since it belongs to what is not here (any more, or yet).

    Removing comes first, so that a name that changed its owner is free; documents wait for one another where a value
    must be unique.
    """
    token = applying.set(True)
    try:
        with transaction.atomic():
            for label, key in removed:
                _remove(label, key)
            written = waiting = list(documents)
            left_out: list[Document] = []
            while waiting:
                refused = [one for one in waiting if not _tried(kind, one, sealer)]
                if len(refused) == len(waiting):
                    left = [one for one in refused if kind is Sync.LIVE and _belongs_to_nothing(one)]
                    written = [one for one in written if one not in left]
                    waiting = [one for one in refused if one not in left]
                    if left:
                        left_out += left
                        continue
                    names = ", ".join(f"{one.type} {one.key}" for one in refused[:3])
                    raise DocumentDamaged(f"These documents contradict what is stored here: {names}.")
                waiting = refused
            for document in written:
                _link(kind, document)
            for work in _AFTERWARDS:
                work()
            return left_out
    finally:
        applying.reset(token)


def adopt_kept() -> int:
    """After an update: move what was kept for a newer release into the columns it now has; returns how many."""
    adopted = 0
    for kept in KeptDocument.objects.all():
        model = _model(kept.type)
        if model is None:
            continue
        known = {name for name in kept.body if name.rstrip("+") in _names(model)}
        if kept.whole or known:
            with contextlib.suppress(DocumentDamaged):
                apply(Sync(kept.kind), [Document(kept.type, kept.key, kept.body)], (), _Sealed())
                adopted += 1
    return adopted


def unadopted() -> set[tuple[str, str]]:
    """Return the documents of which something is kept that this release knows by now, and could not take over itself.

    A secret was sealed for data-sync, which has to bring it once more; a right may have come after the update.
    """
    found: set[tuple[str, str]] = set()
    for kept in KeptDocument.objects.all():
        model = _model(kept.type)
        if model is None:
            continue
        links = {f"{link.name}+": link for link in model._meta.many_to_many}
        if kept.whole or any(
            name in _names(model) or (name in links and _linked(links[name], names)[0])
            for name, names in kept.body.items()
        ):
            found.add((kept.type, kept.key))
    return found


def key_of(row: models.Model) -> str:
    """Return the key of a row: the same on every appliance."""
    return _SEPARATOR.join(str(getattr(row, name)) for name in travels_with(type(row)).key)


def _after_migrate(**_: Any) -> None:
    adopt_kept()


class _Sealed:
    """Kept documents hold secrets that were sealed for somebody else: they cannot be adopted."""

    def seal(self, place: str, secret: Secret) -> str:
        raise DocumentDamaged(f"{place} cannot be sealed here.")

    def unseal(self, place: str, text: str) -> Secret:
        raise DocumentDamaged(f"{place} is sealed; the next data-sync brings it.")


def _tried(kind: Sync, document: Document, sealer: Sealer) -> bool:
    """Write one document; False when a unique value is still taken, or what it belongs to is not here."""
    if kind is Sync.LIVE and _belongs_to_nothing(document):
        return False
    try:
        with transaction.atomic():
            _write(kind, document, sealer)
    except IntegrityError:
        return False
    return True


def _belongs_to_nothing(document: Document) -> bool:
    model = _model(document.type)
    if model is None:
        return False
    values = {**document.body, **dict(zip(travels_with(model).key, _parts(model, document.key), strict=True))}
    for field in model._meta.concrete_fields:
        value = values.get(field.attname, values.get(field.name))
        target = field.related_model
        if isinstance(target, type) and value is not None and not target._base_manager.filter(pk=value).exists():
            return True
    return False


def _write(kind: Sync, document: Document, sealer: Sealer) -> None:
    model = _model(document.type)
    if model is None:
        _keep(kind, document, dict(document.body), whole=True)
        return
    row = _row(model, document.key) or model(
        **dict(zip(travels_with(model).key, _parts(model, document.key), strict=True))
    )
    fields = _fields(model)
    for name in document.body.keys() & fields.keys():
        setattr(row, fields[name].attname, _value(document, fields[name], document.body[name], sealer))
    models.Model.save_base(row, raw=True)


def _link(kind: Sync, document: Document) -> None:
    """Once every row is there: a document's links, and what of it is unknown here."""
    model = _model(document.type)
    row = _row(model, document.key) if model else None
    if model is None or row is None:
        return
    unknown = {name: value for name, value in document.body.items() if name not in _names(model)}
    for link in model._meta.many_to_many:
        if link.name in document.body:
            targets, missing = _linked(link, document.body[link.name])
            getattr(row, link.name).set(targets)
            if missing:
                unknown[f"{link.name}+"] = missing
    _keep(kind, document, unknown, whole=False)


def _keep(kind: Sync, document: Document, body: dict[str, Any], *, whole: bool) -> None:
    rows = KeptDocument.objects.filter(type=document.type, key=document.key)
    if not body and not whole:
        rows.delete()
        return
    KeptDocument.objects.update_or_create(
        type=document.type, key=document.key, defaults={"whole": whole, "kind": kind.value, "body": body}
    )


def _remove(label: str, key: str) -> None:
    KeptDocument.objects.filter(type=label, key=key).delete()
    model = _model(label)
    row = _row(model, key) if model else None
    if row is not None:
        row.delete()


def _travelling(model: type[models.Model]) -> "models.QuerySet[models.Model]":
    links = [field.name for field in model._meta.many_to_many]
    return model._base_manager.filter(**travels_with(model).only).order_by("pk").prefetch_related(*links)


def _is_one_of(model: type[models.Model], keys: Iterable[str]) -> models.Q:
    names = travels_with(model).key
    if len(names) == 1:
        return models.Q(**{f"{names[0]}__in": list(keys)})
    wanted = models.Q(pk__in=())
    for key in keys:
        wanted |= models.Q(**dict(zip(names, _parts(model, key), strict=True)))
    return wanted


def _documents(
    model: type[models.Model],
    rows: "models.QuerySet[models.Model]",
    kept: dict[tuple[str, str], KeptDocument],
    sealer: Sealer,
) -> Iterator[Document]:
    """The rows as documents; what is kept for them is taken out of ``kept``."""
    for row in rows.iterator(chunk_size=500):
        body, key = _body(row, sealer), key_of(row)
        if part := kept.pop((model._meta.label, key), None):
            body = _with_kept(body, part.body)
        yield Document(model._meta.label, key, body)


def _body(row: models.Model, sealer: Sealer) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name, field in _fields(type(row)).items():
        value = field.value_from_object(row)
        if isinstance(field, EncryptedField):
            body[name] = None if value is None else {SECRET: sealer.seal(f"{row._meta.label}.{name}", value)}
        elif isinstance(value, _PLAIN) or isinstance(field, models.JSONField):
            body[name] = value
        else:
            body[name] = field.value_to_string(row)
    for link in row._meta.many_to_many:
        body[link.name] = sorted(_natural(target) for target in getattr(row, link.name).all())
    return body


def _with_kept(body: dict[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in kept.items():
        if name.endswith("+"):
            body[name[:-1]] = sorted({*body.get(name[:-1], ()), *value})
        else:
            body.setdefault(name, value)
    return body


def _value(document: Document, field: "models.Field[Any, Any]", value: Any, sealer: Sealer) -> Any:
    place = f"{document.type}.{field.name}"
    if value is None:
        return None
    try:
        if isinstance(field, EncryptedField):
            return sealer.unseal(place, value[SECRET])
        if isinstance(field, models.JSONField):
            return value
        return field.to_python(value)
    except (ValidationError, TypeError, KeyError, ValueError) as error:
        raise DocumentDamaged(f"{place} of {document.key} cannot be read: {error}.") from error


def _natural(target: models.Model) -> str:
    if isinstance(target, Permission):
        return ".".join((target.content_type.app_label, target.content_type.model, target.codename))
    return key_of(target)


def _linked(field: "models.ManyToManyField[Any, Any]", names: Any) -> tuple[list[Any], list[str]]:
    """The linked rows that exist here, and the names of those that do not."""
    if not isinstance(names, list):
        raise DocumentDamaged(f"{field.name} is not a list.")
    target = field.remote_field.model
    if issubclass(target, Permission):
        found: dict[str, models.Model] = {_natural(one): one for one in target.objects.select_related("content_type")}
    else:
        found = {key: row for key in names if (row := _row(target, key)) is not None}
    return [found[name] for name in names if name in found], [name for name in names if name not in found]


def _fields(model: type[models.Model]) -> dict[str, "models.Field[Any, Any]"]:
    """The columns of a document's body, by name: neither its key nor what stays on the appliance."""
    travel = travels_with(model)
    own = {name.removesuffix("_id") for name in travel.key} | {*travel.key, *travel.stays}
    surrogate = model._meta.pk.name if model._meta.pk.attname not in travel.key else ""
    return {
        field.name: field for field in model._meta.concrete_fields if field.name not in own and field.name != surrogate
    }


def _names(model: type[models.Model]) -> set[str]:
    return {*_fields(model), *(field.name for field in model._meta.many_to_many)}


def _row(model: type[models.Model], key: str) -> models.Model | None:
    names = travels_with(model).key
    return model._base_manager.filter(**dict(zip(names, _parts(model, key), strict=True))).first()


def _parts(model: type[models.Model], key: str) -> list[str]:
    names = travels_with(model).key
    parts = [key] if len(names) == 1 else key.split(_SEPARATOR)
    if len(parts) != len(names):
        raise DocumentDamaged(f"{key!r} is no key of {model._meta.label}.")
    return parts


def _model(label: str) -> type[models.Model] | None:
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError):
        return None
    return model if travels_with(model).kind in (Sync.CONFIG, Sync.LIVE) else None
