"""The policy server: a program answers observations over a websocket, as openpi's clients ask for them, or over TCP.

    messages   bytes <-> observations and replies (msgpack with arrays), bounded
    episode    one client's side of a policy: observation -> inputs, outputs -> reply
    batcher    requests of all clients -> runs of the program, in batches, with a bounded queue and timeouts
    metrics    what `/metrics` says
    server     connections, limits, refusals, the end
    connection what the server asks of a protocol
    websocket  openpi's protocol, health and metrics
    tcp        the framed protocol, whose bytes are in `frames`
    client     a client of the framed protocol

Not here: the command and the preprocessors of policies (`vla_toolchain.serve_command`).
"""
