"""The pair: who is primary, the relationship between two appliances, their data-sync and their joint upgrade.

| to | use |
|---|---|
| look at it, establish, sync, become primary, break | ``service`` (pages, commands, job, worker: nothing else) |
| ask the other appliance | ``service.peer()``: a ``peer.HttpsPeer``, closed by the caller |
| let the peer ask something more | ``answers.ANSWERS``, filled in ``FailoverConfig.ready`` |
| tell the peer more in its picture | ``answers.PICTURE_PARTS`` |
| know what follows from what is seen | ``rules`` (pure) |
"""
