"""Sentences that reach a session's page by no template: what the gateway, the Jump Client and the page's scripts say.

They come over a WebSocket, or are in a script, in English; the page takes each template with its words along
(`words.js` reads them), so that they are said in the reader's language. A test looks that each is still said somewhere.
"""

from typing import Final

from staffetta.ui.sentences import in_other_words

SAID: Final = (
    # site/gateway
    "This account may not start sessions.",
    "This console was signed out; sign in again.",
    "The console that opened this session was signed out.",
    "This Jump Client is not connected to the site now.",
    "This Jump Client is passive and has never checked in.",
    "This Jump Client is passive and did not come when it was called; it is expected by {at}. Try again then.",
    "This Jump Client was revoked.",
    "This Jump Client was revoked by an administrator.",
    "No such Jump Client; install it again with a new installer token.",
    "The site has just moved to its other appliance; try again.",
    "The Jump Client on {client_name} (version {client_version}) has no sessions of kind {request_kind} yet; "
    "it needs an update.",
    "This site has no sessions of kind {request_kind}.",
    "The site failed; try again.",
    # clients/runtime
    "There is no file {path}.",
    "There is no folder {folder}; make it first, or name another place.",
    "No permission for {path}.",
    "{path} is a directory; name the file in it.",
    "{path} is no regular file.",
    "{path} cannot be the name of a file.",
    "There is no room for {path} on its disk.",
    "{path} became shorter while it was read; try again.",
    "That cannot be the name of a file.",
    # the page's scripts
    "The site sent something else than a challenge.",
    "This site has no sessions of kind {kind} yet.",
    "This site is too old for a console in the browser.",
    "The certificate is not one that the site has signed for.",
    "The statement is of another site.",
    "The other end is not this site: its statement is not signed by the site's identity key.",
    "The site did not answer in time.",
    "The site has moved.",
    "What was stored has another SHA-256 than what was sent.",
    "What arrived has another SHA-256 than what was sent.",
    "the connection broke",
    "closed with {code}",
    "no answer in time",
    "the file became shorter",
)  # fmt: skip


def said() -> tuple[tuple[str, str], ...]:
    """Each sentence's template with its words in the reader's language."""
    return tuple((english, in_other_words(english)) for english in SAID)
