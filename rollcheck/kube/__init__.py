"""The cluster's side of a run: the way in, what is seen there, what is done there.

Here belongs: the way in (`kubeconfig`, `access`), talking to the API server (`api`, the only module that imports
httpx), list and watch (`reflector`, `observer`), raw JSON → facts (`objects`, pure), from a workload to a URL
(`discover`), rights (`permissions`), what we do or have done (`actions`, `command`), and whether a rollout stands
(`rollout`, pure).
Not here: load on the target, judgement of what was seen (that is `analyze`), anything printed.
"""
