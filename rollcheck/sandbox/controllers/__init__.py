"""The controllers and the scheduler of the sandbox: from what was asked for to what is, one step at a time.

Here belongs what kube-controller-manager and kube-scheduler do, told by what a watcher of the API sees: which object
changes next, by how much, with which event, reason and message. Arithmetic stands apart from loops: `fenceposts`,
`victims`, `hashes`, `conditions`, `deployment_status`, `deployment_revisions`, `stateful_pods`, `daemon_pods`,
`job_status`, `indexes`, `endpoints`, `budgets` and `fitting` are pure; the loops read the registry, ask them, and
write. `base` and `workqueue` are what every loop is made of, `manager` runs them all.

Not here: anything of a pod's life on its node (kubelet), of connections (network), of the rules for single writes
(registry).
"""
