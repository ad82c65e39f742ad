"""What rollcheck does to workloads and nodes, with kubectl's semantics: one class an action.

Here belongs: which actions there are and what each needs (`table`, the only such list), what was asked for (`request`),
what every action is and gets (`action`), and the actions themselves (`rollouts`, `scale`, `pods`, `drain`, `watching`).
Not here: the order of a run (`rollcheck.conductor`), how a change is put back (`kube.journal`), judgement of losses.
"""
