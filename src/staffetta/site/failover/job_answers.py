"""The pair job's entries in the table of what the peer may ask: commands, facts, the job's document, steering it."""

from typing import Any

from staffetta.control.local import to_json
from staffetta.site.failover import commands, job_look, job_service, job_store
from staffetta.site.failover.answers import ANSWERS, PICTURE_PARTS, Asked
from staffetta.site.failover.job_command import Verb, from_document, reply_document
from staffetta.site.failover.job_errors import BadPairJob
from staffetta.site.failover.job_record import from_document as job_from_document
from staffetta.site.failover.job_record import to_document as job_to_document


def register() -> None:
    """Put them into the table."""
    ANSWERS["POST", "command"] = command
    ANSWERS["POST", "job"] = job
    ANSWERS["POST", "job/steer"] = steer
    ANSWERS["POST", "updates/check"] = check_updates
    PICTURE_PARTS["job"] = picture


def command(asked: Asked) -> dict[str, Any]:
    """Execute a command of the owner, or tell the facts."""
    said = from_document(asked.body, asked.origin)
    if said.verb is Verb.FACTS:
        return {"facts": to_json(job_look.own_facts(said.job))}
    return reply_document(commands.execute(said))


def job(asked: Asked) -> dict[str, Any]:
    """Take the job's document as it is on the other appliance now."""
    told = job_from_document(asked.body)
    job_service.receive(told, asked.origin)
    return {"revision": told.revision}


def steer(asked: Asked) -> dict[str, Any]:
    """A person at the other appliance pauses, resumes or undoes the job that is owned here."""
    named, verb, who = asked.body.get("job"), asked.body.get("verb"), asked.body.get("actor")
    if not isinstance(named, str) or not isinstance(verb, str) or not isinstance(who, str):
        raise BadPairJob("Give job, verb and actor.")
    return job_to_document(job_service.steer_here(named, verb, who[:150]))


def check_updates(asked: Asked) -> dict[str, Any]:
    """Have the own base ask the update server, before a job begins; the facts say what came of it."""
    who = asked.body.get("actor")
    if not isinstance(who, str):
        raise BadPairJob("Give actor.")
    job_service.check_updates_here(who[:150])
    return {}


def picture() -> dict[str, Any] | None:
    """The job under way, in short."""
    found = job_store.under_way()
    if found is None:
        return None
    return {"id": found.id, "state": found.state.value, "step": found.step.value, "sentence": found.sentence}
