"""The ways in: what kube-proxy and an ingress controller do on a real cluster, as plain TCP and HTTP on loopback.

Here belongs: Services (a TCP proxy for each address and port, following EndpointSlices with a lag of each node's own)
and Ingresses (own, or the machine's nginx). Not here: who is an endpoint (controllers), addresses (registry), processes
(kubelet). What is pure, `endpoints`, `places`, `propagation`, `rules`, knows neither sockets nor clocks.

How it differs from a kernel's NAT: a connection is accepted before the pod behind it is asked. So that a client sees a
refusal all the same where a dead pod is still in the table, the listening socket is closed for that pod's share of the
time (`frontend`).
"""
