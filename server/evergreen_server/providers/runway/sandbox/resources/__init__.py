"""What the account owns besides tasks: voices, avatars, documents, routers, workflows, sessions, and their logs.

Shapes, bounds and merge rules are the provider's. What nobody has published is the sandbox's own, and no ground to
build on: the texts of a 404, the 409 for a slug that is taken, that a session which nobody joins is CANCELLED after
five minutes, what `consume` answers, that voices and their previews cost nothing, that a router takes what costs more
for better and a name such as `turbo` for quicker, and the number of resources that an account may have.
"""
