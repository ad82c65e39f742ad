"""The sandbox: an embedded Kubernetes, in one process and one trio loop, on loopback alone.

Everything shares one in-memory `registry.Registry`, whose objects are the JSON that the real API server would show.
Controllers, scheduler, kubelets and proxies call it directly, as plain functions; only outsiders come through HTTP.

    registry    get, list, create, update, delete, evict, watch: the real rules, no I/O
    apiserver/  HTTP around it, for rollcheck's own observer, the official client and kubectl
    controllers/    from one object to the next, as kube-controller-manager and kube-scheduler do it
    kubelet/    pods as local process groups, their probes, hooks, grace and logs; apps/: the programs they can run
    network/    Services and Ingresses as proxies on loopback addresses

What belongs here: what Kubernetes does, told by what a client can see of it. Where this and a real cluster differ, this
is wrong. Not here: load, judgement, anything that knows it is being tested by rollcheck; a sandbox is a cluster like
any other to the rest of the package, which only ever sees its kubeconfig.
"""
