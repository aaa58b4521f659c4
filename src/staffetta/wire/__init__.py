"""How two ends talk: frames, messages, signed things, resume. Sans-IO: no socket, no clock, no random in it.

| to | use |
|---|---|
| bytes of a WebSocket message to a frame and back | ``frames.decode``, ``frames.encode`` |
| CONTROL to a typed message and back | ``messages.parse``, ``messages.encode``; one frozen class per message |
| the words that all share | ``vocabulary``: EndName, SessionKind, ClientMode, Channel |
| the answer to ``list``, in pages | ``listing``: pages_of_clients |
| messages inside channel 0 | ``notes.parse_note``, ``notes.encode_note``; Resize, Exit, Transferred |
| know what is wrong, and the close code that says so | ``errors``: FrameError, NotProven, HoldExceeded, CloseCode |
| hold a key, prove it, check a proof | ``identity``: SigningKey, check_proof, certificate_sha256, Purpose |
| sign and read the site's statement, a rep's credential | ``signed``: Statement, read_statement, make_credential |
| make and check tickets, attach and hello | ``tickets``: make_ticket, make_attach, check_attach, …_hello |
| pick the next address, judge a TLS peer | ``addresses``: AddressBook |
| be one end of a session over many connections | ``resume``: SessionEnd, Limits; ``outcomes``: its outputs and events |
| ping, notice a dead connection, wait before dialling again | ``liveness``: Liveness, Reconnect |
| move a file over a channel | ``files``: Sender, Receiver, their messages, the table ``TRANSFER`` |
| prove one appliance of a pair to the other | ``pair``: begin, answer, finish, held; hello, token |
| enrol a computer; ask which version to be (frozen) | ``enrolment``: InstallerToken, EnrolRequest, UpdateQuestion |

One end, in outline::

    end = SessionEnd(EndName.CONSOLE)
    counter = end.dial()                                     # for each connection tried
    # dial book.next(); decode the challenge; book.adopt(challenge.statement); book.check_peer(leaf sha256)
    # send messages.encode(make_attach(ticket, counter, challenge.nonce, leaf sha256, key, version))
    for event in end.receive(counter, message, now): ...     # FrameError: close 4400, then end.lost(counter)
    end.send(Channel.SHELL, keys, microseconds)              # only while end.writable
    for output in end.take(): ...                            # after every call: Send(connection, message) | Close(...)
    end.tick(now); end.lost(counter)                         # a dial without ``attached``: the caller's own time limit
"""
