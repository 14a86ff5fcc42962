"""The policy server: a program answers observations over a websocket, as openpi's clients ask for them.

    messages   bytes <-> observations and replies (msgpack with arrays), bounded
    episode    one client's side of a policy: observation -> inputs, outputs -> reply
    batcher    requests of all clients -> runs of the program, in batches, with a bounded queue and timeouts
    metrics    what `/metrics` says
    server     connections, health, refusals, the end

Not here: the command and the preprocessors of policies (`vla_toolchain.serve_command`).
"""
