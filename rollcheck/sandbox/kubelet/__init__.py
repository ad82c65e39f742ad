"""The kubelet: what becomes of a pod on its node.

    kubelet     the pods bound to one node, its Node object and Lease     node      what those say
    pod         one pod from its binding to its deletion                  restarts  policy and back-off (pure)
    containers  one container: image, start, hooks, exit, next attempt    records   its state (pure)
    prober      when it is asked, and what follows                        ending    the order and clock of its end
    statuses    from containers' states to the pod's status (pure)        logs      where they lie, how they are read
    host        what the pods of a node share                             hooks     postStart and preStop

A container is a process group on this machine, kept by the warden; see `rollcheck.sandbox.volumes` for what that does
to paths, `rollcheck.sandbox.binding` for what it does to sockets. Reasons, messages, order and arithmetic are those
of Kubernetes 1.34 (`pkg/kubelet`). Where it differs: a pod's network and volumes are there at once (half a second on
a real node); images are never pulled; nothing is killed for its memory (no OOMKilled), nothing
evicted for pressure; limits are not enforced; termination messages, ephemeral containers, exec, attach, port-forward
and a change of the image of a pod that runs are not there.
Not here: scheduling, endpoints, who deletes a pod.
"""

from rollcheck.sandbox.kubelet.kubelet import Kubelet
from rollcheck.sandbox.kubelet.restarts import Timing

__all__ = ["Kubelet", "Timing"]
